"""The ground that a run was trained on: the only one whose masks may give new pairs.

Where tiles are at hand, those of the run or those that ``--tiles`` names, their manifest says which windows of which scenes train.
Where they are not, a rule by the scene's number may say it. A scene of which nothing is known is no source.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from orthoforge.errors import ConfigError, DataError
from orthoforge.geo.cog import write_raster
from orthoforge.geo.grid import Grid, Window, require_north_up
from orthoforge.geo.rasters import open_raster, read_tags
from orthoforge.growing.records import Rule, SceneOrigin
from orthoforge.growing.scale import Scale
from orthoforge.masks.reader import MaskReader
from orthoforge.scenes.sources import Pair, number_of
from orthoforge.tiles.manifest import TileRow
from orthoforge.tiles.splits import Site, assign_splits
from orthoforge.tiles.store import TileStore

# The building share of a window may differ by so much from the manifest's: rounding, and no more.
_SAME_SHARE = 1e-6


@dataclass(frozen=True)
class Source:
    """A real training mask: a scene's (``window`` is ``None``), or the part of it that trains, cut out to ``path``."""

    scene: str
    place: str
    path: Path
    window: Window | None
    pixels: int
    scale: Scale

    @property
    def origin(self) -> SceneOrigin:
        """Where it comes from, as plain values."""
        return {"scene": self.scene, "window": list(self.window) if self.window else None}


@dataclass(frozen=True)
class Ground:
    """Training masks by place, how many real pairs of each place train, and the pairs that must not be a source."""

    sources: Mapping[str, tuple[Source, ...]]
    training: Mapping[str, int]
    held_back: tuple[Pair, ...]
    real_pairs: Mapping[str, int]

    def scale_of(self, place: str) -> Scale:
        """The scale that most training masks of the place have; of all of them where the place is unknown."""
        some = self.sources.get(place) or [source for sources in self.sources.values() for source in sources]
        return Counter(source.scale for source in some).most_common(1)[0][0]


def training_ground(
    data: Path, pairs: Sequence[Pair], store: TileStore | None, rule: Rule | None, reader: MaskReader, cuts: Path, seed: int
) -> Ground:
    """Which masks of ``pairs`` train. Parts of scenes are cut out to the folder ``cuts``.

    By the manifest of ``store``, by ``rule``, or, with both, by what both call training. Raises ``ConfigError`` when neither is
    there, ``DataError`` when no scene trains, or a scene is not the one that the tiles were cut from.
    """
    if store is None and rule is None:
        raise ConfigError(
            f"{data}: which of its scenes train cannot be told, because the run's tiles are not there any more, or were cut anew. "
            "Put them back where the run's args.yaml says, or pass --split digits or inria if the run was trained by one."
        )
    real = [pair for pair in pairs if read_tags(pair.image).get("SYNTHETIC") != "YES"]
    by_rule = _trained_by_rule(real, rule)
    rows: dict[str, list[TileRow]] = defaultdict(list)
    for row in store.rows if store else ():
        rows[row.scene].append(row)
    found: dict[str, list[list[Source]]] = defaultdict(list)
    held_back = []
    for pair in real:
        sources: list[Source] = []
        if pair.name in by_rule:
            sources = _whole(pair, reader, cuts) if store is None else _of_tiles(pair, rows.get(pair.name, ()), store, reader, cuts)
        if sources:
            found[pair.place_key].append(sources)
        if not sources or sources[0].window:
            held_back.append(pair)
    if not found:
        raise DataError(_nothing_trains(data, store, rule, rows, real))
    ordered = {}
    for place, scenes in found.items():
        random.Random(f"{seed} {place}").shuffle(scenes)
        ordered[place] = tuple(_by_rank(scenes))
    training = {place: len(scenes) for place, scenes in found.items()}
    return Ground(ordered, training, tuple(held_back), Counter(pair.place_key for pair in real))


def largest_rectangles(cells: np.ndarray) -> Iterator[tuple[int, int, int, int]]:
    """Rectangles (row, col, rows, cols) that cover the true cells (R, C), each once: the largest, that of the rest, and so on."""
    left = cells.copy()
    while left.any():
        best = (0, 0, 0, 0)
        heights = np.zeros(left.shape[1], int)
        for row in range(left.shape[0]):
            heights = np.where(left[row], heights + 1, 0)
            for col in range(left.shape[1]):
                lowest = heights[col]
                for first in range(col, -1, -1):
                    lowest = min(lowest, heights[first])
                    if not lowest:
                        break
                    if lowest * (col - first + 1) > best[2] * best[3]:
                        best = (int(row - lowest + 1), first, int(lowest), col - first + 1)
        yield best
        left[best[0] : best[0] + best[2], best[1] : best[1] + best[3]] = False


def _trained_by_rule(pairs: Sequence[Pair], rule: Rule | None) -> set[str]:
    if rule is None:
        return {pair.name for pair in pairs}
    nowhere = (0.0, 0.0, 1.0, 1.0)  # the rules look at names alone
    numbered = [pair for pair in pairs if number_of(pair.name) is not None]
    splits = assign_splits([Site(pair.name, pair.place, pair.name, nowhere, nowhere) for pair in numbered], rule)
    return {pair.name for pair, split in zip(numbered, splits, strict=True) if split == "train"}


def _whole(pair: Pair, reader: MaskReader, cuts: Path, scale: Scale | None = None) -> list[Source]:
    """The scene's mask, of classes that are coded in another way than the run's a copy."""
    grid, path = reader.grid(pair.mask), pair.mask
    require_north_up(path, grid)
    if reader.coding:
        path = cuts / f"{pair.name}.tif"
        if not path.exists():
            pixels, valid = reader.read(pair.mask)
            write_raster(path, pixels, grid, valid=valid)
    scale = scale or Scale(1.0, grid.gsd_m())
    return [Source(pair.name, pair.place_key, path, None, grid.height * grid.width, scale)]


def _of_tiles(pair: Pair, rows: Sequence[TileRow], store: TileStore, reader: MaskReader, cuts: Path) -> list[Source]:
    """The scene, when all its tiles train; else the rectangles of those that do, largest first."""
    training = [row for row in rows if row.split == "train"]
    if not training:
        return []
    with open_raster(pair.image) as image, open_raster(pair.mask) as mask:
        require_north_up(pair.mask, mask.grid)
        grid = reader.pixel_sizes.applied(mask.grid if image.grid.crs is None else image.grid, pair.mask)
        _require_the_same(pair, training, grid, store, reader)
    gsds = [row.gsd_m for row in training if row.gsd_m is not None]
    window = training[0].window
    scale = Scale((window.height + window.width) / 2 / store.size_px, float(np.mean(gsds)) if len(gsds) == len(training) else None)
    if len(training) == len(rows):
        return _whole(pair, reader, cuts, scale)
    cells = np.zeros((grid.height // window.height, grid.width // window.width), bool)
    for row in training:
        cells[row.window.row // window.height, row.window.col // window.width] = True
    sources = []
    for first_row, first_col, high, wide in largest_rectangles(cells):
        part = Window(first_row * window.height, first_col * window.width, high * window.height, wide * window.width)
        path = cuts / f"{pair.name}_{part.row}_{part.col}.tif"
        if not path.exists():
            pixels, valid = reader.read(pair.mask, part)
            # Without a place on Earth a shifted transform would only look like a mirrored one.
            part_grid = grid.window(part) if grid.is_north_up else replace(grid, height=part.height, width=part.width)
            write_raster(path, pixels, part_grid, valid=valid)
        sources.append(Source(pair.name, pair.place_key, path, part, part.height * part.width, scale))
    return sources


def _require_the_same(pair: Pair, rows: Sequence[TileRow], grid: Grid, store: TileStore, reader: MaskReader) -> None:
    """Raise ``DataError`` when the tiles were cut from another scene of this name."""
    row = max(rows, key=lambda row: min(row.building_share, 1 - row.building_share))  # the one that tells most
    window = row.window
    inside = window.row + window.height <= grid.height and window.col + window.width <= grid.width
    if inside and grid.window(window).resized(store.size_px, store.size_px) == row.grid:
        share = reader.building_share(pair.mask, window)
        if share is None or abs(share - row.building_share) <= _SAME_SHARE:
            return
    raise DataError(
        f"{pair.name}: {pair.mask} is not the mask that the tiles {store.path} were cut from, so whether its ground trains cannot "
        "be told. Grow the data set that those tiles were cut from."
    )


def _by_rank(scenes: Sequence[Sequence[Source]]) -> Iterator[Source]:
    """The largest part of every scene, then the second of every scene, and so on."""
    for rank in range(max(map(len, scenes))):
        for sources in scenes:
            if rank < len(sources):
                yield sources[rank]


def _nothing_trains(
    data: Path, store: TileStore | None, rule: Rule | None, rows: Mapping[str, Sequence[TileRow]], real: Sequence[Pair]
) -> str:
    if not real:
        return f"{data}: all of its pairs are synthetic; new ones are made from real masks only. Name the data set they came from."
    if store is not None and not any(pair.name in rows for pair in real):
        return (
            f"{data}: none of its scenes is among those of the tiles {store.path}, so which of them train is unknown. Name the "
            "data set that those tiles were cut from."
        )
    return f"{data}: none of its scenes trains{f' by the rule of {rule}' if rule else ''}, so there is no mask that may be used."
