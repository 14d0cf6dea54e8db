"""``evaluate``: how real the images of a run or a folder look, how close they come, how they vary, and whether they are copies."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from orthoforge.checkpoints import names_generator
from orthoforge.errors import ConfigError, DataError, OutputExistsError
from orthoforge.evaluation import page
from orthoforge.evaluation.folder_images import folder_subject
from orthoforge.evaluation.measure import MOST_WORKERS, Look, Measured, batches, in_order, measure, open_look
from orthoforge.evaluation.result import (
    Assumed,
    Circumstances,
    DiversitySeen,
    Evaluation,
    FidelitySeen,
    MemorisationSeen,
    Nearest,
    NoDiversity,
    NoMemorisation,
    PixelScores,
)
from orthoforge.evaluation.subject import Subject, described, require_scorable, run_subject
from orthoforge.evaluation.tables import counted, realism_lines, score_lines
from orthoforge.files import new_file, require_place
from orthoforge.masks.reader import MaskReader, palette_of, reader_of
from orthoforge.measures.paired import METRICS, MORE_METRICS, mean_scores
from orthoforge.measures.realism.diversity import MASKS, diversity
from orthoforge.measures.realism.features import BATCH, ScoreNetwork
from orthoforge.measures.realism.memorisation import Neighbours, chosen_training_tiles, memorisation, nearest
from orthoforge.measures.realism.realism import realism
from orthoforge.measures.segmenter.fidelity import image_fidelity, segmenter_tiles
from orthoforge.measures.segmenter.segmentation import SegmenterSettings, tile_sample, train_segmenter
from orthoforge.pages.html import write_page
from orthoforge.tiles.store import TileStore

REPORT_JSON, REPORT_HTML = "report.json", "report.html"
FORMAT = 2
# So many images that lie nearest to a training tile are named, and shown.
NEAREST = 5
# The segmenter looks at so many tiles at most, spread over the set: more change little and take minutes.
FIDELITY_TILES = 200


def evaluate(
    images: str | Path,
    data: Path,
    out: Path,
    *,
    split: str = "test",
    masks: Path | None = None,
    network: str | ScoreNetwork = "efficientnet-lite0",
    weights: Path | None = None,
    lpips: Path | None = None,
    threshold: int | None = None,
    palette: Path | None = None,
    building: Sequence[str] = (),
    bands: Sequence[int] | None = None,
    seed: int = 0,
    device: str = "cpu",
    allow_trained: bool = False,
    fidelity: bool | SegmenterSettings = False,
    overwrite: bool = False,
) -> Evaluation:
    """Score images against the real ones of ``split``; writes ``report.json`` and ``report.html`` to the folder ``out``.

    ``images`` is a run, whose generator is given the tiles' masks, or a folder of images of the tiles' size, whoever made them. An
    image named as a tile (``folder_images``) is compared with it; the others count for realism alone. ``masks`` is a folder of
    masks by the images' names, read by ``threshold``, ``palette`` and ``building`` as ``prepare`` does. Where images have others
    than three bands, three are looked at as red, green and blue: ``bands`` by their number from 1, or the first. ``network`` is
    what realism and memorisation are seen with: a name for ``features.open_network`` with its ``weights``, or a network of your
    own. ``lpips`` is a folder with its files (``realism.lpips.load_lpips``), for LPIPS beside the perceptual distance. ``fidelity``
    (of a run) trains a segmenter on real tiles that the run was not trained on, which takes minutes, and lets it look for the
    masks' buildings in the images.

    Returns what ``report.json`` holds (docs/evaluation.md). Raises ``DataError`` when there are too few images, sizes differ, a
    mask is missing, pixels cannot be read, or (without ``allow_trained``) the run was trained on these tiles; ``ConfigError`` for
    an unknown network, other weights or a seed below 0, ``CheckpointError``, ``OutputExistsError``.
    """
    if seed < 0:
        raise ConfigError(f"seed is {seed}; it must be 0 or more.")
    path, out = Path(images), Path(out)
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
    require_scorable(subject, tile_ids, split, allow_trained=allow_trained)
    look = open_look(network, store, weights=weights, lpips=lpips, device=device)
    # A run's images are made one after the other, by all threads; files are looked at side by side, by one thread each.
    workers = 1 if subject.generator or device != "cpu" else min(torch.get_num_threads(), MOST_WORKERS)
    measured = measure(subject.images, store, tile_ids, look, workers=workers, seed=seed)

    at: Circumstances = {"n": len(subject.images), "split": split, "fingerprint": store.fingerprint, "seed": seed}
    seen, near = {**look.eyes.circumstances(), **at}, {**look.lite.circumstances(), **at}
    same_order = list(subject.images.tile_ids) == tile_ids
    result: Evaluation = {
        "format": FORMAT,
        "made_by": f"orthoforge {version('orthoforge')}, torch {torch.__version__}, on {device}",
        **described(subject, store, tile_ids, split, masks=masks, allow_trained=allow_trained),
        "seed": seed,
        "networks": look.circumstances(),
        **_pixel_scores(measured),
        "realism": {**realism(measured.fake, measured.real, paired=same_order, seed=seed), "circumstances": seen},
        "diversity": _variety(subject, store, tile_ids, look, near, seed=seed),
        "memorisation": _copies(subject, store, split, measured, look, seen, workers=workers),
        "fidelity": None,
        "tiles": measured.tiles,
        "warnings": [],
    }
    if fidelity:
        settings = fidelity if isinstance(fidelity, SegmenterSettings) else SegmenterSettings(seed=seed)
        result["fidelity"] = _masks_followed(subject, store, settings, out / "segmenter", seed=seed, device=device)
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
    return run_subject(path, store, tile_ids, seed=seed, device=device)


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


def _ids_of_split(store: TileStore, split: str) -> list[int]:
    tile_ids = store.ids(split)
    if not len(tile_ids):
        counts = {name: len(store.ids(name)) for name in ("train", "val", "test")}
        others = ", ".join(f"{name} ({count})" for name, count in counts.items() if count) or "none"
        raise DataError(f"{store.path}: no tile is in split {split}. Splits with tiles: {others}. Choose one with --split.")
    return tile_ids.tolist()


def _copies(
    subject: Subject, store: TileStore, split: str, measured: Measured, look: Look, seen: Circumstances, *, workers: int
) -> MemorisationSeen | NoMemorisation:
    """Memorisation, with the nearest tiles; or why it was not measured."""
    training = subject.ground.training if subject.ground else store
    if training is None:
        return {
            "ratio": None,
            "why": "the tiles that the run was trained on are not where its args.yaml says",
            "circumstances": seen,
        }
    training = training.showing(store.shown)
    if split == "train" and (subject.ground is None or subject.ground.same_store):
        return {"ratio": None, "why": "the scored tiles are the training tiles, so there is no yardstick", "circumstances": seen}
    every = training.ids("train")
    chosen = chosen_training_tiles(every).tolist()
    if not chosen:
        return {"ratio": None, "why": f"{training.path} has no training tiles", "circumstances": seen}

    def vectors_of(some: range) -> tuple[list[int], np.ndarray]:
        ids = chosen[some.start : some.stop]
        pixels = np.stack([training.tile(tile_id)[0] for tile_id in ids])
        return ids, look.vectors(pixels)

    searched = in_order(vectors_of, batches(len(chosen), BATCH), workers=workers)
    found: list[Neighbours] = nearest([measured.fake.array, measured.real.array], searched)
    order = np.argsort(found[0].distances, kind="stable")[:NEAREST]
    shown: list[Nearest] = [
        {"image": subject.images.names[measured.fake.kept[index]], "number": int(measured.fake.kept[index]),
         "training_tile": int(found[0].tile_ids[index]), "distance": float(found[0].distances[index])}
        for index in order.tolist()
    ]  # fmt: skip
    figures = memorisation(*found, searched=len(chosen), training_tiles=len(every))
    words: Assumed = {}
    if not subject.ground:
        words = {"assumed": "that the images were made by something trained on split train of these tiles"}
    return {**figures, **words, "training_fingerprint": training.fingerprint, "nearest": shown, "circumstances": seen}


def _variety(
    subject: Subject, store: TileStore, tile_ids: list[int], look: Look, seen: Circumstances, *, seed: int
) -> DiversitySeen | NoDiversity:
    """How far images of one mask with several seeds lie apart; or why it was not measured."""
    made = subject.made
    if made is None:
        why = "a folder has one image of each mask; several seeds need a run"
        return {"value": None, "why": why, "circumstances": seen}
    chosen = [tile_ids[index] for index in np.unique(np.linspace(0, len(tile_ids) - 1, MASKS).astype(int)).tolist()]
    figures = diversity(
        lambda number, some: made.of_tile(store, chosen[number], some),
        [store.tile(tile_id)[0] for tile_id in chosen],
        look.maps,
        first_seed=seed,
    )
    return {**figures, "circumstances": seen}


def _masks_followed(
    subject: Subject, store: TileStore, settings: SegmenterSettings, folder: Path, *, seed: int, device: str
) -> FidelitySeen:
    """How well the run's images follow their masks, to a segmenter that is trained here and kept in ``folder``."""
    made = subject.made
    if made is None:
        raise ConfigError(f"{subject.path} is a folder of images: fidelity is measured of a run, which is given the tiles' masks.")
    training, scored = segmenter_tiles(store)
    shown = scored[np.unique(np.linspace(0, len(scored) - 1, min(FIDELITY_TILES, len(scored))).astype(int))]
    segmenter = train_segmenter(tile_sample(store, training, settings), settings, class_count=store.class_count, device=device)
    segmenter.save(folder, overwrite=True)
    followed = image_fidelity(segmenter, store, shown, lambda tile_id: made.of_tile(store, tile_id, seed), seed=seed)
    return {**followed, "segmenter": asdict(settings) | {"n": len(training)}}
