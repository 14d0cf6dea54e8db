"""Grow a data set: real pairs as they are, and synthetic ones from training masks, made, judged and listed one by one."""

import csv
import itertools
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from orthoforge.cluster import Here, Team, team_on
from orthoforge.errors import ConfigError, DataError, OrthoforgeError
from orthoforge.files import lock, new_file, require_free_space, require_place
from orthoforge.geo import pixel_sizes
from orthoforge.geo.pixel_sizes import PixelSizes
from orthoforge.growing.candidates import Maker, asked_for, fill
from orthoforge.growing.card import write_card
from orthoforge.growing.judging import Judge, judge_of
from orthoforge.growing.labelling import add_labels
from orthoforge.growing.mask_streams import Forged, How, Stream, forged_streams, given_stream, library_stream, real_streams, shares
from orthoforge.growing.naming import Names
from orthoforge.growing.planning import Plan, Reading, plan_of
from orthoforge.growing.records import CandidateRow, Counts, Rule, Summary
from orthoforge.growing.staging import DONE, Staging, carry_over, copied_bytes
from orthoforge.growing.training_ground import Ground, training_ground
from orthoforge.labels import LabelFormat, require_formats
from orthoforge.masks.palette import PALETTE, write_palette
from orthoforge.measures.segmenter.segmentation import SegmenterSettings
from orthoforge.progress import Progress
from orthoforge.scenes import place_names
from orthoforge.scenes.layouts import Where
from orthoforge.scenes.outlines import folder_of_drawn_masks

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
    rows: tuple[CandidateRow, ...]


def grow(
    run: str | Path,
    data: str | Path | None,
    out: str | Path,
    *,
    ratio: float = 1.0,
    variants: int = 1,
    masks: How | str | Path | None = None,
    split: Rule | None = None,
    least_agreement: float | None = None,
    tiles: str | Path | None = None,
    material_from: str | Path | None = None,
    refinement: float | None = None,
    histograms_from: str | Path | None = None,
    sun: float | None = None,
    seed: int = 0,
    threshold: int | None = None,
    palette: str | Path | None = None,
    building: Sequence[str] = (),
    pixel_size: PixelSizes | float | str | Path | None = None,
    images: str | Path | None = None,
    real_masks: str | Path | None = None,
    image_suffix: str | None = None,
    mask_suffix: str | None = None,
    segmenter: SegmenterSettings | None = None,
    labels: Sequence[LabelFormat] = (),
    device: str = "auto",
    on: str | None = None,
    overwrite: bool = False,
) -> Grown:
    """Write the pairs of ``data``, and synthetic pairs beside them, to ``out``, in the same layout.

    ``ratio`` is the number of synthetic pairs for each real pair that trains. The product is rounded, is one at least, and is
    spread over places like the real pairs. ``variants`` synthetic pairs share a mask.

    How files are read, and where the real pairs lie, is said as in ``prepare``; ``real_masks`` is the folder of their masks. What
    is left out is as the tiles of the run were cut.

    Masks come only from the ground that ``run`` was trained on: real ones again (``real``), ones forged from them
    (``transform``, ``recombine``, ``streets``), those of the weights' own material (``library``), or those of a folder. When left
    out, they are ``library`` for weights of buildings with material that came without tiles, where ``tiles`` is given and
    ``material_from`` is not; else ``real``. The tiles of the run say which scenes train; without them the rule ``split`` does.
    Images are made at the resolution of the run and written on the grid of the mask.

    A segmenter that learned from the training tiles of the run looks for the mask in each image. It rejects an image in which
    it recognises less than ``least_agreement`` × what it recognises in real ones. Others are made in its place, three times as
    many as wanted at most. 0 leaves the segmenter out. The default is 0.5. It is 0 for weights that came without tiles, and for
    masks of the library, and a note then says so. ``segmenter`` changes its training. ``out/synthetic.jsonl`` lists kept and
    rejected pairs, and ``out/README.md`` is the data card.

    ``tiles`` are tiles that were prepared of ``data``, for weights that came without any: they say which scenes train, and the
    segmenter learns from them. Of a run of your own they are its tiles, where these lie elsewhere now.

    ``material_from`` are tiles whose roofs and ground images are composed of, without training, as in ``generate``. The weights are
    then those of ``orthoforge-material``. ``refinement``, ``histograms_from`` and ``sun`` are as in ``generate``. With masks
    of the library, ``histograms_from`` is ``tiles`` when left out.

    ``labels`` (``coco``, ``yolo``, ``instances``) are written for other programs beside all pairs, real ones too
    (``labels.LabelFolder``). A finished data set that lacks them gets them, and is not grown again.

    ``on`` is ``ray`` or ``ray://HOST:PORT``: the machines of a Ray cluster make and judge the synthetic pairs, the same ones
    (docs/cluster.md).

    Call it again after an interruption: it goes on. Once it is finished it only says so.

    Raises:
        ConfigError: impossible settings.
        DataError: data that does not fit the run.
        OutputExistsError: ``out`` holds a data set that was grown with other settings.
        LockedError: another process grows the same data set.
        CheckpointError: there is no such run, or its weights are damaged.
        ResourceError: the disk is too small.

    Examples:
        >>> from orthoforge import grow
        >>> grown = grow("runs/mine", "my-data", "bigger", ratio=0.1, least_agreement=0)
        bigger: 12 real pairs and 1 synthetic, 1 wanted.
        >>> grown.added, grown.rejected
        (1, 0)
    """
    out = Path(out)
    require_place(out, folder=True)
    require_formats(labels)
    folder = None if data is None else Path(data)
    where = Where.said(images, real_masks, image_suffix, mask_suffix).found_from(folder)
    reading = Reading(threshold, palette, building, pixel_size)
    with folder_of_drawn_masks() as drawn:
        plan = plan_of(
            run, folder, out, ratio=ratio, variants=variants, masks=masks, split=split, least_agreement=least_agreement,
            tiles=tiles, material_from=material_from, refinement=refinement, histograms_from=histograms_from, sun=sun, seed=seed,
            reading=reading, where=where, drawn=drawn, segmenter=segmenter or SegmenterSettings(), device=device,
        )  # fmt: skip
        with team_on(on, here=Here()) as team:
            return _grow(plan, out, folder or plan.pairs[0].image.parent, labels, team, overwrite=overwrite)


def _grow(plan: Plan, out: Path, data: Path, labels: Sequence[LabelFormat], team: Team, *, overwrite: bool) -> Grown:
    staging = Staging(out, plan.settings, plan.former)
    with lock(out):
        if staging.begin(overwrite=overwrite):
            print(f"{out}: grown before from these pairs with these settings; nothing to do.")
            grown = _result(out)
            add_labels(plan, staging, grown.rows, labels)
            return grown
        try:
            summary = None if staging.is_ready else _assemble(plan, staging, data, team)
        except OrthoforgeError:
            staging.give_up()
            raise
        staging.publish(summary)
        grown = _result(out)
        add_labels(plan, staging, grown.rows, labels)
    rejected = f", {grown.rejected} rejected" if grown.rejected else ""
    print(f"{out}: {len(plan.pairs)} real pairs and {grown.added} synthetic, {grown.wanted} wanted{rejected}.")
    for note in grown.notes:
        print(f"  note: {note}")
    return grown


def _assemble(plan: Plan, staging: Staging, data: Path, team: Team) -> Summary:
    """The whole data set in the work folder; returns what is to be said of it."""
    settings, generator, reader = plan.settings, plan.generator, plan.reader
    ground = training_ground(data, plan.pairs, plan.store, settings["split"], reader, staging.work / "cuts", settings["seed"])
    total = max(1, math.floor(settings["ratio"] * sum(ground.training.values()) + 0.5))
    quotas = {place: quota for place, quota in shares(total, ground.training).items() if quota}
    streams = _streams(plan, ground, quotas, staging.work, total)
    _require_space(plan, ground, quotas, staging.out)
    judge = _judge(plan, staging)
    folders_of_out = [staging.data / part for part in (plan.places.images, plan.places.masks)]
    for folder in folders_of_out:
        folder.mkdir(parents=True, exist_ok=True)
    copied = carry_over(plan.pairs, *folders_of_out, reader=reader if reader.coding else None, renamed=not plan.keeps_layout)
    # Pairs that were carried over do not say it themselves.
    _write_table(
        staging.data / pixel_sizes.TABLE, "metres", [(name, f"{metres:.10g}") for name, metres in reader.pixel_sizes.rules]
    )
    _write_table(staging.data / place_names.TABLE, "place", settings.get("places", []))
    if generator.classes is not None:
        write_palette(staging.data / PALETTE, generator.classes, overwrite=True)
    rows: list[CandidateRow] = []
    notes = [*plan.notes, *(judge.notes if judge else ())]
    names = Names(pair.name for pair in plan.pairs)
    seeds = itertools.count(settings["seed"])
    if settings["masks"] == "library":
        print(f"{total} pairs by masks of the material of {', '.join(generator.styles)}", flush=True)
    maker = Maker.of(plan, staging, judge, is_far=team.is_far)
    with Progress("synthetic").task("pairs", total, done=sum(row["accepted"] for row in staging.log.values())) as step:
        for stream in streams:
            asked = asked_for(stream, names, seeds, plan.settings["variants"])
            of_stream = fill(maker, staging, asked, stream.quota, team, step)
            rows += of_stream
            notes += _shortfall(stream, of_stream)
    if not rows:
        raise DataError(f"{data}: no synthetic pair could be made. {' '.join(notes)}")
    for card in (staging.work / "forged").glob("*/card.html"):
        with new_file(staging.data / "cards" / f"{card.parent.name}.html", overwrite=True) as partial:
            partial.write_bytes(card.read_bytes())
    with new_file(staging.data / ROWS, overwrite=True) as partial:
        partial.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    told = {**settings, "wanted": total}
    write_card(
        staging.data, staging.out.name, rows, generator=generator, ground=ground, reader=reader, settings=told,
        real_iou=judge.real_iou if judge else None, notes=notes, places=plan.places, copied=copied,
    )  # fmt: skip
    accepted = Counter(row["place"] for row in rows if row["accepted"])
    counts: Counts = {
        "wanted": total, "added": sum(accepted.values()), "rejected": len(rows) - sum(accepted.values()),
        "real": sum(ground.real_pairs.values()), "places": dict(accepted),
    }  # fmt: skip
    return {"counts": counts, "real_iou": judge.real_iou if judge else None, "notes": notes}


def _streams(plan: Plan, ground: Ground, quotas: Mapping[str, int], work: Path, total: int) -> list[Stream]:
    masks, seed = plan.settings["masks"], plan.settings["seed"]
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
    if masks in get_args(Forged):
        return forged_streams(ground, quotas, variants, masks, work / "forged", plan.reader, seed)  # type: ignore[arg-type]
    if masks == "library":
        return [library_stream(plan.generator, work / "library", total, variants, least_px=_tile_px(plan), seed=seed)]
    return [given_stream(Path(masks), ground, total, variants, plan.generator, plan.reader)]


def _tile_px(plan: Plan) -> int:
    """The side of the user's tiles in pixels of the generator: a smaller mask would not make one."""
    if plan.store is None:
        return 0
    theirs, ours = plan.store.gsd_m, plan.generator.gsd_m
    return math.ceil(plan.store.size_px * theirs / ours) if theirs and ours else plan.store.size_px


def _judge(plan: Plan, staging: Staging) -> Judge | None:
    if not plan.settings["least_agreement"]:
        return None
    assert plan.store is not None
    return judge_of(plan.store, staging.work / "segmenter", plan.segmenter, plan.device.split(",")[0])


def _shortfall(stream: Stream, rows: Sequence[CandidateRow]) -> list[str]:
    added = sum(row["accepted"] for row in rows)
    if added == stream.quota:
        return []
    rejected = len(rows) - added
    why = f"{rejected} were rejected and no mask was left to try." if rejected else "there were no more masks."
    why = stream.trouble[0] if stream.trouble else why
    return [f"{stream.place + ': ' if stream.place else ''}{added} of {stream.quota} synthetic pairs: {why}"]


def _require_space(plan: Plan, ground: Ground, quotas: Mapping[str, int], out: Path) -> None:
    pixels = 0.0
    for place, quota in quotas.items():
        sources = ground.sources[place]
        pixels += quota * sum(source.pixels for source in sources) / len(sources)
    needed = round(_BYTES_PER_PX * pixels) + copied_bytes(plan.pairs, out)
    require_free_space(out, needed, f"a data set with {sum(quotas.values())} synthetic pairs")


def _write_table(path: Path, head: str, rules: Sequence[Sequence[str]]) -> None:
    """What is stated of files by their names, as a table that is read again; nothing where nothing is."""
    if rules:
        with new_file(path, overwrite=True) as partial, partial.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([("name", head), *rules])


def _result(out: Path) -> Grown:
    done = json.loads((out / DONE).read_text(encoding="utf-8"))
    rows = tuple(json.loads(line) for line in (out / ROWS).read_text(encoding="utf-8").splitlines())
    counts = done["counts"]
    return Grown(out, counts["wanted"], counts["added"], counts["rejected"], done["real_iou"], tuple(done["notes"]), rows)
