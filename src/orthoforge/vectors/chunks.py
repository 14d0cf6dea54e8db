"""What every reader of footprints hands over: geometries with the number of their feature, a chunk at a time."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import shapely
from rasterio.crs import CRS

from orthoforge.errors import DataError
from orthoforge.vectors.limits import MAX_NESTING, shown
from orthoforge.vectors.wkb import CURVES, from_above, plain

# Features that are turned into geometries at a time: enough to keep numpy busy, some MB of text.
CHUNK_FEATURES = 20_000
# 3D surfaces as text, which GEOS does not know; what they are made of has the form of polygons.
_SURFACE_WORDS = re.compile(r"\b(?:TIN|POLYHEDRALSURFACE)\b", re.IGNORECASE)


Tags = Mapping[str, str]
"""Of a feature, its attributes as text by name, those that were asked for; OpenStreetMap calls them tags."""


class Chunk(NamedTuple):
    """Some of a file's geometries."""

    geometries: np.ndarray  # (n,) shapely geometries of any kind, None where a feature has none
    features: np.ndarray  # (n,) int, the index of each one's feature in the file, from 0
    mended: np.ndarray  # (n,) bool, true where its ring was not closed and now is, or could not be
    tags: Sequence[Tags] = ()  # (n,) of each one's feature, where they were asked for


@dataclass(frozen=True)
class Source:
    """A vector file that was found readable: its CRS, its geometries, and how its features are called in messages."""

    crs: CRS | None
    chunks: Iterator[Chunk]
    name: Callable[[int], str] = "feature {}".format
    why_no_crs: str = ""  # what is wrong with the CRS that it names, where that cannot be used


def invalid(path: Path, feature: str, cause: object) -> DataError:
    """The error for a feature whose geometry cannot even be built."""
    return DataError(f"{path}: {feature} is no valid geometry: {shown(cause)}. Mend it, pass --repair, or remove it.")


def unreadable(path: Path, feature: str, cause: object) -> DataError:
    """The error for a feature that cannot be mended either."""
    return DataError(f"{path}: {feature} cannot be read: {shown(cause)}. Mend or remove it, or export the file again.")


def chunk_of(geometries: np.ndarray, first: int, mended: np.ndarray | None = None) -> Chunk:
    """A chunk of one geometry a feature, numbered from ``first``."""
    count = len(geometries)
    return Chunk(geometries, np.arange(first, first + count), np.zeros(count, bool) if mended is None else mended)


def chunk_from_wkb(
    path: Path, wkb: np.ndarray, first: int, *, repair: bool, name: Callable[[int], str], tags: Sequence[Tags] = ()
) -> Chunk:
    """A chunk from WKB, one a feature. With ``repair`` unclosed rings are closed; else they are a ``DataError``."""
    surfaces: list[int] = []
    for index, shape in enumerate(wkb):
        if shape is None:
            continue
        try:
            wkb[index], has_surface = plain(shape)
        except ValueError as error:
            raise unreadable(path, name(first + index), error) from error
        if has_surface:
            surfaces.append(index)
    return _parsed(path, wkb, first, surfaces, shapely.from_wkb, repair=repair, name=name)._replace(tags=tags)


def chunk_from_wkt(path: Path, wkt: np.ndarray, first: int, *, repair: bool, tags: Sequence[Tags] = ()) -> Chunk:
    """A chunk from WKT, one a feature; an empty text is a feature without geometry."""
    wkt[wkt == ""] = None
    surfaces: list[int] = []
    for index, shape in enumerate(wkt):
        if shape is None:
            continue
        if _nesting(shape) > MAX_NESTING:
            raise unreadable(path, f"feature {first + index}", f"its parts are nested more than {MAX_NESTING} deep")
        if _SURFACE_WORDS.search(shape):
            wkt[index] = _SURFACE_WORDS.sub("MULTIPOLYGON", shape)
            surfaces.append(index)
    return _parsed(path, wkt, first, surfaces, shapely.from_wkt, repair=repair, name="feature {}".format)._replace(tags=tags)


def _parsed(
    path: Path,
    shapes: np.ndarray,
    first: int,
    surfaces: list[int],
    parse: Callable[..., np.ndarray],
    *,
    repair: bool,
    name: Callable[[int], str],
) -> Chunk:
    there = np.array([shape is not None for shape in shapes], bool)
    mended = np.zeros(len(shapes), bool)
    try:
        geometries = parse(shapes, on_invalid="ignore")
        broken = np.flatnonzero(shapely.is_missing(geometries) & there)
        if broken.size and not repair:
            raise invalid(path, name(first + int(broken[0])), _why(parse, shapes[broken[0]]))
        if broken.size:
            geometries[broken] = parse(shapes[broken], on_invalid="fix")
            mended[broken] = True
    except NotImplementedError as error:  # curves, by one that is not said
        curved = next(index for index in np.flatnonzero(there) if _is_curve(parse, shapes[index]))
        raise unreadable(path, name(first + int(curved)), CURVES) from error
    for index in surfaces:
        geometries[index] = geometries[index] and from_above(geometries[index])
    return chunk_of(geometries, first, mended)


def _nesting(wkt: str) -> int:
    """How many parentheses are open at once."""
    if wkt.count("(") <= MAX_NESTING:
        return 0
    text = np.frombuffer(wkt.encode(), np.uint8)
    return int(np.cumsum((text == ord("(")).astype(np.int64) - (text == ord(")"))).max())


def _is_curve(parse: Callable[..., object], shape: object) -> bool:
    try:
        parse(shape, on_invalid="ignore")
    except NotImplementedError:
        return True
    return False


def _why(parse: Callable[..., object], text: object) -> str:
    try:
        parse(text)
    except (shapely.errors.ShapelyError, TypeError, ValueError) as error:
        return shown(str(error).removeprefix("IllegalArgumentException: ").removeprefix("ParseException: "))
    return "it cannot be read"
