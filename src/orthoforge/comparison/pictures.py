"""What several runs make of the same masks: tiles of the same ground in rows, and whole scenes three ways."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from orthoforge.comparison.compared_runs import ComparedRun
from orthoforge.comparison.mosaics import (
    Draw,
    WholeScene,
    cut_mask,
    drawn_as_tiles,
    drawn_tile_by_tile,
    first_tile,
    held_out_share,
    masks_of_own_tiles,
    scene_layout,
    whole_scene,
)
from orthoforge.comparison.shared_ground import SHOWN_GROUNDS, Ground, GroundGroup, covering_tile, cut_to
from orthoforge.pages import html
from orthoforge.pages.html import Html, Picture
from orthoforge.runs import TileImages, tile_seed
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import TrainedGenerator

# Whole scenes that are shown, by the number of runs: (runs at most, scenes).
_SCENES = ((4, 3), (8, 2), (math.inf, 1))
# All pictures of a part together, so that a page of twenty runs stays below 15 MB: with much detail a pixel takes 0.6 bytes.
_TILE_PIXELS, _SCENE_PIXELS = 13_000_000, 9_000_000
_QUALITY = 82
# A group of runs with ground of its own gets at least so many rows.
_FEWEST_ROWS = 3
_LARGEST_SIDE_PX = 1024
# Fewer pixels than this are shown as squares.
_FEW_PX = 100
WAYS = {
    "one": "in one piece: the whole mask reduced to one tile",
    "four": "2 × 2 tiles side by side, with their seams",
    "own": "tile by tile: each run's own tiles at their own resolution, side by side",
}


@dataclass
class Drawn:
    """What one run made: pixels and a caption, by ground and by (scene, way)."""

    at_ground: dict[Ground, tuple[np.ndarray, str]] = field(default_factory=dict)
    whole: dict[tuple[str, str], tuple[np.ndarray, str]] = field(default_factory=dict)


@dataclass
class PicturePlan:
    """A group of runs that show the same ground, and what is drawn for them."""

    runs: list[ComparedRun]
    group: GroundGroup
    splits: dict[str, str]
    scenes: list[WholeScene]
    drawn: dict[str, Drawn] = field(default_factory=dict)
    """By the run's label."""

    @property
    def finest(self) -> TileStore:
        """The store with the smallest pixels on the ground."""
        return min(self.group.stores, key=lambda store: min(row.window.height / store.size_px for row in store.rows))

    @property
    def ways(self) -> list[str]:
        """Ways to show whole scenes, without 'own' where it would repeat one of the others in all runs."""
        own = [scene_layout(store, scene.name, scene.side_px).shape for store in self.group.stores for scene in self.scenes]
        repeats = all(shape == (1, 1) for shape in own) or all(min(shape) == 2 for shape in own)
        return ["one", "four"] if repeats else list(WAYS)


def plan_pictures(runs: Sequence[ComparedRun], groups: Sequence[GroundGroup], splits: dict[str, str]) -> list[PicturePlan]:
    """One plan for each group of stores, with the whole scenes to show, places in turn and the best held out first."""
    plans = []
    count = next(scenes for most, scenes in _SCENES if len(runs) <= most)
    for group in groups:
        members = [run for run in runs if any(store is run.store for store in group.stores)]
        grounds = _in_turn_of_places(group.grounds, max(_FEWEST_ROWS, SHOWN_GROUNDS // len(groups)))
        plan = PicturePlan(members, GroundGroup(group.stores, grounds), splits, [])
        plan.scenes = _scenes(plan, max(1, count // len(groups)))
        plans.append(plan)
    return plans


def remembering(generator: TrainedGenerator, seed: int) -> Draw:
    """``generator`` with a memory: what would be the same image is drawn once."""
    images = TileImages(generator.showing())
    known: dict[tuple, np.ndarray] = {}

    def draw(mask: np.ndarray, place: str, *, number: int = 0, origin: tuple[int, int] = (0, 0)) -> np.ndarray:
        pixels = hashlib.sha256(repr(mask.shape).encode() + mask.tobytes()).digest()
        key = (pixels, place, number, origin) if generator.is_noisy else (pixels,)
        if key not in known:
            known[key] = images.of_place(place)(mask, seed=tile_seed(seed, number), origin=origin)
        return known[key]

    return draw


def draw_run(run: ComparedRun, draw: Draw, plan: PicturePlan) -> Drawn:
    """Everything that ``plan`` shows of one run, reduced to the size at which the page shows it."""
    assert run.store is not None
    store, drawn = run.store, Drawn()
    for ground in plan.group.grounds:
        tile_id = covering_tile(store, ground)
        assert tile_id is not None
        row = store.rows[tile_id]
        image = cut_to(draw(store.tile(tile_id)[1], row.place, number=tile_id), row, ground)
        gsd = f", {row.gsd_m:.3g} m a pixel" if row.gsd_m else ""
        part = "" if tuple(row.window) == ground.window else f" of a tile of {store.size_px} px"
        drawn.at_ground[ground] = image, f"{image.shape[1]} × {image.shape[0]} px{part}{gsd}"
    for scene in plan.scenes:
        for way in plan.ways:
            drawn.whole[scene.name, way] = _draw_scene(draw, store, scene, way)
    return drawn


def tile_rows(plan: PicturePlan) -> list[Html]:
    """Rows of mask, each run's image and the real image, ground by ground."""
    finest = plan.finest
    rows = []
    side = _side_limit(_TILE_PIXELS, len(plan.group.grounds) * (len(plan.runs) + 1))
    for ground in plan.group.grounds:
        tile_id = covering_tile(finest, ground)
        assert tile_id is not None
        real, mask = finest.tile(tile_id)
        gsd_m = finest.rows[tile_id].gsd_m
        metres = f", {gsd_m * finest.size_px:.0f} m on the ground" if gsd_m else ""
        heading = f"{ground.words}{metres}"
        size = f"{finest.size_px} × {finest.size_px} px"
        pictures = [
            _mask_picture(finest.mask_rgb(mask), size, ground.words, side),
            *(_picture(run.label, plan.drawn[run.label].at_ground[ground], ground.words, side, _FEW_PX) for run in plan.runs),
            _picture("real", (real, size), ground.words, side),
        ]
        rows.append(html.picture_row(pictures, heading=heading, wide=True))
    return rows


def scene_rows(plan: PicturePlan) -> list[Html]:
    """For each whole scene a row for each way: its mask, each run's image and the real image."""
    side = _side_limit(_SCENE_PIXELS, len(plan.scenes) * len(plan.ways) * (len(plan.runs) + 1))
    parts = []
    for scene in plan.scenes:
        parts += [html.subheading(f"{scene.name}, whole"), html.paragraph(_scene_words(plan, scene))]
        for way in plan.ways:
            mask, mask_words = _scene_mask(plan, scene, way)
            where = f"{scene.name} {WAYS[way].split(':')[0]}"
            pictures = [
                _mask_picture(plan.finest.mask_rgb(mask), mask_words, where, side),
                *(_picture(run.label, plan.drawn[run.label].whole[scene.name, way], where, side) for run in plan.runs),
                _picture("real", (scene.image, f"{scene.image.shape[1]} × {scene.image.shape[0]} px"), where, side),
            ]
            parts.append(html.picture_row(pictures, heading=WAYS[way][0].upper() + WAYS[way][1:], wide=True))
    return parts


def _draw_scene(draw: Draw, store: TileStore, scene: WholeScene, way: str) -> tuple[np.ndarray, str]:
    if way == "own":
        image, words = drawn_tile_by_tile(draw, store, scene)
        one = scene_layout(store, scene.name, scene.side_px).shape == (1, 1)
        return _shrunk(image, _LARGEST_SIDE_PX), "its one tile, as above" if one else words
    tiles, number = _masks_at(store, scene, {"one": 1, "four": 2}[way]), first_tile(scene_layout(store, scene.name))
    if way == "one":
        image = draw(np.concatenate([np.concatenate(row, axis=1) for row in tiles], axis=0), scene.place, number=number)
        return _shrunk(image, _LARGEST_SIDE_PX), f"{image.shape[1]} × {image.shape[0]} px"
    image = drawn_as_tiles(draw, tiles, scene.place, number)
    return _shrunk(image, _LARGEST_SIDE_PX), f"{len(tiles)} × {len(tiles[0])} tiles of {store.size_px} px"


def _masks_at(store: TileStore, scene: WholeScene, count: int) -> list[list[np.ndarray]]:
    """Masks of ``count`` tiles along the scene's shorter side: the run's own where it has such, else cut from the finest."""
    return masks_of_own_tiles(store, scene, count) or cut_mask(scene.mask, count, store.size_px, store.classes)


def _scene_mask(plan: PicturePlan, scene: WholeScene, way: str) -> tuple[np.ndarray, str]:
    """The mask that stands before a row: that of the run with the largest tiles."""
    if way == "own":
        return scene.mask, f"{scene.mask.shape[1]} × {scene.mask.shape[0]} px"
    store = max(plan.group.stores, key=lambda store: store.size_px)
    tiles = _masks_at(store, scene, {"one": 1, "four": 2}[way])
    mask = np.concatenate([np.concatenate(row, axis=1) for row in tiles], axis=0)
    return mask, f"{mask.shape[1]} × {mask.shape[0]} px"


def _scene_words(plan: PicturePlan, scene: WholeScene) -> str:
    height, width = scene.side_px
    words = f"{width} × {height} px of the scene, put together from tiles."
    if scene.missing:
        words += f" {scene.missing} tiles were left out when it was prepared: the mask is empty there, the real image grey."
    shares = {}
    for run in plan.runs:
        assert run.store is not None
        shares[run.label] = held_out_share(run.store, scene.name, plan.splits[run.store.fingerprint])
    partly = "; ".join(f"{label} {held} of {total}" for label, (held, total) in shares.items() if held < total)
    if partly:
        words += f" Not all of it is in the split that is shown (tiles: {partly}); the rest was trained on, or lies beside it."
    return words


def _scenes(plan: PicturePlan, count: int) -> list[WholeScene]:
    """Scenes of the grounds, places in turn; those that are held out entirely come first."""
    places = {ground.scene: ground.place for ground in plan.group.grounds}

    def held_out(scene: str) -> float:
        shares = [held_out_share(store, scene, plan.splits[store.fingerprint]) for store in plan.group.stores]
        return min(held / total for held, total in shares)

    found: list[WholeScene] = []
    names = sorted(places, key=held_out, reverse=True)  # stable: among equals the manifest's order
    while names and len(found) < count:
        shown = [places[scene.name] for scene in found]
        name = min(names, key=lambda name: shown.count(places[name]))
        names.remove(name)
        scene = whole_scene(plan.group.stores, name)
        if scene is not None:
            found.append(scene)
    return found


def _in_turn_of_places(grounds: Sequence[Ground], count: int) -> list[Ground]:
    """``count`` of the grounds, as many of each place as possible, in their order."""
    rank: dict[str, int] = {}
    ranked = []
    for position, ground in enumerate(grounds):
        rank[ground.place] = rank.get(ground.place, 0) + 1
        ranked.append((rank[ground.place], position))
    kept = sorted(position for _, position in sorted(ranked)[:count])
    return [grounds[position] for position in kept]


def _mask_picture(pixels: np.ndarray, words: str, where: str, side: int) -> Picture:
    return Picture(_shrunk(pixels, side, exact=True), _caption("mask", words), f"mask, {where} ({words})", lossless=True)


def _picture(label: str, drawn: tuple[np.ndarray, str], where: str, side: int, few_px: int = 0) -> Picture:
    pixels, words = drawn
    return Picture(
        _shrunk(pixels, side),
        _caption(label, words),
        alt=f"{label}, {where} ({words})",
        pixelated=max(pixels.shape[:2]) < few_px,
        quality=_QUALITY,
    )


def _caption(label: str, words: str) -> Html:
    return Html(f"<strong>{html.escape(label)}</strong><br>{html.escape(words)}")


def _side_limit(pixels: int, count: int) -> int:
    """Longest side of each of ``count`` pictures that have ``pixels`` together."""
    return min(_LARGEST_SIDE_PX, round(math.sqrt(pixels / max(1, count))))


def _shrunk(pixels: np.ndarray, side: int, *, exact: bool = False) -> np.ndarray:
    """At most ``side`` pixels high and wide; ``exact`` makes no new colours."""
    longest = max(pixels.shape[:2])
    if longest <= side:
        return pixels
    height, width = (max(1, round(length * side / longest)) for length in pixels.shape[:2])
    kind = Image.Resampling.NEAREST if exact else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), kind))
