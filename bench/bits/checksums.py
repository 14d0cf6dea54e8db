"""Checksums of what a road leaves: pixels, weights, tables and pages, without what differs each time, such as dates."""

import base64
import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from PIL import Image

from orthoforge.geo.rasters import read_tags
from orthoforge.geo.rasters.raster import open_raster
from orthoforge.run_files import TIMING_COLUMNS

# Of JSON, at any depth: when something was made and its sources changed, how long it took, by which program, and checksums of files
# that say so.
CHANGING = {
    "created", "datetime", "updated", "seconds", "cpu_seconds", "hours", "minutes", "made_by", "versions", "checksums", "sources",
    "processing:software", "file:checksum", "file:size",
}  # fmt: skip
_EMBEDDED = re.compile(r"data:image/(?:png|jpeg|webp);base64,([A-Za-z0-9+/=]+)")
_WITHOUT_WORDS = re.compile(r"<(style|script)\b.*?</\1>|<[^>]+>", re.DOTALL)
# Of any text: times, and how long the trainings of `utility` took.
_CLOCK = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:\d\d)?|[\d.]+ (s|min|h) for \d+ trainings[^<]*")


def of_bytes(*parts: bytes) -> str:
    """The first 16 hex digits of the SHA-256 of ``parts``, one after the other."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]


def of_array(array: np.ndarray) -> str:
    """Of an array's shape, type and values."""
    return of_bytes(f"{array.shape} {array.dtype}".encode(), np.ascontiguousarray(array).tobytes())


def of_folder(folder: Path, name: str) -> Iterator[tuple[str, str]]:
    """Name and checksum of each thing in ``folder``, called ``name``; hidden files are left out, which say when and how."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in inside.parts):
            for what, checksum in of_file(path, folder.resolve().parent):
                yield f"{name}/{inside}{what}", checksum


def of_file(path: Path, root: Path) -> Iterator[tuple[str, str]]:
    """Each thing that a file holds, and its checksum: nothing of TensorBoard's files. ``root`` is the folder of the road."""
    if path.name.startswith("events.out") or path.name in ("results.png",):
        return
    reader = {
        ".tif": _raster, ".png": _image, ".jpg": _image, ".safetensors": _tensors, ".csv": _table, ".json": _json,
        ".geojson": _json, ".jsonl": _json_lines, ".html": _page, ".yaml": _words, ".md": _words, ".npy": _array, ".zip": _bytes,
    }.get(path.suffix, _bytes)  # fmt: skip
    yield from reader(path, root)


def _bytes(path: Path, root: Path) -> Iterator[tuple[str, str]]:
    yield "", of_bytes(path.read_bytes())


def _array(path: Path, root: Path) -> Iterator[tuple[str, str]]:
    yield "", of_array(np.load(path))


def _raster(path: Path, root: Path) -> Iterator[tuple[str, str]]:
    """Pixels, the place and the tags of a raster; not its bytes, which another GDAL packs otherwise."""
    with open_raster(path) as raster:
        grid = raster.grid
    import rasterio

    with rasterio.open(path) as dataset:
        yield " pixels", of_array(dataset.read())
    yield " grid and tags", of_bytes(repr((grid.height, grid.width, tuple(grid.transform), str(grid.crs))).encode(),
                                     _plain(read_tags(path), root))  # fmt: skip


def _image(path: Path, root: Path) -> Iterator[tuple[str, str]]:
    with Image.open(path) as image:
        yield " pixels", of_array(np.asarray(image))


def _tensors(path: Path, root: Path) -> Iterator[tuple[str, str]]:
    tensors = safetensors.numpy.load(path.read_bytes())
    yield "", of_bytes(*(f"{name} {of_array(tensors[name])}".encode() for name in sorted(tensors)))


def _table(path: Path, root: Path) -> Iterator[tuple[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        rows = [{name: value for name, value in row.items() if name not in TIMING_COLUMNS} for row in csv.DictReader(file)]
    yield "", of_bytes(_plain(rows, root))


def _json(path: Path, root: Path) -> Iterator[tuple[str, str]]:
    yield "", of_bytes(_plain(json.loads(path.read_bytes()), root))


def _json_lines(path: Path, root: Path) -> Iterator[tuple[str, str]]:
    yield "", of_bytes(*(_plain(json.loads(line), root) for line in path.read_text("utf-8").splitlines()))


def _words(path: Path, root: Path) -> Iterator[tuple[str, str]]:
    yield "", of_bytes(_unchanging(path.read_text("utf-8"), root).encode())


def _page(path: Path, root: Path) -> Iterator[tuple[str, str]]:
    """The page as it is, and apart from that the words and the pictures, which a change of style alone leaves as they are."""
    text = _unchanging(path.read_text("utf-8"), root)
    yield "", of_bytes(text.encode())
    yield " words", of_bytes(" ".join(_WITHOUT_WORDS.sub(" ", text).split()).encode())
    pictures = (Image.open(io.BytesIO(base64.b64decode(data))) for data in _EMBEDDED.findall(text))
    yield " pictures", of_bytes(*(of_array(np.asarray(picture)).encode() for picture in pictures))


def _plain(value: Any, root: Path) -> bytes:
    """JSON of ``value`` in one spelling, without what changes each time."""
    return _unchanging(json.dumps(_without_changing(value), sort_keys=True, ensure_ascii=False), root).encode()


def _without_changing(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_changing(entry) for name, entry in value.items() if name not in CHANGING}
    return [_without_changing(entry) for entry in value] if isinstance(value, list) else value


def _unchanging(text: str, root: Path) -> str:
    """``text`` without times, and without the place where the road was travelled."""
    return _CLOCK.sub("", text.replace(f"{root}/", ""))
