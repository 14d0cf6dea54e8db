"""Scores of an image against the real one of the same mask, beside a floor that says what the numbers are worth."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from orthoforge.generation.scene_masks import other_scale
from orthoforge.measures.pixels import SEED_PSNR_OFFSET_DB, psnr
from orthoforge.measures.similarity import MS_SSIM_LEAST_PX, ssim_and_ms_ssim
from orthoforge.models.conditions import encode_image
from orthoforge.pages import html as report
from orthoforge.pages.html import Html
from orthoforge.tiles.store import TileStore

METRICS = {
    "psnr": "peak signal-to-noise ratio in dB over the tile's pixels and bands, range 255; higher is closer",
    "ssim": "structural similarity (Gaussian window of 11 px, σ 1.5), 1 when equal; higher is closer",
    "psnr_seed": "psnr by the formula of the 2021 project, 6.02 dB lower; only for comparison with its figures",
    "l1_levels": "mean absolute difference in levels of 0 to 255; lower is closer",
    "detail_levels": "mean absolute difference between neighbouring pixels of an image, in levels; best near the real images'",
}
MORE_METRICS = {
    "ms_ssim": f"structural similarity at five scales, 1 when equal; needs sides of {MS_SSIM_LEAST_PX} px; higher is closer",
    "perceptual": "distance of unit-length features of EfficientNet-Lite0, as LPIPS without learnt weights; lower is closer",
    "lpips": "LPIPS (Zhang et al. 2018), from the weights that were given; lower is closer",
}
# Equal images have no finite PSNR. Rounding to bytes alone allows 59 dB, so nothing else reaches this.
PSNR_OF_EQUAL_DB = 100.0
_IMAGES = {"generated": "generated", "mean_colours": "floor: mean colours", "real": "real images"}
_COLUMNS = {
    "psnr": ">PSNR, dB", "ssim": ">SSIM", "ms_ssim": ">MS-SSIM", "perceptual": ">Perceptual", "lpips": ">LPIPS",
    "l1_levels": ">L1, levels", "detail_levels": ">Detail, levels",
}  # fmt: skip
_DIGITS = {"ssim": 3, "ms_ssim": 3, "perceptual": 3, "lpips": 3, "psnr": 2}


def tile_scores(image: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """All of ``METRICS`` for an image and the real one, both (H, W, 3) uint8."""
    scores = pair_scores(np.array(image)[None], np.array(real)[None])[0]  # copies: torch takes no read-only arrays
    return {name: scores[name] for name in METRICS}


def pair_scores(images: np.ndarray, reals: np.ndarray) -> list[dict[str, float]]:
    """``METRICS`` of each image (N, H, W, 3) uint8 and the real one in its place, and ``ms_ssim`` where it can be had."""
    fake_tensor, real_tensor = (encode_image(torch.from_numpy(np.ascontiguousarray(pixels))) for pixels in (images, reals))
    decibels = psnr(fake_tensor, real_tensor).clamp(max=PSNR_OF_EQUAL_DB)
    similarities, multiscale = ssim_and_ms_ssim(fake_tensor, real_tensor)
    rows = []
    for number, (image, real) in enumerate(zip(images, reals, strict=True)):
        scores = {
            "psnr": float(decibels[number]),
            "ssim": float(similarities[number]),
            "psnr_seed": float(decibels[number]) - SEED_PSNR_OFFSET_DB,
            "l1_levels": float(np.abs(image.astype(np.int16) - real).mean()),
            "detail_levels": detail_levels(image),
        }
        rows.append(scores if multiscale is None else scores | {"ms_ssim": float(multiscale[number])})
    return rows


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


def score_lines(scores: Mapping[str, Any]) -> list[str]:
    """The means, for a terminal."""
    columns = _columns(scores)
    rows = [["", *(heading.removeprefix(">") for heading in columns.values())]]
    for name, label in _IMAGES.items():
        rows.append([label, *(_cell(scores[name].get(metric), metric) for metric in columns)])
    return ["  ".join([f"{label:20}", *(f"{cell:>15}" for cell in cells)]) for label, *cells in rows]


def score_parts(result: Mapping[str, Any]) -> list[Html]:
    """Tables of an ``evaluate`` result, what they mean, and their circumstances; for this report and for others."""
    scores, data = result["scores"], result["data"]
    columns = _columns(scores)
    n = scores["generated"]["psnr"]["n"]
    overall = report.table(
        ["", *columns.values()],
        [[label, *(_cell(scores[name].get(metric), metric) for metric in columns)] for name, label in _IMAGES.items()],
        f"Mean ± standard error over {n} tiles of split {data['split']}. The error is that of independent tiles; "
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
    text, is_warning = overlap_statement(data)
    return [
        overall,
        *(report.paragraph(line) for line in _reading(scores)),
        report.note(text, warning=is_warning),
        by_place,
        circumstances(result),
    ]


def circumstances(result: Mapping[str, Any]) -> Html:
    """What the numbers of an ``evaluate`` result belong to, as a table."""
    data, checkpoint = result["data"], result["checkpoint"]
    gsd = f"{data['gsd_m']:.2g} m" if data["gsd_m"] else "mixed or unknown"
    rows: list[list[str | Html]] = []
    if made_at_other_scale(result):
        gsd += f"; the run was trained at {checkpoint['gsd_m']:.2g} m, so buildings are made in the wrong size"
    if checkpoint:
        rows += [
            ["Recipe and step", f"{checkpoint['recipe']}, step {checkpoint['step']}"],
            ["Weights, SHA-256", Html(f"<code>{checkpoint['sha256'][:16]}…</code>")],
        ]
    rows += [
        ["Tiles", f"{data['tiles']}, split {data['split']} ({data['split_method']}), {data['size_px']} px, pixel {gsd}"],
        ["Tiles, fingerprint", Html(f"<code>{data['fingerprint'][:16]}…</code>")],
        ["Seed", str(result["seed"])],
    ]
    if data["band_count"] != 3:
        rows.append(["Bands looked at", f"{', '.join(map(str, data['bands']))} of {data['band_count']}, as red, green and blue"])
    if result["scores"]:
        seed_psnr = result["scores"]["generated"]["psnr_seed"]
        rows += [
            ["Floor", result["floor"]],
            ["PSNR by the formula of the 2021 project", f"{seed_psnr['mean']:.2f} dB, only for comparison with its figures"],
        ]
    for use, network in result["networks"].items():
        words = f"{network['network']}, {network['layer']}; resizing: {network['resizing']}; weights "
        rows.append(
            [f"Network: {use}", report.join([report.escape(words), Html(f"<code>{network['weights_sha256'][:16]}…</code>")])]
        )
    return report.table(["Circumstances", ""], [*rows, ["Made by", result["made_by"]]])


def made_at_other_scale(result: Mapping[str, Any]) -> bool:
    """Whether the run is known to have been trained at another resolution than that of the tiles."""
    return other_scale(result["data"]["gsd_m"], (result["checkpoint"] or {}).get("gsd_m"))


def overlap_statement(data: Mapping[str, Any]) -> tuple[str, bool]:
    """Whether the scored tiles were trained on, in words, and whether that is a warning. ``data``: of ``evaluate``'s result."""
    split = data["split"]
    if data["trained_on_these"] is None:
        return "What made these images is not known here; if it was trained on the scored tiles, the scores measure memory.", True
    if not data["trained_on_these"]:
        seen = data.get("trained_tiles")
        if seen:
            return f"The run was trained on the ground that {seen} of these tiles show: the scores measure memory in part.", True
        if seen == 0:
            return "These are other tiles than the run was trained on, and none shows ground that it was trained on.", False
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


def mean_scores(tiles: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, float | int | None]]]:
    """Mean, standard error and n of every metric, for each kind of image, over the tiles that have it."""
    return {
        image: {
            metric: _mean(row[image][metric] for row in tiles if metric in row[image])
            for metric in dict.fromkeys(name for row in tiles for name in row[image])
        }
        for image in _IMAGES
    }


def _colours(sums: np.ndarray) -> np.ndarray:
    """(256, 4) sums of red, green, blue and pixels by mask value to (256, 3) uint8; unseen values get the mean of all."""
    seen = sums[:, 3] > 0
    colours = np.tile(sums[:, :3].sum(0) / sums[:, 3].sum(), (256, 1))
    colours[seen] = sums[seen, :3] / sums[seen, 3:]
    return colours.round().astype(np.uint8)


def _mean(values: Iterable[float]) -> dict[str, float | int | None]:
    array = np.array(list(values))
    n = len(array)
    return {"mean": math.fsum(array) / n, "standard_error": float(array.std(ddof=1)) / math.sqrt(n) if n > 1 else None, "n": n}


def _columns(scores: Mapping[str, Any]) -> dict[str, str]:
    return {metric: heading for metric, heading in _COLUMNS.items() if metric in scores["generated"]}


def _cell(score: Mapping[str, float] | None, metric: str) -> str:
    if score is None:
        return "–"
    digits = _DIGITS.get(metric, 1)
    error = "" if score["standard_error"] is None else f" ± {score['standard_error']:.{digits}f}"
    return f"{score['mean']:.{digits}f}{error}"


def _reading(scores: Mapping[str, Any]) -> list[str]:
    """What the table says, in sentences."""
    decibels = {name: scores[name]["psnr"]["mean"] for name in ("generated", "mean_colours")}
    detail = {name: scores[name]["detail_levels"]["mean"] for name in ("generated", "mean_colours", "real")}
    share = f"{100 * detail['generated'] / detail['real']:.0f} %" if detail["real"] else "–"
    above = decibels["generated"] >= decibels["mean_colours"]
    lines = [
        "PSNR, SSIM and L1 compare pixel by pixel. The floor is a picture of flat colours, the place's mean inside and outside the "
        "mask: what a generator that learnt no texture would get. The generated images are "
        f"{'above' if above else 'below'} it in PSNR by {abs(decibels['generated'] - decibels['mean_colours']):.2f} dB.",
        "A mask does not say where a tree stands. A sharp tree in the wrong place costs more PSNR than no tree at all, so a flat "
        "picture does well here, and such scores cannot tell how real an image looks. Detail (the mean difference between "
        f"neighbouring pixels) shows the other side: the generated images have {share} of the real ones', the floor "
        f"{100 * detail['mean_colours'] / detail['real'] if detail['real'] else 0:.0f} %.",
    ]
    perceptual = {name: scores[name].get("perceptual") for name in ("generated", "mean_colours")}
    if perceptual["generated"] and perceptual["mean_colours"]:
        lines.append(
            "The perceptual distance compares what a network that knows ImageNet sees at each place. Flat colours get "
            f"{perceptual['mean_colours']['mean']:.3f}, the generated images {perceptual['generated']['mean']:.3f}."
        )
    return lines
