"""Which of GDAL's drivers a file is for, by its name and its first bytes, and what may lie beside it."""

import os
from pathlib import Path

from orthoforge.errors import DataError
from orthoforge.files import no_such_file, readable

DRIVERS = {".tif": "GTiff", ".tiff": "GTiff", ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_MAGIC = {
    b"II*\0": "GTiff", b"MM\0*": "GTiff", b"II+\0": "GTiff", b"MM\0+": "GTiff",
    b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG",
}  # fmt: skip


# Beside X.tif GDAL looks for X.tif.msk and X.tif.ovr in these spellings, and opens them with any driver.
_SIDE_FILES = (".msk", ".MSK", ".ovr", ".OVR")


def driver_of(path: Path) -> str:
    """The driver that suffix and first bytes agree on."""
    require_name(path)
    with readable(path):
        if path.is_dir():
            raise DataError(f"{path}: is a folder; name the files in it, for example {path}/*.tif.")
        if not path.is_file():
            raise DataError(no_such_file(path))
        driver = DRIVERS.get(path.suffix.lower())
        if driver is None:
            raise DataError(f"{path}: unknown suffix {path.suffix!r}; GeoTIFF, PNG and JPEG are read.")
        head, found = _head(path)
    if not head:
        raise DataError(f"{path}: the file is empty (0 bytes). Copy or download it again.")
    if found is None:
        raise DataError(f"{path}: not a {driver} file; it begins with {head!r}. Export the raster itself, not a page or a VRT.")
    if found != driver:
        right = next(suffix for suffix, name in DRIVERS.items() if name == found)
        raise DataError(f"{path}: holds {found} data under the name of a {driver} file. Rename it to {path.stem}{right}.")
    return driver


def require_name(path: Path) -> None:
    """Raise ``DataError`` for a path that GDAL cannot be told."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise DataError(f"{path}: its name, or a folder's, is not UTF-8, which GDAL needs. Rename it.") from None


def require_own_side_files(path: Path) -> None:
    """Raise ``DataError`` for a mask or overviews beside ``path`` that are no TIFF: GDAL would follow a VRT to any other file."""
    there = [suffix for suffix in _SIDE_FILES if os.path.lexists(f"{path}{suffix}")]
    for side in (path.with_name(path.name + suffix) for suffix in there):
        with readable(side):
            if side.exists() and not (side.is_file() and _head(side)[1] == "GTiff"):
                kind = "mask" if side.suffix.lower() == ".msk" else "overviews"
                raise DataError(f"{side}: lies beside {path.name} as its {kind} and is no TIFF. Remove it, or write it anew.")


def _head(path: Path) -> tuple[bytes, str | None]:
    """The first bytes of a file, and the driver that they are for."""
    with open(path, "rb") as file:
        head = file.read(4)
    return head, next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
