"""Where data sets keep images and masks: the layouts in common use, recognised by the names of folders and files."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orthoforge.errors import ConfigError, DataError
from orthoforge.files import no_folder, readable
from orthoforge.geo.rasters import DRIVERS

# In small letters, in the order in which they are looked for.
_IMAGES = ("images", "image", "imgs", "img", "sat", "images_png")
# Folders that are called so are of masks, whatever they hold; the others only when there are rasters in them.
_MASKS_SURELY = ("gt", "masks")
_MASKS = (*_MASKS_SURELY, "mask", "labels", "label", "map", "masks_png")
_KNOWN = {
    ("images", "gt"): "Inria",
    ("images_png", "masks_png"): "LoveDA",
    ("image", "label"): "WHU",
    ("sat", "map"): "Massachusetts",
}
# Where the labelled part of a data set lies, seen from DATA: here, one folder down, or two when an archive is DATA's child.
_ROOTS = (".", "train", "training", "AerialImageDataset/train", "tiff", "png")
# Parts of one data set beside each other, whose files may have the same names.
_PARTS = ("rural", "urban")
_IMAGE_ENDS = ("", "_sat", "_image", "_img", "_rgb", "_ortho")
_MASK_ENDS = ("_mask", "_masks", "_label", "_labels", "_gt", "_map", "-mask", "-label")
NAME_OTHERS = "Name others with --images and --masks."
"""What ends a message on a layout, in commands that have these options."""
ACCEPTED = (
    "Accepted are a folder with images/ and masks/ (or gt/, labels/, …), Inria's AerialImageDataset/ with train/images/ and "
    f"train/gt/, NAME_sat beside NAME_mask in one folder, a COCO file, and YOLO's images/ and labels/. {NAME_OTHERS}"
)


@dataclass(frozen=True)
class Where:
    """Where pairs lie, as options say it, and the table of their places. What is left out is recognised in the data's folder."""

    images: Path | None = None
    masks: Path | None = None
    image_suffix: str | None = None
    mask_suffix: str | None = None
    places: Path | None = None

    @staticmethod
    def said(
        images: str | Path | None,
        masks: str | Path | None,
        image_suffix: str | None = None,
        mask_suffix: str | None = None,
        places: str | Path | None = None,
    ) -> "Where":
        """As options of the public calls say it."""
        named = [None if path is None else Path(path) for path in (images, masks, places)]
        return Where(named[0], named[1], image_suffix, mask_suffix, named[2])

    def found_from(self, data: Path | None) -> "Where":
        """The same with folders that may be named as seen from ``data``. ``DataError`` for one that is not there."""
        return replace(self, images=_found(self.images, data), masks=_found(self.masks, data))


@dataclass(frozen=True)
class Layout:
    """Folders of images and of masks, and what file names end in after the scene's name.

    ``name`` is what a user is told. ``part`` is the beginning of scenes' names where a data set has several such folders.
    """

    name: str
    images: Path
    masks: Path
    image_suffix: str = ""
    mask_suffix: str = ""
    part: str = ""


def layouts_of(data: Path | None, where: Where) -> tuple[Layout, ...]:
    """The layout of ``data``, in its parts: as ``where`` says, else as it is recognised. ``DataError`` says what was seen."""
    where = where.found_from(data)
    if data is None:
        if not (where.images and where.masks):
            raise ConfigError(
                "which data? Name its folder, or that of the images with --images and that of the masks with --masks."
            )
    else:
        require_folder(data)
    if where.images or where.masks or where.mask_suffix is not None or where.image_suffix is not None:
        return (_stated(data, where),)
    assert data is not None
    found = next(_recognised(data), ())
    if not found:
        raise DataError(f"{data}: no image/mask folders recognised; it holds {seen(data)}. {ACCEPTED}{_near_miss(data)}")
    return found


def require_folder(data: Path) -> None:
    """``DataError`` where ``data`` is no folder."""
    with readable(data):
        there = data.is_dir()
    if not there:
        raise DataError(f"{no_folder(data)}. {ACCEPTED}")


def rasters_of(folder: Path) -> list[Path]:
    """Rasters of a folder, sorted. Hidden files and side files (.aux.xml, .tfw, .ovr) are none.

    A link without a target is one here: it is named when it is opened.
    """
    with readable(folder):
        files = sorted(folder.iterdir())
    return [path for path in files if path.suffix.lower() in DRIVERS and not path.name.startswith(".") and not path.is_dir()]


def seen(folder: Path) -> str:
    """'images/, notes.txt and 3 more', folders first."""
    names = [path.name + "/" for path in folder.iterdir() if path.is_dir()]
    names = sorted(names) + sorted(path.name for path in folder.iterdir() if path.is_file())
    return few(names) or "nothing"


def few(names: Sequence[str], shown: int = 4) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def image_folder_of(data: Path) -> Path:
    """The folder of images below ``data``: one that is called so, or ``data`` itself."""
    for root in _roots(data):
        if image := next((found for name in _IMAGES if (found := _child(root, name))), None):
            return image
    return data


def _recognised(data: Path) -> Iterator[tuple[Layout, ...]]:
    for root in _roots(data):
        if layout := _of_folders(root):
            yield (_with_suffixes(layout),)
        parts = [(part, _of_folders(part)) for name in _PARTS if (part := _child(root, name))]
        if found := [Layout(f"{one.name}, in parts", one.images, one.masks, part=part.name) for part, one in parts if one]:
            yield tuple(found)
        if (images := _child(root, "train")) and (masks := _child(root, "train_labels")):
            yield (Layout(f"{_told(images)} and {_told(masks)}", images, masks),)
        if (root / "train").exists() and root == data:  # what lies there is meant, rather than loose files beside it
            continue
        if layout := _side_by_side(root):
            yield (layout,)


def _of_folders(root: Path) -> Layout | None:
    images = next((found for name in _IMAGES if (found := _child(root, name))), None)
    if images is None:
        return None
    candidates = [(name, found) for name in _MASKS if (found := _child(root, name))]
    masks = [(name, found) for name, found in candidates if name in _MASKS_SURELY or rasters_of(found)]
    if len(masks) > 1:
        named = " and ".join(f"{found.name}/" for _, found in masks)
        raise DataError(f"{root}: has both {named}, so it is unclear which masks are meant. Name one with --masks.")
    if not masks:
        return None
    name, folder = masks[0]
    known = _KNOWN.get((images.name.lower(), name))
    return Layout(f"{_told(images)} and {_told(folder)}{f', as in {known}' if known else ''}", images, folder)


def _side_by_side(root: Path) -> Layout | None:
    stems = {path.stem for path in rasters_of(root)}
    ends = _best_ends(stems, stems)
    if ends is None:
        return None
    known = ", as in DeepGlobe" if ends == ("_sat", "_mask") else ""
    return Layout(f"NAME{ends[0]} beside NAME{ends[1]} in {_told(root)}{known}", root, root, *ends)


def _with_suffixes(layout: Layout) -> Layout:
    """The same with what names end in, where no image has a mask of its very name."""
    images, masks = ({path.stem for path in rasters_of(folder)} for folder in (layout.images, layout.masks))
    ends = None if images & masks else _best_ends(images, masks)
    if ends is None:
        return layout
    return Layout(f"{layout.name}: NAME{ends[0]} and NAME{ends[1]}", layout.images, layout.masks, *ends)


def _best_ends(images: set[str], masks: set[str]) -> tuple[str, str] | None:
    """What the names of most pairs end in; ``None`` where there is no pair."""
    counts = {
        (image_end, mask_end): sum(
            stem.removesuffix(mask_end) + image_end in images for stem in masks if stem.endswith(mask_end) and stem != mask_end
        )
        for image_end in _IMAGE_ENDS
        for mask_end in _MASK_ENDS
    }
    best = max(counts, key=lambda ends: counts[ends])
    return best if counts[best] else None


def _stated(data: Path | None, where: Where) -> Layout:
    """The layout that options say, in part or whole."""
    images = where.images or image_folder_of(data)  # type: ignore[arg-type]
    masks = where.masks
    if masks is None:
        beside = _of_folders(images.parent)
        masks = beside.masks if beside and beside.images == images else images
    if images.is_dir() and images.samefile(masks):
        masks = images
    if images == masks and not where.mask_suffix:
        raise ConfigError(
            f"{images}: masks are to be in the folder of the images, it seems. Say what their names end in, as in --mask-suffix "
            "_mask, or name another folder with --masks."
        )
    for folder in (images, masks):
        require_folder(folder)
    layout = Layout(f"{_told(images)} and {_told(masks)}", images, masks, where.image_suffix or "", where.mask_suffix or "")
    suffixes_are_stated = where.mask_suffix is not None or where.image_suffix is not None
    return layout if suffixes_are_stated else _with_suffixes(layout)


def _found(path: Path | None, data: Path | None) -> Path | None:
    if path is None:
        return None
    path = Path(path)
    for candidate in (path, *((data / path,) if data else ())):
        if candidate.exists():
            return candidate
    beside = f", nor in {data}" if data else ""
    raise DataError(f"{path}: no such folder{beside}.")


def _roots(data: Path) -> list[Path]:
    roots = []
    for root in _ROOTS:
        folder: Path | None = data
        for name in () if root == "." else root.split("/"):
            folder = _child(folder, name) if folder else None
        if folder:
            roots.append(folder)
    return roots


def _child(folder: Path, name: str) -> Path | None:
    """The folder of that name, in capitals or not."""
    if (folder / name).is_dir():
        return folder / name
    with readable(folder):
        return next((path for path in sorted(folder.iterdir()) if path.name.lower() == name.lower() and path.is_dir()), None)


def _told(folder: Path) -> str:
    return f"{folder.name or folder.resolve().name}/"


def _near_miss(data: Path) -> str:
    """Advice where the masks' folder has almost the right name ('masks_building'), or DATA is one of the two folders."""
    if image_folder_of(data) != data:
        close = sorted(path.name for path in data.iterdir() if path.is_dir() and re.match(r"mask|label|gt", path.name.lower()))
        if close:
            return f" Say which masks are meant: {' or '.join(f'--masks {name}' for name in close)}."
    if data.name.lower() in (*_IMAGES, *_MASKS):
        return f" Perhaps {data.parent} is meant?"
    return ""
