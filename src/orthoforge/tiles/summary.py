"""What ``prepare`` did: counts for ``store.json``, and the same in words."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

from rich.console import Console

from orthoforge.geo.areas import place_is_known
from orthoforge.geo.grid import Grid, crs_name
from orthoforge.tiles.cutting import LEAST_DATA, cut_by_gsd
from orthoforge.tiles.scene_tiles import Scene
from orthoforge.tiles.splits import BUFFER, SPLITS, Method
from orthoforge.tiles.store import TileRow

_SHOWN_NAMES = 5
# A side of tiles is a multiple of so many pixels when it is advised: networks halve it several times.
_STEP_PX = 32
# Less than this share of the pixels is not worth another size.
_WORTH_SAVING = 0.05


class SyntheticCounts(TypedDict):
    """Scenes whose image a generator made, and their tiles."""

    scenes: int
    tiles: int


class RareCounts(TypedDict, total=False):
    """Only where there are any: a store without them is the same, to the byte, as before they were known."""

    synthetic: SyntheticCounts
    without_data: int
    partly_without_data: int


class Counts(RareCounts):
    """What ``store.json`` says of how the tiles came about."""

    splits: dict[str, int]
    places: dict[str, dict[str, int]]
    below_min_building: int
    rest_share: float
    too_small: list[str]
    left_out: list[str]
    notes: list[str]


def summarise(
    rows: Sequence[TileRow], scenes: Sequence[Scene], left_out: dict[str, str], split: Method, lacking: tuple[int, int] = (0, 0)
) -> Counts:
    """Counts of tiles by split and place, of what was dropped and why, and remarks on the split.

    ``lacking`` says how many tiles were left out for want of data, and how many that were kept lack some.
    """
    places: dict[str, dict[str, int]] = {}
    for row in rows:
        counts = places.setdefault(row.place, dict.fromkeys((*SPLITS, BUFFER), 0))
        counts[row.split] += 1
    used = [scene for scene in scenes if scene.cut and scene.name not in left_out]
    cuts = [(scene.cut, scene.grid) for scene in used if scene.cut]
    synthetic = [scene.name for scene in used if scene.synthetic]
    pixels = sum(grid.height * grid.width for _, grid in cuts)
    rest = sum(cut.rest(grid) * grid.height * grid.width for cut, grid in cuts)
    rare: RareCounts = {}
    if synthetic:
        rare["synthetic"] = {"scenes": len(synthetic), "tiles": sum(row.synthetic for row in rows)}
    empty, partly = lacking
    if empty:
        rare["without_data"] = empty
    if partly:
        rare["partly_without_data"] = partly
    return {
        **rare,
        "splits": {split: sum(counts[split] for counts in places.values()) for split in (*SPLITS, BUFFER)},
        "places": places,
        "below_min_building": sum(cut.rows * cut.cols for cut, _ in cuts) - len(rows) - empty,
        "rest_share": round(rest / pixels, 6),
        "too_small": [scene.name for scene in scenes if scene.cut is None],
        "left_out": sorted(left_out),
        "notes": _notes(rows, split) + _leaks(rows, used),
    }


class Smaller(NamedTuple):
    """A smaller side of tiles, and the share of the pixels of all scenes that it leaves out."""

    size_px: int
    rest_share: float


def smaller_tiles(scenes: Sequence[Scene], gsd_m: float | None, size_px: int, rest_share: float) -> Smaller | None:
    """The largest smaller side of tiles that leaves out at most half of ``rest_share``; ``None`` without one, or a ``gsd_m``."""
    grids = [(scene.name, scene.grid) for scene in scenes]
    pixels = sum(grid.height * grid.width for _, grid in grids)
    if gsd_m is None or rest_share < _WORTH_SAVING:
        return None
    for side in range((size_px - 1) // _STEP_PX * _STEP_PX, size_px // 2, -_STEP_PX):
        cuts = [(cut_by_gsd(name, grid, gsd_m, side), grid) for name, grid in grids]
        rest = sum((cut.rest(grid) if cut else 1.0) * grid.height * grid.width for cut, grid in cuts) / pixels
        if rest <= rest_share / 2:
            return Smaller(side, rest)
    return None


def show(
    tiles: Path,
    counts: Counts,
    left_out: dict[str, str],
    *,
    reused: int,
    seconds: float,
    size_px: int,
    smaller: Smaller | None = None,
) -> None:
    """Print the counts: one line for the whole, one for each place, and what was left out.

    ``smaller`` is what tiles smaller than ``size_px`` would leave out.
    """
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"{tiles}: {_of(counts['splits'])} in {seconds:.1f} s")
    for place, splits in counts["places"].items() if len(counts["places"]) > 1 else ():
        console.print(f"  {place}: {_of(splits)}")
    if "synthetic" in counts:
        told = counts["synthetic"]
        console.print(f"  {told['tiles']} tiles of {_scenes(told['scenes'])} are synthetic; all of them train")
    if reused:
        console.print(f"  {_scenes(reused)} kept from an earlier run")
    if counts["rest_share"]:
        share, of_smaller = (f"{100 * one:.2g} %" for one in (counts["rest_share"], smaller.rest_share if smaller else 0))
        console.print(f"  {share} of the pixels are left out: at the right and bottom of scenes no whole tile of {size_px} px fits")
        if smaller:
            console.print(f"    --size {smaller.size_px} would leave out {of_smaller}")
    if counts["below_min_building"]:
        console.print(f"  {counts['below_min_building']} tiles left out for their small share of building")
    if empty := counts.get("without_data"):
        console.print(f"  {_tiles(empty)} left out because the image has data on less than {100 * LEAST_DATA:g} % of their ground")
    if partly := counts.get("partly_without_data"):
        console.print(f"  {_tiles(partly)} kept whose image lacks data on a part of their ground")
    if counts["too_small"]:
        console.print(f"  {_scenes(len(counts['too_small']))} skipped, smaller than one tile: {_some(counts['too_small'])}")
        console.print("    a smaller --size takes them")
    if left_out:
        console.print(f"  {len(left_out)} left out because they cannot be used:")
        subjects: dict[str, list[str]] = {}
        for name in sorted(left_out):
            subject, _, reason = left_out[name].partition(": ")
            subjects.setdefault(reason, []).append(subject)
        for reason, names in subjects.items():
            console.print(f"    {', '.join(names)}: {reason}")
    for note in counts["notes"]:
        console.print(f"  note: {note}")


def _notes(rows: Sequence[TileRow], method: str) -> list[str]:
    """What a user should know before trusting a score on these splits."""
    notes = []
    real = [row for row in rows if not row.synthetic]
    if method == "random":
        notes.append("--split random puts neighbours into different splits: scores on val and test measure memory, too.")
    if method == "blocks":
        unplaced = len({row.scene for row in real if row.grid.crs is None})
        if unplaced:
            notes.append(
                f"{_scenes(unplaced)} without CRS: whether they touch one another cannot be known, so each is split on its own."
            )
        one_each = {row.scene: row.grid for row in real if row.grid.crs}
        lost = _without_known_place(list(one_each.values()))
        if lost:
            notes.append(
                f"scenes in a CRS without a known place on Earth are taken not to touch those in another one ({_some(lost)})."
            )
    empty = [split for split in SPLITS if not any(row.split == split for row in rows)]
    if empty and not (method == "inria" and empty == ["test"]):
        notes.append(f"no tile is in {' or '.join(empty)}: too few scenes or tiles for --split {method}.")
    return notes


def _without_known_place(grids: Sequence[Grid]) -> list[str]:
    """The names of CRSs that some grids have no known place in, where grids are in several CRSs."""
    if len({crs_name(crs) for crs in {grid.crs for grid in grids}}) < 2:
        return []
    return sorted({crs_name(grid.crs) for grid in grids if not place_is_known(grid.bounds, grid.crs)})


def _leaks(rows: Sequence[TileRow], scenes: Sequence[Scene]) -> list[str]:
    """A note where synthetic scenes were made from masks that this split holds back."""
    held_back = {row.scene for row in rows if row.split in SPLITS[1:]} - {row.scene for row in rows if row.split == SPLITS[0]}
    leaking = [scene.name for scene in scenes if scene.synthetic and held_back.intersection(scene.made_from)]
    if not leaking:
        return []
    return [
        f"{len(leaking)} synthetic scene{'s were' if len(leaking) > 1 else ' was'} made from masks of scenes that are in val or "
        f"test here ({_some(leaking)}): scores would be too good. Use the --split that the run was trained with."
    ]


def _of(splits: dict[str, int]) -> str:
    kept = [f"{splits[split]} {split}" for split in SPLITS]
    dropped = f", {splits[BUFFER]} dropped between them" if splits[BUFFER] else ""
    return f"{sum(splits.values())} tiles ({', '.join(kept)}{dropped})"


def _scenes(count: int) -> str:
    return f"{count} scene{'s' * (count != 1)}"


def _tiles(count: int) -> str:
    return f"{count} tile{'s' * (count != 1)}"


def _some(names: Sequence[str], shown: int = _SHOWN_NAMES) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
