"""Image/mask pairs in a user's folders, paired by stem and never by order."""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from orthoforge.errors import DataError
from orthoforge.files import readable
from orthoforge.geo.rasters import DRIVERS

IMAGES = "images"
MASKS = ("gt", "masks")  # Inria's name for the masks' folder, and everybody else's
# Where Inria's archive holds its labelled scenes, seen from DATA: here, one folder down, or two when the archive is
# DATA's child.
_ROOTS = (".", "train", "AerialImageDataset/train")
_ACCEPTED = (
    "Accepted are a folder with images/ and masks/, one with images/ and gt/, and Inria's AerialImageDataset/ with "
    "train/images/ and train/gt/."
)


@dataclass(frozen=True)
class Pair:
    """An image and its mask, and the stem that both share. An image that has none is its own mask (``has_mask``)."""

    name: str
    image: Path
    mask: Path

    @property
    def has_mask(self) -> bool:
        """Whether there is a mask beside the image."""
        return self.mask != self.image

    @property
    def place(self) -> str:
        """The town or site the scene belongs to."""
        return place_of(self.name)


@dataclass(frozen=True)
class Pairs:
    """Pairs in natural order (austin2 before austin10), and the files that have no partner."""

    pairs: tuple[Pair, ...]
    lonely: tuple[Path, ...] = ()
    twins: tuple[tuple[Path, ...], ...] = ()  # files of one folder that share a stem; neither is used


def find_pairs(data: Path) -> Pairs:
    """Pairs below ``data``, ready to be used.

    Raises ``DataError`` when no layout is recognised, two files share a stem, or nothing pairs. Lonely files are no
    error here: the caller says what they mean.
    """
    found = survey(data)
    if found.twins:
        raise DataError(twins_message(found.twins[0]))
    return found


def survey(data: Path) -> Pairs:
    """As ``find_pairs``, but files that share a stem are listed as twins, and their scenes left out of the pairs."""
    image_folder, mask_folder = folders(Path(data))
    images, masks = _by_stem(image_folder), _by_stem(mask_folder)
    twins = tuple(tuple(files) for stems in (images, masks) for _, files in _sorted(stems) if len(files) > 1)
    both = {stem for stem in images if stem in masks}
    lonely = tuple(files[0] for stems in (images, masks) for stem, files in _sorted(stems) if stem not in both and len(files) == 1)
    pairs = tuple(
        Pair(stem, files[0], masks[stem][0])
        for stem, files in _sorted(images)
        if stem in both and len(files) == len(masks[stem]) == 1
    )
    if not pairs and not twins:
        raise DataError(
            f"{data}: no image has a mask of the same name. {image_folder} holds {_seen_files(image_folder)}; "
            f"{mask_folder} holds {_seen_files(mask_folder)}. An image and its mask must share their name up to the suffix."
        )
    return Pairs(pairs, lonely, twins)


def images_alone(data: Path) -> Pairs | None:
    """Images without masks, each paired with itself, where ``data`` has a folder of images and none of masks; else ``None``."""
    for root in (Path(data) / root for root in _ROOTS):
        with readable(root):
            images = (root / IMAGES).is_dir() and not any((root / name).is_dir() for name in MASKS)
        if images:
            stems = _by_stem(root / IMAGES)
            twins = tuple(tuple(files) for _, files in _sorted(stems) if len(files) > 1)
            return Pairs(tuple(Pair(stem, files[0], files[0]) for stem, files in _sorted(stems) if len(files) == 1), (), twins)
    return None


def folders(data: Path) -> tuple[Path, Path]:
    """The folders of images and of masks below ``data``. ``DataError`` says what was seen when there are none."""
    with readable(data):
        there = data.is_dir()
    if not there:
        raise DataError(f"{data}: {'not a folder' if data.exists() else 'no such folder'}. {_ACCEPTED}")
    for root in (data / root for root in _ROOTS):
        masks = [root / name for name in MASKS if (root / name).is_dir()]
        if (root / IMAGES).is_dir() and len(masks) > 1:
            raise DataError(f"{root}: has both gt/ and masks/, so it is unclear which masks are meant. Move one of them away.")
        if (root / IMAGES).is_dir() and masks:
            return root / IMAGES, masks[0]
    raise DataError(f"{data}: no image/mask folders recognised; it holds {_seen(data)}. {_ACCEPTED}{_near_miss(data)}")


def place_of(name: str) -> str:
    """The place in a scene's name: 'austin12' → 'austin', 'banepa_core_386690_220241' → 'banepa_core'. Never empty."""
    return re.sub(r"(?:[-_.\s]*\d)+\Z", "", name) or name


def place_key(name: str) -> str:
    """The same, but one place for all scenes whose names have no letter: "scenes"."""
    place = place_of(name)
    return place if any(char.isalpha() for char in place) else "scenes"


def number_of(name: str) -> int | None:
    """The last number in a scene's name: 'austin12' → 12; ``None`` when it has none."""
    numbers = re.findall(r"\d+", name)
    return int(numbers[-1]) if numbers else None


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key that puts austin2 before austin10."""
    parts = re.split(r"(\d+)", name)  # text and digits by turns, so that like meets like
    return [int(part) if index % 2 else part.lower() for index, part in enumerate(parts)], name


def twins_message(files: tuple[Path, ...]) -> str:
    """What to say about files of one folder that share a stem."""
    names = " and ".join(file.name for file in files)
    return f"{files[0].parent}: {names} share one stem, so it is unclear which is meant. Remove or rename one of them."


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    """Raster files of a folder by stem. Hidden files and side files (.aux.xml, .tfw, .ovr) are no rasters.

    A link without a target is one here: it is named when it is opened.
    """
    stems = defaultdict(list)
    with readable(folder):
        files = sorted(folder.iterdir())
    for path in files:
        if path.suffix.lower() in DRIVERS and not path.name.startswith(".") and not path.is_dir():
            stems[path.stem].append(path)
    return stems


def _sorted(stems: dict[str, list[Path]]) -> list[tuple[str, list[Path]]]:
    return sorted(stems.items(), key=lambda item: natural_key(item[0]))


def _seen(folder: Path) -> str:
    """'images/, notes.txt and 3 more', folders first."""
    names = [path.name + "/" for path in folder.iterdir() if path.is_dir()]
    names = sorted(names) + sorted(path.name for path in folder.iterdir() if path.is_file())
    return _few(names) or "nothing"


def _seen_files(folder: Path) -> str:
    """'12 rasters (a.tif, b.tif, …)', or what else there is."""
    names = [files[0].name for _, files in _sorted(_by_stem(folder))]
    if not names:
        return f"no .tif, .png or .jpg but {_seen(folder)}" if any(folder.iterdir()) else "nothing"
    return f"{len(names)} raster{'s' * (len(names) > 1)} ({_few(names)})"


def _few(names: list[str], shown: int = 4) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _near_miss(data: Path) -> str:
    """Advice where the masks' folder has almost the right name ('masks_building'), or DATA is one of the two folders."""
    if (data / IMAGES).is_dir():
        close = sorted(path.name for path in data.iterdir() if path.is_dir() and re.match(r"mask|label|gt", path.name.lower()))
        if close:
            return f" Rename {' or '.join(f'{name}/' for name in close)} to masks/, or link masks/ to it."
    if data.name in (IMAGES, *MASKS):
        return f" Perhaps {data.parent} is meant?"
    return ""
