"""``evaluate``: how real the images of a run or a folder look, how close they come, how they vary, and whether they are copies."""

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from orthoforge.errors import ConfigError, DataError, OutputExistsError
from orthoforge.evaluation import page
from orthoforge.evaluation.further import copies, masks_followed, variety
from orthoforge.evaluation.look import open_look
from orthoforge.evaluation.measure import MOST_WORKERS, Measured, measure
from orthoforge.evaluation.paired import METRICS, MORE_METRICS, mean_scores, score_lines
from orthoforge.evaluation.pictures import picture_sections
from orthoforge.evaluation.subject import described, open_subject
from orthoforge.files import new_file, require_place
from orthoforge.measures.realism.features import ScoreNetwork
from orthoforge.measures.realism.realism import realism
from orthoforge.measures.segmenter.segmentation import SegmenterSettings
from orthoforge.pages import html
from orthoforge.tiles.store import TileStore

REPORT_JSON, REPORT_HTML = "report.json", "report.html"
FORMAT = 2


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
    bands: Sequence[int] | None = None,
    seed: int = 0,
    device: str = "cpu",
    allow_trained: bool = False,
    fidelity: bool | SegmenterSettings = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Score images against the real ones of ``split``; writes ``report.json`` and ``report.html`` to the folder ``out``.

    ``images`` is a run, whose generator is given the tiles' masks, or a folder of images of the tiles' size, whoever made them. An
    image named as a tile (``image_sets.folder_images``) is compared with it; the others count for realism alone. ``masks`` is a
    folder of masks by the images' names. Where images have others than three bands, three are looked at as red, green and blue:
    ``bands`` by their number from 1, or the first. ``network`` is what realism and memorisation are seen with: a name for
    ``features.open_network`` with its ``weights``, or a network of your own. ``lpips`` is a folder with its files
    (``realism.lpips.load_lpips``), for LPIPS beside the perceptual distance. ``fidelity`` (of a run) trains a segmenter on real
    tiles that the run was not trained on, which takes minutes, and lets it look for the masks' buildings in the images.

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
    subject = open_subject(
        path, store, tile_ids, split, masks=masks, threshold=threshold, seed=seed, device=device, allow_trained=allow_trained
    )
    look = open_look(network, store, weights=weights, lpips=lpips, device=device)
    # A run's images are made one after the other, by all threads; files are looked at side by side, by one thread each.
    workers = 1 if subject.generator or device != "cpu" else min(torch.get_num_threads(), MOST_WORKERS)
    measured = measure(subject.images, store, tile_ids, look, workers=workers, seed=seed)

    at = {"n": len(subject.images), "split": split, "fingerprint": store.fingerprint, "seed": seed}
    seen, near = look.eyes.circumstances() | at, look.lite.circumstances() | at
    in_order = list(subject.images.tile_ids) == tile_ids
    result: dict[str, Any] = {
        "format": FORMAT,
        "made_by": f"orthoforge {version('orthoforge')}, torch {torch.__version__}, on {device}",
        **described(subject, store, tile_ids, split, masks=masks, allow_trained=allow_trained),
        "seed": seed,
        "networks": look.circumstances(),
        **_pixel_scores(measured),
        "realism": realism(measured.fake, measured.real, paired=in_order, seed=seed) | {"circumstances": seen},
        "diversity": variety(subject, store, tile_ids, look, seed=seed) | {"circumstances": near},
        "memorisation": copies(subject, store, split, measured, look, workers=workers) | {"circumstances": seen},
        "fidelity": None,
        "tiles": measured.tiles,
    }
    if fidelity:
        settings = fidelity if isinstance(fidelity, SegmenterSettings) else SegmenterSettings(seed=seed)
        result["fidelity"] = masks_followed(subject, store, settings, out / "segmenter", seed=seed, device=device)
    result["warnings"] = page.warnings_of(result)
    content = html.page(
        f"Evaluation of {path.name}", page.lead(result), *page.sections(result), *picture_sections(result, subject, store)
    )
    with new_file(out / REPORT_JSON, overwrite=overwrite) as partial:
        partial.write_text(json.dumps(result, indent=1, allow_nan=False), encoding="utf-8")
    html.write_page(out / REPORT_HTML, content, overwrite=overwrite)
    return result


def summary_lines(result: Mapping[str, Any]) -> list[str]:
    """The means of an ``evaluate`` result and what they belong to, for a terminal."""
    data = result["data"]
    lines = [f"{page.counted(result['images']['n'], 'image')} against {page.counted(data['n'], 'tile')} of split "
             f"{data['split']} in {data['tiles']}"]  # fmt: skip
    lines += (
        score_lines(result["scores"]) if result["scores"] else ["no image is named as a tile, so none is compared pixel by pixel"]
    )
    lines += page.realism_lines(result["realism"])
    if result["fidelity"]:
        lines.append(page.fidelity_line(result["fidelity"]))
    return lines + [f"warning: {text}" for text in result["warnings"]]


def _pixel_scores(measured: Measured) -> dict[str, Any]:
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
