"""Scores of a run's images against the real ones of the same masks, beside a floor that says what the numbers are worth."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from orthoforge.checkpoints import STATE, TrainedGenerator, checkpoint_folder, load_generator
from orthoforge.errors import CheckpointError, ConfigError, DataError, OutputExistsError
from orthoforge.evaluation import report
from orthoforge.evaluation.metrics import SEED_PSNR_OFFSET_DB, psnr, ssim
from orthoforge.evaluation.report import Html, Picture
from orthoforge.files import new_file
from orthoforge.models.conditions import encode_image
from orthoforge.tiles.store import TileStore

REPORT_JSON, REPORT_HTML = "report.json", "report.html"
FORMAT = 1
METRICS = {
    "psnr": "peak signal-to-noise ratio in dB over the tile's pixels and bands, range 255; higher is closer",
    "ssim": "structural similarity (Gaussian window of 11 px, σ 1.5), 1 when equal; higher is closer",
    "psnr_seed": "psnr by the formula of the 2021 project, 6.02 dB lower; only for comparison with its figures",
    "l1_levels": "mean absolute difference in levels of 0 to 255; lower is closer",
    "detail_levels": "mean absolute difference between neighbouring pixels of an image, in levels; best near the real images'",
}
# Equal images have no finite PSNR. Rounding to bytes alone allows 59 dB, so nothing else reaches this.
PSNR_OF_EQUAL_DB = 100.0
SHOWN_TILES = 5
_IMAGES = {"generated": "generated", "mean_colours": "floor: mean colours", "real": "real images"}
_COLUMNS = {"psnr": ">PSNR, dB", "ssim": ">SSIM", "l1_levels": ">L1, levels", "detail_levels": ">Detail, levels"}


def evaluate(
    run: str | Path,
    data: Path,
    out: Path,
    *,
    split: str = "test",
    seed: int = 0,
    device: str = "cpu",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Generate the tiles of ``split`` with a run and score them; writes ``report.json`` and ``report.html`` to the folder ``out``.

    Returns what ``report.json`` holds: the means with standard error and n, over all tiles and by place, for the generated images
    and for a floor (pictures of each place's mean colours), with the checkpoint, tiles, split and seed that they belong to.

    Raises ``DataError`` when the split has no tiles or its masks are of another kind than the run's, ``ConfigError`` when ``run``
    is a folder of images, ``CheckpointError``, ``OutputExistsError``.
    """
    out = Path(out)
    if not overwrite:  # said before minutes of work, not after them
        for path in (out / REPORT_JSON, out / REPORT_HTML):
            if path.exists():
                raise OutputExistsError(f"{path} exists. Pass --overwrite to replace it, or choose another --out.")
    generator = _load_run(Path(run), device)
    store = TileStore.open(data)
    if generator.classes != store.classes:
        raise DataError(f"{store.path}: its masks hold {_kind(store.classes)}, the run was trained on {_kind(generator.classes)}.")
    tile_ids = _ids_of_split(store, split)
    floor, floor_from = mean_colours(store, tile_ids)

    tiles = []
    for tile_id in tile_ids.tolist():
        real, mask = store.tile(tile_id)
        row = store.rows[tile_id]
        images = {"generated": generator(mask, seed=seed), "mean_colours": floor[row.place][mask]}
        scores = {name: tile_scores(image, real) for name, image in images.items()}
        scores["real"] = {"detail_levels": detail_levels(real)}
        tiles.append({"id": tile_id, "scene": row.scene, "place": row.place, "window": list(row.window), **scores})

    trained_on = json.loads((checkpoint_folder(Path(run)) / STATE).read_text(encoding="utf-8"))["tiles"]["fingerprint"]
    places = sorted({row["place"] for row in tiles})
    result = {
        "format": FORMAT,
        "made_by": f"orthoforge {version('orthoforge')}, torch {torch.__version__}, on {device}",
        "checkpoint": {
            "run": str(run), "sha256": generator.sha256, "recipe": generator.recipe.name, "step": generator.step,
        },
        "data": {
            "tiles": str(store.path), "fingerprint": store.fingerprint, "trained_on_these": store.fingerprint == trained_on,
            "split": split, "split_method": store.settings["split"], "n": len(tiles),
            "size_px": store.size_px, "gsd_m": store.gsd_m,
        },
        "seed": seed,
        "metrics": METRICS,
        "floor": f"mean colours by mask value, from {floor_from}",
        "scores": _means(tiles),
        "by_place": {place: _means([row for row in tiles if row["place"] == place]) for place in places},
        "tiles": tiles,
    }  # fmt: skip
    content = report.page(f"Evaluation of {Path(run).name}", _lead(result), *_sections(result, store, generator, floor, seed))
    with new_file(out / REPORT_JSON, overwrite=overwrite) as partial:
        partial.write_text(json.dumps(result, indent=1, allow_nan=False), encoding="utf-8")
    report.write_page(out / REPORT_HTML, content, overwrite=overwrite)
    return result


def tile_scores(image: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """All of ``METRICS`` for an image and the real one, both (H, W, 3) uint8."""
    fake_tensor, real_tensor = (encode_image(torch.from_numpy(np.array(pixels))[None]) for pixels in (image, real))
    decibels = min(float(psnr(fake_tensor, real_tensor)), PSNR_OF_EQUAL_DB)
    return {
        "psnr": decibels,
        # From 0 to 2 instead of from -1 to 1: SSIM compares mean brightness as a ratio, which means nothing around 0.
        "ssim": float(ssim(fake_tensor, real_tensor)),
        "psnr_seed": decibels - SEED_PSNR_OFFSET_DB,
        "l1_levels": float(np.abs(image.astype(np.int16) - real).mean()),
        "detail_levels": detail_levels(image),
    }


def detail_levels(image: np.ndarray) -> float:
    """Mean absolute difference between neighbouring pixels, across and down, of an image (H, W, 3) uint8. 0 for a flat one."""
    levels = image.astype(np.int16)
    return float((np.abs(np.diff(levels, axis=0)).mean() + np.abs(np.diff(levels, axis=1)).mean()) / 2)


def mean_colours(store: TileStore, tile_ids: np.ndarray) -> tuple[dict[str, np.ndarray], str]:
    """The mean colour of each mask value (256, 3) uint8 for each place of ``tile_ids``, and in words where they come from.

    Indexed with a mask it is the picture of a generator that learnt each place's colours and no texture. The colours come from
    training tiles, of the same place where it has any; without training tiles from ``tile_ids`` themselves, which flatters it.
    """
    source, words = store.ids("train"), "the training tiles of each place"
    if not len(source):
        source, words = tile_ids, "the scored tiles themselves, for want of training tiles"
    sums: dict[str, np.ndarray] = {}
    for tile_id in source.tolist():
        image, mask = store.tile(tile_id)
        place = store.rows[tile_id].place
        bands = [image[..., band].ravel() for band in range(3)] + [np.ones(mask.size)]
        counted = np.stack([np.bincount(mask.ravel(), weights=band, minlength=256) for band in bands], axis=1)  # (256, 4)
        sums[place] = sums.get(place, np.zeros((256, 4))) + counted
    everywhere = np.sum(list(sums.values()), axis=0)
    places = {store.rows[tile_id].place for tile_id in tile_ids.tolist()}
    if places - sums.keys():
        words += f" (of all places for {', '.join(sorted(places - sums.keys()))})"
    return {place: _colours(sums.get(place, everywhere)) for place in places}, words


def summary_lines(result: Mapping[str, Any]) -> list[str]:
    """The means of an ``evaluate`` result and what they belong to, for a terminal."""
    data, scores = result["data"], result["scores"]
    rows = [["", *(heading.removeprefix(">") for heading in _COLUMNS.values())]]
    for name, label in _IMAGES.items():
        rows.append([label, *(_cell(scores[name].get(metric), metric) for metric in _COLUMNS)])
    lines = ["  ".join([f"{label:20}", *(f"{cell:>15}" for cell in cells)]) for label, *cells in rows]
    text, is_warning = overlap_statement(data)
    count = f"{data['n']} tile{'s' * (data['n'] > 1)}"
    return [f"{count} of split {data['split']} in {data['tiles']}", *lines, f"{'warning: ' * is_warning}{text}"]


def score_parts(result: Mapping[str, Any]) -> list[Html]:
    """Tables of an ``evaluate`` result, what they mean, and their circumstances; for this report and for others."""
    scores, data, checkpoint = result["scores"], result["data"], result["checkpoint"]
    overall = report.table(
        ["", *_COLUMNS.values()],
        [[label, *(_cell(scores[name].get(metric), metric) for metric in _COLUMNS)] for name, label in _IMAGES.items()],
        f"Mean ± standard error over {data['n']} tiles of split {data['split']}. The error is that of independent tiles; "
        "tiles of one scene resemble each other, so the true one is larger.",
    )
    by_place = report.table(
        ["Place", ">Tiles", ">PSNR", ">its floor", ">SSIM", ">its floor", ">Detail", ">real"],
        [
            [
                place,
                str(part["generated"]["psnr"]["n"]),
                *(f"{part[name]['psnr']['mean']:.2f}" for name in ("generated", "mean_colours")),
                *(f"{part[name]['ssim']['mean']:.3f}" for name in ("generated", "mean_colours")),
                *(f"{part[name]['detail_levels']['mean']:.1f}" for name in ("generated", "real")),
            ]
            for place, part in result["by_place"].items()
        ],
        "By place",
    )
    seed_psnr = scores["generated"]["psnr_seed"]
    gsd = f"{data['gsd_m']:.2g} m" if data["gsd_m"] else "mixed or unknown"
    circumstances = report.table(
        ["Circumstances", ""],
        [
            ["Recipe and step", f"{checkpoint['recipe']}, step {checkpoint['step']}"],
            ["Weights, SHA-256", Html(f"<code>{checkpoint['sha256'][:16]}…</code>")],
            ["Tiles", f"{data['tiles']}, split {data['split']} ({data['split_method']}), {data['size_px']} px, pixel {gsd}"],
            ["Tiles, fingerprint", Html(f"<code>{data['fingerprint'][:16]}…</code>")],
            ["Seed", str(result["seed"])],
            ["Floor", result["floor"]],
            ["PSNR by the formula of the 2021 project", f"{seed_psnr['mean']:.2f} dB, only for comparison with its figures"],
            ["Made by", result["made_by"]],
        ],
    )
    text, is_warning = overlap_statement(data)
    return [
        overall,
        *(report.paragraph(line) for line in _reading(scores)),
        report.note(text, warning=is_warning),
        by_place,
        circumstances,
    ]


def overlap_statement(data: Mapping[str, Any]) -> tuple[str, bool]:
    """Whether the scored tiles were trained on, in words, and whether that is a warning. ``data``: of ``evaluate``'s result."""
    split = data["split"]
    if not data["trained_on_these"]:
        return (
            "These are not the tiles that the run was trained on (their fingerprints differ). Whether they show ground that it was "
            "trained on is unknown; if they do, the scores measure memory.",
            True,
        )
    if split == "train":
        return "The run was trained on exactly these tiles: the scores measure memory.", True
    if data["split_method"] == "random":
        return (
            f"The run was not trained on tiles of split {split}, but the tiles were split at random, so it was trained on "
            "neighbours of nearly all of them: the scores measure memory in part.",
            True,
        )
    if split == "val":
        return "The run was not trained on these tiles, but they chose its best checkpoint.", False
    return f"The run was trained on other tiles of this set; split {split} was kept out of its training.", False


def _load_run(run: Path, device: str) -> TrainedGenerator:
    try:
        return load_generator(run, device=device)
    except CheckpointError:
        if run.is_dir() and not (run / "weights").exists() and not (run / STATE).exists():
            raise ConfigError(
                f"{run}: not a run of `orthoforge train` (no weights/ in it). Scoring a folder of images is not possible yet."
            ) from None
        raise


def _ids_of_split(store: TileStore, split: str) -> np.ndarray:
    tile_ids = store.ids(split)
    if not len(tile_ids):
        counts = {name: len(store.ids(name)) for name in ("train", "val", "test")}
        others = ", ".join(f"{name} ({count})" for name, count in counts.items() if count) or "none"
        raise DataError(f"{store.path}: no tile is in split {split}. Splits with tiles: {others}. Choose one with --split.")
    return tile_ids


def _kind(classes: Mapping[str, Any] | None) -> str:
    return f"the classes {', '.join(classes['names'])}" if classes else "buildings only"


def _colours(sums: np.ndarray) -> np.ndarray:
    """(256, 4) sums of red, green, blue and pixels by mask value to (256, 3) uint8; unseen values get the mean of all."""
    seen = sums[:, 3] > 0
    colours = np.tile(sums[:, :3].sum(0) / sums[:, 3].sum(), (256, 1))
    colours[seen] = sums[seen, :3] / sums[seen, 3:]
    return colours.round().astype(np.uint8)


def _means(tiles: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, float | int | None]]]:
    """Mean, standard error and n of every metric, for each kind of image."""
    return {
        image: {metric: _mean(row[image][metric] for row in tiles) for metric in tiles[0][image]}
        for image in ("generated", "mean_colours", "real")
    }


def _mean(values: Iterable[float]) -> dict[str, float | int | None]:
    array = np.array(list(values))
    n = len(array)
    return {"mean": math.fsum(array) / n, "standard_error": float(array.std(ddof=1)) / math.sqrt(n) if n > 1 else None, "n": n}


def _cell(score: Mapping[str, float] | None, metric: str) -> str:
    if score is None:
        return "–"
    digits = {"ssim": 3, "psnr": 2}.get(metric, 1)
    error = "" if score["standard_error"] is None else f" ± {score['standard_error']:.{digits}f}"
    return f"{score['mean']:.{digits}f}{error}"


def _reading(scores: Mapping[str, Any]) -> list[str]:
    """What the table says, in sentences."""
    decibels = {name: scores[name]["psnr"]["mean"] for name in ("generated", "mean_colours")}
    detail = {name: scores[name]["detail_levels"]["mean"] for name in ("generated", "mean_colours", "real")}
    share = f"{100 * detail['generated'] / detail['real']:.0f} %" if detail["real"] else "–"
    above = decibels["generated"] >= decibels["mean_colours"]
    return [
        "PSNR, SSIM and L1 compare pixel by pixel. The floor is a picture of flat colours, the place's mean inside and outside the "
        "mask: what a generator that learnt no texture would get. The generated images are "
        f"{'above' if above else 'below'} it in PSNR by {abs(decibels['generated'] - decibels['mean_colours']):.2f} dB.",
        "A mask does not say where a tree stands. A sharp tree in the wrong place costs more PSNR than no tree at all, so a flat "
        "picture does well here, and such scores cannot tell how real an image looks. Detail (the mean difference between "
        f"neighbouring pixels) shows the other side: the generated images have {share} of the real ones', the floor "
        f"{100 * detail['mean_colours'] / detail['real'] if detail['real'] else 0:.0f} %.",
    ]


def _lead(result: Mapping[str, Any]) -> str:
    data, checkpoint = result["data"], result["checkpoint"]
    return (
        f"Recipe {checkpoint['recipe']} at step {checkpoint['step']}, scored on the {data['n']} tiles of split {data['split']} "
        f"in {data['tiles']}."
    )


def _sections(
    result: Mapping[str, Any], store: TileStore, generator: TrainedGenerator, floor: Mapping[str, np.ndarray], seed: int
) -> list[Html]:
    ranked = sorted(result["tiles"], key=lambda row: row["generated"]["ssim"])
    shown = [ranked[i] for i in np.unique(np.linspace(0, len(ranked) - 1, min(SHOWN_TILES, len(ranked))).astype(int))]
    rows = [
        report.paragraph("Tiles at equal steps of the ranking by SSIM, from the worst of all to the best of all. Click to enlarge.")
    ]
    for row in shown:
        real, mask = store.tile(row["id"])
        scores = row["generated"]
        pictures = [
            Picture(store.mask_rgb(mask), "mask", lossless=True),
            Picture(generator(mask, seed=seed), f"generated: {scores['psnr']:.1f} dB, SSIM {scores['ssim']:.3f}"),
            Picture(real, "real"),
            Picture(floor[row["place"]][mask], f"floor: {row['mean_colours']['psnr']:.1f} dB", lossless=True),
        ]
        rows.append(report.picture_row(pictures, heading=store.describe(row["id"])))
    return [report.section("Scores", *score_parts(result)), report.section("From worst to best", *rows)]
