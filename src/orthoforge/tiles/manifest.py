"""A row of a store's manifest, and the files of a store: their names, shapes and checksums."""

import hashlib
import io
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from affine import Affine
from pydantic import ValidationError
from rasterio.crs import CRS

from orthoforge.bands import RGB
from orthoforge.errors import DataError
from orthoforge.files import is_file_name
from orthoforge.geo.crs import crs_from_text
from orthoforge.geo.grid import Grid, Window
from orthoforge.tiles import forms

# How tiles are cut and rows are written; stores in which scenes share shards have the other one.
FORMAT, FORMAT_OF_GROUPS = 3, 4
# Stores of this format and before counted areas in 32 bits: masks of windows beyond that may be wrong.
_OVERFLOWING_FORMAT, _OVERFLOW = 1, 2**32
STORE, MANIFEST = "store.json", "manifest.jsonl"
# The folder of shards that several scenes share. No scene's name holds a slash.
TOGETHER = "together"


@dataclass(frozen=True)
class TileRow:
    """A row of the manifest. ``index`` is the row in the scene's shards, ``window`` in scene pixels, ``grid`` the tile's own.

    ``synthetic`` tiles are of an image that a generator made; they only ever train.
    """

    scene: str
    place: str
    index: int
    window: Window
    grid: Grid
    gsd_m: float | None
    split: str
    building_share: float
    sha256: str
    synthetic: bool = False

    @property
    def own_grid(self) -> Grid:
        """The grid of the tile as a raster of its own. Where the scene has no place on Earth the tile has none either, only its
        pixels' size: its offset in the scene would look like a place, and a mirrored one.
        """
        if self.grid.crs is not None:
            return self.grid
        grid = self.grid if self.grid.is_north_up else Grid(self.grid.height, self.grid.width)
        return grid if self.gsd_m is None else grid.with_pixel_size(self.gsd_m)

    def to_json(self) -> dict[str, object]:
        """Plain values, as in the manifest."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "synthetic" or self.synthetic}
        return plain | {
            "window": list(self.window),
            "grid": {"transform": list(self.grid.transform)[:6], "crs": crs_text(self.grid.crs)},
        }

    @staticmethod
    def from_json(line: bytes | str, size_px: int) -> "TileRow":
        """The row of a manifest whose tiles are ``size_px`` wide and high. ``ValueError`` says what does not fit."""
        try:
            plain = forms.ROW.validate_json(line)
        except ValidationError as error:
            raise ValueError(forms.problems(error)) from error
        if not (is_file_name(plain["scene"]) and is_file_name(plain["place"])):
            raise ValueError(f"scene {plain['scene']!r} of place {plain['place']!r}: no name of a file")
        transform, crs = Affine(*plain["grid"]["transform"]), plain["grid"]["crs"]
        if not 0 < abs(transform.determinant) < math.inf:
            raise ValueError("grid.transform: no pixel has an area")
        grid = Grid(size_px, size_px, transform, None if crs is None else _crs(crs))
        return TileRow(
            plain["scene"], plain["place"], plain["index"], Window(*plain["window"]), grid, plain["gsd_m"], plain["split"],
            plain["building_share"], plain["sha256"], plain.get("synthetic", False),
        )  # fmt: skip


def read_rows(lines: bytes, file: Path, size_px: int) -> tuple[TileRow, ...]:
    """The rows of a manifest, all tiles of each scene. ``DataError`` names the line that does not fit."""
    rows = []
    for number, line in enumerate(lines.splitlines(), 1):
        try:
            rows.append(TileRow.from_json(line, size_px))
        except ValueError as error:
            raise DataError(f"{file}: line {number} is damaged ({error}). Run orthoforge prepare --overwrite.") from error
    seen: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        seen[row.scene].add(row.index)
    for scene, count in Counter(row.scene for row in rows).items():
        if seen[scene] != set(range(count)):
            raise DataError(f"{file}: damaged (the tiles of {scene} are not numbered from 0). Run orthoforge prepare --overwrite.")
    return tuple(rows)


def shard_paths(folder: Path, shard: str) -> tuple[Path, Path]:
    """The files with a shard's images and masks. A scene's own shard is called as it is."""
    return folder / f"{shard}.images.npy", folder / f"{shard}.masks.npy"


def shard_of_many(first: str) -> str:
    """The name of a shard that several scenes share, of which this is the first."""
    return f"{TOGETHER}/{first}"


def is_of_many(shard: str) -> bool:
    """Whether it is the name of such a shard."""
    return shard.startswith(f"{TOGETHER}/")


def shard_shapes(count: int, size_px: int, bands: int = 3) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of the arrays in both files."""
    return (count, size_px, size_px, bands), (count, size_px, size_px)


def band_count(bands: Sequence[int] | None) -> int:
    """How many bands the images of a store have that was made of these, or of no chosen ones."""
    return len(bands or RGB)


@lru_cache
def shard_header(shape: tuple[int, ...]) -> bytes:
    """What an .npy file of uint8 begins with. Its length does not depend on the first dimension."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return header.getvalue()


def has_size(shard: Path, shape: tuple[int, ...]) -> bool:
    """Whether the file is there with as many bytes as an array of ``shape`` needs."""
    return shard.is_file() and shard.stat().st_size == len(shard_header(shape)) + math.prod(shape)


def mapped(shard: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The array of ``shape`` in a shard, mapped and read-only. ``DataError`` when the file holds anything else.

    By torch, whose maps keep no file open: numpy's do, and a data set of some hundred scenes would meet the system's limit.
    """
    import torch

    header = shard_header(shape)
    try:
        content = torch.from_file(str(shard), shared=False, size=len(header) + math.prod(shape), dtype=torch.uint8).numpy()
    except RuntimeError as error:
        raise DataError(f"{shard}: cannot be read ({str(error).splitlines()[0]}). Run orthoforge prepare --overwrite.") from error
    if content[: len(header)].tobytes() != header:
        raise DataError(f"{shard}: does not begin as a shard of {shape[0]} tiles does. Run orthoforge prepare --overwrite.")
    content.flags.writeable = False
    return content[len(header) :].reshape(shape)


def may_have_overflowed(written_format: int, window: Window, size_px: int) -> bool:
    """Whether a store of ``written_format`` may hold a wrong mask for a tile of ``size_px`` pixels of ``window``."""
    return written_format <= _OVERFLOWING_FORMAT and window.height * window.width * size_px >= _OVERFLOW


def manifest_sha256(manifest: bytes) -> str:
    """The store's fingerprint: it changes when any tile, its split or its place does."""
    return hashlib.sha256(manifest).hexdigest()


def tile_sha256(image: np.ndarray, mask: np.ndarray) -> str:
    """Checksum of a tile's bytes: image, then mask."""
    checksum = hashlib.sha256(np.ascontiguousarray(image).data)
    checksum.update(np.ascontiguousarray(mask).data)
    return checksum.hexdigest()


@lru_cache
def crs_text(crs: CRS | None) -> str | None:
    """'EPSG:26914' where that says it all, else WKT."""
    if crs is None:
        return None
    code = crs.to_epsg()
    return f"EPSG:{code}" if code and _crs(f"EPSG:{code}") == crs else crs.to_wkt()


_crs = lru_cache(crs_from_text)
