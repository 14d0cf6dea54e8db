"""The scores of one run on the held-out tiles, plain values; by place, and over all of them."""

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.protocol.distances import (
    band_histograms,
    colour_distance,
    colour_histograms,
    kernel_figures,
    level_distance,
    of_halves,
    ring_decibels,
    scene_draws,
    spectrum_distance,
)
from bench.protocol.judges import Judges
from bench.protocol.tiles import held_out, quarters
from orthoforge.files import new_file
from orthoforge.measures.paired import pair_scores
from orthoforge.measures.pixels import detail_levels
from orthoforge.measures.realism.diversity import diversity
from orthoforge.measures.realism.features import BATCH, LiteFeatures, ScoreNetwork
from orthoforge.measures.realism.probe import folds_of, probe
from orthoforge.measures.segmenter.mask_scores import COUNTS, mask_scores, with_scores
from orthoforge.measures.segmenter.segmentation import Segmenter
from orthoforge.models.conditions import encode_image
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import TrainedGenerator

FORMAT = 1
EVERYWHERE = "all"
EMPTY_SHARE = 0.05  # of building, below which a quarter of a tile counts as empty
LEAST_EMPTY = 4
DIVERSE_TILES = 8  # of each place, spread over them; four seeds each
FIRST_SEED = 1000  # of diversity
PIXEL_SCORES = ("psnr", "ssim")

Generate = Callable[[int, int], np.ndarray]
"""A held-out tile's id and a seed to an image (S, S, 3) uint8."""


@dataclass(frozen=True)
class Seen:
    """What the judges see in images of the held-out tiles, by quarter; ``halves`` and ``eye``: ``Truth.found`` by tile."""

    lite: np.ndarray
    segmenter: np.ndarray
    decibels: np.ndarray
    colours: np.ndarray
    levels: np.ndarray
    halves: np.ndarray
    eye: np.ndarray
    outside: np.ndarray | None = None


@dataclass(frozen=True)
class Truth:
    """The held-out tiles, the judges, and what they see in the real ones: looked at once for all runs."""

    store: TileStore
    judges: Judges
    lite: LiteFeatures
    ids: list[int]
    outside: ScoreNetwork | None = None
    """A judge that no recipe may be trained through, where one is at hand."""

    @staticmethod
    def of(store: TileStore, judges: Judges, outside: ScoreNetwork | None = None) -> "Truth":
        """Of the tiles that the protocol scores."""
        return Truth(store, judges, LiteFeatures(judges.eye.device), held_out(store).tolist(), outside)

    @cached_property
    def images(self) -> np.ndarray:
        """(N, S, S, 3)."""
        return np.stack([self.store.tile(tile_id)[0] for tile_id in self.ids])

    @cached_property
    def is_empty(self) -> np.ndarray:
        """(4N,) of the quarters."""
        masks = quarters(np.stack([self.store.tile(tile_id)[1] for tile_id in self.ids]))
        return (masks > 0).mean(axis=(1, 2)) < EMPTY_SHARE

    @cached_property
    def places(self) -> np.ndarray:
        """(N,) names."""
        return np.array([self.store.rows[tile_id].place for tile_id in self.ids])

    @cached_property
    def scenes(self) -> np.ndarray:
        """(N,) names."""
        return np.array([self.store.rows[tile_id].scene for tile_id in self.ids])

    @cached_property
    def seen(self) -> Seen:
        """In the real images."""
        return self.look(self.images)

    def look(self, images: np.ndarray) -> Seen:
        """At images (N, S, S, 3) of the held-out tiles, in their order."""
        parts, device = quarters(images), self.judges.eye.device
        batches = [encode_image(torch.from_numpy(parts[at : at + BATCH])).to(device) for at in range(0, len(parts), BATCH)]
        lite = np.concatenate([self.lite(batch)[1].cpu().numpy() for batch in batches])
        return Seen(
            lite, self.judges.features(parts), ring_decibels(parts), colour_histograms(parts), band_histograms(parts),
            self.found(images, self.judges.halves), self.found(images, ((np.array(self.ids), self.judges.eye),)),
            None if self.outside is None else np.concatenate([self.outside.embed(batch).cpu().numpy() for batch in batches]),
        )  # fmt: skip

    def found(self, images: np.ndarray, eyes: Sequence[tuple[np.ndarray, Segmenter]]) -> np.ndarray:
        """How the buildings that segmenters find in images agree with the masks, (N, 7) in the order of ``COUNTS``."""
        counts = np.zeros((len(self.ids), len(COUNTS)), np.int64)
        for tile_ids, segmenter in eyes:
            at = np.flatnonzero(np.isin(self.ids, tile_ids))
            for number, predicted in zip(at.tolist(), segmenter(images[at]), strict=True):
                scores = mask_scores(predicted, self.store.tile(self.ids[number])[1])
                counts[number] = [scores[name] for name in COUNTS]
        return counts

    def maps(self, images: np.ndarray) -> list[torch.Tensor]:
        """Feature maps for the perceptual distance."""
        return self.lite(encode_image(torch.from_numpy(images)).to(self.judges.eye.device))[0]

    def areas(self) -> dict[str, np.ndarray]:
        """Numbers of the tiles of everything, and of each place."""
        places = {place: np.flatnonzero(self.places == place) for place in np.unique(self.places).tolist()}
        return {EVERYWHERE: np.arange(len(self.ids))} | places


def score_run(run: Path, truth: Truth, record: dict[str, Any], generator: TrainedGenerator) -> dict[str, Any]:
    """Scores of a run by area, with the circumstances that they belong to."""
    generate = generation(generator, truth.store)
    images = np.stack([generate(tile_id, tile_id) for tile_id in truth.ids])
    seen = truth.look(images)
    calm = without_noise(generator)
    still = None
    if calm is not None:
        of_calm = generation(calm, truth.store)
        still = truth.found(np.stack([of_calm(tile_id, tile_id) for tile_id in truth.ids]), truth.judges.halves)
    places = truth.areas()
    areas = {name: _area(truth, at, images, seen, still) for name, at in places.items()}
    # Two real tiles of two places differ more than a seed should make them: over all, it is the mean of the places.
    varied = {name: _diversity(truth, at, generate) for name, at in places.items() if name != EVERYWHERE}
    for name, area in areas.items():
        area["diversity"] = varied.get(name) or _mean_share(list(varied.values()))
    return {
        "format": FORMAT,
        "run": run.name,
        "record": record,
        "weights_sha256": generator.sha256,
        "parameters": sum(parameter.numel() for parameter in generator.network.parameters()),
        "judged_by": judged_by(truth),
        "areas": areas,
    }


def generation(generator: TrainedGenerator, store: TileStore) -> Generate:
    """How a run makes the image of a tile: of its mask, and in its place's style where the run has styles. Never of the image."""
    by_place = {place: generator.with_style(place) for place in generator.styles}

    def generate(tile_id: int, seed: int) -> np.ndarray:
        return by_place.get(store.rows[tile_id].place, generator)(store.tile(tile_id)[1], seed=seed)

    return generate


def without_noise(generator: TrainedGenerator) -> TrainedGenerator | None:
    """The generator with its added noise at zero and its styles as they are; ``None`` where it adds none."""
    calm = copy.copy(generator)
    calm.network = copy.deepcopy(generator.network)
    noisy = [module for module in calm.network.modules() if hasattr(module, "noise_fields")]
    weights = [module.weight for module in noisy if isinstance(getattr(module, "weight", None), torch.Tensor)]
    for weight in weights:
        weight.data.zero_()
    return calm if weights else None


def judged_by(truth: Truth) -> dict[str, Any]:
    """What scores depend on beside the run; runs compare only where it is the same."""
    halves = [segmenter.sha256 for _, segmenter in truth.judges.halves]
    outside = {truth.outside.name: truth.outside.weights_sha256} if truth.outside else {}
    return outside | {
        "tiles": truth.store.fingerprint, "held_out": len(truth.ids), "lite": truth.lite.weights_sha256,
        "segmenter": truth.judges.eye.sha256, "halves": halves, "device": str(truth.judges.eye.device).partition(":")[0],
    }  # fmt: skip


def write_scores(path: Path, scores: dict[str, Any]) -> None:
    """As JSON, replacing what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with new_file(path, overwrite=True) as partial:
        partial.write_text(json.dumps(scores, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _area(truth: Truth, at: np.ndarray, images: np.ndarray, seen: Seen, still: np.ndarray | None) -> dict[str, Any]:
    """Every figure of some tiles."""
    real, scenes = truth.seen, truth.scenes[at].tolist()
    parts = (4 * at[:, None] + np.arange(4)).ravel()
    part_scenes = truth.scenes[parts // 4].tolist()
    result: dict[str, Any] = {
        "tiles": len(at),
        "scenes": len(set(scenes)),
        "kernel": {
            judge: kernel_figures(getattr(seen, judge)[parts], getattr(real, judge)[parts], part_scenes)
            for judge in ("lite", "segmenter")
        },
        "fidelity": _fidelity(seen.halves[at], real.halves[at], scenes),
        "fidelity_eye": _fidelity(seen.eye[at], real.eye[at], scenes),
        "fidelity_without_noise": None if still is None else _fidelity(still[at], real.halves[at], scenes),
        "empty": _empty(truth, seen, parts[truth.is_empty[parts]]),
        "pixels": _pixels(images[at], truth.images[at], scenes),
    }
    if seen.outside is not None and real.outside is not None:
        fake_parts, real_parts = seen.outside[parts], real.outside[parts]
        result["kernel"]["outside"] = kernel_figures(fake_parts, real_parts, part_scenes)
        places = truth.places[parts // 4].tolist()
        groups = places if len(set(places)) > 1 else folds_of(part_scenes)
        result["probe"] = asdict(probe(fake_parts, real_parts, groups, part_scenes)) if len(set(groups)) > 1 else None
    return result


def _fidelity(fake: np.ndarray, real: np.ndarray, scenes: list[str]) -> dict[str, Any]:
    """IoU on generated and on real images, and the first by the second."""
    draws = scene_draws(scenes)
    shares = None if draws is None else [_share(some @ fake, some @ real) for some in draws]
    known = None if shares is None or None in shares else shares
    return {
        "generated_iou": _iou(fake.sum(0)),
        "real_iou": _iou(real.sum(0)),
        "share": _share(fake.sum(0), real.sum(0)),
        "draws": known,
    }


def _iou(counts: np.ndarray) -> float:
    return float(with_scores(dict(zip(COUNTS, counts.tolist(), strict=True)))["iou"])


def _share(fake: np.ndarray, real: np.ndarray) -> float | None:
    return _iou(fake) / _iou(real) if _iou(real) else None


def _empty(truth: Truth, seen: Seen, parts: np.ndarray) -> dict[str, Any]:
    """How far the generated quarters with hardly a building are from the real ones, beside halves of the real ones."""
    if len(parts) < LEAST_EMPTY:
        return {"quarters": len(parts)}
    scenes = truth.scenes[parts // 4].tolist()
    measures = {"spectrum_db": ("decibels", spectrum_distance), "colours": ("colours", colour_distance)}
    measures["levels"] = "levels", level_distance
    result: dict[str, Any] = {"quarters": len(parts)}
    for name, (what, distance) in measures.items():
        fake, real = getattr(seen, what)[parts], getattr(truth.seen, what)[parts]
        floor = of_halves(scenes, lambda one, other, d=distance, r=real: d(r[one], r[other]))  # type: ignore[misc]
        draws = scene_draws(scenes)
        drawn = None if draws is None else [distance(fake.repeat(n, axis=0), real.repeat(n, axis=0)) for n in draws.astype(int)]
        result[name] = {"value": distance(fake, real), "floor": floor, "draws": drawn}
    return result


def _pixels(images: np.ndarray, reals: np.ndarray, scenes: list[str]) -> dict[str, Any]:
    """PSNR and SSIM, and the detail of the generated images as a share of the real ones'."""
    rows = pair_scores(images, reals)
    draws = scene_draws(scenes)
    result: dict[str, Any] = {}
    for name in PIXEL_SCORES:
        values = np.array([row[name] for row in rows])
        result[name] = {"value": float(values.mean()), "draws": None if draws is None else (draws @ values / draws.sum(1)).tolist()}
    fake, real = np.array([row["detail_levels"] for row in rows]), np.array([detail_levels(image) for image in reals])
    ratios = None if draws is None else (draws @ fake / (draws @ real)).tolist()
    return result | {"detail": {"value": float(fake.sum() / real.sum()), "draws": ratios}}


def _diversity(truth: Truth, at: np.ndarray, generate: Generate) -> dict[str, Any]:
    """Perceptual distance between seeds of one mask, and as a share of that between two real tiles of the place."""
    some = at[np.unique(np.linspace(0, len(at) - 1, min(DIVERSE_TILES, len(at))).astype(int))].tolist()
    measured = diversity(
        lambda number, seed: generate(truth.ids[some[number]], seed),
        [truth.images[number] for number in some],
        truth.maps,
        first_seed=FIRST_SEED,
    )
    between = measured["between_masks"]
    assert between is not None and measured["value"] is not None, "there are tiles enough"
    return measured | {
        "share": measured["value"] / between,
        "share_error": None if measured["standard_error"] is None else measured["standard_error"] / between,
    }


def _mean_share(places: list[dict[str, Any]]) -> dict[str, float | None]:
    errors = [place["share_error"] for place in places]
    known = None if None in errors else float(np.sqrt(np.square(errors).sum())) / len(errors)
    return {"share": float(np.mean([place["share"] for place in places])), "share_error": known}
