"""Which of GDAL's drivers a file is for, by its name and its first bytes."""

from pathlib import Path

from orthoforge.errors import DataError
from orthoforge.files import no_such_file

DRIVERS = {".tif": "GTiff", ".tiff": "GTiff", ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_MAGIC = {
    b"II*\0": "GTiff", b"MM\0*": "GTiff", b"II+\0": "GTiff", b"MM\0+": "GTiff",
    b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG",
}  # fmt: skip


def driver_of(path: Path) -> str:
    """The driver that suffix and first bytes agree on."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder; name the files in it, for example {path}/*.tif.")
    if not path.is_file():
        raise DataError(no_such_file(path))
    driver = DRIVERS.get(path.suffix.lower())
    if driver is None:
        raise DataError(f"{path}: unknown suffix {path.suffix!r}; GeoTIFF, PNG and JPEG are read.")
    with open(path, "rb") as file:
        head = file.read(4)
    if not head:
        raise DataError(f"{path}: the file is empty (0 bytes). Copy or download it again.")
    found = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    if found is None:
        raise DataError(f"{path}: not a {driver} file; it begins with {head!r}. Export the raster itself, not a page or a VRT.")
    if found != driver:
        right = next(suffix for suffix, name in DRIVERS.items() if name == found)
        raise DataError(f"{path}: holds {found} data under the name of a {driver} file. Rename it to {path.stem}{right}.")
    return driver
