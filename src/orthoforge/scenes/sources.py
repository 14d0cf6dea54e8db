"""Image/mask pairs in a user's folders, paired by name and never by order."""

import contextlib
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orthoforge.errors import DataError
from orthoforge.masks.classes import Classes
from orthoforge.scenes.annotations import has_annotations, recognised_annotations, stated_annotations
from orthoforge.scenes.layouts import Layout, Where, few, layouts_of, rasters_of, seen
from orthoforge.scenes.outlines import Annotations, Folder
from orthoforge.scenes.place_names import PlaceNames, place_key, place_of
from orthoforge.scenes.yolo import is_labels

_HERE = Where()


@dataclass(frozen=True)
class Pair:
    """An image and its mask, and the name of the scene: the stem that both share, up to what the layout adds to it.

    An image that has no mask is its own (``has_mask``). ``stated_place`` is what a table says of its place.
    """

    name: str
    image: Path
    mask: Path
    stated_place: str | None = None

    @property
    def has_mask(self) -> bool:
        """Whether there is a mask beside the image."""
        return self.mask != self.image

    @property
    def place(self) -> str:
        """The town or site the scene belongs to."""
        return self.stated_place or place_of(self.name)

    @property
    def place_key(self) -> str:
        """The same, but one place for all scenes whose names have no letter."""
        return self.stated_place or place_key(self.name)


@dataclass(frozen=True)
class Pairs:
    """Pairs in natural order (austin2 before austin10), and the files that have no partner.

    ``layout`` are the folders that they lie in. ``classes`` are those of annotations, of which the masks were drawn. ``places`` are
    those that a table states.
    """

    pairs: tuple[Pair, ...]
    lonely: tuple[Path, ...] = ()
    twins: tuple[tuple[Path, ...], ...] = ()  # files of one folder that share a name; neither is used
    layout: tuple[Layout, ...] = ()
    classes: Classes | None = None
    places: PlaceNames = PlaceNames()  # noqa: RUF009 (immutable)

    def homes(self, data: Path | None) -> tuple[Path, ...]:
        """The folders in which tables speak of the pairs: that of the data, those of images and masks, and the ones above."""
        below = [home for layout in self.layout for home in (layout.images.parent, layout.images, layout.masks)]
        return tuple(dict.fromkeys([*([data] if data else []), *below]))

    def with_places(self, places: PlaceNames) -> "Pairs":
        """The same, where ``places`` say which place scenes are of."""
        pairs = [replace(pair, stated_place=places.of(pair.image)) for pair in self.pairs]
        return replace(self, pairs=tuple(pairs), places=places)


def find_pairs(data: Path | None, where: Where = _HERE, *, drawn: Folder | None = None) -> Pairs:
    """Pairs below ``data``, or where ``where`` says, ready to be used. Annotations become masks in the folder that ``drawn`` gives.

    Raises ``DataError`` when no layout is recognised, two files share a name, or nothing pairs. Lonely files are no
    error here: the caller says what they mean.
    """
    found = survey(data, where, drawn=drawn)
    if found.twins:
        raise DataError(twins_message(found.twins[0]))
    return found


def survey(data: Path | None, where: Where = _HERE, *, drawn: Folder | None = None) -> Pairs:
    """As ``find_pairs``, but files that share a name are listed as twins, and their scenes left out of the pairs."""
    data = None if data is None else Path(data)
    where = where.found_from(data)
    return _placed(_surveyed(data, where, drawn), data, where)


def _placed(found: Pairs, data: Path | None, where: Where) -> Pairs:
    """The pairs with the places that a table states: the one that is named, or that of the data's folder."""
    places = PlaceNames.stated(where.places, *found.homes(data))
    return found.with_places(places) if places.rules else found


def _surveyed(data: Path | None, where: Where, drawn: Folder | None) -> Pairs:
    annotations = stated_annotations(data, where)
    layouts: tuple[Layout, ...] = ()
    if annotations is None:
        try:
            layouts = layouts_of(data, where)
        except DataError:
            annotations = recognised_annotations(data) if data and data.is_dir() else None
            if annotations is None:
                raise
    if annotations is not None:
        return _of_annotations(annotations, drawn)
    parts = [_pairs_of(layout) for layout in layouts]
    found = Pairs(
        tuple(pair for part in parts for pair in part.pairs),
        tuple(path for part in parts for path in part.lonely),
        tuple(files for part in parts for files in part.twins),
        layouts,
    )
    if not found.pairs and not found.twins:
        raise DataError(_no_pair(data, layouts[0]))
    return found


def outlined(path: Path, drawn: Folder) -> Pairs | None:
    """The images and drawn masks of a COCO file, a folder of YOLO's labels, or a data set with either; ``None`` for others."""
    if not has_annotations(path):
        return None
    is_data = path.is_dir() and not is_labels(path)
    return find_pairs(path, drawn=drawn) if is_data else find_pairs(None, Where(masks=path), drawn=drawn)


def lonely_message(path: Path, found: Pairs) -> str:
    """What to say of a file that has no partner."""
    of_images = any(path.parent == layout.images and not _is_mask(path, layout) for layout in found.layout)
    return f"{path}: has no {'mask' if of_images else 'image'} of the same name. Add it, or remove this file."


def _pairs_of(layout: Layout) -> Pairs:
    """The pairs of one part of a data set."""
    image_files, mask_files = rasters_of(layout.images), rasters_of(layout.masks)
    if layout.images == layout.masks:
        mask_files = [path for path in mask_files if _is_mask(path, layout)]
        others = [path for path in image_files if not _is_mask(path, layout)]
        image_files = [path for path in others if path.stem.endswith(layout.image_suffix)]
    images, masks = _by_name(image_files, layout.image_suffix), _by_name(mask_files, layout.mask_suffix)
    twins = tuple(tuple(files) for names in (images, masks) for _, files in _sorted(names) if len(files) > 1)
    both = {name for name in images if name in masks}
    lonely = tuple(files[0] for names in (images, masks) for name, files in _sorted(names) if name not in both and len(files) == 1)
    begin = f"{layout.part}_" if layout.part else ""
    pairs = tuple(
        Pair(begin + name, files[0], masks[name][0])
        for name, files in _sorted(images)
        if name in both and len(files) == len(masks[name]) == 1
    )
    return Pairs(pairs, lonely, twins)


def images_alone(data: Path | None, where: Where = _HERE) -> Pairs | None:
    """Images without masks, each paired with itself. ``None`` where there are masks, or no folder of images."""
    data = None if data is None else Path(data)
    where = where.found_from(data)
    folder = where.images or (None if data is None else data / "images")
    if folder is None or where.masks or not folder.is_dir():
        return None
    with contextlib.suppress(DataError):
        layouts_of(data, where)
        return None
    images = _by_name(rasters_of(folder), where.image_suffix or "")
    twins = tuple(tuple(files) for _, files in _sorted(images) if len(files) > 1)
    pairs = tuple(Pair(name, files[0], files[0]) for name, files in _sorted(images) if len(files) == 1)
    alone = Pairs(pairs, (), twins, (Layout("images without masks", folder, folder, where.image_suffix or ""),))
    return _placed(alone, data, where)


def _is_mask(path: Path, layout: Layout) -> bool:
    """Whether a file is a mask, by its folder, or by its name where images and masks lie in one."""
    if layout.images != layout.masks:
        return path.parent == layout.masks
    return path.stem.endswith(layout.mask_suffix)


def _of_annotations(annotations: Annotations, drawn: Folder | None) -> Pairs:
    if drawn is None:
        raise DataError(
            f"{annotations.path}: holds outlines, which check, prepare, forge, generate and grow read as masks. Cut it with "
            "orthoforge prepare, or name a folder of masks."
        )
    images = sorted(annotations.images, key=lambda image: natural_key(image.name))
    pairs = tuple(Pair(image.name, image.path, image.draw(drawn())) for image in images)
    return Pairs(pairs, annotations.lonely, (), (annotations.layout,), annotations.classes)


def _no_pair(data: Path | None, layout: Layout) -> str:
    ends = " of the same name"
    if layout.image_suffix or layout.mask_suffix:
        ends = f": none is called NAME{layout.image_suffix} and NAME{layout.mask_suffix}"
    return (
        f"{data or layout.images}: no image has a mask{ends}. {layout.images} holds {_seen_files(layout.images)}; "
        f"{layout.masks} holds {_seen_files(layout.masks)}. An image and its mask must share their name up to the suffix; if "
        "masks' names end otherwise, say how: --mask-suffix _mask."
    )


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


def _by_name(files: Sequence[Path], suffix: str) -> dict[str, list[Path]]:
    """Files by the scene's name: their stem without ``suffix``."""
    names = defaultdict(list)
    for path in files:
        names[path.stem.removesuffix(suffix) or path.stem].append(path)
    return names


def _sorted(names: dict[str, list[Path]]) -> list[tuple[str, list[Path]]]:
    return sorted(names.items(), key=lambda item: natural_key(item[0]))


def _seen_files(folder: Path) -> str:
    """'12 rasters (a.tif, b.tif, …)', or what else there is."""
    names = [path.name for path in sorted(rasters_of(folder), key=lambda path: natural_key(path.stem))]
    if not names:
        return f"no .tif, .png or .jpg but {seen(folder)}" if any(folder.iterdir()) else "nothing"
    return f"{len(names)} raster{'s' * (len(names) > 1)} ({few(names)})"
