"""Which masks a command means: files, folders of masks, data sets, lists, and outlines of COCO and YOLO."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orthoforge.errors import ConfigError, DataError
from orthoforge.files import no_such_file, readable, require_end
from orthoforge.geo.example import mask_called
from orthoforge.geo.pixel_sizes import homes_of
from orthoforge.geo.rasters import DRIVERS
from orthoforge.masks.classes import Classes
from orthoforge.scenes.outlines import Folder
from orthoforge.scenes.sources import Pairs, find_pairs, outlined


@dataclass(frozen=True)
class GivenMasks:
    """The masks of a command: rasters and footprints, or rasters that were drawn of annotations, whose ``classes`` they have."""

    paths: tuple[Path, ...]
    classes: Classes | None = None
    images: dict[Path, Path] = field(default_factory=dict)
    """Of a drawn mask the image that its outlines are of."""
    places: tuple[str, ...] = ()
    """Of masks of the generator's own library: the place of each, whose style its image has."""

    def told(self, mask: Path) -> Path:
        """The file that a user knows a mask by."""
        return self.images.get(mask, mask)

    @property
    def homes(self) -> list[Path]:
        """Folders in which tables speak of the masks."""
        return list(homes_of(*map(self.told, self.paths)))


def given_masks(masks: Sequence[str | Path], drawn: Folder) -> GivenMasks:
    """Every mask that ``masks`` means: files, folders of masks, data sets, and text files with a path a line, relative to them.

    Outlines become masks in the folder that ``drawn`` gives. ``example`` means the mask of the package, unless there is a file of
    that name. Raises ``ConfigError`` when nothing is meant, or outlines and other masks together, ``DataError`` for a folder
    without masks.
    """
    found: list[Path] = []
    annotated: list[Pairs] = []
    for path in (mask_called(Path(mask)) for mask in masks):
        with readable(path):
            outlines = outlined(path, drawn)
        if outlines is not None and outlines.classes is not None:
            annotated.append(outlines)
        elif path.is_dir():
            found += _in_folder(path)
        elif path.suffix.lower() == ".txt":
            found += _listed_in(path)
        else:
            found.append(path)
    if annotated:
        return _drawn(annotated, found)
    if not found:
        raise ConfigError("no mask was given.")
    return GivenMasks(tuple(found))


def _drawn(annotated: Sequence[Pairs], others: Sequence[Path]) -> GivenMasks:
    if others or len(annotated) > 1:
        raise ConfigError("outlines of one data set are taken at a time, without other masks. Call generate again for the others.")
    pairs = annotated[0]
    if pairs.lonely:
        names = ", ".join(path.name for path in pairs.lonely[:3]) + (", …" if len(pairs.lonely) > 3 else "")
        print(f"warning: {len(pairs.lonely)} without an image or outlines are left out: {names}", file=sys.stderr)
    images = {pair.mask: pair.image for pair in pairs.pairs}
    return GivenMasks(tuple(images), pairs.classes, images)


def _in_folder(path: Path) -> list[Path]:
    """The masks of a folder of masks, or of a data set with images and masks."""
    with readable(path):
        inside = sorted(file for file in path.iterdir() if _is_mask(file))
    if inside:
        return inside
    try:
        return [pair.mask for pair in find_pairs(path).pairs]
    except DataError:
        raise DataError(f"{path}: no mask in this folder (GeoTIFF, PNG, JPEG or footprints).") from None


def _listed_in(path: Path) -> list[Path]:
    """The paths in a text file, one a line, relative to it."""
    try:
        require_end(path)
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise DataError(no_such_file(path)) from None
    except OSError as error:
        raise DataError(f"{path}: the list of masks cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not text in UTF-8 ({error.reason} at byte {error.start}). Save it as UTF-8.") from error
    paths = [path.parent / line.strip() for line in lines if line.strip()]
    if not paths:
        raise DataError(f"{path}: no mask is listed in it.")
    if not any(map(os.path.exists, paths)):  # that some are missing is for the list of failures to say
        raise DataError(f"{path}: is read as a list of masks, a path a line; {paths[0]} and the others in it are not there.")
    return paths


def _is_mask(path: Path) -> bool:
    # Other footprint formats share their suffix with what else may lie in a folder (.json, .csv, .zip); those are named one by one.
    # A link without a target is named when it is opened.
    return not path.name.startswith(".") and not path.is_dir() and path.suffix.lower() in {*DRIVERS, ".geojson", ".gpkg"}
