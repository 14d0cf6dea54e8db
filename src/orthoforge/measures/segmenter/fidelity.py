"""Whether images show what their masks say: a segmenter that learned from real tiles looks for the buildings again.

It is the question of Isola et al. 2017 (their FCN score) and of Park et al. 2019, asked of buildings. The segmenter errs on real
images too, so the figure that counts is the ratio of its score on generated images to that on the real ones of the same masks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

import numpy as np

from orthoforge.errors import DataError
from orthoforge.geo.areas import Areas, meetings
from orthoforge.measures.segmenter.mask_scores import (
    BOUNDARY_PX,
    COUNTS,
    Scores,
    chance_iou,
    components,
    mask_scores,
    pooled_scores,
    with_scores,
)
from orthoforge.measures.segmenter.segmentation import Segmenter
from orthoforge.progress import Progress
from orthoforge.tiles.splits import NEAR
from orthoforge.tiles.store import TileStore

# Fewer tiles than these train no segmenter, and tell nothing about images.
LEAST_TRAINING, LEAST_SCORED = 8, 2
# A segmenter that misses this much of real images says little about generated ones.
WORTH_MEASURING_IOU = 0.3
# A house and a large house; where metres are not known, COCO's limits (Lin et al. 2014).
SIZES_M2 = {"small": (0.0, 50.0), "medium": (50.0, 200.0), "large": (200.0, np.inf)}
SIZES_PX = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, np.inf)}
_FOUND_SHARE = 0.5  # of its pixels, for a building to count as found
_ROUNDS = 1000
_BATCH = 4

_Ratio = Literal["iou", "f1", "boundary_f"]
_RATIOS: tuple[_Ratio, ...] = ("iou", "f1", "boundary_f")


class Ratio(TypedDict):
    """A score on generated images by that on real ones; ``interval`` from draws of scenes."""

    value: float | None
    interval: list[float] | None


class Ratios(TypedDict):
    """Of three scores."""

    iou: Ratio
    f1: Ratio
    boundary_f: Ratio


class Compared(TypedDict):
    """What was recognised in some tiles' images: ``pooled_scores`` of real and of generated ones."""

    n: int
    scenes: int
    real: Scores
    generated: Scores
    ratio: Ratios


class Found(TypedDict):
    """Shares of pixels and of buildings that were found."""

    pixel_recall: float
    found: float


# ``from`` is a word of Python's own, so this one is no class.
OfSize = TypedDict("OfSize", {"unit": str, "from": float, "below": float | None, "n": int, "real": Found, "generated": Found})


class Fidelity(Compared):
    """What ``image_fidelity`` measures."""

    shuffled: Scores
    by_place: dict[str, Compared]
    by_size: dict[str, OfSize] | None
    boundary_px: int
    seed: int
    segmenter_sha256: str
    notes: list[str]


@dataclass(frozen=True)
class _Look:
    """One tile: what was seen in both images. ``buildings``: size, pixels, pixels found in the real and the generated image."""

    scene: str
    place: str
    unit: str
    real: Scores
    generated: Scores
    shuffled: Scores
    buildings: list[tuple[float, ...]]


def segmenter_tiles(store: TileStore) -> tuple[np.ndarray, np.ndarray]:
    """Tiles to train a segmenter on, and tiles to score with it: (training ids, scored ids), none of them the generator's.

    The generator learned from split ``train``, so nothing in it is used: there its images may be copies, which any segmenter of the
    same tiles would recognise. Split ``val`` trains the segmenter and ``test`` is scored. Where one of the two is too small for
    that, both are put together and halved by scene, for each place; training tiles that touch a scored one are left out.

    For images of a generator that was trained on another store, the same holds: ask ``Run.ground_on`` of the ids first.
    Raises ``DataError`` when fewer than ``LEAST_TRAINING`` and ``LEAST_SCORED`` tiles come out.
    """
    val, test = store.ids("val"), store.ids("test")
    if len(val) >= LEAST_TRAINING and len(test) >= LEAST_SCORED:
        return val, test
    training, scored = _halves(store, np.concatenate([val, test]))
    if len(training) >= LEAST_TRAINING and len(scored) >= LEAST_SCORED:
        return training, scored
    raise DataError(
        f"{store.path}: {len(val)} validation and {len(test)} test tiles are too few for a segmenter, which needs {LEAST_TRAINING} "
        f"to learn from and {LEAST_SCORED} to look at, none of them from split train. Prepare more scenes or more tiles of each "
        "(--grid, --gsd), or give a segmenter that was trained elsewhere."
    )


def image_fidelity(
    segmenter: Segmenter,
    store: TileStore,
    tile_ids: np.ndarray,
    image_of: Callable[[int], np.ndarray],
    *,
    seed: int = 0,
) -> Fidelity:
    """What a segmenter recognises in images of known masks, beside what it does in the real ones.

    ``image_of`` gives the image (H, W, 3) uint8 of a tile's id; each is looked at once, and memory does not grow with their number.
    It says:

    * ``real``, ``generated``: ``pooled_scores``; ``ratio``: generated by real of ``iou``, ``f1`` and ``boundary_f``, each with
      ``interval``, 95 % of bootstrap draws of scenes (``None`` with one scene). A score of 0 on real images gives ``None``.
    * ``shuffled``: generated images against the mask of another tile: what images get that ignore their masks. Beside it
      ``chance_iou``, what as many pixels would get if they were strewn at random.
    * ``by_place``, and ``by_size`` (building masks only): of buildings, connected pixels of the true mask, the share of pixels and
      of buildings (half their pixels) that were found. A building cut by the tile's border counts with what is inside.
    * ``n``, ``scenes``, ``boundary_px``, ``seed``, ``segmenter_sha256``, ``notes``.

    Raises ``DataError`` when there are fewer than two tiles, no building in any of them, other classes than the segmenter's, or an
    image of another size.
    """
    tile_ids = np.asarray(tile_ids)
    _require_fitting(segmenter, store, tile_ids)
    looks: list[_Look] = []
    partners = np.roll(tile_ids, len(tile_ids) // 2)  # half the set away: mostly another scene
    begins = range(0, len(tile_ids), _BATCH)
    for begin in Progress("fidelity").over(begins, f"batches of {_BATCH} tiles", len(begins)):
        ids, others = tile_ids[begin : begin + _BATCH].tolist(), partners[begin : begin + _BATCH].tolist()
        reals, masks = (np.stack(arrays) for arrays in zip(*map(store.tile, ids), strict=True))
        images = np.stack([_require_image(image_of(tile_id), store, tile_id) for tile_id in ids])
        seen = zip(ids, others, masks, segmenter(reals), segmenter(images), strict=True)
        looks += [_look(store, *each) for each in seen]
    if not any(_present(look.real) for look in looks):
        raise DataError(f"{store.path}: none of the {len(looks)} tiles has a building, so there is nothing to recognise.")
    shuffled = pooled_scores([look.shuffled for look in looks])
    result: Fidelity = {
        **_compared(looks, seed),
        "shuffled": shuffled | {"chance_iou": chance_iou(shuffled, len(looks) * store.size_px**2)},
        "by_place": {
            place: _compared([look for look in looks if look.place == place], seed)
            for place in sorted({look.place for look in looks})
        },
        "by_size": None if store.classes else _by_size(looks),
        "boundary_px": BOUNDARY_PX,
        "seed": seed,
        "segmenter_sha256": segmenter.sha256,
        "notes": [],
    }
    result["notes"] = _notes(result)
    return result


def _halves(store: TileStore, pool: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first scenes of each place by name, which are often neighbours, and the others."""
    first: set[str] = set()
    for place in {store.rows[tile_id].place for tile_id in pool.tolist()}:
        scenes = sorted({store.rows[tile_id].scene for tile_id in pool.tolist() if store.rows[tile_id].place == place})
        first |= set(scenes[: (len(scenes) + 1) // 2])
    scored = [tile_id for tile_id in pool.tolist() if store.rows[tile_id].scene not in first]
    training = [tile_id for tile_id in pool.tolist() if store.rows[tile_id].scene in first]
    touched = set(_touched(store, training, scored))
    apart = [tile_id for tile_id in training if tile_id not in touched]
    return np.array(apart, np.int64), np.array(scored, np.int64)


def _touched(store: TileStore, tile_ids: Sequence[int], others: Sequence[int]) -> list[int]:
    """Those of ``tile_ids`` that touch one of ``others`` on the ground; of tiles without a CRS nothing is known."""
    placed, others = ([tile_id for tile_id in ids if store.rows[tile_id].grid.crs] for ids in (tile_ids, others))
    areas = (Areas.of_grids([store.rows[tile_id].grid for tile_id in ids], NEAR / 2) for ids in (placed, others))
    return [placed[position] for position in np.unique(meetings(*areas)[0])]


def _look(
    store: TileStore,
    tile_id: int,
    other_id: int,
    mask: np.ndarray,
    on_real: np.ndarray,
    on_generated: np.ndarray,
) -> _Look:
    row = store.rows[tile_id]

    def scores(predicted: np.ndarray, against: np.ndarray) -> Scores:
        return mask_scores(predicted, against, class_count=store.class_count)

    buildings: list[tuple[float, ...]] = []
    if store.classes is None:
        numbers = components(mask > 0).ravel()
        area = np.bincount(numbers)[1:]
        found = [np.bincount(numbers, weights=(seen > 0).ravel())[1:] for seen in (on_real, on_generated)]
        size = area if row.gsd_m is None else area * row.gsd_m**2
        buildings = list(zip(size.tolist(), area.tolist(), *(each.tolist() for each in found), strict=True))
    return _Look(
        scene=row.scene,
        place=row.place,
        unit="px" if row.gsd_m is None else "m²",
        real=scores(on_real, mask),
        generated=scores(on_generated, mask),
        shuffled=scores(on_generated, store.tile(other_id)[1]),
        buildings=buildings,
    )


def _compared(looks: Sequence[_Look], seed: int) -> Compared:
    """Scores of real and generated images, and their ratio with its interval."""
    real, generated = pooled_scores([look.real for look in looks]), pooled_scores([look.generated for look in looks])
    scenes, numbers = np.unique([look.scene for look in looks], return_inverse=True)
    draws = _drawn_ratios(looks, numbers, len(scenes), seed) if len(scenes) > 1 else {}

    def ratio(name: _Ratio) -> Ratio:
        if not real[name]:
            return {"value": None, "interval": None}
        return {"value": generated[name] / real[name], "interval": draws.get(name)}

    ratios: Ratios = {"iou": ratio("iou"), "f1": ratio("f1"), "boundary_f": ratio("boundary_f")}
    return {"n": len(looks), "scenes": len(scenes), "real": real, "generated": generated, "ratio": ratios}


def _drawn_ratios(looks: Sequence[_Look], numbers: np.ndarray, scenes: int, seed: int) -> dict[_Ratio, list[float]]:
    """95 % intervals over draws of whole scenes, the same for real and generated images."""
    names = [name for name in looks[0].real if name.split(".")[0] in COUNTS]
    sums = np.zeros((2, scenes, len(names)))
    for which, seen in enumerate(([look.real for look in looks], [look.generated for look in looks])):
        np.add.at(sums[which], numbers, np.array([[scores[name] for name in names] for scores in seen], np.float64))
    drawn = np.random.default_rng(seed).multinomial(scenes, np.full(scenes, 1 / scenes), size=_ROUNDS) @ sums  # (2, rounds, names)
    ratios: dict[_Ratio, list[float]] = {name: [] for name in _RATIOS}
    for of_real, of_generated in zip(*drawn, strict=True):
        both = [with_scores(dict(zip(names, counts.tolist(), strict=True))) for counts in (of_real, of_generated)]
        for name, values in ratios.items():
            if both[0][name] > 0:
                values.append(both[1][name] / both[0][name])
    return {name: np.percentile(values, (2.5, 97.5)).tolist() for name, values in ratios.items() if values}


def _by_size(looks: Sequence[_Look]) -> dict[str, OfSize]:
    """Recall of small, medium and large buildings, apart for tiles whose metres are known and for the others."""
    result: dict[str, OfSize] = {}
    for unit, sizes in (("m²", SIZES_M2), ("px", SIZES_PX)):
        buildings = np.array([each for look in looks if look.unit == unit for each in look.buildings]).reshape(-1, 4)
        for name, (least, below) in sizes.items():
            some = buildings[(buildings[:, 0] >= least) & (buildings[:, 0] < below)]
            if not len(some):
                continue
            result[f"{name} ({unit})"] = {
                "unit": unit, "from": least, "below": below if np.isfinite(below) else None, "n": len(some),
                "real": _found(some[:, 2], some[:, 1]), "generated": _found(some[:, 3], some[:, 1]),
            }  # fmt: skip
    return result


def _found(pixels: np.ndarray, area: np.ndarray) -> Found:
    """Of buildings of ``area``, of which so many pixels were found."""
    return {"pixel_recall": float(pixels.sum() / area.sum()), "found": float((pixels >= _FOUND_SHARE * area).mean())}


def _present(scores: Mapping[str, float | int]) -> bool:
    """Whether the true mask has a building; masks of classes always show something."""
    return "hit" not in scores or scores["hit"] + scores["missed"] > 0


def _require_fitting(segmenter: Segmenter, store: TileStore, tile_ids: np.ndarray) -> None:
    if len(tile_ids) < LEAST_SCORED:
        raise DataError(
            f"{store.path}: {len(tile_ids)} tile{'s' * (len(tile_ids) != 1)} to look at; the shuffled baseline alone needs "
            f"{LEAST_SCORED}. Choose a split with more tiles."
        )
    if segmenter.class_count != store.class_count:
        counts = (segmenter.class_count, store.class_count)
        theirs, ours = ("buildings only" if count is None else f"{count} classes" for count in counts)
        raise DataError(f"{store.path}: its masks hold {ours}, the segmenter was trained on {theirs}. Train one on these tiles.")


def _require_image(image: np.ndarray, store: TileStore, tile_id: int) -> np.ndarray:
    image = np.asarray(image)
    expected = (store.size_px, store.size_px, 3)
    if image.shape != expected or image.dtype != np.uint8:
        raise DataError(
            f"the image of {store.describe(tile_id)} is {image.dtype} {image.shape}, its mask belongs to one of uint8 {expected}. "
            "Make images of the masks' own size."
        )
    return image


def _notes(result: Fidelity) -> list[str]:
    notes = []
    iou = result["real"]["iou"]
    if iou < WORTH_MEASURING_IOU:
        notes.append(
            f"the segmenter's IoU on real images is {iou:.2f}: too weak an eye to judge others by. Give it more tiles or steps."
        )
    if result["scenes"] == 1:
        notes.append("all tiles are of one scene, so there is no interval.")
    return notes
