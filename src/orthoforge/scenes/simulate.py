"""Simulated scenes: rendered towns with exact building masks, in the layout of the Inria data set.

A scene is what a camera straight above a town would record: roofs, gardens, streets, cars and trees in sunlight, with
cast shadows. Its mask comes from the same footprints as its roofs, so image and label agree to the pixel.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import shapely
from affine import Affine
from rasterio.crs import CRS

from orthoforge.errors import ConfigError
from orthoforge.geo.cog import write_geotiff
from orthoforge.geo.grid import Grid
from orthoforge.masks.layer_mask import load_layers
from orthoforge.masks.layer_style import load_style
from orthoforge.masks.palette import PALETTE, write_palette
from orthoforge.scenes.town.map_features import map_features
from orthoforge.scenes.town.model import Palette, Place, Roof
from orthoforge.scenes.town.plan import plan_town
from orthoforge.scenes.town.render import render_town
from orthoforge.vectors import rasterize_footprints, write_footprints, write_map

__all__ = ["PLACES", "Place", "SimulatedScene", "render_scene", "simulate", "simulate_maps"]

SMALLEST_PX = 16
GSD_RANGE_M = (0.05, 5.0)  # finer than roof tiles, or coarser than houses, there is nothing to draw
SMALLEST_FOOTPRINT_M2 = 1e-3  # the scene's edge may touch a building without showing any of it
SCENES_A_ROW = 6

_ARDEN = Place(
    name="arden",  # a leafy suburb, grey shingles
    epsg=32618,
    origin_m=(612_000.0, 4_586_000.0),
    sun_azimuth_deg=148.0,
    sun_elevation_deg=47.0,
    land_use=(("forest", 0.04), ("park", 0.05), ("houses", 0.79), ("terraces", 0.05), ("shops", 0.07)),
    block_m=(70.0, 170.0),
    bend=0.24,
    street_m=(7.2, 11.5),
    sidewalk_m=2.4,
    lot_m=(17.0, 25.0),
    house_m=(15.0, 9.5),
    setback_m=7.5,
    storeys=(1, 2),
    density=0.92,
    roofs=(
        Roof("gable", "shingle", "#6f6d6a", 3),
        Roof("hip", "shingle", "#5d5a58", 3),
        Roof("gable", "shingle", "#85796b", 2),
        Roof("hip", "shingle", "#77604f", 1.5),
        Roof("gable", "shingle", "#4a4c50", 2),
        Roof("hip", "shingle", "#9a948b", 1),
        Roof("gable", "metal", "#b9c0c4", 0.5),
    ),
    hall_roofs=(Roof("flat", "membrane", "#b4b2ac", 2), Roof("flat", "membrane", "#6d6c6a"), Roof("gable", "metal", "#9aa3a6")),
    pitch_deg=(22.0, 34.0),
    palette=Palette(
        grass="#66763f", dry="#93885c", soil="#85705a", asphalt="#757370", paving="#b3ada2", gravel="#9c9283",
        shore="#8a8062", water="#3c4a45", crops=("#7f7a4c",), trees=("#5a6b3e", "#647744", "#4d613a", "#787f50", "#6b7148"),
    ),
    lawn_dryness=0.32,
    trees_per_ha=145.0,
    species=(("broadleaf", 0.8), ("bare", 0.13), ("conifer", 0.07)),
    pool_share=0.14,
    paved_lots=0.04,
    cars=0.12,
    water="river",
    water_share=0.3,
)  # fmt: skip

_SALVORA = Place(
    name="salvora",  # arid, pale flat roofs and pools
    epsg=32611,
    origin_m=(655_000.0, 3_712_000.0),
    sun_azimuth_deg=122.0,
    sun_elevation_deg=57.0,
    land_use=(("park", 0.06), ("houses", 0.66), ("terraces", 0.1), ("slabs", 0.07), ("shops", 0.11)),
    block_m=(62.0, 150.0),
    bend=0.1,
    street_m=(9.0, 17.0),
    sidewalk_m=2.2,
    lot_m=(15.0, 21.0),
    house_m=(13.0, 11.5),
    setback_m=5.5,
    storeys=(1, 2),
    density=0.95,
    roofs=(
        Roof("flat", "membrane", "#ddd5c5", 4),
        Roof("flat", "membrane", "#ece8de", 3),
        Roof("flat", "membrane", "#c9b595", 2.5),
        Roof("flat", "membrane", "#b7aa9a", 1.5),
        Roof("hip", "tile", "#b9805c", 2.2),
        Roof("hip", "tile", "#c79a74", 1.2),
    ),
    hall_roofs=(Roof("flat", "membrane", "#e4e1d8", 3), Roof("flat", "membrane", "#c5bba8", 1)),
    pitch_deg=(14.0, 22.0),
    palette=Palette(
        grass="#6f7d45", dry="#b49a72", soil="#bd9f78", asphalt="#8a8681", paving="#cdc2ad", gravel="#c3a983",
        shore="#c6ab80", water="#5b6f68", crops=("#a99a63",), trees=("#5a6a3a", "#6a7546", "#4d6036", "#75804f"),
    ),
    lawn_dryness=0.86,
    trees_per_ha=34.0,
    species=(("broadleaf", 0.55), ("palm", 0.4), ("conifer", 0.05)),
    pool_share=0.42,
    paved_lots=0.5,
    cars=0.14,
    haze=0.05,
)  # fmt: skip

_BRENNAU = Place(
    name="brennau",  # central Europe: perimeter blocks, red roofs
    epsg=32633,
    origin_m=(461_000.0, 5_408_000.0),
    sun_azimuth_deg=201.0,
    sun_elevation_deg=49.0,
    land_use=(("park", 0.05), ("terraces", 0.06), ("slabs", 0.07), ("centre", 0.78), ("shops", 0.04)),
    block_m=(74.0, 118.0),
    bend=0.13,
    street_m=(9.5, 17.0),
    sidewalk_m=3.2,
    lot_m=(13.0, 21.0),
    house_m=(13.0, 10.0),
    setback_m=4.0,
    storeys=(2, 4),
    density=0.96,
    roofs=(
        Roof("gable", "tile", "#94604c", 4),
        Roof("gable", "tile", "#7f5244", 3),
        Roof("gable", "tile", "#a47558", 2),
        Roof("gable", "tile", "#73564b", 2),
        Roof("gable", "shingle", "#5f6062", 1),
        Roof("flat", "membrane", "#8d8c88", 0.9),
    ),
    hall_roofs=(Roof("flat", "membrane", "#93918c", 3), Roof("flat", "membrane", "#b9b6ae", 1), Roof("gable", "tile", "#87594a")),
    pitch_deg=(33.0, 44.0),
    palette=Palette(
        grass="#5d7238", dry="#8d8a58", soil="#80705c", asphalt="#6e6c6a", paving="#a39f98", gravel="#a89c8a",
        shore="#7d7a66", water="#4a574c", crops=("#7f8048",), trees=("#43592d", "#4e6433", "#3a502b", "#5b6c3b"),
    ),
    lawn_dryness=0.2,
    trees_per_ha=85.0,
    species=(("broadleaf", 0.95), ("conifer", 0.05)),
    cars=0.62,
    water="river",
    water_share=0.35,
)  # fmt: skip

_HOHENTAL = Place(
    name="hohental",  # an alpine village among fields
    epsg=32632,
    origin_m=(664_000.0, 5_241_000.0),
    sun_azimuth_deg=168.0,
    sun_elevation_deg=40.0,
    land_use=(("forest", 0.09), ("field", 0.26), ("park", 0.02), ("farms", 0.33), ("houses", 0.3)),
    block_m=(80.0, 125.0),
    bend=0.38,
    street_m=(5.8, 8.0),
    sidewalk_m=0.9,
    lot_m=(19.0, 28.0),
    house_m=(14.5, 11.0),
    setback_m=5.0,
    storeys=(2, 3),
    density=0.74,
    roofs=(
        Roof("gable", "tile", "#7d5443", 3),
        Roof("gable", "tile", "#6a564c", 3),
        Roof("gable", "tile", "#84604f", 2),
        Roof("gable", "shingle", "#75706a", 2),
        Roof("gable", "metal", "#8b9194", 1),
    ),
    hall_roofs=(Roof("gable", "metal", "#8c8d8b", 2), Roof("gable", "tile", "#7a5a4a", 1)),
    pitch_deg=(18.0, 27.0),
    palette=Palette(
        grass="#65784a", dry="#8b8a5a", soil="#826a50", asphalt="#7a7876", paving="#a8a296", gravel="#a79b88",
        shore="#9b9a90", water="#56706d",
        crops=("#6d824a", "#7b8b52", "#5d7340", "#96985e", "#b0a36e", "#8a7157", "#a39a62"),
        trees=("#3e5530", "#4a6233", "#35492c", "#57693a"),
    ),
    lawn_dryness=0.14,
    trees_per_ha=42.0,
    species=(("broadleaf", 0.45), ("conifer", 0.55)),
    paved_lots=0.1,
    cars=0.03,
    water="river",
    water_share=0.5,
)  # fmt: skip

_PORTWICK = Place(
    name="portwick",  # a harbour town with industry
    epsg=32630,
    origin_m=(548_000.0, 5_927_000.0),
    sun_azimuth_deg=228.0,
    sun_elevation_deg=38.0,
    land_use=(("park", 0.07), ("houses", 0.1), ("terraces", 0.4), ("shops", 0.08), ("industry", 0.35)),
    block_m=(76.0, 150.0),
    bend=0.07,
    street_m=(8.0, 13.0),
    sidewalk_m=2.2,
    lot_m=(12.0, 17.0),
    house_m=(10.5, 8.5),
    setback_m=4.5,
    storeys=(2, 2),
    density=0.95,
    roofs=(
        Roof("gable", "tile", "#5d5e62", 4),
        Roof("gable", "tile", "#6c625c", 2),
        Roof("gable", "tile", "#7d5a4c", 2),
        Roof("hip", "tile", "#55575c", 1),
    ),
    hall_roofs=(
        Roof("gable", "metal", "#a4abae", 3),
        Roof("gable", "metal", "#7d8a94", 2),
        Roof("flat", "membrane", "#c4c4c0", 2),
        Roof("gable", "metal", "#5d7893", 1),
        Roof("gable", "metal", "#8a6b5c", 1),
        Roof("flat", "membrane", "#77787a", 1.5),
    ),
    pitch_deg=(26.0, 36.0),
    palette=Palette(
        grass="#60753f", dry="#88855b", soil="#776b5d", asphalt="#6a6a6b", paving="#9d9c98", gravel="#938d84",
        shore="#9c9382", water="#37505a", crops=("#7f8048",), trees=("#445a34", "#4d6238", "#3b4f30"),
    ),
    lawn_dryness=0.3,
    trees_per_ha=38.0,
    species=(("broadleaf", 0.9), ("bare", 0.1)),
    paved_lots=0.3,
    cars=0.4,
    water="sea",
    water_share=0.8,
    haze=0.06,
)  # fmt: skip

PLACES: dict[str, Place] = {place.name: place for place in (_ARDEN, _SALVORA, _BRENNAU, _HOHENTAL, _PORTWICK)}


@dataclass(frozen=True)
class SimulatedScene:
    """A rendered scene and its labels."""

    image: np.ndarray  # (H, W, 3) uint8
    mask: np.ndarray  # (H, W) uint8, 255 where a pixel's centre lies on a building, else 0
    footprints: list[shapely.Polygon]  # in the grid's CRS, metres; clipped at the scene's edge
    grid: Grid


def render_scene(place: Place, *, seed: int, height_px: int, width_px: int, gsd_m: float = 0.3) -> SimulatedScene:
    """A town of this place's character, (height_px, width_px) at `gsd_m` metres per pixel.

    The top left corner lies at `place.origin_m`. The same arguments give the same scene; another seed, another town.
    Raises `ConfigError` for a scene smaller than 16 px or a gsd outside 0.05..5 m.
    """
    if min(height_px, width_px) < SMALLEST_PX:
        raise ConfigError(f"{place.name}: a scene of {width_px}×{height_px} px is too small, use at least {SMALLEST_PX} px.")
    if not GSD_RANGE_M[0] <= gsd_m <= GSD_RANGE_M[1]:
        raise ConfigError(f"{place.name}: gsd {gsd_m} m is outside {GSD_RANGE_M[0]}..{GSD_RANGE_M[1]} m per pixel.")
    if seed < 0:
        raise ConfigError(f"{place.name}: seed is {seed}, it must be 0 or more.")
    entropy = _entropy(place, seed)
    width_m, height_m = width_px * gsd_m, height_px * gsd_m
    town = plan_town(place, width_m, height_m, np.random.default_rng(entropy))
    grid = _grid_of(place, height_px, width_px, gsd_m)
    clipped = shapely.intersection(np.array(town.buildings, dtype=object), shapely.box(0, 0, width_m, height_m))
    pieces = shapely.get_parts(clipped)
    pieces = pieces[(shapely.get_type_id(pieces) == 3) & (shapely.area(pieces) >= SMALLEST_FOOTPRINT_M2)]
    footprints = list(_on_the_ground(pieces, place))
    mask = rasterize_footprints(footprints, grid)
    image = render_town(town, place, height_px, width_px, gsd_m, entropy)
    return SimulatedScene(image, mask, footprints, grid)


def simulate(
    out: str | Path,
    *,
    places: Sequence[str] = tuple(PLACES),
    scenes_per_place: int = 4,
    size_px: int = 1024,
    gsd_m: float = 0.3,
    seed: int = 0,
) -> list[Path]:
    """Write simulated scenes to ``out/train/images``, ``out/train/gt`` and ``out/train/footprints``.

    A scene is a GeoTIFF of ``size_px`` × ``size_px`` pixels of ``gsd_m`` metres, a mask on the same grid, and footprints as
    GeoJSON. Its name is the place and a number from 1, such as ``arden1``. Scenes of one place lie side by side, with the width of
    a scene between them. Returns the paths of the images. The same arguments give the same scenes.

    Raises:
        ConfigError: an unknown place, or an impossible number or size.
        OutputExistsError: a scene is there already.

    Examples:
        >>> from orthoforge import simulate
        >>> paths = simulate("town", places=["arden"], scenes_per_place=1, size_px=64)
        >>> paths[0].as_posix()
        'town/train/images/arden1.tif'
    """
    _require_possible(places, scenes_per_place)
    train = Path(out) / "train"
    paths = []
    for stem, place, scene_seed in _scenes(places, scenes_per_place, size_px, gsd_m, seed):
        scene = render_scene(place, seed=scene_seed, height_px=size_px, width_px=size_px, gsd_m=gsd_m)
        path = train / "images" / f"{stem}.tif"
        write_geotiff(path, scene.image, scene.grid)
        write_geotiff(train / "gt" / f"{stem}.tif", scene.mask, scene.grid)
        write_footprints(train / "footprints" / f"{stem}.geojson", scene.footprints, scene.grid.crs)
        paths.append(path)
    return paths


def simulate_maps(
    out: Path,
    *,
    places: Sequence[str] = tuple(PLACES),
    scenes_per_place: int = 4,
    size_px: int = 1024,
    gsd_m: float = 0.3,
    seed: int = 0,
) -> list[Path]:
    """The maps of the scenes that ``simulate`` makes of the same arguments, as ``out/maps/NAME.geojson``. Returns their paths.

    A map has streets, water, trees and ground cover with OpenStreetMap's tags (``scenes.town.map_features``), and no buildings.
    Beside it ``out/land-cover/NAME.tif`` shows both as classes, in the colours that ``out/land-cover/palette.json`` explains: a
    mask for ``prepare --palette`` to train on. Raises what ``simulate`` raises.
    """
    _require_possible(places, scenes_per_place)
    style = load_style()
    paths = []
    for stem, place, scene_seed in _scenes(places, scenes_per_place, size_px, gsd_m, seed):
        side_m = size_px * gsd_m
        town = plan_town(place, side_m, side_m, np.random.default_rng(_entropy(place, scene_seed)))
        features = map_features(town, place, side_m, side_m)
        shapes = _on_the_ground(np.array([shape for shape, _ in features], dtype=object), place)
        grid = _grid_of(place, size_px, size_px, gsd_m)
        path = Path(out) / "maps" / f"{stem}.geojson"
        write_map(path, shapes, [tags for _, tags in features], grid.crs)
        labels = load_layers([path], style).on(grid).labels()
        labels[rasterize_footprints(list(_on_the_ground(np.array(town.buildings, dtype=object), place)), grid) > 0] = style.building
        write_geotiff(Path(out) / "land-cover" / f"{stem}.tif", style.classes.rgb(labels), grid)
        paths.append(path)
    write_palette(Path(out) / "land-cover" / PALETTE, style.classes, overwrite=True)
    return paths


def _scenes(
    places: Sequence[str], scenes_per_place: int, size_px: int, gsd_m: float, seed: int
) -> Iterator[tuple[str, Place, int]]:
    """Name, place and seed of each scene of a country."""
    pitch_m = 2 * size_px * gsd_m
    for name in places:
        place = PLACES[name]
        for index in range(scenes_per_place):
            row, column = divmod(index, SCENES_A_ROW)
            corner = (place.origin_m[0] + column * pitch_m, place.origin_m[1] - row * pitch_m)
            # Scene n of a seed stays the same scene when more are asked for.
            scene_seed = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
            yield f"{name}{index + 1}", replace(place, origin_m=corner), scene_seed


def _require_possible(places: Sequence[str], scenes_per_place: int) -> None:
    unknown = [name for name in places if name not in PLACES]
    if unknown:
        raise ConfigError(f"no simulated place is called {unknown[0]!r}; there are {', '.join(PLACES)}.")
    if scenes_per_place < 1:
        raise ConfigError(f"scenes_per_place is {scenes_per_place}, it must be 1 or more.")


def _entropy(place: Place, seed: int) -> list[int]:
    return [zlib.crc32(place.name.encode()), seed]


def _grid_of(place: Place, height_px: int, width_px: int, gsd_m: float) -> Grid:
    east, north = place.origin_m
    return Grid(height_px, width_px, Affine(gsd_m, 0.0, east, 0.0, -gsd_m, north), CRS.from_epsg(place.epsg))


def _on_the_ground(shapes: np.ndarray, place: Place) -> np.ndarray:
    """Shapes in local metres, in the place's CRS."""
    east, north = place.origin_m
    return np.asarray(shapely.transform(shapes, lambda xy: np.array([east, north]) + xy * [1.0, -1.0]))
