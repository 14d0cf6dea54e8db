"""Colours: the ground, water, streets, roofs, boxes and crowns, before the light falls on them."""

from __future__ import annotations

import numpy as np

from orthoforge.scenes.town.canvas import TEXTURES, Canvas, View, fade, linear
from orthoforge.scenes.town.model import BOXES, COVERS, MATERIALS, STREET_WITH_WALKS_M, rgb
from orthoforge.scenes.town.shapes import Roofs, burn


def paint_ground(scene: Canvas, core: View, noise: list[np.ndarray]) -> np.ndarray:
    """(rows, columns, 3) float32 linear colour of everything level: gardens, fields, streets, water."""
    first, second, material = scene.surface_colours
    town, place = scene.town, scene.place
    surface = burn(town.surfaces, scene.surface_tree, core)
    textures = np.array([TEXTURES[name] for name in MATERIALS], np.float32)[material]
    dryness = np.concatenate([[place.lawn_dryness + 0.2], town.surface_kind[:, 1]]).astype(np.float32)
    patches = 0.55 * noise[2] + 0.35 * noise[1] + 0.35 * noise[3]
    share = 0.5 + 1.5 * (dryness[surface] - 0.5) + textures[surface, 1] * patches
    np.clip(share, 0, 1, out=share)
    light = 1 + 2 * (textures[surface, 2] * noise[0] + textures[surface, 3] * noise[1])
    _furrows(scene, core, surface, material, light, noise)
    colour = first[surface]
    colour += (second[surface] - colour) * share[..., None]
    colour *= np.clip(light, 0.3, 2.0)[..., None]
    x, y = core.axes()
    shore = None if town.water is None else town.water.distance(x, y)
    if shore is not None:
        _paint_water(scene, shore, colour, noise)
    _paint_streets(scene, town.streets.survey(*np.broadcast_arrays(x, y)), shore, colour, noise, core.gsd)
    return colour


def _furrows(
    scene: Canvas, core: View, surface: np.ndarray, material: np.ndarray, light: np.ndarray, noise: list[np.ndarray]
) -> None:
    """Rows and tractor tracks in fields, mowing stripes on pitches."""
    for name in ("crop", "pitch"):
        flat = np.flatnonzero((material == MATERIALS.index(name))[surface])
        if not len(flat):
            continue
        owner = surface.flat[flat]
        angle = scene.town.surface_kind[owner - 1, 3]
        x, y = core.at(flat)
        across = y * np.cos(angle) - x * np.sin(angle) + 0.12 * noise[1].flat[flat]
        if name == "pitch":
            light.flat[flat] += 0.09 * np.sign(np.sin(across * (2 * np.pi / 9.0)))
            continue
        period = scene.crop_period[owner]
        rows = np.sin(across * (2 * np.pi / period)) * fade(period, core.gsd)
        track = np.abs((across + 0.4 * noise[2].flat[flat]) % 18.0 - 9.0)
        tracks = (np.abs(track - 0.9) < 0.3) * min(1.0, 0.6 / core.gsd)
        light.flat[flat] += 0.16 * rows * (1 + 0.6 * noise[3].flat[flat]) - 0.22 * tracks


def _paint_water(scene: Canvas, shore: np.ndarray, colour: np.ndarray, noise: list[np.ndarray]) -> None:
    bank = (shore > 0) & (shore < 5.5 + 1.6 * noise[2] + noise[1])
    colour[bank] = linear(rgb(scene.place.palette.shore)) * (1 + 0.25 * noise[0] + 0.2 * noise[1] - 0.1 * noise[2])[bank][:, None]
    wet = shore <= 0.4 * noise[1]
    deep = np.clip(-shore[wet] / 14.0, 0, 1)[:, None]
    ripple = (1 + 0.13 * noise[0] + 0.14 * noise[1] + 0.10 * noise[2] + 0.14 * noise[3])[wet][:, None]
    water = linear(rgb(scene.place.palette.water))
    colour[wet] = (water * (1.5 - 0.6 * deep) + 0.02 * (1 - deep)) * ripple


def _paint_streets(
    scene: Canvas, survey: dict[str, np.ndarray], shore: np.ndarray | None, colour: np.ndarray, noise: list[np.ndarray],
    gsd: float,
) -> None:  # fmt: skip
    place, streets = scene.place, scene.town.streets
    kerb, width = survey["kerb"], survey["width"]
    town = width >= STREET_WITH_WALKS_M
    main = width >= streets.main_m
    dry = np.ones(kerb.shape, bool)
    if shore is not None:
        dry = shore > 2.0
        if not scene.town.water.sea:  # type: ignore[union-attr]
            dry |= main  # on bridges
    asphalt, paving = linear(rgb(place.palette.asphalt)), linear(rgb(place.palette.paving))

    walk = np.flatnonzero((kerb >= 0) & (kerb < streets.sidewalk_m) & town & dry)
    joints = (np.abs((survey["along"].flat[walk] % 1.8) - 0.9) > 0.84) * fade(1.8, 3 * gsd)
    light = 1 + 0.12 * noise[0].flat[walk] + 0.12 * noise[1].flat[walk] + 0.10 * noise[2].flat[walk] - 0.15 * joints
    light *= 1 + 0.18 * (kerb.flat[walk] < 0.25)
    colour.reshape(-1, 3)[walk] = paving * light[:, None]

    track = np.flatnonzero((kerb < 0.25 * noise[1]) & ~town & (width > 0) & dry)
    verge = np.clip(1.4 - np.abs(survey["axis"].flat[track]) / 0.45 + 0.8 * noise[1].flat[track], 0, 1)[:, None]
    light = (1 + 0.2 * noise[0].flat[track] + 0.15 * noise[1].flat[track])[:, None]
    track_colour = linear(rgb(place.palette.gravel)) * (1 - 0.75 * verge) + linear(rgb(place.palette.grass)) * 0.75 * verge
    colour.reshape(-1, 3)[track] = track_colour * light

    road = np.flatnonzero((kerb < 0) & town & dry)
    axis, along, crossing = (survey[name].flat[road] for name in ("axis", "along", "crossing"))
    half, wide = width.flat[road] / 2, main.flat[road]
    n0, n1, n2, n3 = (level.flat[road] for level in noise[:4])
    wheels = np.cos(axis * (2 * np.pi / 1.75)) * np.clip(1 - np.abs(axis - half / 2) / 2.0, 0, 1)
    light = 1 + 0.09 * n0 + 0.07 * n1 + 0.08 * n2 + 0.13 * n3 + 0.05 * wheels
    repairs = (n2 + 0.6 * n3 > 0.62) * -0.14 + (np.abs(n2 + 0.35 * n1) < 0.035) * -0.12 * min(1.0, 0.45 / gsd)
    light += repairs - 0.12 * np.clip(1 + kerb.flat[road] / 0.5, 0, 1)
    tone = asphalt * np.clip(light, 0.3, 2)[:, None]
    line_px = min(1.0, 0.14 / gsd) if gsd > 0.14 else 1.0
    between = crossing > 4.5
    near_axis = np.abs(axis) < max(0.07, gsd * 0.5)
    dashes = (along % 9.0 < 3.5) & near_axis & between & (half > 3.6)
    edges = (np.abs(axis - half + 2.3) < max(0.07, gsd * 0.5)) & between & wide
    zebra = (crossing > 0.8) & (crossing < 3.8) & wide & (np.abs(axis) < half - 0.4) & (axis % 1.1 < 0.55)
    paint = np.maximum(0.75 * line_px * (dashes | edges), 0.62 * zebra * fade(1.1, gsd) * (0.8 + 0.4 * n1))
    tone += (0.62 - tone) * np.clip(paint, 0, 1)[:, None]
    colour.reshape(-1, 3)[road] = tone


def paint_roofs(
    scene: Canvas, roof: Roofs, wide: View, inside: tuple[slice, slice], colour: np.ndarray, slope: np.ndarray,
    noise: list[np.ndarray],
) -> None:  # fmt: skip
    """Roof tiles, seams, ridges and parapets into `colour` and `slope`."""
    gsd = wide.gsd
    row, column = np.divmod(roof.flat, wide.columns)
    row, column = row - inside[0].start, column - inside[1].start
    seen = np.flatnonzero((row >= 0) & (row < colour.shape[0]) & (column >= 0) & (column < colour.shape[1]))
    target = row[seen] * colour.shape[1] + column[seen]
    owner, run, along, edge = roof.owner[seen], roof.run[seen], roof.along[seen], roof.edge[seen]
    pitch, level, ridge, out = roof.pitch[seen], roof.level[seen], roof.ridge[seen], roof.out[:, seen]
    cover = scene.town.roofs[owner, 3]
    n0, n1, n2, n3 = (level_.flat[target] for level_ in noise[:4])

    light = np.ones(len(seen))
    for name, fine, stains in (("tile", 0.16, 0.10), ("shingle", 0.13, 0.10), ("metal", 0.04, 0.07), ("membrane", 0.06, 0.13)):
        mine = cover == COVERS.index(name)
        light[mine] += (fine * n0 + 0.6 * stains * n1 + stains * n2 + 0.5 * stains * n3)[mine]
    courses = np.sin(run * (2 * np.pi / 0.9)) * 0.07 * fade(0.9, gsd)
    light += np.where((cover == COVERS.index("tile")) & ~level, courses, 0)
    seams = (np.abs(along % 1.3 - 0.65) > 0.5) * 0.13 * fade(1.3, gsd)
    light -= np.where(cover == COVERS.index("metal"), seams, 0)
    strips = (np.abs(along % 3.0 - 1.5) > 1.4) * 0.06 * fade(3.0, gsd)
    light += np.where(level, strips + 0.16 * (edge < 0.4) - 0.07 * np.clip(n2 - 0.25, 0, 1) * 3, 0)
    capped = ~level & (cover != COVERS.index("metal"))
    light += np.where(capped & (ridge < 0.22), 0.14, 0) - np.where(~level & (edge < 0.2), 0.12, 0)
    base = linear(scene.town.roofs[owner, 4:7])
    rust = np.clip(n2 + 0.5 * n1 - 0.55, 0, 0.5) * (cover == COVERS.index("metal"))
    base += (linear(rgb("#7d5a45")) - base) * rust[:, None]
    colour.reshape(-1, 3)[target] = base * np.clip(light, 0.25, 1.9)[:, None]
    facing = (out[0] * scene.to_sun[0] + out[1] * scene.to_sun[1]) * pitch
    slope.flat[target] = (np.clip(1 + facing / scene.tan_sun, 0, None) / np.sqrt(1 + pitch**2)) ** 0.85


def paint_boxes(scene: Canvas, box: np.ndarray, core: View, colour: np.ndarray, slope: np.ndarray) -> None:
    """Chimneys, cars, fences and other boxes into `colour` and `slope`."""
    flat = np.flatnonzero(box)
    boxes = scene.town.boxes[box.flat[flat] - 1]
    x, y = core.at(flat)
    cos, sin = np.cos(boxes[:, 2]), np.sin(boxes[:, 2])
    p = ((x - boxes[:, 0]) * cos + (y - boxes[:, 1]) * sin) / boxes[:, 3]
    q = ((y - boxes[:, 1]) * cos - (x - boxes[:, 0]) * sin) / boxes[:, 4]
    kind = boxes[:, 6].astype(int)
    tone = linear(boxes[:, 8:11])
    car = kind == BOXES.index("car")
    glass = car & (((p > 0.12) & (p < 0.42)) | ((p < -0.55) & (p > -0.8)) | ((np.abs(q) > 0.78) & (p < 0.3) & (p > -0.7)))
    tone[glass] = 0.25 * tone[glass] + 0.012
    tone[car & ~glass & (np.abs(p) > 0.85)] *= 0.7
    solar = kind == BOXES.index("solar")
    frame = solar & (np.abs((p * boxes[:, 3]) % 1.05 - 0.5) > 0.45)
    tone[frame] += 0.06 * fade(1.05, core.gsd)
    ribs = (kind == BOXES.index("container")) & ((p * boxes[:, 3]) % 0.8 < 0.4)
    tone[ribs] *= 0.86
    thin = np.isin(kind, (BOXES.index("fence"), BOXES.index("paint")))
    cover = np.where(thin, np.minimum(1, boxes[:, 4] / (0.52 * core.gsd)), 1.0)[:, None]
    under = colour.reshape(-1, 3)[flat]
    colour.reshape(-1, 3)[flat] = under + (tone - under) * cover
    level = ~np.isin(kind, (BOXES.index("solar"), BOXES.index("paint"))) & (boxes[:, 5] > 0.3)
    slope.flat[flat[level]] = 1.0


def paint_crowns(
    scene: Canvas, tree: np.ndarray, crown: np.ndarray, inside: tuple[slice, slice], colour: np.ndarray,
    slope: np.ndarray, noise: list[np.ndarray], gsd: float,
) -> None:  # fmt: skip
    """Trees into `colour` and `slope`."""
    rows, columns = inside
    flat = np.flatnonzero(tree)
    trees = scene.town.trees[tree.flat[flat] - 1]
    around = crown[rows.start - 1 : rows.stop + 1, columns.start - 1 : columns.stop + 1]
    uphill_x = ((around[1:-1, 2:] - around[1:-1, :-2]) / (2 * gsd)).flat[flat]
    uphill_y = ((around[2:, 1:-1] - around[:-2, 1:-1]) / (2 * gsd)).flat[flat]
    steep = np.maximum(1.0, np.hypot(uphill_x, uphill_y) / 1.5)
    facing = -(uphill_x * scene.to_sun[0] + uphill_y * scene.to_sun[1]) / steep
    lambert = np.clip(1 + facing / scene.tan_sun, 0, None) / np.sqrt(1 + (np.hypot(uphill_x, uphill_y) / steep) ** 2)
    deep = 0.5 + 0.5 * np.clip(crown[inside].flat[flat] / trees[:, 3], 0, 1)
    leaves = deep * (1 + 0.28 * noise[0].flat[flat] + 0.15 * noise[1].flat[flat])
    colour.reshape(-1, 3)[flat] = linear(trees[:, 5:8]) * leaves[:, None]
    slope.flat[flat] = 0.25 + 0.85 * lambert
