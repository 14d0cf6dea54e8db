"""New masks for a run to draw, place by place: real training masks again, forged ones, or a user's."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from orthoforge.errors import DataError
from orthoforge.files import no_folder
from orthoforge.forging.forge import forge
from orthoforge.forging.places import rasters_in
from orthoforge.generation.library_masks import library_mask, library_size
from orthoforge.geo.areas import Areas, meetings
from orthoforge.geo.grid import Grid, require_north_up
from orthoforge.geo.rasters import open_raster, read_tags
from orthoforge.growing.records import Origin
from orthoforge.growing.scale import Scale
from orthoforge.growing.training_ground import Ground, Source
from orthoforge.masks.reader import MaskReader
from orthoforge.scenes.place_names import PlaceNames
from orthoforge.scenes.sources import Pair, natural_key
from orthoforge.trained_generator import TrainedGenerator

Forged = Literal["transform", "recombine", "streets"]
How = Literal["real", "transform", "recombine", "streets", "library"]
# A filter that rejects two of three would ask for three times the images; more is a matter for another training.
MOST_TRIES = 3


@dataclass(frozen=True)
class NewMask:
    """A mask that wants an image: a raster, its place and scale, and where it comes from."""

    path: Path
    place: str
    scale: Scale
    origin: Origin
    tags: dict[str, str]


@dataclass(frozen=True)
class Stream:
    """Masks for ``quota`` images, more of them than needed where some are rejected."""

    place: str
    quota: int
    masks: Iterator[NewMask]
    trouble: list[str] = field(default_factory=list)
    """Why there are no more of them, where that is no matter of course."""


def shares(total: int, weights: Mapping[str, int]) -> dict[str, int]:
    """``total`` divided in proportion to ``weights``, by the largest remainder, so that the parts add up to it."""
    exact = {key: total * weight / sum(weights.values()) for key, weight in weights.items()}
    parts = {key: math.floor(value) for key, value in exact.items()}
    by_remainder = sorted(exact, key=lambda key: (parts[key] - exact[key], key))
    for key in by_remainder[: total - sum(parts.values())]:
        parts[key] += 1
    return parts


def real_streams(ground: Ground, quotas: Mapping[str, int], variants: int, *, noisy: bool) -> list[Stream]:
    """The training masks again. Where the network has noise, each of them several times, with other seeds."""
    streams = []
    for place, quota in quotas.items():
        sources = ground.sources[place]
        tries = MOST_TRIES * math.ceil(quota / variants) if noisy else len(sources)
        streams.append(Stream(place, quota, itertools.islice(_again(sources), tries)))
    return streams


def forged_streams(
    ground: Ground, quotas: Mapping[str, int], variants: int, how: Forged, folder: Path, reader: MaskReader, seed: int
) -> list[Stream]:
    """Masks that ``forge`` makes of the training masks of each place, as they are asked for."""
    streams = []
    for place, quota in quotas.items():
        trouble: list[str] = []
        wanted = math.ceil(quota / variants)
        masks = _forged(ground.sources[place], wanted, how, folder / place, reader, seed, trouble)
        streams.append(Stream(place, quota, masks, trouble))
    return streams


def given_stream(
    folder: Path, ground: Ground, quota: int, variants: int, generator: TrainedGenerator, reader: MaskReader
) -> Stream:
    """A user's masks in natural order, and again with other seeds where the network has noise.

    Raises ``DataError`` for an empty folder, and for a mask that shows what must not train: that of a scene held back, to the
    pixel, or ground of one.
    """
    paths = mask_files(folder)
    _require_no_leak(paths, ground, reader)
    places = PlaceNames.stated(None, folder, folder.parent)
    masks = [_given(path, places.key(path), ground, generator, reader) for path in paths]
    tries = MOST_TRIES * math.ceil(quota / variants) if generator.is_noisy else len(masks)
    return Stream("", quota, itertools.islice(itertools.cycle(masks), tries))


def library_stream(generator: TrainedGenerator, folder: Path, quota: int, variants: int, *, least_px: int, seed: int) -> Stream:
    """Masks of the generator's own material in an order of chance, turned otherwise each time that they come again.

    They are written into ``folder``, ``least_px`` wide and high at least. ``ConfigError`` for a generator without a library.
    """
    order = np.random.default_rng(seed).permutation(library_size(generator)).tolist()
    tries = MOST_TRIES * math.ceil(quota / variants)

    def masks() -> Iterator[NewMask]:
        for turn in range(tries):
            number, of_round = order[turn % len(order)], seed + turn // len(order)
            path, place = library_mask(generator, number, folder / str(of_round), of_round, least_px=least_px)
            origin: Origin = {"kind": "library", "place": place, "number": number, "seed": of_round}
            tags = {"MASK_ORIGIN": "library", "SOURCE_SCENES": f"{place} {number} of the weights' material"}
            yield NewMask(path, place, Scale(1.0, generator.gsd_m), origin, tags)

    return Stream("", quota, masks())


def mask_files(folder: Path) -> list[Path]:
    """The rasters of a folder, in natural order. ``DataError`` when there is none."""
    if not folder.is_dir():
        raise DataError(f"{no_folder(folder)}. --masks is real, transform, recombine, streets, library, or a folder of masks.")
    found = rasters_in(folder)
    if not found:
        raise DataError(f"{folder}: no mask in this folder (GeoTIFF, PNG or JPEG).")
    return found


def _again(sources: Sequence[Source]) -> Iterator[NewMask]:
    for source in itertools.cycle(sources):
        tags = {"MASK_ORIGIN": "real", "SOURCE_SCENES": source.scene}
        if source.window:
            tags["SOURCE_WINDOW"] = " ".join(map(str, source.window))
        yield NewMask(source.path, source.place, source.scale, {"kind": "real", **source.origin}, tags)


def _forged(
    sources: Sequence[Source], wanted: int, how: Forged, folder: Path, reader: MaskReader, seed: int, trouble: list[str]
) -> Iterator[NewMask]:
    by_stem = {source.path.stem: source for source in sources}
    place, given = sources[0].place, 0
    while given < MOST_TRIES * wanted:
        # A mask does not depend on how many are asked for; those that are there are kept.
        count = given + wanted
        try:
            forged = forge(
                [source.path for source in sources], folder, how=how, count=count, seed=seed, threshold=reader.threshold,
                pixel_size=reader.pixel_sizes,
            )  # fmt: skip
        except DataError as error:  # a place with too few buildings must not stop the others
            trouble.append(str(error))
            return
        for path, row in zip(forged.masks[given:], forged.rows[given:], strict=True):
            models = [by_stem[name] for name in row["sources"]]
            origin: Origin = {
                "kind": how,
                "sources": [model.origin for model in models],
                "seed": seed,
                "parameters": row["parameters"],
            }
            tags = {name: value for name, value in read_tags(path).items() if name.startswith("FORGED_") and name != "FORGED_ROW"}
            # What is put together anew holds something of every training mask of the place.
            scenes = {source.scene for source in (models if how == "transform" else sources)}
            tags |= {"SYNTHETIC_MASK": "YES", "MASK_ORIGIN": how, "SOURCE_SCENES": ", ".join(sorted(scenes, key=natural_key))}
            yield NewMask(path, place, models[0].scale, origin, tags)
        given = count


def _given(path: Path, place: str, ground: Ground, generator: TrainedGenerator, reader: MaskReader) -> NewMask:
    grid = reader.grid(path)
    require_north_up(path, grid)
    pixel_m = grid.gsd_m()
    scale = ground.scale_of(place)
    if pixel_m is not None:
        gsd_m = generator.gsd_m or scale.gsd_m
        scale = Scale(gsd_m / pixel_m, gsd_m) if gsd_m else Scale(1.0, pixel_m)
    return NewMask(path, place, scale, {"kind": "given", "file": path.name}, {"MASK_ORIGIN": "given", "SOURCE_FILE": path.name})


def _require_no_leak(paths: Sequence[Path], ground: Ground, reader: MaskReader) -> None:
    held_back: dict[tuple[int, int], list[Pair]] = {}
    grounds: list[tuple[str, Grid]] = []
    for pair in ground.held_back:
        with open_raster(pair.mask) as raster:
            held_back.setdefault((raster.grid.height, raster.grid.width), []).append(pair)
            if raster.grid.crs is not None:
                grounds.append((pair.name, raster.grid))
    others = Areas.of_grids([grid for _, grid in grounds])
    for path in paths:
        with open_raster(path) as raster:
            grid = raster.grid
        if grid.crs is not None and (met := meetings(Areas.of_grids([grid], -_ROUNDING), others)[1]).size:
            raise DataError(f"{path}: shows ground of {grounds[met[0]][0]}, which does not train, or not as a whole. {_WAY_OUT}")
        for pair in held_back.get((grid.height, grid.width), ()):
            pixels = reader.labels(path)
            if pixels.any() and np.array_equal(pixels, reader.labels(pair.mask)):
                raise DataError(f"{path}: is the mask of {pair.name}, which does not train, or not as a whole. {_WAY_OUT}")


# Of a mask's side: neighbours whose edges differ by rounding share no ground.
_ROUNDING = 1e-3
_WAY_OUT = "Synthetic pairs of it would make its score too good. Take the mask away."
