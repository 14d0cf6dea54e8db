"""Grow a data set: real pairs as they are, and synthetic ones from training masks, made, judged and listed one by one."""

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from orthoforge.checkpoints import checkpoint_folder, is_pretrained, read_state
from orthoforge.errors import ConfigError, DataError, OrthoforgeError, OutputExistsError
from orthoforge.evaluation.segmenter.segmentation import SegmenterSettings
from orthoforge.files import lock, new_file, require_free_space
from orthoforge.generation.progress import Progress
from orthoforge.geo.cog import write_raster
from orthoforge.geo.rasters import open_raster
from orthoforge.growing.card import write_card
from orthoforge.growing.ground import Ground, Rule, training_ground, training_tiles
from orthoforge.growing.images import make_image
from orthoforge.growing.judging import Judge, judge_of
from orthoforge.growing.masks import How, NewMask, Stream, forged_streams, given_stream, mask_files, real_streams, shares
from orthoforge.growing.naming import Names
from orthoforge.growing.reading import MaskReader
from orthoforge.growing.staging import DONE, Staging, carry_over, copied_bytes
from orthoforge.scenes.palette import Palette
from orthoforge.scenes.sources import Pair, find_pairs, folders
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import TrainedGenerator, load_generator

ROWS = "synthetic.jsonl"
# Bytes a pixel of an image, a mask and what they need on the way; textures hardly shrink.
_BYTES_PER_PX = 4.0


@dataclass(frozen=True)
class Grown:
    """What ``grow`` made. ``rows`` has one for each candidate, as in ``synthetic.jsonl``."""

    path: Path
    wanted: int
    added: int
    rejected: int
    real_iou: float | None
    """The segmenter's IoU on real images; ``None`` without a filter."""
    notes: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class _Plan:
    """Everything that is known before the first image."""

    generator: TrainedGenerator
    store: TileStore | None
    pairs: tuple[Pair, ...]
    reader: MaskReader
    layout: tuple[str, str]  # of images and of masks, from the data set's root
    settings: dict[str, Any]
    segmenter: SegmenterSettings
    device: str


def grow(
    run: str | Path,
    data: Path,
    out: Path,
    *,
    ratio: float = 1.0,
    variants: int = 1,
    masks: How | Path = "real",
    split: Rule | None = None,
    least_agreement: float = 0.5,
    seed: int = 0,
    threshold: int | None = None,
    segmenter: SegmenterSettings | None = None,
    device: str = "cpu",
    overwrite: bool = False,
) -> Grown:
    """Write the pairs of ``data`` and ``ratio`` synthetic ones for each of those that train to ``out``, in the same layout.

    Masks are those of the ground that ``run`` was trained on and nothing else: real ones again, forged from them (``transform``,
    ``recombine``, ``streets``), or those of a folder. Which scenes train is said by the run's tiles, or, where these are gone, by
    the rule ``split``. ``ratio`` × training pairs, rounded to a whole number (one at least), are spread over places like the real
    ones; ``variants`` of them share a mask. Images have the run's resolution where they are made and the mask's grid where they are
    written.

    A segmenter that learned from the run's training tiles rejects images in which it recognises less than ``least_agreement`` ×
    what it does in real ones; others are made in their place, three times as many as wanted at most. 0 leaves it out. ``segmenter``
    changes its training. Rejected ones are listed in ``out/synthetic.jsonl`` beside those that were kept; ``out/README.md`` is the
    data card.

    Killed and run again, it goes on; finished, it only says so. Raises ``ConfigError``, ``DataError`` for data that does not fit
    the run, ``OutputExistsError``, ``LockedError``, ``CheckpointError``, and ``ResourceError`` when the disk is too small.
    """
    out = Path(out)
    plan = _plan(
        run,
        Path(data),
        out,
        ratio,
        variants,
        masks,
        split,
        least_agreement,
        seed,
        threshold,
        segmenter or SegmenterSettings(),
        device,
    )
    staging = Staging(out, plan.settings)
    with lock(out):
        if staging.begin(overwrite=overwrite):
            print(f"{out}: grown before from these pairs with these settings; nothing to do.")
            return _result(out)
        try:
            summary = {} if staging.is_ready else _assemble(plan, staging, Path(data), masks)
        except OrthoforgeError:
            staging.give_up()
            raise
        staging.publish(summary)
    grown = _result(out)
    rejected = f", {grown.rejected} rejected" if grown.rejected else ""
    print(f"{out}: {len(plan.pairs)} pairs and {grown.added} synthetic ones, {grown.wanted} wanted{rejected}.")
    for note in grown.notes:
        print(f"  note: {note}")
    return grown


def _plan(
    run: str | Path,
    data: Path,
    out: Path,
    ratio: float,
    variants: int,
    masks: How | Path,
    split: Rule | None,
    least_agreement: float,
    seed: int,
    threshold: int | None,
    segmenter: SegmenterSettings,
    device: str,
) -> _Plan:
    """Read what is there, and refuse what cannot work."""
    how = masks if masks in get_args(How) else None
    _require_sound(ratio, variants, split, least_agreement, seed)
    _require_apart(data, out, None if how else Path(masks))
    pairs = _pairs(data)
    generator = load_generator(run, device=device.split(",")[0])
    if variants > 1 and not generator.is_noisy:
        raise ConfigError(
            f"the network of {generator.recipe.name} has no noise: its {variants} variants of a mask would be one image. Leave "
            "--variants out, or make new masks with --masks transform."
        )
    if generator.classes and how not in ("real", None):
        raise ConfigError(
            f"--masks {how} forges masks of buildings; this run was trained on classes. Take --masks real or a folder."
        )
    folder = checkpoint_folder(Path(run))
    store = training_tiles(folder.parent.parent, read_state(folder)["tiles"]["fingerprint"])
    if store is None and is_pretrained(folder):
        _require_told(run, data, split, least_agreement)
    if store is None and least_agreement > 0 and split is not None:
        raise ConfigError(
            f"{run}: its tiles are not there any more, or were cut anew, and the segmenter that judges images learns from them. "
            "Put them back where its args.yaml says, or pass --least-agreement 0 to take every image unseen."
        )
    if threshold is None and store is not None:
        threshold = store.settings.get("threshold")
    image_folder, mask_folder = folders(data)
    layout = image_folder.relative_to(data).as_posix(), mask_folder.relative_to(data).as_posix()
    given = [] if how else [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in mask_files(Path(masks))]
    settings = {
        "model_sha256": generator.sha256, "ratio": ratio, "variants": variants, "masks": str(masks), "split": split,
        "least_agreement": least_agreement, "seed": seed, "threshold": threshold, "layout": list(layout), "given": given,
        "tiles": store.fingerprint if store else None, "tiles_split": store.settings["split"] if store else None,
        "segmenter": asdict(segmenter) if least_agreement > 0 else None,
        "sources": {pair.name: [[s.st_size, s.st_mtime_ns] for s in (pair.image.stat(), pair.mask.stat())] for pair in pairs},
    }  # fmt: skip
    reader = MaskReader(Palette.of(**generator.classes) if generator.classes else None, threshold)
    return _Plan(generator, store, pairs, reader, layout, settings, segmenter, device)


def _require_told(run: str | Path, data: Path, split: Rule | None, least_agreement: float) -> None:
    """Of a pretrained generator nobody can put the tiles back."""
    if split is None:
        raise ConfigError(
            f"{run} came without its training tiles, so which scenes of {data} may train cannot be told. Pass --split digits or "
            "inria."
        )
    if least_agreement > 0:
        raise ConfigError(
            f"{run} came without its training tiles, and the segmenter that judges images learns from them. Pass "
            "--least-agreement 0 to take every image unseen."
        )


def _require_sound(ratio: float, variants: int, split: object, least_agreement: float, seed: int) -> None:
    if not (math.isfinite(ratio) and ratio > 0):
        raise ConfigError(f"ratio is {ratio:g}; it is the number of synthetic pairs for each real one that trains, above 0.")
    if variants < 1:
        raise ConfigError(f"variants is {variants}; it is the number of images a mask, 1 or more.")
    if split is not None and split not in get_args(Rule):
        raise ConfigError(f"split is {split!r}; the rules that go by a scene's number are {' and '.join(get_args(Rule))}.")
    if not 0 <= least_agreement <= 1:
        raise ConfigError(f"least_agreement is {least_agreement:g}; it is a share of the score on real images, 0 (no filter) to 1.")
    if seed < 0:
        raise ConfigError(f"seed is {seed}; it must be 0 or more.")


def _require_apart(data: Path, out: Path, masks: Path | None) -> None:
    whole = out.resolve()
    for folder in [data.resolve()] + ([masks.resolve()] if masks else []):
        if whole == folder or folder in whole.parents:
            raise OutputExistsError(f"{out}: lies in {folder}, which is only read. Choose a folder beside it.")
        if whole in folder.parents:
            raise OutputExistsError(f"{out}: holds {folder}, which is only read. Choose a folder beside it.")


def _pairs(data: Path) -> tuple[Pair, ...]:
    found = find_pairs(data)
    if found.lonely:
        more = f" So it is with {len(found.lonely) - 1} more files." if len(found.lonely) > 1 else ""
        raise DataError(f"{found.lonely[0]}: has no partner of the same name.{more} Add what is missing, or move it away.")
    return found.pairs


def _assemble(plan: _Plan, staging: Staging, data: Path, masks: How | Path) -> dict[str, Any]:
    """The whole data set in the work folder; returns what is to be said of it."""
    settings, generator, reader = plan.settings, plan.generator, plan.reader
    ground = training_ground(data, plan.pairs, plan.store, settings["split"], reader, staging.work / "cuts", settings["seed"])
    total = max(1, math.floor(settings["ratio"] * sum(ground.training.values()) + 0.5))
    quotas = {place: quota for place, quota in shares(total, ground.training).items() if quota}
    streams = _streams(plan, ground, quotas, masks, staging.work / "forged", total)
    _require_space(plan, ground, quotas, staging.out)
    judge = _judge(plan, staging)
    folders_of_out = [staging.data / part for part in plan.layout]
    for folder in folders_of_out:
        folder.mkdir(parents=True, exist_ok=True)
    copied = carry_over(plan.pairs, *folders_of_out)
    rows: list[dict[str, Any]] = []
    notes = list(judge.notes) if judge else []
    names = Names(pair.name for pair in plan.pairs)
    seeds = itertools.count(settings["seed"])
    with Progress("synthetic").task("pairs", total, done=sum(row["accepted"] for row in staging.log.values())) as step:
        for stream in streams:
            of_stream = _fill(plan, staging, stream, names, seeds, judge, step)
            rows += of_stream
            notes += _shortfall(stream, of_stream)
    if not rows:
        raise DataError(f"{data}: no synthetic pair could be made. {' '.join(notes)}")
    for card in (staging.work / "forged").glob("*/card.html"):
        with new_file(staging.data / "cards" / f"{card.parent.name}.html", overwrite=True) as partial:
            partial.write_bytes(card.read_bytes())
    with new_file(staging.data / ROWS, overwrite=True) as partial:
        partial.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    settings = settings | {"wanted": total}
    write_card(
        staging.data, staging.out.name, rows, generator=generator, ground=ground, reader=reader, settings=settings,
        real_iou=judge.real_iou if judge else None, notes=notes, layout=plan.layout, copied=copied,
    )  # fmt: skip
    accepted = Counter(row["place"] for row in rows if row["accepted"])
    counts = {
        "wanted": total, "added": sum(accepted.values()), "rejected": len(rows) - sum(accepted.values()),
        "real": sum(ground.real_pairs.values()), "places": dict(accepted),
    }  # fmt: skip
    return {"counts": counts, "real_iou": judge.real_iou if judge else None, "notes": notes}


def _streams(plan: _Plan, ground: Ground, quotas: Mapping[str, int], masks: How | Path, folder: Path, total: int) -> list[Stream]:
    variants, noisy = plan.settings["variants"], plan.generator.is_noisy
    if masks == "real":
        lacking = [place for place, quota in quotas.items() if not noisy and quota > len(ground.sources[place])]
        if lacking:
            place = lacking[0]
            raise ConfigError(
                f"{place}: {quotas[place]} pairs are wanted and {len(ground.sources[place])} masks train, of which the network of "
                f"{plan.generator.recipe.name} makes one image each, because it has no noise. Pass --masks transform, recombine or "
                "streets, or a smaller --ratio."
            )
        return real_streams(ground, quotas, variants, noisy=noisy)
    if masks in get_args(How):
        return forged_streams(ground, quotas, variants, masks, folder, plan.reader, plan.settings["seed"])  # type: ignore[arg-type]
    return [given_stream(Path(masks), ground, total, variants, plan.generator, plan.reader)]


def _judge(plan: _Plan, staging: Staging) -> Judge | None:
    if not plan.settings["least_agreement"]:
        return None
    assert plan.store is not None
    return judge_of(plan.store, staging.work / "segmenter", plan.segmenter, plan.device.split(",")[0])


def _fill(
    plan: _Plan, staging: Staging, stream: Stream, names: Names, seeds: Iterator[int], judge: Judge | None, step: Any
) -> list[dict[str, Any]]:
    """Candidates of a stream until its quota is filled or its masks are used up; rows of all of them, in order.

    Each has a seed of its own: with one for all, every image of a place would have one style.
    """
    variants, rows, added = plan.settings["variants"], [], 0
    for mask in stream.masks:
        for _ in range(variants):
            name, seed = names.next(mask.place), next(seeds)
            row = staging.log.get(name)
            if row is None:
                row = _candidate(plan, staging, mask, name, seed, judge)
                if row["accepted"]:
                    step()
            rows.append(row)
            added += row["accepted"]
            if added == stream.quota:
                return rows
    return rows


def _candidate(plan: _Plan, staging: Staging, mask: NewMask, name: str, seed: int, judge: Judge | None) -> dict[str, Any]:
    """Make a pair, judge it, and leave its files in the data set or remove them."""
    image, label = (staging.data / part / f"{name}.tif" for part in plan.layout)
    item = image.with_suffix(".json")
    for leftover in (image, item):
        leftover.unlink(missing_ok=True)
    generator, work = plan.generator, staging.work / "scaled"
    pixels, valid = plan.reader.read(mask.path)
    with open_raster(mask.path) as raster:
        grid = raster.grid
    tags = {"IMAGE": image.name, "IMAGE_SYNTHETIC": "YES", "MODEL_SHA256": generator.sha256, **mask.tags}
    tags |= {"SOURCE_ATTRIBUTION": generator.attribution} if generator.attribution else {}
    write_raster(label, pixels, grid, valid=valid, tags=tags, overwrite=True)
    reader = MaskReader(plan.reader.palette, None)
    style = mask.place if mask.place in generator.styles else None
    make_image(
        generator, label, image, scale=mask.scale, seed=seed, style=style, reader=reader, work=work, device=plan.device
    )  # fmt: skip
    agreement = judge.agreement(image, label, mask.scale, reader) if judge else None
    least = plan.settings["least_agreement"] * judge.real_iou if judge else None
    accepted = agreement is None or least is None or agreement >= least
    row = {
        "name": name, "accepted": accepted, "place": mask.place, "mask": mask.origin, "seed": seed, "style": style,
        "model_sha256": generator.sha256, "recipe": generator.recipe.name, "step": generator.step,
        "agreement": agreement, "least": least,
    }  # fmt: skip
    if not accepted:
        for file in (image, label, item):
            file.unlink(missing_ok=True)
    elif item.exists():
        _move_item(item, staging.data / "stac", image.relative_to(staging.data))
    staging.note(row)
    return row


def _move_item(item: Path, folder: Path, image: Path) -> None:
    """Put a STAC item into ``folder``: between images it would disturb readers that list them."""
    body = json.loads(item.read_bytes())
    body["assets"]["image"]["href"] = f"../{image.as_posix()}"
    with new_file(folder / item.name, overwrite=True) as partial:
        partial.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    item.unlink()


def _shortfall(stream: Stream, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    added = sum(row["accepted"] for row in rows)
    if added == stream.quota:
        return []
    rejected = len(rows) - added
    why = f"{rejected} were rejected and no mask was left to try." if rejected else "there were no more masks."
    why = stream.trouble[0] if stream.trouble else why
    return [f"{stream.place + ': ' if stream.place else ''}{added} of {stream.quota} synthetic pairs: {why}"]


def _require_space(plan: _Plan, ground: Ground, quotas: Mapping[str, int], out: Path) -> None:
    pixels = 0.0
    for place, quota in quotas.items():
        sources = ground.sources[place]
        pixels += quota * sum(source.pixels for source in sources) / len(sources)
    needed = round(_BYTES_PER_PX * pixels) + copied_bytes(plan.pairs, out)
    require_free_space(out, needed, f"a data set with {sum(quotas.values())} synthetic pairs")


def _result(out: Path) -> Grown:
    done = json.loads((out / DONE).read_text(encoding="utf-8"))
    rows = tuple(json.loads(line) for line in (out / ROWS).read_text(encoding="utf-8").splitlines())
    counts = done["counts"]
    return Grown(out, counts["wanted"], counts["added"], counts["rejected"], done["real_iou"], tuple(done["notes"]), rows)
