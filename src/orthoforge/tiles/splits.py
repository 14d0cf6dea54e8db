"""Train, validation and test by place. Pure functions on descriptions of tiles; opens no file.

Neighbouring tiles are nearly the same picture, so a test tile beside a training tile measures memory. ``blocks`` keeps them
apart: tiles of different splits never touch, and what lies between them is dropped as ``buffer``.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from orthoforge.errors import DataError
from orthoforge.geo.areas import Areas, Box, Space, meetings, on_one_plane
from orthoforge.scenes.sources import number_of

Method = Literal["digits", "inria", "blocks", "random"]
SPLITS = ("train", "val", "test")
BUFFER = "buffer"
# Images that a generator made may teach. A score on them would measure the generator.
SYNTHETIC_SPLIT = "train"
_TARGET = np.array([0.70, 0.15, 0.15])
# Tiles closer than this share of a tile count as touching: coordinates are rounded, and a gap of a few pixels hides nothing.
NEAR = 0.02
# Inria's authors keep the first five scenes of each city for validation.
_INRIA_VAL = range(1, 6)
# Validation or test may miss its share by this part of it at no cost: to drop tiles for a rounder ratio would be a waste.
_FREE_MISS = 0.15
# Beyond that, a split twice as large as meant weighs as much as 20 % of the tiles dropped.
_MISS_COST = 0.20
_EMPTY_COST = 1.0
# Blocks tried per corner: widths. More of them find nothing better on real layouts.
_WIDTHS = 8


@dataclass(frozen=True)
class Site:
    """Where a tile lies: its scene, the place that belongs to, and both boxes (left, bottom, right, top).

    Both are in ``space``: a CRS, or the name of the scene where that is unknown.
    """

    scene: str
    place: str
    space: Space
    box: Box
    scene_box: Box


@dataclass(frozen=True)
class _Group:
    """Tiles whose scenes touch; ``tiles`` are indices into the sites."""

    place: str
    tiles: np.ndarray
    boxes: np.ndarray  # (n, 4), on one plane
    pairs: np.ndarray  # (2, n) positions in ``tiles`` of tiles that touch


def assign_splits(sites: Sequence[Site], method: Method, seed: int = 0) -> list[str]:
    """The split of each site: 'train', 'val', 'test', or 'buffer' for a tile that is dropped between two of them.

    ``digits`` and ``inria`` go by the scene's number, ``random`` by tile, ``blocks`` by place, without contact between splits.
    Raises ``DataError`` naming a scene without a number where one is needed.
    """
    if method in ("digits", "inria"):
        require_numbers([site.scene for site in sites], method)
        return [_by_number(site, method) for site in sites]
    if not sites:
        return []
    if method == "random":
        return _at_random(len(sites), seed)
    return _by_blocks(sites, seed)


def require_numbers(scenes: Sequence[str], method: Method) -> None:
    """Raise ``DataError`` naming a scene without a number when ``method`` goes by numbers."""
    nameless = [scene for scene in scenes if number_of(scene) is None]
    if nameless and method in ("digits", "inria"):
        raise DataError(
            f"{nameless[0]}: has no number in its name, and --split {method} goes by the scene's number. Use --split blocks."
        )


def _by_number(site: Site, method: Method) -> str:
    number = number_of(site.scene)
    assert number is not None
    if method == "inria":
        return "val" if number in _INRIA_VAL else "train"
    return (("train",) * 7 + ("val",) * 2 + ("test",))[number % 10]


def _at_random(count: int, seed: int) -> list[str]:
    first_val, first_test = round(_TARGET[0] * count), round((_TARGET[0] + _TARGET[1]) * count)
    labels = ["train"] * first_val + ["val"] * (first_test - first_val) + ["test"] * (count - first_test)
    random.Random(seed).shuffle(labels)
    return labels


def _by_blocks(sites: Sequence[Site], seed: int) -> list[str]:
    """Place by place, so that every place that can has all three splits. The rest goes whole where it evens out the ratio."""
    labels = np.full(len(sites), -1)
    places: dict[str, list[_Group]] = defaultdict(list)
    for group in _groups(sites):
        places[group.place].append(group)
    left_over: list[_Group] = []
    for place, groups in sorted(places.items()):
        plan = _split_place(groups, f"{seed} {place}")
        if plan is None:
            left_over += groups
        else:
            for group, split in zip(groups, plan, strict=True):
                labels[group.tiles] = split
    counts = np.bincount(labels[labels >= 0], minlength=4)[:3]
    for group, whole in zip(left_over, _whole(left_over, counts, f"{seed}"), strict=True):
        labels[group.tiles] = whole
    return [(*SPLITS, BUFFER)[label] for label in labels]


def _groups(sites: Sequence[Site]) -> list[_Group]:
    """Scenes that touch one another, directly or by others between them, in the order of their first tiles."""
    first_tile: dict[str, int] = {}
    for tile, site in enumerate(sites):
        first_tile.setdefault(site.scene, tile)
    scenes = list(first_tile)
    boxes = [sites[index].scene_box for index in first_tile.values()]
    spaces = [sites[index].space for index in first_tile.values()]
    # A scene is as near to another as a tile is: the tile's size sets the scale.
    tile_boxes = [sites[index].box for index in first_tile.values()]
    root = list(range(len(scenes)))

    def root_of(scene: int) -> int:
        while root[scene] != scene:
            scene = root[scene] = root[root[scene]]
        return scene

    for a, b in touching(boxes, spaces, tile_boxes).T.tolist():
        root[max(root_of(a), root_of(b))] = min(root_of(a), root_of(b))
    group_of = {scene: root_of(position) for position, scene in enumerate(scenes)}
    members: dict[int, list[int]] = defaultdict(list)
    for tile, site in enumerate(sites):
        members[group_of[site.scene]].append(tile)
    groups = []
    for tiles in members.values():
        place = Counter(sites[index].place for index in tiles).most_common(1)[0][0]
        tile_boxes = [sites[index].box for index in tiles]
        tile_spaces = [sites[index].space for index in tiles]
        plane = on_one_plane(tile_boxes, tile_spaces)
        groups.append(_Group(place, np.array(tiles), plane, touching(tile_boxes, tile_spaces)))
    return groups


def touching(boxes: Sequence[Box], spaces: Sequence[Space], scale: Sequence[Box] | None = None) -> np.ndarray:
    """Pairs of positions (2, n), each both ways, of boxes that share an edge, a corner or area, or nearly do."""
    areas = Areas.of_boxes(boxes, spaces, NEAR / 2, scale)
    pairs = meetings(areas, areas)
    return pairs[:, pairs[0] != pairs[1]]


def _split_place(groups: list[_Group], seed: str) -> list[np.ndarray] | None:
    """Splits (0, 1, 2, or 3 for buffer) of the tiles of each group; ``None`` when the place cannot have all three.

    Groups go whole where they can, which drops nothing; the largest are cut when that gives a better ratio for it.
    """
    by_size = sorted(range(len(groups)), key=lambda index: -len(groups[index].tiles))
    best, best_cost = None, _EMPTY_COST
    cuts: dict[int, np.ndarray] = {}
    for cut_count in range(min(len(groups), _WIDTHS) + 1):
        if cut_count:
            index = by_size[cut_count - 1]
            cut = _cut(groups[index], f"{seed} {index}")
            if cut is None:
                break  # smaller groups cannot be cut either
            cuts[index] = cut
        counts = np.bincount(np.concatenate([np.empty(0, int), *cuts.values()]).astype(int), minlength=4)
        rest = [index for index in range(len(groups)) if index not in cuts]
        whole = dict(zip(rest, _whole([groups[index] for index in rest], counts[:3], seed), strict=True))
        plan = [cuts.get(i, np.full(len(group.tiles), whole.get(i, 0))) for i, group in enumerate(groups)]
        _, val, test, dropped = np.bincount(np.concatenate(plan), minlength=4)
        cost = float(_cost(val, test, dropped, sum(map(len, plan))))
        if cost < best_cost:
            best, best_cost = plan, cost
    return best


def _whole(groups: list[_Group], counts: np.ndarray, seed: str) -> list[int]:
    """One split for each group, largest first to the split that lacks most; ``counts`` are the tiles that the splits have."""
    order = list(range(len(groups)))
    random.Random(seed).shuffle(order)
    order.sort(key=lambda index: -len(groups[index].tiles))
    counts = counts.astype(float)
    wanted = _TARGET * (counts.sum() + sum(len(group.tiles) for group in groups))
    chosen = [0] * len(groups)
    for index in order:
        chosen[index] = int((wanted - counts).argmax())
        counts[chosen[index]] += len(groups[index].tiles)
    return chosen


def _cost(val: np.ndarray, test: np.ndarray, dropped: np.ndarray, total: int) -> np.ndarray:
    """What a division costs: the share that it drops, and how far validation and test are from their share of what is kept."""
    kept = np.maximum(total - dropped, 1)
    misses = (np.abs(part / kept / target - 1) for part, target in ((val, _TARGET[1]), (test, _TARGET[2])))
    miss = sum(np.maximum(part - _FREE_MISS, 0) for part in misses)
    empty = (val <= 0) | (test <= 0) | (kept - val - test <= 0)
    return dropped / total + _MISS_COST * miss + _EMPTY_COST * empty


def _cut(group: _Group, seed: str) -> np.ndarray | None:
    """Splits of a group's tiles: two blocks in its corners or along its sides for validation and test, the rest for training.

    Of all pairs of blocks the one that costs least; ``None`` when every pair leaves a split empty.
    """
    blocks = _blocks(group.boxes)
    closed = blocks.copy()  # the block and what touches it
    for block, grown in zip(blocks, closed, strict=True):
        grown[group.pairs[1, block[group.pairs[0]]]] = True
    # All pairs at once: entry (a, b) counts tiles of block a (validation) and block b (test).
    a, b = blocks.astype(np.float32), closed.astype(np.float32)
    total = len(group.tiles)
    val = a.sum(1)[:, None] - a @ b.T  # validation tiles beside test tiles are dropped
    test = np.broadcast_to(a.sum(1), val.shape)
    train = total - b.sum(1)[:, None] - b.sum(1) + b @ b.T
    cost = _cost(val, test, total - train - val - test, total) + _EMPTY_COST * (a @ a.T > 0)
    if cost.min() >= _EMPTY_COST:
        return None
    candidates = np.argwhere(cost <= cost.min() + 1e-6)
    first, second = candidates[random.Random(seed).randrange(len(candidates))]
    labels = np.where(closed[first] | closed[second], 3, 0)
    labels[blocks[first] & ~closed[second]] = 1
    labels[blocks[second]] = 2
    return _without_needless_buffer(labels, group.pairs)


def _blocks(boxes: np.ndarray) -> np.ndarray:
    """Blocks of about the wanted share of tiles, wide or tall, from each corner of the group's extent: (blocks, n) bool."""
    size = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]).min()
    x, y = (np.round((boxes[:, [i, i + 2]].mean(1) - boxes[:, i].min()) * 2 / size) for i in (0, 1))  # in half tiles
    wanted = _TARGET[1] * len(boxes)
    blocks = []
    for across, along in ((u, v) for u in (x, -x) for v in (y, -y)):
        levels = np.unique(across)
        for limit in levels[np.unique(np.linspace(0, len(levels) - 1, _WIDTHS).astype(int))]:
            inside = across <= limit
            depths, counts = np.unique(along[inside], return_counts=True)
            reached = int(np.searchsorted(counts.cumsum(), wanted))
            blocks += [inside & (along <= depth) for depth in depths[max(0, reached - 1) : reached + 1]]
    return np.unique(np.array(blocks), axis=0)


def _without_needless_buffer(labels: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Give dropped tiles back to the one split that they touch; those that stay dropped touch two."""
    order = np.argsort(pairs[0], kind="stable")
    starts = np.searchsorted(pairs[0, order], np.arange(len(labels) + 1))
    for tile in np.flatnonzero(labels == 3):
        beside = set(labels[pairs[1, order[starts[tile] : starts[tile + 1]]]].tolist()) - {3}
        if len(beside) < 2:
            labels[tile] = beside.pop() if beside else 0
    return labels
