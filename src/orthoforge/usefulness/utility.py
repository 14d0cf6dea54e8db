"""``utility``: whether training on synthetic images helps a segmenter, with the cheap alternatives beside it."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from orthoforge.bands import unseen_bands
from orthoforge.devices import chosen_device
from orthoforge.errors import ConfigError, DataError, OutputExistsError
from orthoforge.files import lock, new_file, remove, require_place
from orthoforge.measures.segmenter.augmentation import Augmentation
from orthoforge.measures.segmenter.mask_scores import COUNTS, mask_scores
from orthoforge.measures.segmenter.segmentation import SegmenterSettings, train_segmenter
from orthoforge.pages.html import write_page
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import TrainedGenerator
from orthoforge.usefulness import page as utility_page
from orthoforge.usefulness.design import Job, arm_sample, arms_of, real_subset, synthetic_count
from orthoforge.usefulness.findings import Outcome, Utility
from orthoforge.usefulness.own_material import Masks
from orthoforge.usefulness.paired_statistics import iou
from orthoforge.usefulness.planning import PUBLISHED, plan_lines, spread_of
from orthoforge.usefulness.result import design_warnings, result_of
from orthoforge.usefulness.synthetic_tiles import Pool, open_source, pool_of
from orthoforge.usefulness.timing import TimeLeft, time_line, training_seconds

REPORT_JSON, REPORT_HTML = "utility.json", "utility.html"
STEPS = 400
CURVE = (0.125, 0.25, 0.5, 1.0)
Predict = Callable[[np.ndarray], np.ndarray]
"""Images (N, H, W, 3) uint8 to masks (N, H, W) uint8."""
Train = Callable[..., Predict]

# What the file of a training holds; others are not read.
OUTCOMES = 3
_SETTINGS, _ARMS, _SYNTHETIC = "settings.json", "arms", "synthetic"
_TEST_BATCH = 8
_Signature = dict[str, object]
"""What must be the same for finished trainings to be kept."""


def utility(
    synthetic: Path | str | TrainedGenerator,
    data: str | Path,
    out: str | Path,
    *,
    ratios: Sequence[float] = (0.5, 1, 2, 3),
    fractions: Sequence[float] = (0.05, 0.1, 0.25, 1.0),
    seeds: int = 3,
    first_seed: int = 0,
    splits: Sequence[str] = ("test",),
    steps: int = STEPS,
    augmentation: Augmentation = "strong",
    own_material: bool = False,
    other_places: bool = False,
    masks: Masks = "turned",
    refinement: float | None = None,
    device: str = "auto",
    curve: bool = False,
    quick: bool = False,
    allow_leaks: bool = False,
    overwrite: bool = False,
    segmenter: SegmenterSettings | None = None,
    train: Train = train_segmenter,
) -> Utility:
    """Measure whether training on synthetic images helps a segmenter. Writes ``utility.json`` and ``utility.html`` to ``out``.

    The same segmenter is trained on real tiles, on real and synthetic ones, and on synthetic ones alone. ``synthetic`` is a run,
    which is given masks of training tiles, or a folder of tiles that ``prepare`` cut from synthetic pairs. All arms take ``steps``
    optimizer steps of one batch size. ``ratios`` are the synthetic images for each real one within them. ``fractions`` are shares
    of the real training tiles. All arms are compared with training on the same real tiles, turned and mirrored, and with the best
    of what costs nothing, paired by seed. Validation tiles that do not test choose which arms the verdict compares
    (``choosing.choose``).

    ``augmentation`` is that of all arms but the plain ones (``augmentation.strongly_augmented``). With ``own_material`` a generator
    with material is given the real tiles of each fraction in place of its own, and ``masks`` made of theirs
    (``own_material.own_tiles``). With ``other_places`` its images are of its own material and masks, in the histograms of the
    fraction's real tiles (``other_places.tiles_of_other_places``). ``refinement`` is the share of its network's changes that they
    get, by default none of own material, else what the generator does by itself (``TrainedGenerator.with_refinement``). ``curve``
    takes the ratio nearest to 1 and the fractions ``CURVE``, to tell what further labels would bring (``learning_curve``).

    All arms are tested on the tiles of ``splits`` in ``data`` (``test``, ``val`` or both: the segmenter is steered by neither).
    Each is compared with training on the same real tiles, turned and mirrored, paired by seed. The seeds are ``seeds`` numbers from
    ``first_seed`` on. ``quick`` keeps the smallest and the largest fraction, the ratio nearest to 1 and a quarter of the steps:
    enough to see that everything runs. ``segmenter`` replaces what the segmenter is, except for steps and seed. ``train``, called
    as ``train_segmenter`` is, replaces the segmenter by another.

    Call it again: finished trainings are kept; further ratios, fractions and seeds are added. With ``overwrite`` it begins anew,
    but keeps trainings on real tiles alone where only ``synthetic`` changed. Returns what ``utility.json`` holds (docs/utility.md).

    Raises:
        DataError: (without ``allow_leaks``) no test tiles, a random split, or synthetic images that may carry test tiles.
        ConfigError: impossible numbers.
        OutputExistsError: ``out`` holds an experiment with other settings and ``overwrite`` is false.
        LockedError: another process runs the same experiment.
        CheckpointError: there is no such run, or its weights are damaged.

    Examples:
        >>> from orthoforge import utility
        >>> found = utility("runs/mine", "tiles", "useful", ratios=[1], fractions=[1.0], seeds=1, steps=1)
        7 trainings of a segmenter...
        >>> found["data"]["split"]
        'test'
    """
    began, cpu_began = time.monotonic(), time.process_time()
    device = chosen_device(device)
    ratios, fractions, steps = _size(ratios, fractions, steps, curve=curve, quick=quick)
    _require_numbers(ratios, fractions, seeds, first_seed, steps)
    require_place(Path(out), folder=True)
    store, out = TileStore.open(Path(data)).showing(), Path(out)
    split, warnings = _test_split(store, splits, allow_leaks)
    if unseen := unseen_bands(store.bands, store.looked_at):
        warnings.append(unseen)
    test_ids, train_ids = np.concatenate([store.ids(name) for name in split.split("+")]), _require_training_tiles(store)
    held_out = np.concatenate([store.ids("val"), store.ids("test")]).tolist()
    source = open_source(
        synthetic, store, held_out, device=device, allow_leaks=allow_leaks, own_material=own_material,
        other_places=other_places, masks=masks, refinement=refinement,
    )  # fmt: skip
    val_ids = np.array([], np.int64) if "val" in split.split("+") else store.ids("val")
    settings = segmenter or SegmenterSettings()
    settings = replace(settings, steps=steps, crop_px=min(settings.crop_px, store.size_px), seed=0)
    signature: _Signature = {
        "tiles": store.fingerprint, "split": split, "synthetic": source.identity,
        "outcomes": OUTCOMES, "augmentation": augmentation, "segmenter": asdict(settings),
        "train": f"{train.__module__}.{train.__qualname__}",
    }  # fmt: skip
    with lock(out / REPORT_JSON.removesuffix(".json")):
        _keep_or_begin(out, signature, overwrite)
        pool = pool_of(source, store, train_ids, out / _SYNTHETIC)
        jobs = [
            Job(arm, fraction, seed)
            for seed in range(first_seed, first_seed + seeds)
            for fraction in sorted(set(fractions))
            for arm in arms_of(ratios)
        ]  # fmt: skip
        tried = _Tried(store, pool, settings, augmentation, train, train_ids, test_ids, val_ids, device)
        done = _run_all(jobs, tried, out / _ARMS)
        made = list({tiles.fingerprint: tiles for job in jobs for tiles in [tried.synthetic(job)[0]]}.values())
        found = result_of(
            done,
            store,
            test_ids,
            val_ids,
            source,
            made,
            settings,
            augmentation=augmentation,
            split=split,
            allow_leaks=allow_leaks,
            device=device,
        )
        result: Utility = {
            **found, "warnings": [*warnings, *source.warnings, *design_warnings(found)],
            "this_call": {"seconds": time.monotonic() - began, "cpu_seconds": time.process_time() - cpu_began},
        }  # fmt: skip
        with new_file(out / REPORT_JSON, overwrite=True) as partial:
            partial.write_text(json.dumps(result, indent=1, allow_nan=False), encoding="utf-8")
        write_page(out / REPORT_HTML, utility_page.page(result, store, made[-1]), overwrite=True)
    return result


def summary_lines(result: Utility) -> list[str]:
    """The verdicts, for a terminal."""
    curve = [result["curve"]["text"]] if result["curve"] else []
    return [result["verdict"], *(f"  {entry['text']}" for entry in result["by_fraction"]), *curve]


def plan(
    data: Path,
    out: Path,
    *,
    ratios: Sequence[float] = (0.5, 1, 2, 3),
    fractions: Sequence[float] = (0.05, 0.1, 0.25, 1.0),
    seeds: int = 3,
    splits: Sequence[str] = ("test",),
    steps: int = STEPS,
    device: str = "auto",
    curve: bool = False,
    quick: bool = False,
    allow_leaks: bool = False,
    train: Train = train_segmenter,
) -> list[str]:
    """What an experiment on these tiles could show and how long it takes, in lines for a terminal. Nothing is written.

    Differences are taken to spread as in the experiment in ``out``, or as in published ones where none has finished there. Time is
    measured over a few steps of the segmenter. Raises ``DataError`` without test or training tiles, ``ConfigError`` for one scene
    or numbers that cannot be.
    """
    ratios, fractions, steps = _size(ratios, fractions, steps, curve=curve, quick=quick)
    _require_numbers(ratios, fractions, seeds, 0, steps)
    store = TileStore.open(Path(data)).showing()
    split, _ = _test_split(store, splits, allow_leaks)
    test_ids = np.concatenate([store.ids(name) for name in split.split("+")])
    _require_training_tiles(store)
    scenes = _require_scenes(store, split)
    spread = spread_of(Path(out)) if (Path(out) / REPORT_JSON).is_file() else PUBLISHED
    trainings = seeds * len(set(fractions)) * len(arms_of(ratios))
    held_out = len(set(test_ids.tolist()) | set(store.ids("val").tolist()))
    settings = SegmenterSettings(steps=steps)
    settings = replace(settings, crop_px=min(settings.crop_px, store.size_px))
    seconds = training_seconds(store, train, settings, held_out=held_out, device=chosen_device(device))
    lines = plan_lines(seeds, scenes, len(test_ids), spread)
    return [*lines, time_line(trainings, steps, seconds)]


def _size(
    ratios: Sequence[float], fractions: Sequence[float], steps: int, *, curve: bool, quick: bool
) -> tuple[Sequence[float], Sequence[float], int]:
    """Ratios, fractions and steps of an experiment for a curve, or of a quick one."""
    if curve:
        ratios, fractions = [min(ratios, key=lambda ratio: abs(ratio - 1))], CURVE
    if quick:
        ratios, fractions = [min(ratios, key=lambda ratio: abs(ratio - 1))], sorted({min(fractions), max(fractions)})
        steps = max(1, steps // 4)
    return ratios, fractions, steps


def _require_training_tiles(store: TileStore) -> np.ndarray:
    train_ids = store.ids("train")
    if not len(train_ids):
        raise DataError(f"{store.path}: no tile in split train.")
    return train_ids


def _scenes_in(store: TileStore, splits: Sequence[str]) -> int:
    return len({store.rows[tile_id].scene for name in splits for tile_id in store.ids(name).tolist()})


def _require_scenes(store: TileStore, split: str) -> int:
    """How many scenes the tiles of ``split`` (as ``_test_split`` says it) are of; two at least."""
    scenes = _scenes_in(store, split.split("+"))
    if scenes < 2:
        both = _scenes_in(store, ("val", "test"))
        more = (
            f"Pass --splits val test to test on {both} scenes, or prepare the tiles from" if both > 1 else "Prepare the tiles from"
        )
        raise ConfigError(
            f"{store.path}: all tiles in split {split} are of one scene, and an interval takes two scenes or more. {more} more "
            "scenes."
        )
    return scenes


def _require_numbers(ratios: Sequence[float], fractions: Sequence[float], seeds: int, first_seed: int, steps: int) -> None:
    if any(not 0 <= ratio <= 100 for ratio in ratios) or not any(ratios):
        raise ConfigError(f"ratios are synthetic images per real one, from 0 to 100 and one at least above 0, not {list(ratios)}.")
    if not fractions or any(not 0 < fraction <= 1 for fraction in fractions):
        raise ConfigError(f"fractions of the real tiles lie above 0 and up to 1 (0.05 for 5 %), not {list(fractions)}.")
    if seeds < 1 or steps < 1:
        raise ConfigError(f"seeds and steps are at least 1, not {seeds} and {steps}.")
    if first_seed < 0:
        raise ConfigError(f"first_seed is 0 or more, not {first_seed}.")


def _test_split(store: TileStore, splits: Sequence[str], allow_leaks: bool) -> tuple[str, list[str]]:
    """Which tiles test (``test``, ``val`` or ``val+test``), and what has to be said of them."""
    if not splits or not set(splits) <= {"val", "test"}:
        raise ConfigError(f"splits are val, test or both, not {list(splits)}. Segmenters are trained on split train.")
    warnings = []
    if store.settings["split"] == "random":
        if not allow_leaks:
            raise DataError(
                f"{store.path}: split random puts neighbouring tiles into training and test, so the scores would measure memory. "
                "Prepare the tiles with --split blocks, or pass --allow-leaks, which the report will say."
            )
        warnings.append("The tiles are split at random: test tiles have neighbours in training; --allow-leaks was given.")
    if "val" in splits:
        warnings.append("Split val tests: this flatters a generator of which a checkpoint was chosen by its scores there.")
    if all(len(store.ids(name)) for name in splits):
        return "+".join(name for name in ("val", "test") if name in splits), warnings
    if not allow_leaks or not len(store.ids("val")):
        instead = ", or pass --allow-leaks to test on split val" if len(store.ids("val")) else ""
        raise DataError(
            f"{store.path}: no tile in split {' or in '.join(splits)}, and nothing else may judge. Prepare the tiles with "
            f"--split blocks (from more scenes, or smaller, where a place is too small for three splits){instead}."
        )
    warnings.append("There are no test tiles. Split val tests, on which other choices may rest; --allow-leaks was given.")
    return "val", warnings


def _keep_or_begin(out: Path, signature: _Signature, overwrite: bool) -> None:
    """Leave finished trainings of the same experiment where they are; clear away those of another one if that is wanted.

    Trainings on real tiles alone stay when nothing but the synthetic images changed: they never saw any.
    """
    file, arms = out / _SETTINGS, out / _ARMS
    former = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    changed = [name for name in signature if former.get(name) != signature[name]]
    if not changed and not overwrite:
        return
    if not overwrite and (former or (out / REPORT_JSON).exists()):
        raise OutputExistsError(
            f"{out} holds an experiment with other settings ({', '.join(changed)}). Pass --overwrite to begin anew, or choose "
            "another --out."
        )
    remove(out / _SYNTHETIC)
    for path in arms.glob("*.json"):
        if changed != ["synthetic"] or json.loads(path.read_text("utf-8"))["drawn"]["synthetic"]:
            path.unlink()
    with new_file(file, overwrite=True) as partial:
        partial.write_text(json.dumps(signature, indent=1), encoding="utf-8")


@dataclass(frozen=True)
class _Tried:
    """What all trainings share."""

    store: TileStore
    pool: Pool
    settings: SegmenterSettings
    augmentation: Augmentation
    train: Train
    train_ids: np.ndarray
    test_ids: np.ndarray
    val_ids: np.ndarray
    device: str
    making: dict[tuple[float, int], float] = field(default_factory=dict)
    """Seconds until the synthetic tiles of a fraction and seed were there, when they were first asked for."""

    def subset(self, job: Job) -> np.ndarray:
        """The real tiles of a job."""
        return real_subset(self.store.rows, self.train_ids, fraction=job.fraction, seed=job.seed)

    def synthetic(self, job: Job) -> tuple[TileStore, np.ndarray]:
        """The synthetic tiles that a job may draw: a store and the ids in it."""
        began = time.monotonic()
        tiles = self.pool.of(self.subset(job), job.seed)
        self.making.setdefault(_set_of(job), time.monotonic() - began)
        return tiles


def _run_all(jobs: Sequence[Job], tried: _Tried, folder: Path) -> dict[Job, Outcome]:
    """The outcome of each job: read where it is finished, else trained, tested and kept."""
    done: dict[Job, Outcome] = {}
    # Synthetic tiles that do not depend on the real ones make the same training at every fraction.
    alone = {job: job.arm.kind == "synthetic" and not tried.pool.depends_on_subset for job in jobs}
    same = {job: replace(job, fraction=1.0) if alone[job] else job for job in jobs}
    distinct = list(dict.fromkeys(same.values()))
    missing = sum(not (folder / job.file).is_file() for job in distinct)
    to_make = _sets_to_make(distinct, folder) if tried.pool.makes_anew else set()
    left = TimeLeft(missing, len(to_make))
    if missing < len(distinct):
        _say(f"{len(distinct) - missing} of {len(distinct)} trainings are finished and kept")
    if missing:
        _say(f"{missing} trainings of a segmenter, {tried.settings.steps} steps each, a line after each")
    for number, job in enumerate(distinct, start=1):
        file = folder / job.file
        if not file.is_file():
            began = time.monotonic()
            outcome = _train_and_test(job, tried)
            with new_file(file) as partial:
                partial.write_text(json.dumps(outcome), encoding="utf-8")
            seconds = time.monotonic() - began
            is_first = _set_of(job) in to_make and not job.arm.is_free
            left.finished(seconds, tried.making[_set_of(job)] if is_first else None)
            to_make -= {_set_of(job)} if is_first else set()
            score = float(iou(np.array(list(outcome["scenes"].values())).sum(axis=0)[..., :2]))
            _say(
                f"{number} of {len(distinct)}: {job.arm.name}, {100 * job.fraction:.3g} % of the real tiles, seed {job.seed}: "
                f"IoU {score:.3f} after {seconds:.0f} s; {left}"
            )
        done[job] = json.loads(file.read_text("utf-8"))
    return {job: done[other] for job, other in same.items()}


def _set_of(job: Job) -> tuple[float, int]:
    """What the synthetic images of a job depend on, where they are made anew."""
    return job.fraction, job.seed


def _sets_to_make(jobs: Sequence[Job], folder: Path) -> set[tuple[float, int]]:
    """The sets of images that none of the finished trainings has used."""
    synthetic = [job for job in jobs if not job.arm.is_free]
    return {_set_of(job) for job in synthetic} - {_set_of(job) for job in synthetic if (folder / job.file).is_file()}


def _train_and_test(job: Job, tried: _Tried) -> Outcome:
    began, cpu_began = time.monotonic(), time.process_time()
    settings, store = replace(tried.settings, seed=job.seed), tried.store
    subset = tried.subset(job)
    synthetic = (store, subset) if job.arm.is_free else tried.synthetic(job)
    sample = arm_sample(
        job.arm, (store, subset), synthetic, steps=settings.steps, batch_size=settings.batch_size, crop_px=settings.crop_px,
        seed=job.seed, augmentation=tried.augmentation,
    )  # fmt: skip
    segmenter = tried.train(sample, settings, class_count=store.class_count, device=tried.device)
    images = settings.steps * settings.batch_size
    drawn = synthetic_count(job.arm, images, images)
    return {
        "arm": job.arm.name, "fraction": job.fraction, "seed": job.seed,
        "real_tiles": len(subset) if job.arm.kind != "synthetic" else 0,
        "synthetic_tiles": len(synthetic[1]) if drawn else 0,
        "drawn": {"real": images - drawn, "synthetic": drawn},
        "scenes": held_out_counts(segmenter, store, tried.test_ids),
        "validation": held_out_counts(segmenter, store, tried.val_ids),
        "seconds": time.monotonic() - began, "cpu_seconds": time.process_time() - cpu_began,
    }  # fmt: skip


def held_out_counts(segmenter: Predict, store: TileStore, tile_ids: np.ndarray) -> dict[str, list[list[int]]]:
    """[intersection, union, edge predicted, right, real, found] of each class (of buildings alone for building masks), by scene.

    In pixels; edges as in ``mask_scores``.
    """
    values = [255] if store.class_count is None else list(range(store.class_count))
    counts: dict[str, np.ndarray] = {}
    for begin in range(0, len(tile_ids), _TEST_BATCH):
        some = tile_ids[begin : begin + _TEST_BATCH].tolist()
        images, masks = (np.stack(arrays) for arrays in zip(*map(store.tile, some), strict=True))
        for tile_id, predicted, mask in zip(some, segmenter(images), masks, strict=True):
            found = np.array([_counts(predicted == value, mask == value) for value in values])
            scene = store.rows[tile_id].scene
            counts[scene] = counts.get(scene, 0) + found
    return {scene: array.tolist() for scene, array in counts.items()}


def _counts(predicted: np.ndarray, real: np.ndarray) -> list[int]:
    counted = mask_scores(predicted, real)
    hit, extra, missed, *edges = (int(counted[name]) for name in COUNTS)
    return [hit, hit + extra + missed, *edges]


def _say(line: str) -> None:
    print(line, flush=True)
