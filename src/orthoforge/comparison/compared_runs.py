"""Runs as a comparison needs them: settings, curves, weights and tiles, and what each of them lacks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orthoforge.bands import unseen_bands
from orthoforge.checkpoint_state import Tiles
from orthoforge.checkpoints import classes_of, run_folder
from orthoforge.errors import CheckpointError, ConfigError, DataError, OrthoforgeError
from orthoforge.files import no_folder, real_path
from orthoforge.run_files import ArgsTiles, RunArgs, read_args, read_results
from orthoforge.runs import Run, unfinished
from orthoforge.tiles.manifest import STORE
from orthoforge.tiles.store import TileStore


@dataclass
class ComparedRun:
    """A run that can be compared, at least in its settings or its curves."""

    folder: Path
    label: str
    """Its folder's name, with as much of the path before it as tells the runs apart."""
    settings: dict[str, Any]
    """The fields of its recipe as they were recorded; an old run lacks fields that came later."""
    args: RunArgs | None
    """Its args.yaml; ``None`` where there is none that can be read."""
    results: list[dict[str, float]]
    """Rows of its results.csv, one an epoch."""
    opened: Run | None = None
    """The checkpoint to generate with; ``None`` when there is none that can be read."""
    store: TileStore | None = None
    """Tiles to show and to score; ``None`` when there are none for these weights."""
    remarks: list[str] = field(default_factory=list)
    """What the reader must know: what is missing and why."""

    @property
    def has_pictures(self) -> bool:
        """Whether there are weights and tiles."""
        return self.opened is not None and self.store is not None

    @property
    def tiles(self) -> Tiles | ArgsTiles:
        """What it knows of the tiles that it was trained on."""
        if self.opened is not None:
            return self.opened.state.tiles
        return self.args.tiles if self.args else ArgsTiles()

    @property
    def fingerprint(self) -> str:
        """Of the tiles that it was trained on; empty when unknown."""
        return self.tiles.fingerprint

    @property
    def data(self) -> str:
        """Where its tiles were; empty when unknown."""
        return self.args.data if self.args else ""

    @property
    def init_from(self) -> str | None:
        """Whose weights it began with, as far as is known."""
        return (self.args.init_from if self.args else None) or None

    @property
    def versions(self) -> Mapping[str, object]:
        """What it was trained with and on."""
        return (self.args.versions if self.args else {}) or (self.opened.state.versions if self.opened else {})

    @property
    def trained_on_store(self) -> bool:
        """Whether ``store`` holds the tiles that it was trained on."""
        return self.store is not None and self.store.fingerprint == self.fingerprint

    @property
    def epochs(self) -> tuple[int, int]:
        """Epochs done and planned."""
        done = len(self.results) or (self.opened.state.progress.epoch if self.opened else 0)
        return done, int(self.settings.get("epochs", 0)) + int(self.settings.get("decay_epochs", 0))

    @property
    def images_seen(self) -> list[float]:
        """How many training images had been seen after each epoch."""
        seen, total = [], 0.0
        for row in self.results:
            total += round(row.get("images_per_s", math.nan) * row.get("seconds", math.nan), 3)
            seen.append(total)
        return seen


def read_runs(paths: Sequence[Path], data: Path | None) -> tuple[list[ComparedRun], list[str]]:
    """The runs among ``paths`` (run folders, or checkpoints in them) in their order, and why others are left out.

    ``data`` replaces the place of the tiles that each run remembers: a store for all, or a folder of stores in which each run's own
    is found by its fingerprint. Raises ``DataError`` when ``data`` is neither.
    """
    stores = None if data is None else _stores_at(Path(data))
    found: list[ComparedRun] = []
    left_out: list[str] = []
    known: set[Path] = set()
    for path in (Path(path) for path in paths):
        if real_path(path) in known:
            continue
        known.add(real_path(path))
        try:
            found.append(_read_run(path))
        except OrthoforgeError as error:
            left_out.append(str(error))
    for run, label in zip(found, _labels(found), strict=True):
        run.label = label
    opened: dict[Path, TileStore] = {}
    for run in found:
        if run.opened is not None:
            _find_tiles(run, run.opened.state.tiles, stores, opened, by_fingerprint=data is not None and stores != [Path(data)])
    return found, left_out


def _read_run(path: Path) -> ComparedRun:
    folder, remarks = run_folder(path), []
    args, results, opened = None, [], None
    try:
        args = read_args(folder)
    except ConfigError as error:
        remarks.append(f"`{folder / 'args.yaml'}` cannot be used. {str(error).splitlines()[0]}")
    try:
        results = read_results(folder)
    except CheckpointError as error:
        remarks.append(f"No curves: {error}")
    try:
        opened = Run.open(path)
        opened.generator()  # checks every byte; loaded again, one run at a time, when pictures are made
    except CheckpointError as error:
        if not args and not results:
            raise
        opened = None
        remarks.append(f"No pictures and no scores: {error}")
    recorded = args.recipe if args and args.recipe else opened.state.recipe if opened else {}
    run = ComparedRun(
        folder=folder,
        label=folder.name if folder == real_path(path) else f"{folder.name}/{real_path(path).name}",
        settings=dict(recorded),
        args=args,
        results=results,
        opened=opened,
        remarks=remarks,
    )
    _remark_on_progress(run)
    return run


def _remark_on_progress(run: ComparedRun) -> None:
    done, planned = run.epochs
    rollbacks = run.opened.state.progress.rollbacks if run.opened else 0
    if rollbacks:
        times = "once" if rollbacks == 1 else f"{rollbacks} times"
        run.remarks.append(f"Its losses became NaN or Inf, and it was rolled back {times}.")
    if source := run.init_from:
        run.remarks.append(f"It started from the weights of `{source}`; on what ground those were trained was not looked at.")
    if done < planned:
        run.remarks.append(unfinished(done, planned))


def _labels(found: Sequence[ComparedRun]) -> list[str]:
    """Shortest endings of the paths that differ from one another."""
    labels = [run.label for run in found]
    for depth in range(1, max((len(run.folder.parts) for run in found), default=1)):
        doubled = [i for i, label in enumerate(labels) if labels.count(label) > 1]
        if not doubled:
            break
        for i in doubled:
            before = found[i].folder.parts[:-depth]
            labels[i] = f"{before[-1]}/{labels[i]}" if len(before) > 1 else labels[i]
    return labels


def _stores_at(data: Path) -> list[Path]:
    """``data`` itself, or the stores in it."""
    if not data.is_dir():
        raise DataError(f"{no_folder(data)}. --data is a folder of tiles made by orthoforge prepare, or a folder of several.")
    stores = [data] if (data / STORE).is_file() else sorted(path.parent for path in data.glob(f"*/{STORE}"))
    if not stores:
        raise DataError(f"{data}: holds no tiles (no {STORE}, and none in the folders in it). Make them with orthoforge prepare.")
    return stores


def _find_tiles(
    run: ComparedRun, own_tiles: Tiles, stores: list[Path] | None, opened: dict[Path, TileStore], *, by_fingerprint: bool
) -> None:
    """Set the run's ``store``, or remark why it has none."""
    classes = classes_of(own_tiles)
    if stores is None and not run.data:
        run.remarks.append("No pictures and no scores: it does not say which tiles it was trained on. Name them with `--data`.")
        return
    candidates, problems = [], []
    for path in [Path(run.data)] if stores is None else stores:
        try:
            if path not in opened:
                opened[path] = TileStore.open(path).showing()
            candidates.append(opened[path])
        except DataError as error:
            problems.append(str(error))
    own = next((store for store in candidates if store.fingerprint == run.fingerprint), None)
    store = own or (candidates[0] if candidates and not by_fingerprint else None)
    if store is None:
        way_out = " Name their new place with `--data`." if stores is None else ""
        reason = problems[0] if problems else f"none of the tiles in `--data` ({len(candidates)} stores) are its own."
        run.remarks.append(f"No pictures and no scores: {reason}{way_out}")
    elif store.classes != classes:
        kinds = ["buildings only" if one is None else f"{one.count} classes" for one in (store.classes, classes)]
        run.remarks.append(f"No pictures and no scores: the masks in `{store.path}` hold {kinds[0]}, the run knows {kinds[1]}.")
    elif store.bands != (bands := own_tiles.bands):
        run.remarks.append(f"No pictures and no scores: the images in `{store.path}` have {store.bands} bands, the run's {bands}.")
    else:
        run.store = store
        if unseen := unseen_bands(store.bands, store.looked_at):
            run.remarks.append(unseen)
        if own is None:
            run.remarks.append(f"Shown and scored on `{store.path}`, which are not the tiles that it was trained on.")
