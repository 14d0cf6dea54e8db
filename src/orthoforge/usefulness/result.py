"""What ``utility`` found: every figure with its circumstances, as ``utility.json`` holds it."""

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version

import numpy as np
import torch

from orthoforge.measures.means import mean_and_error
from orthoforge.measures.segmenter.augmentation import Augmentation
from orthoforge.measures.segmenter.mask_scores import BOUNDARY_PX
from orthoforge.measures.segmenter.segmentation import SegmenterSettings
from orthoforge.tiles.store import TileStore
from orthoforge.usefulness import page as utility_page
from orthoforge.usefulness.choosing import choose
from orthoforge.usefulness.design import REFERENCE, Job
from orthoforge.usefulness.findings import ArmRow, FractionFound, FractionSaid, Outcome, UtilityFound
from orthoforge.usefulness.learning_curve import learning_curve
from orthoforge.usefulness.paired_statistics import LEVEL, ROUNDS, boundary_f, difference, iou
from orthoforge.usefulness.synthetic_tiles import Source

FORMAT = 3
# Below, the bootstrap draws the same scenes over and over.
_FEW_SCENES = 5
_FEW_SEEDS = 3


def result_of(
    done: Mapping[Job, Outcome],
    store: TileStore,
    test_ids: np.ndarray,
    val_ids: np.ndarray,
    source: Source,
    made: Sequence[TileStore],
    settings: SegmenterSettings,
    *,
    augmentation: Augmentation,
    split: str,
    allow_leaks: bool,
    device: str,
) -> UtilityFound:
    """Everything that the report says, in numbers and words, from the outcome of each training on ``test_ids`` of ``split``.

    ``val_ids`` are the validation tiles that choose what is compared, ``made`` the stores of synthetic tiles that were drawn from.
    """
    distinct = list({json.dumps(one): one for one in done.values()}.values())  # synthetic alone may serve several fractions
    fractions, arms = sorted({job.fraction for job in done}), list(dict.fromkeys(job.arm for job in done))
    seeds = sorted({job.seed for job in done})
    scenes, val_scenes = (sorted({store.rows[tile_id].scene for tile_id in ids.tolist()}) for ids in (test_ids, val_ids))
    outcomes = {(job.arm, job.fraction): [done[replace(job, seed=seed)] for seed in seeds] for job in done}
    # (seeds, scenes, classes, 6): for IoU the first two, for the edges the others
    counts = {key: np.array([[one["scenes"][scene] for scene in scenes] for one in ones]) for key, ones in outcomes.items()}
    on_val = {
        key: np.array([[one["validation"][scene] for scene in val_scenes] for one in ones])[..., :2]
        for key, ones in outcomes.items() if val_scenes
    }  # fmt: skip
    rows: list[ArmRow] = []
    by_fraction: list[FractionSaid] = []
    for fraction in fractions:
        reference, reference_edges = np.split(counts[REFERENCE, fraction], [2], axis=-1)
        chosen = choose({arm: values for (arm, of), values in on_val.items() if of == fraction}, arms)
        baseline = counts[chosen.baseline, fraction][..., :2]
        for arm in arms:
            ones, (own, edges) = outcomes[arm, fraction], np.split(counts[arm, fraction], [2], axis=-1)
            scores, edge_scores = iou(own.sum(axis=1)).tolist(), boundary_f(edges.sum(axis=1)).tolist()
            rows.append(
                {
                    "arm": arm.name, "kind": arm.kind, "ratio": arm.ratio, "fraction": fraction,
                    "real_tiles": ones[0]["real_tiles"], "synthetic_tiles": ones[0]["synthetic_tiles"], "drawn": ones[0]["drawn"],
                    "iou": {**mean_and_error(scores), "by_seed": scores},
                    "validation_iou": chosen.scores.get(arm),
                    "difference": difference(own, reference) if arm != REFERENCE else None,
                    "to_best": difference(own, baseline) if arm != chosen.baseline else None,
                    "boundary_f": {**mean_and_error(edge_scores), "by_seed": edge_scores},
                    "boundary_difference": difference(edges, reference_edges, score=boundary_f) if arm != REFERENCE else None,
                }
            )  # fmt: skip
        mixed = np.stack([counts[arm, fraction][..., :2] for arm in arms if arm.kind == "mixed"])
        best = chosen.synthetic
        entry: FractionFound = {
            "fraction": fraction, "real_tiles": outcomes[REFERENCE, fraction][0]["real_tiles"],
            "best_baseline": chosen.baseline.name, "chosen_on": "val" if chosen.scores else None,
            "difference": difference(mixed, baseline), "to_plain": difference(mixed, reference),
            "best_synthetic": best.name if best else None,
            "best_synthetic_difference": difference(counts[best, fraction][..., :2], baseline) if best else None,
        }  # fmt: skip
        mine = [row for row in rows if row["fraction"] == fraction]
        by_fraction.append({**entry, "text": utility_page.fraction_verdict(entry, mine)})
    return {
        "format": FORMAT,
        "made_by": f"orthoforge {version('orthoforge')}, torch {torch.__version__}, {torch.get_num_threads()} threads, {device}",
        "data": {
            "tiles": str(store.path), "fingerprint": store.fingerprint, "split": split, "split_method": store.settings["split"],
            "training_tiles": len(store.ids("train")), "validation_tiles": len(val_ids), "test_tiles": len(test_ids),
            "test_scenes": len(scenes),
            "test_places": len({store.rows[tile_id].place for tile_id in test_ids.tolist()}),
            "size_px": store.size_px, "gsd_m": store.gsd_m, "allowed_leaks": allow_leaks,
        },
        "synthetic": {**source.facts, "tiles_fingerprint": _fingerprint(made), "n": sum(len(tiles.rows) for tiles in made)},
        "settings": {"segmenter": asdict(settings), "augmentation": augmentation, "seeds": seeds, "fractions": fractions,
                     "ratios": [arm.ratio for arm in arms if arm.kind == "mixed"]},
        "method": {
            "score": "IoU of all test pixels (mean over classes where there are several)",
            "boundary_f": f"F-score of the masks' edges within {BOUNDARY_PX} px, of all test pixels; not in the verdict",
            "reference": "real tiles alone, turned and mirrored, the same ones with the same seed",
            "best_baseline": "of arms with real tiles alone the best on validation tiles; without such tiles strong augmentation",
            "level": LEVEL, "t_interval": "Student's, over seeds",
            "bootstrap_interval": f"percentile, {ROUNDS} rounds over seeds × test scenes",
            "verdict": "a gain or loss beyond the best baseline where both intervals lie on one side of 0",
        },
        "verdict": utility_page.overall_verdict(by_fraction),
        "by_fraction": by_fraction,
        "arms": rows,
        "curve": learning_curve(
            {key: values[..., :2] for key, values in counts.items()}, on_val,
            {entry["fraction"]: entry["real_tiles"] for entry in by_fraction},
        ),
        "trainings": {
            "n": len(distinct), "seconds": sum(one["seconds"] for one in distinct),
            "cpu_seconds": sum(one["cpu_seconds"] for one in distinct),
        },
    }  # fmt: skip


def _fingerprint(made: Sequence[TileStore]) -> str:
    """Of one store its own, of several one of all."""
    if len(made) == 1:
        return made[0].fingerprint
    return hashlib.sha256(" ".join(sorted(tiles.fingerprint for tiles in made)).encode()).hexdigest()


def design_warnings(result: UtilityFound) -> list[str]:
    """What the number of scenes, seeds and tiles leaves unsaid."""
    warnings = []
    n, seeds = result["data"]["test_scenes"], result["settings"]["seeds"]
    if n < _FEW_SCENES:
        warnings.append(f"Only {n} test scene{'s' * (n != 1)}: what holds there need not hold elsewhere, and no interval can say.")
    if not result["data"]["validation_tiles"]:
        warnings.append(
            "No validation tile could choose the best baseline: it is strong augmentation, whatever the test tiles say of others."
        )
    if len(seeds) < _FEW_SEEDS:
        warnings.append(f"{len(seeds)} seed{'s' * (len(seeds) != 1)}: Student's interval needs three or more to be of use.")
    for before, after in itertools.pairwise(result["by_fraction"]):
        if before["real_tiles"] == after["real_tiles"]:
            alike = f"{utility_page.percent(before['fraction'])} and {utility_page.percent(after['fraction'])}"
            warnings.append(f"{alike} of the real tiles are the same, {after['real_tiles']}.")
    return warnings
