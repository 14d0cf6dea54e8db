"""COCO's files of annotations: one JSON for all images, with polygons or run lengths (Lin et al. 2014, cocodataset.org)."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, NotRequired

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from orthoforge.errors import DataError
from orthoforge.files import no_such_file, require_end
from orthoforge.scenes.layouts import Layout
from orthoforge.scenes.outlines import AnnotatedImage, Annotations, Pixels, Polygon, Shape, classes_of

# Of the folders below DATA in which tools put the file.
_FOLDERS = (".", "annotations", "train", "images")
_KEYS = (b'"annotations"', b'"categories"', b'"images"')
_LOOKED_AT, _MOST_BYTES = 2**16, 2**30
_LONGEST_NAME = 255  # in bytes, on all common disks
_FORM = ConfigDict(extra="allow", allow_inf_nan=False)
_Id = int | str
_Side = Annotated[int, Field(ge=1, le=10**6)]
_Ring = Annotated[list[Annotated[float, Field(ge=-1e7, le=1e7)]], Field(min_length=6)]


class _Rle(TypedDict):
    size: Annotated[list[_Side], Field(min_length=2, max_length=2)]
    counts: list[Annotated[int, Field(ge=0, le=10**12)]] | str


class _Annotation(TypedDict):
    __pydantic_config__ = _FORM  # type: ignore[misc]

    image_id: _Id
    category_id: int
    segmentation: NotRequired[list[_Ring] | _Rle]
    id: NotRequired[_Id]


class _Image(TypedDict):
    __pydantic_config__ = _FORM  # type: ignore[misc]

    id: _Id
    file_name: Annotated[str, Field(min_length=1, max_length=4096)]
    width: NotRequired[_Side]
    height: NotRequired[_Side]


class _Category(TypedDict):
    __pydantic_config__ = _FORM  # type: ignore[misc]

    id: int
    name: Annotated[str, Field(min_length=1, max_length=200)]
    supercategory: NotRequired[str | None]


class _File(TypedDict):
    __pydantic_config__ = _FORM  # type: ignore[misc]

    images: list[_Image]
    annotations: list[_Annotation]
    categories: Annotated[list[_Category], Field(min_length=1)]


_ADAPTER = TypeAdapter(_File)


def find(data: Path) -> Path | None:
    """The COCO file of a data set: of several that of training. ``DataError`` where it is unclear which is meant."""
    folders = [data / name for name in _FOLDERS if (data / name).is_dir()]
    found = [path for folder in folders for path in sorted(folder.glob("*.json")) if path.is_file() and looks_like_one(path)]
    training = [path for path in found if "train" in path.name.lower() or path.parent.name == "train"]
    chosen = training or found
    if len(chosen) > 1:
        raise DataError(
            f"{data}: {' and '.join(str(path.relative_to(data)) for path in chosen[:3])} hold annotations. Name one with --masks."
        )
    return chosen[0] if chosen else None


def read(path: Path, images: Path | None) -> Annotations:
    """The annotations in ``path``. Images lie in ``images``, or where tools put them: beside the file, or in a folder there.

    ``DataError`` for anything that is no COCO file of outlines, and where none of its images is there.
    """
    content = _content(path)
    used = {annotation["category_id"] for annotation in content["annotations"]}
    parents = {category.get("supercategory") for category in content["categories"]}
    categories = [one for one in content["categories"] if one["id"] in used or one["name"] not in parents]
    numbers = {category["id"]: number for number, category in enumerate(categories, 1)}
    if len(numbers) < len(categories):
        raise DataError(f"{path}: two categories have one id. Export the file anew.")
    by_image = defaultdict(list)
    for annotation in content["annotations"]:
        if annotation["category_id"] not in numbers:
            raise DataError(f"{path}: {_named(annotation)} has category {annotation['category_id']}, which the file does not name.")
        by_image[annotation["image_id"]].append(annotation)
    if unknown := by_image.keys() - {image["id"] for image in content["images"]}:
        raise DataError(
            f"{path}: {_named(by_image[min(unknown, key=str)][0])} is of image {min(unknown, key=str)}, which it does not list."
        )
    folders = _image_folders(path, images)
    found: dict[str, AnnotatedImage] = {}
    lonely = []
    for image in content["images"]:
        file = _file_of(path, image["file_name"], folders)
        if file is None:
            lonely.append(folders[0] / PurePosixPath(image["file_name"].replace("\\", "/")).name)
            continue
        if file.stem in found:
            raise DataError(f"{path}: two images are called {file.stem}. Rename one, here and in the file.")
        size = (image["height"], image["width"]) if "height" in image and "width" in image else None
        found[file.stem] = AnnotatedImage(file.stem, file, _Shapes(path, by_image[image["id"]], numbers), size)
    if not found:
        raise DataError(
            f"{path}: none of its {len(content['images'])} images is in {folders[0]}"
            f"{f' ({lonely[0].name} for one)' if lonely else ''}. Put them into images/ beside it, "
            "or name their folder with --images."
        )
    folder = next(iter(found.values())).path.parent
    layout = Layout(f"outlines of COCO in {path.name}", folder, path.parent)
    return Annotations(path, layout, tuple(found.values()), classes_of(path, [one["name"] for one in categories]), tuple(lonely))


class _Shapes:
    """The shapes of one image's annotations."""

    def __init__(self, path: Path, annotations: Sequence[_Annotation], numbers: Mapping[int, int]) -> None:
        self._path, self._annotations, self._numbers = path, annotations, numbers

    def __call__(self, size: tuple[int, int]) -> Iterator[tuple[int, Shape]]:
        for annotation in self._annotations:
            outline = annotation.get("segmentation")
            number = self._numbers[annotation["category_id"]]
            if not outline:
                raise DataError(
                    f"{self._path}: {_named(annotation)} is a box without an outline; masks need polygons or run lengths. Export "
                    "segmentations, not detections."
                )
            if isinstance(outline, list):
                for ring in outline:
                    if len(ring) % 2:
                        raise DataError(
                            f"{self._path}: {_named(annotation)} has {len(ring)} coordinates: x and y must come in pairs."
                        )
                    yield number, Polygon(np.array(ring).reshape(-1, 2))
                continue
            try:
                yield number, Pixels(_decoded(outline, size))
            except ValueError as error:
                raise DataError(f"{self._path}: {_named(annotation)}: its run lengths {error}. Export the file anew.") from error


def _decoded(rle: _Rle, size: tuple[int, int]) -> np.ndarray:
    """Pixels (H, W) bool of run lengths, outside and inside by turns, column by column. ``ValueError`` says what is wrong."""
    if tuple(rle["size"]) != size:
        raise ValueError(f"are of {rle['size'][1]}×{rle['size'][0]} px, the image has {size[1]}×{size[0]}")
    counts = _unpacked(rle["counts"]) if isinstance(rle["counts"], str) else rle["counts"]
    height, width = size
    if min(counts, default=0) < 0 or sum(counts) != height * width:
        raise ValueError(f"do not add up to its {height * width} pixels")
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, counts).reshape(width, height).T


def _unpacked(text: str) -> list[int]:
    """Run lengths in COCO's compressed text: five bits a character, from the third on the difference to the one before last."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError("are no compressed text")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("end in the middle of a number")
    return counts


def _content(path: Path) -> _File:
    try:
        require_end(path)
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path}: has more than {_MOST_BYTES >> 20} MB. Split it into several files.")
        return _ADAPTER.validate_json(path.read_bytes())
    except FileNotFoundError:
        raise DataError(no_such_file(path)) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    except ValidationError as error:
        first = max(error.errors(), key=lambda one: len(one["loc"]))  # of polygons or run lengths, the form that fits further
        place = ".".join(str(part) for part in first["loc"] if isinstance(part, int) or (part.isidentifier() and part[0] != "_"))
        raise DataError(
            f"{path}: not a COCO file of outlines, or damaged ({place or 'all of it'}: {first['msg']}). It must hold images, "
            "annotations and categories."
        ) from error


def looks_like_one(path: Path) -> bool:
    """Whether the beginning of a file has the keys of a COCO file."""
    try:
        with open(path, "rb") as file:
            head = file.read(_LOOKED_AT)
    except OSError:
        return False
    return any(key in head for key in _KEYS)


def _image_folders(path: Path, images: Path | None) -> list[Path]:
    """Where images may lie, the likeliest first: for annotations/instances_train2017.json train2017/ beside annotations/."""
    if images is not None:
        return [images]
    home = path.parent.parent if path.parent.name == "annotations" else path.parent
    named = path.stem.removeprefix("instances_")
    return [home / "images", home / "images" / named, home / named, path.parent, home]


def _file_of(path: Path, name: str, folders: Sequence[Path]) -> Path | None:
    """The image that is called so in one of ``folders``, or below; ``None`` when it is not there."""
    relative = PurePosixPath(name.replace("\\", "/"))
    if "\0" in name or any(len(part.encode()) > _LONGEST_NAME for part in relative.parts):
        raise DataError(f"{path}: {name[:80]!r} is no name of a file.")
    below = [relative] if not relative.is_absolute() and ".." not in relative.parts else []
    for folder in folders:
        for part in (*below, PurePosixPath(relative.name)):
            file = folder / part
            if part.name and file.is_file():
                return file
    return None


def _named(annotation: _Annotation) -> str:
    return f"annotation {annotation['id']}" if "id" in annotation else f"an annotation of image {annotation['image_id']}"
