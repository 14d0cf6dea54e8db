"""A library as bytes, to lie beside the weights: images as WebP (bands beyond three as PNG), masks as PNG of one bit,
classes as PNG, in a zip. Without classes its format is 1, which older versions read."""

import io
import json
import zipfile
from typing import Any

import numpy as np
from PIL import Image

from orthoforge.errors import CheckpointError
from orthoforge.files import ZIP_ERRORS
from orthoforge.material.library import Library

FORMAT, FORMAT_OF_CLASSES = 1, 2
QUALITY = 90
_INDEX = "index.json"
MOST_TILES, MOST_PX, _MOST_BYTES = 20_000, 4096, 2**31


def pack(library: Library) -> bytes:
    """The library's bytes, the same each time. Images lose what WebP loses at quality 90."""
    index = {
        "format": FORMAT if library.classes is None else FORMAT_OF_CLASSES, "size_px": library.size_px, "bands": library.bands,
        "places": library.places.tolist(), "place_names": list(library.place_names), "names": list(library.names),
    }  # fmt: skip
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, _INDEX, json.dumps(index, ensure_ascii=False).encode())
        for number, (image, mask) in enumerate(zip(library.images, library.masks, strict=True)):
            for name, shown in _pictures(number, image):
                _add(archive, name, _encoded(shown))
            _add(archive, f"{number}.mask.png", _encoded(mask))
            if library.classes is not None:
                _add(archive, f"{number}.classes.png", _encoded(library.classes[number]))
    return out.getvalue()


def unpack(payload: bytes, source: str) -> Library:
    """The library that ``pack`` made. ``CheckpointError`` naming ``source`` for anything else."""
    try:
        with zipfile.ZipFile(io.BytesIO(payload)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _MOST_BYTES:
                raise ValueError("it unpacks to more than 2 GB")
            index = json.loads(archive.read(_INDEX))
            size, bands, count = _checked(index)
            images = np.empty((count, size, size, bands), np.uint8)
            masks = np.empty((count, size, size), bool)
            classes = np.empty((count, size, size), np.uint8) if index["format"] == FORMAT_OF_CLASSES else None
            for number in range(count):
                parts = [_decoded(archive.read(name), size) for name, _ in _pictures(number, images[number])]
                images[number] = parts[0] if bands == 3 else np.stack(parts, axis=-1)
                masks[number] = _decoded(archive.read(f"{number}.mask.png"), size) > 0
                if classes is not None:
                    classes[number] = _decoded(archive.read(f"{number}.classes.png"), size)
    except (*ZIP_ERRORS, ValueError, KeyError, TypeError, SyntaxError) as error:  # Pillow calls a broken PNG a SyntaxError
        raise CheckpointError(f"{source}: is no library of material, or damaged ({error}).") from error
    places = np.array(index["places"], np.int64)
    return Library(images, masks, places, tuple(index["place_names"]), tuple(index["names"]), classes)


def _pictures(number: int, image: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """The files of an image (S, S, B): one of three bands, or one for each band."""
    if image.shape[2] == 3:
        return [(f"{number}.webp", image)]
    return [(f"{number}.{band}.png", image[..., band]) for band in range(image.shape[2])]


def _encoded(picture: np.ndarray) -> bytes:
    out = io.BytesIO()
    if picture.ndim == 3:
        Image.fromarray(picture).save(out, "WEBP", quality=QUALITY, method=4)
    else:
        Image.fromarray(picture).save(out, "PNG", optimize=True)
    return out.getvalue()


def _decoded(payload: bytes, size: int) -> np.ndarray:
    with Image.open(io.BytesIO(payload), formats=("WEBP", "PNG")) as picture:
        if picture.size != (size, size):
            raise ValueError(f"a tile has {picture.size[0]}×{picture.size[1]} px instead of {size}×{size}")
        return np.asarray(picture)


def _checked(index: Any) -> tuple[int, int, int]:
    """Size, bands and count of tiles, when the index makes sense; else ``ValueError``."""
    if index["format"] not in (FORMAT, FORMAT_OF_CLASSES):
        raise ValueError(f"its format is {index['format']!r}, this version reads {FORMAT} and {FORMAT_OF_CLASSES}")
    size, bands, count, places = index["size_px"], index["bands"], len(index["names"]), index["place_names"]
    sound = all(type(value) is int for value in (size, bands, *index["places"])) and 1 <= size <= MOST_PX and 1 <= bands <= 64
    sound &= (
        1 <= count <= MOST_TILES
        and len(index["places"]) == count
        and all(isinstance(name, str) for name in (*places, *index["names"]))
    )
    if not sound or not all(0 <= place < len(places) for place in index["places"]):
        raise ValueError("its index makes no sense")
    return size, bands, count


def _add(archive: zipfile.ZipFile, name: str, payload: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), payload)
