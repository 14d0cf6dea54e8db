"""What every reader of footprints hands over: geometries with the number of their feature, a chunk at a time."""

import bz2
import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import shapely
from rasterio.crs import CRS

from orthoforge.errors import DataError

# Features that are turned into geometries at a time: enough to keep numpy busy, some MB of text.
CHUNK_FEATURES = 20_000
_COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open}


class Chunk(NamedTuple):
    """Some of a file's geometries."""

    geometries: np.ndarray  # (n,) shapely geometries of any kind, None where a feature has none
    features: np.ndarray  # (n,) int, the index of each one's feature in the file, from 0
    mended: np.ndarray  # (n,) bool, true where its ring was not closed and now is, or could not be


@dataclass(frozen=True)
class Source:
    """A vector file that was found readable: its CRS, its geometries, and how its features are called in messages."""

    crs: CRS | None
    chunks: Iterator[Chunk]
    name: Callable[[int], str] = "feature {}".format


def invalid(path: Path, feature: str, cause: object) -> DataError:
    """The error for a feature whose geometry cannot even be built."""
    return DataError(f"{path}: {feature} is no valid geometry: {cause}. Mend it, pass --repair, or remove it.")


def chunk_of(geometries: np.ndarray, first: int, mended: np.ndarray | None = None) -> Chunk:
    """A chunk of one geometry a feature, numbered from ``first``."""
    count = len(geometries)
    return Chunk(geometries, np.arange(first, first + count), np.zeros(count, bool) if mended is None else mended)


def chunk_from_wkb(path: Path, wkb: np.ndarray, first: int, *, repair: bool, name: Callable[[int], str]) -> Chunk:
    """A chunk from WKB, one a feature. With ``repair`` unclosed rings are closed; else they are a ``DataError``."""
    there = np.array([text is not None for text in wkb], bool)
    geometries = shapely.from_wkb(wkb, on_invalid="ignore")
    broken = np.flatnonzero(shapely.is_missing(geometries) & there)
    mended = np.zeros(len(wkb), bool)
    if broken.size and not repair:
        raise invalid(path, name(first + int(broken[0])), _why(shapely.from_wkb, wkb[broken[0]]))
    if broken.size:
        geometries[broken] = shapely.from_wkb(wkb[broken], on_invalid="fix")
        mended[broken] = True
    return chunk_of(geometries, first, mended)


def chunk_from_wkt(path: Path, wkt: np.ndarray, first: int, *, repair: bool) -> Chunk:
    """A chunk from WKT, one a feature; an empty text is a feature without geometry."""
    wkt[wkt == ""] = None
    there = np.array([text is not None for text in wkt], bool)
    geometries = shapely.from_wkt(wkt, on_invalid="ignore")
    broken = np.flatnonzero(shapely.is_missing(geometries) & there)
    mended = np.zeros(len(wkt), bool)
    if broken.size and not repair:
        raise invalid(path, f"feature {first + int(broken[0])}", _why(shapely.from_wkt, wkt[broken[0]]))
    if broken.size:
        geometries[broken] = shapely.from_wkt(wkt[broken], on_invalid="fix")
        mended[broken] = True
    return chunk_of(geometries, first, mended)


def _why(parse: Callable[..., object], text: object) -> str:
    try:
        parse(text)
    except (shapely.errors.ShapelyError, TypeError, ValueError) as error:
        return str(error).removeprefix("IllegalArgumentException: ").removeprefix("ParseException: ")
    return "it cannot be read"


def open_plain(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked on the way where it holds gzip or bzip2 data."""
    with open(path, "rb") as file:
        head = file.read(3)
    opener = next((opener for magic, opener in _COMPRESSED.items() if head.startswith(magic)), open)
    return opener(path, "rb")  # type: ignore[operator]
