"""Trainings of equal length: what the protocol sets in a recipe, and the runs, resumed or skipped as they stand."""

import json
import os
import platform
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orthoforge import run_files
from orthoforge.config import FIELD_NAMES, Recipe, load_recipe, recipe_values
from orthoforge.errors import ConfigError, DivergedError
from orthoforge.files import new_file
from orthoforge.tiles.store import TileStore

RECORD = "protocol.json"
EQUAL_SECONDS = " at equal seconds"
# An epoch ends with a validation and a checkpoint; more epochs waste time on them, fewer make the rate's fall a staircase.
_FEWEST_EPOCHS, _MOST_EPOCHS, _WANTED_EPOCHS = 20, 60, 40
# A recipe this near to the dearest one's time gets no second row.
_AS_DEAR = 0.9


@dataclass(frozen=True)
class Entry:
    """A row of the table: a recipe, what is changed in it, and how many crops it sees."""

    label: str
    recipe: str
    crops: int
    changes: Mapping[str, Any] = field(default_factory=dict)
    ablates: str = ""
    """The label that this is an ablation of."""


@dataclass(frozen=True)
class Budget:
    """``epochs`` of ``crops_per_tile`` crops of each tile."""

    epochs: int
    crops_per_tile: int
    crops: int


def budget(crops: int, tiles: int) -> Budget:
    """The fewest crops, at least ``crops``, that whole epochs over ``tiles`` tiles make; the same for every recipe.

    A run of 20 to 60 epochs, or fewer where ``crops`` is small; of equal numbers that nearest to 40 epochs.
    """
    if crops < 1 or tiles < 1:
        raise ConfigError(f"crops is {crops} and there are {tiles} training tiles; both must be 1 or more.")
    most = min(_MOST_EPOCHS, -(-crops // tiles))
    fewest = min(_FEWEST_EPOCHS, most)
    choices = [(epochs, -(-crops // (epochs * tiles))) for epochs in range(fewest, most + 1)]
    epochs, each = min(choices, key=lambda choice: (choice[0] * choice[1], abs(choice[0] - _WANTED_EPOCHS)))
    return Budget(epochs, each, epochs * each * tiles)


def sized(recipe: Recipe, length: Budget, *, crop_px: int, batch: int | None) -> Recipe:
    """The recipe for a run of ``length``: its own networks, losses and rates, and its schedule spread over these epochs."""
    falling = round(length.epochs * recipe.decay_epochs / recipe.total_epochs)
    every = max(1, round(recipe.step_epochs * length.epochs / recipe.total_epochs))
    return replace(
        recipe, crop_px=crop_px, batch_size=batch or recipe.batch_size, crops_per_tile=length.crops_per_tile, tiles_per_place=0,
        epochs=length.epochs - falling, decay_epochs=falling, step_epochs=every, tiles="", starts_from="",
        checkpoint_every=length.epochs, panels_every=length.epochs,
    )  # fmt: skip


def changes_by_recipe(words: Sequence[str]) -> dict[str, dict[str, str]]:
    """``RECIPE.FIELD=VALUE`` as fields by recipe; ``*`` stands for every recipe. ``ConfigError`` for anything else."""
    found: dict[str, dict[str, str]] = {}
    for word in words:
        match = re.fullmatch(r"([^=]+)\.(\w+)=(.*)", word)
        if not match or match[2] not in FIELD_NAMES:
            raise ConfigError(f"--set {word}: write RECIPE.FIELD=VALUE with a field of the recipe, such as baseline.norm=group.")
        found.setdefault(match[1], {})[match[2]] = match[3]
    return found


def run_folder(out: Path, label: str, seed: int) -> Path:
    """Where a run of the protocol lies."""
    return out / "runs" / f"{re.sub(r'[^A-Za-z0-9.+-]+', '-', label)}-s{seed}"


def entries_of(
    recipes: Sequence[str], crops: int, changes: Mapping[str, Mapping[str, Any]], ablations: Mapping[str, Mapping[str, Any]]
) -> list[Entry]:
    """An entry a recipe, and one for each of ``ablations`` (keys ``RECIPE: NAME``)."""
    for name in changes.keys() - {"*", *recipes}:
        raise ConfigError(f"--set {name}.…: {name} is not among the recipes to train ({', '.join(recipes)}).")
    everywhere = changes.get("*", {})
    entries = [Entry(name, name, crops, {**everywhere, **changes.get(name, {})}) for name in recipes]
    for name, fields in ablations.items():
        base = name.split(": ")[0]
        entries.append(Entry(name, base, crops, {**everywhere, **changes.get(base, {}), **fields}, ablates=base))
    return entries


def train_all(
    out: Path, entries: Sequence[Entry], seeds: Sequence[int], *, crop_px: int, batch: int | None, minutes: float | None
) -> bool:
    """Train what is not finished, seed by seed, and record it. False when time ran out, or someone asked to stop."""
    store = TileStore.open(out / "tiles")
    ends_at = None if minutes is None else time.monotonic() + 60 * minutes
    for seed in seeds:
        for entry in entries:
            length = budget(entry.crops, len(store.ids("train")))
            recipe = load_recipe(entry.recipe, **entry.changes, seed=seed)
            recipe = sized(replace(recipe, name=entry.label), length, crop_px=crop_px, batch=batch)
            if not _train(recipe, entry, length, store, run_folder(out, entry.label, seed), ends_at):
                return False
    return True


def at_equal_seconds(out: Path, entries: Sequence[Entry], seeds: Sequence[int]) -> list[Entry]:
    """For each recipe that took less time than the dearest one: an entry with as many crops as the dearest one's time allows.

    The number is the same for all seeds, from their mean. Raises ``ConfigError`` when a run is not finished.
    """
    entries = [entry for entry in entries if not entry.ablates]
    seconds = {}
    for entry in entries:
        records = [read_record(run_folder(out, entry.label, seed)) for seed in seeds]
        if not all(record.get("finished") for record in records):
            raise ConfigError(
                f"{entry.label} is not finished with all seeds; --same-seconds needs the time that each recipe takes."
            )
        seconds[entry.label] = sum(record["seconds"] for record in records) / len(records)
    dearest = max(seconds.values())
    return [
        replace(entry, label=entry.label + EQUAL_SECONDS, crops=round(entry.crops * dearest / seconds[entry.label]))
        for entry in entries
        if seconds[entry.label] < _AS_DEAR * dearest
    ]


def read_record(run: Path) -> dict[str, Any]:
    """What the protocol recorded of a run; nothing when it has not begun."""
    path = run / RECORD
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def diverged_records(out: Path) -> list[dict[str, Any]]:
    """What was recorded of the runs below ``out`` that ended because they diverged, and so get no scores."""
    records = (read_record(run) for run in sorted((out / "runs").glob("*-s*")))
    return [record for record in records if record.get("diverged") and not record["finished"]]


def hardware() -> dict[str, Any]:
    """What this process computes on."""
    import torch

    info = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.is_file() else None
    return {
        "cpu": model[1].strip() if model else platform.processor() or platform.machine(), "cores": os.cpu_count(),
        "threads": torch.get_num_threads(), "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": str(torch.__version__), "python": platform.python_version(),
    }  # fmt: skip


def _train(recipe: Recipe, entry: Entry, length: Budget, store: TileStore, run: Path, ends_at: float | None) -> bool:
    """One run to its end; False when it was stopped before."""
    from orthoforge.training import train

    _require_same(recipe, run)
    if len(run_files.read_results(run)) >= recipe.total_epochs:
        print(f"{run.name}: finished before", flush=True)
        return True
    minutes = None if ends_at is None else (ends_at - time.monotonic()) / 60
    if minutes is not None and minutes <= 0:
        return False
    print(f"{run.name}: {length.crops} crops in {recipe.total_epochs} epochs", flush=True)
    began, cpu_began, diverged = time.monotonic(), time.process_time(), ""
    try:
        train(recipe, store.path, run, resume=True, minutes=minutes, trackers=())
    except DivergedError as error:
        diverged = str(error)
        print(f"{run.name}: {error}", flush=True)
    rows = run_files.read_results(run)
    finished = len(rows) >= recipe.total_epochs
    # A session that was killed leaves no line; seconds and images/s are the epochs' own, and lack nothing.
    session = {"wall_s": time.monotonic() - began, "cpu_s": time.process_time() - cpu_began, "epochs_done": len(rows)} | hardware()
    seconds = sum(row["seconds"] for row in rows)
    record = {
        "label": entry.label, "recipe": entry.recipe, "changes": dict(entry.changes), "ablates": entry.ablates, "seed": recipe.seed,
        "crops": length.crops, "epochs": recipe.total_epochs, "crop_px": recipe.crop_px, "batch": recipe.batch_size,
        "tiles": store.fingerprint, "finished": finished, "diverged": diverged, "seconds": seconds,
        "images_per_s": length.crops / recipe.total_epochs * len(rows) / max(seconds, 1e-9),
        "sessions": [*read_record(run).get("sessions", []), session],
    }  # fmt: skip
    if run.is_dir():
        with new_file(run / RECORD, overwrite=True) as partial:
            partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return finished or bool(diverged)


def _require_same(recipe: Recipe, run: Path) -> None:
    """``ConfigError`` when the run was begun with other settings, also where a resumption would allow it."""
    if not run_files.read_args(run):
        return
    begun, wanted = (recipe_values(each) for each in (load_recipe(run / "args.yaml"), recipe))
    changed = [f"{name} {begun[name]} → {wanted[name]}" for name in wanted if begun[name] != wanted[name] and name != "precision"]
    if changed:
        raise ConfigError(f"{run} was begun with other settings: {'; '.join(changed)}. Take another --out, or remove the run.")
