"""``evaluate``: how real the images of a run or a folder look, how close they come, how they vary, and whether they are copies."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from orthoforge.checkpoints import names_generator
from orthoforge.cluster import Here, Need, team_on
from orthoforge.devices import chosen_device
from orthoforge.errors import ConfigError, DataError, OutputExistsError
from orthoforge.evaluation import page
from orthoforge.evaluation.folder_images import folder_subject
from orthoforge.evaluation.measure import MOST_WORKERS, Measured, copies, masks_followed, measure, open_look, variety
from orthoforge.evaluation.result import Circumstances, Evaluation, PixelScores
from orthoforge.evaluation.subject import CheckpointUsed, Described, EpochsTrained, ImageSet, Subject
from orthoforge.evaluation.tables import counted, realism_lines, score_lines
from orthoforge.files import new_file, require_place
from orthoforge.masks.classes import Classes
from orthoforge.masks.reader import MaskReader, palette_of, reader_of
from orthoforge.measures.paired import METRICS, MORE_METRICS, mean_scores
from orthoforge.measures.realism.features import ScoreNetwork
from orthoforge.measures.realism.realism import LEAST_SET, realism
from orthoforge.measures.realism.verdict import LEAST_IMAGES
from orthoforge.measures.segmenter.segmentation import SegmenterSettings
from orthoforge.pages.html import write_page
from orthoforge.runs import Run, TileImages
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import TrainedGenerator

REPORT_JSON, REPORT_HTML = "report.json", "report.html"
FORMAT = 2
# Of a worker that looks at images: the networks and their maps.
_MEMORY_BYTES = 1e9


def evaluate(
    images: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    split: str = "test",
    masks: str | Path | None = None,
    network: str | ScoreNetwork = "efficientnet-lite0",
    weights: str | Path | None = None,
    lpips: str | Path | None = None,
    threshold: int | None = None,
    palette: str | Path | None = None,
    building: Sequence[str] = (),
    bands: Sequence[int] | None = None,
    seed: int = 0,
    device: str = "auto",
    allow_trained: bool = False,
    fidelity: bool | SegmenterSettings = False,
    on: str | None = None,
    overwrite: bool = False,
) -> Evaluation:
    """Score images against the real images of ``split``. Writes ``report.json`` and ``report.html`` to the folder ``out``.

    ``images`` is a run, whose generator is given the masks of the tiles, or a folder of images as large as the tiles, whoever made
    them. An image of a folder that is named as a tile is compared with that tile; the others count for realism alone. ``masks`` is
    a folder of masks by the names of the images. Of images with other than three bands, three are looked at as red, green and blue:
    ``bands``, numbered from 1, or the first three. ``threshold``, ``palette`` and ``building`` say how these masks are
    read, as in ``prepare``.

    ``network`` is what realism and memorisation are seen with: a name with its ``weights``, or a ``ScoreNetwork`` of your own.
    ``lpips`` is a folder with the files of LPIPS. ``fidelity`` (of a run) trains a segmenter on real tiles that the run was not
    trained on, which takes minutes, and lets it look for the buildings of the masks in the images.

    ``on`` is ``ray`` or ``ray://HOST:PORT``: the machines of a Ray cluster make the images and look at them (docs/cluster.md).

    Returns what ``report.json`` holds (docs/evaluation.md).

    Raises:
        DataError: too few images, different sizes, a missing mask, unreadable pixels, or tiles that the run was trained on without
            ``allow_trained``.
        ConfigError: an unknown network, other weights, or a seed below 0.
        CheckpointError: there is no such run, or its weights are damaged.
        OutputExistsError: a report is there and ``overwrite`` is false.

    Examples:
        >>> from orthoforge import evaluate
        >>> found = evaluate("runs/mine", "tiles", "judged")
        >>> found["images"]["kind"], sorted(found["scores"]["generated"])
        ('run', ['detail_levels', ...])
    """
    if seed < 0:
        raise ConfigError(f"seed is {seed}; it must be 0 or more.")
    path, out, device = Path(images), Path(out), chosen_device(device)
    masks, weights, lpips = (None if file is None else Path(file) for file in (masks, weights, lpips))
    require_place(out, folder=True)
    if not overwrite:  # said before minutes of work, not after them
        for file in (out / REPORT_JSON, out / REPORT_HTML):
            if file.exists():
                raise OutputExistsError(f"{file} exists. Pass --overwrite to replace it, or choose another --out.")
    store = TileStore.open(data).showing(None if bands is None else [band - 1 for band in bands])
    tile_ids = _ids_of_split(store, split)
    known, named = palette_of(palette, None, building)
    reader = reader_of(store.classes, threshold=threshold, palette=known, building=named)
    subject = _opened(path, store, tile_ids, split, masks=masks, reader=reader, seed=seed, device=device)
    _require_scorable(subject, tile_ids, split, allow_trained=allow_trained)
    look = open_look(network, store, weights=weights, lpips=lpips, device=device)
    # A run's images are made one after the other, by all threads; files are looked at side by side, by one thread each.
    workers = 1 if subject.generator or device != "cpu" else min(torch.get_num_threads(), MOST_WORKERS)
    need = Need(1 if workers > 1 else torch.get_num_threads(), _MEMORY_BYTES, gpus=int(device.startswith("cuda")))

    at: Circumstances = {"n": len(subject.images), "split": split, "fingerprint": store.fingerprint, "seed": seed}
    seen, near = {**look.eyes.circumstances(), **at}, {**look.lite.circumstances(), **at}
    with team_on(on, here=Here(workers, alone=True)) as team:
        measured = measure(subject.images, store, tile_ids, look, team=team, need=need, seed=seed)
        copied = copies(subject, store, split, measured, look, seen, team=team, need=need)
    same_order = list(subject.images.tile_ids) == tile_ids
    result: Evaluation = {
        "format": FORMAT,
        "made_by": f"orthoforge {version('orthoforge')}, torch {torch.__version__}, on {device}",
        **_described(subject, store, tile_ids, split, masks=masks, allow_trained=allow_trained),
        "seed": seed,
        "networks": look.circumstances(),
        **_pixel_scores(measured),
        "realism": {**realism(measured.fake, measured.real, paired=same_order, seed=seed), "circumstances": seen},
        "diversity": variety(subject, store, tile_ids, look, near, seed=seed),
        "memorisation": copied,
        "fidelity": None,
        "tiles": measured.tiles,
        "warnings": [],
    }
    if fidelity:
        settings = fidelity if isinstance(fidelity, SegmenterSettings) else SegmenterSettings(seed=seed)
        result["fidelity"] = masks_followed(subject, store, settings, out / "segmenter", seed=seed, device=device)
    result["warnings"] = page.warnings_of(result)
    content = page.page(result, subject, store)
    with new_file(out / REPORT_JSON, overwrite=overwrite) as partial:
        partial.write_text(json.dumps(result, indent=1, allow_nan=False), encoding="utf-8")
    write_page(out / REPORT_HTML, content, overwrite=overwrite)
    return result


def summary_lines(result: Evaluation) -> list[str]:
    """The means of an ``evaluate`` result and what they belong to, for a terminal."""
    data = result["data"]
    lines = [f"{counted(result['images']['n'], 'image')} against {counted(data['n'], 'tile')} of split "
             f"{data['split']} in {data['tiles']}"]  # fmt: skip
    lines += (
        score_lines(result["scores"]) if result["scores"] else ["no image is named as a tile, so none is compared pixel by pixel"]
    )
    lines += realism_lines(result["realism"])
    if result["fidelity"]:
        lines.append(page.fidelity_line(result["fidelity"]))
    return lines + [f"warning: {text}" for text in result["warnings"]]


def _ids_of_split(store: TileStore, split: str) -> list[int]:
    tile_ids = store.ids(split)
    if not len(tile_ids):
        counts = {name: len(store.ids(name)) for name in ("train", "val", "test")}
        others = ", ".join(f"{name} ({count})" for name, count in counts.items() if count) or "none"
        raise DataError(f"{store.path}: no tile is in split {split}. Splits with tiles: {others}. Choose one with --split.")
    return tile_ids.tolist()


def _opened(
    path: Path,
    store: TileStore,
    tile_ids: Sequence[int],
    split: str,
    *,
    masks: Path | None,
    reader: MaskReader,
    seed: int,
    device: str,
) -> Subject:
    """The run or the folder at ``path``."""
    if not names_generator(path) and path.is_dir():
        return folder_subject(path, store, split, masks=masks, reader=reader)
    if masks is not None:
        raise ConfigError(f"{path} is a run: it is given the masks of the tiles. --masks is for a folder of images.")
    return _run_subject(path, store, tile_ids, seed=seed, device=device)


def _run_subject(path: Path, store: TileStore, tile_ids: Sequence[int], *, seed: int = 0, device: str = "cpu") -> Subject:
    """What the run at ``path`` makes of the tiles' masks.

    Raises ``DataError`` when its bands or classes are others than the tiles', ``CheckpointError``.
    """
    run = Run.open(path)
    generator = run.generator(device)
    if generator.bands != store.bands:
        raise DataError(f"{store.path}: its images have {store.bands} bands, those of {path} {generator.bands}.")
    if generator.classes != store.classes:
        raise DataError(f"{store.path}: its masks hold {_kind(store.classes)}, the run was trained on {_kind(generator.classes)}.")
    made = TileImages(generator.showing(store.shown))
    rows = [store.rows[tile_id] for tile_id in tile_ids]
    images = ImageSet(
        names=tuple(f"{row.scene}_{row.window.row}_{row.window.col}" for row in rows),
        scenes=tuple(row.scene for row in rows),
        size_px=(store.size_px, store.size_px),
        tile_ids=tuple(tile_ids),
        read=lambda index: made.of_tile(store, tile_ids[index], seed),
    )
    epochs: EpochsTrained | None = {"done": run.epochs[0], "planned": run.epochs[1]} if run.epochs else None
    return Subject(path, made, images, None, run.ground_on(store, tile_ids), epochs)


def _kind(classes: Classes | None) -> str:
    return f"the classes {', '.join(classes.names)}" if classes else "buildings only"


def _require_scorable(subject: Subject, tile_ids: Sequence[int], split: str, *, allow_trained: bool) -> None:
    """``DataError`` when there are too few images, or (without ``allow_trained``) the run was trained on these tiles."""
    images, ground = subject.images, subject.ground
    if min(len(images), len(tile_ids)) < LEAST_SET and all(tile_id is None for tile_id in images.tile_ids):
        raise DataError(
            f"{len(images)} image{'s' * (len(images) != 1)} and {len(tile_ids)} real tile{'s' * (len(tile_ids) != 1)} are too few, "
            f"and no image is named as a tile. Realism needs {LEAST_SET} of each, its floor 4 real ones, precision, recall and a "
            f"verdict {LEAST_IMAGES} of each; pixel scores need one pair."
        )
    if ground is not None and ground.tiles and not allow_trained:
        which = "it was trained on split train" if ground.same_store else "its training tiles show the same ground"
        raise DataError(
            f"{subject.path}: the run was trained on {ground.tiles} of the {len(tile_ids)} tiles of split {split} (for example "
            f"{ground.example}; {which}), so the scores would measure memory. Score tiles that were kept out, or pass "
            "--allow-trained, which the report will say."
        )


def _pixel_scores(measured: Measured) -> PixelScores:
    """Means of what each pair of an image and its tile scored, over all and by place."""
    tiles = measured.tiles
    places = sorted({row["place"] for row in tiles})
    return {
        "metrics": {name: words for name, words in (METRICS | MORE_METRICS).items() if tiles and name in tiles[0]["generated"]},
        "floor": f"mean colours by mask value, from {measured.floor_from}" if tiles else None,
        "scores": mean_scores(tiles) if tiles else None,
        "by_place": {place: mean_scores([row for row in tiles if row["place"] == place]) for place in places},
    }


def _described(
    subject: Subject, store: TileStore, tile_ids: Sequence[int], split: str, *, masks: Path | None, allow_trained: bool
) -> Described:
    """What the report says of what was scored."""
    generator, ground = subject.generator, subject.ground
    paired = sum(tile_id is not None for tile_id in subject.images.tile_ids)
    return {
        "images": {
            "source": str(subject.path), "kind": "run" if generator else "folder", "n": len(subject.images), "paired": paired,
            "masks": str(masks) if masks else None,
        },
        "checkpoint": None if generator is None else _checkpoint(generator, subject, store, tile_ids),
        "data": {
            "tiles": str(store.path), "fingerprint": store.fingerprint, "trained_on_these": ground.same_store if ground else None,
            "trained_tiles": ground.tiles if ground else None, "allowed_trained": allow_trained,
            "split": split, "split_method": store.settings["split"], "n": len(tile_ids),
            "size_px": store.size_px, "gsd_m": store.gsd_m,
            "bands": list(store.looked_at), "band_count": store.bands,
        },
    }  # fmt: skip


def _checkpoint(generator: TrainedGenerator, subject: Subject, store: TileStore, tile_ids: Sequence[int]) -> CheckpointUsed:
    said: CheckpointUsed = {
        "run": str(subject.path), "sha256": generator.sha256, "recipe": generator.recipe.name, "step": generator.step,
        "gsd_m": generator.gsd_m,
    }  # fmt: skip
    if generator.styles:
        in_own = sum(store.rows[tile_id].place in generator.styles for tile_id in tile_ids)
        said["styles"] = {"places": list(generator.styles), "tiles_in_own": in_own}
    if subject.epochs:
        said["epochs"] = subject.epochs
    return said
