"""The forms of a store's description and of its manifest's lines: whatever a file holds, it fits them or is refused in words."""

from typing import Annotated, Literal, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from orthoforge.errors import DataError

_STRICT = ConfigDict(strict=True, allow_inf_nan=False)
# Far beyond any raster that is read; products of them stay small numbers.
_Pixel = Annotated[int, Field(ge=0, le=10**7)]
_Length = Annotated[int, Field(ge=1, le=10**7)]
# Of a pixel; no raster with smaller or larger ones is read (``geo.grid.require_possible``), and squares of these stay numbers.
_Metres = Annotated[float, Field(ge=1e-11, le=1e8)]
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# A scene's name becomes those of its shards: it must not lead out of the store's folder.
_Scene = Annotated[str, Field(pattern=r"^[^./\x00][^/\x00]*$")]
# A shard of several scenes, named after the first of them.
_Group = Annotated[str, Field(pattern=r"^together/[^./\x00][^/\x00]*$")]
_Colour = Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=3, max_length=3)]


class GridForm(TypedDict):
    """A tile's place: six numbers of its transform, and its CRS in words."""

    transform: Annotated[list[float], Field(min_length=6, max_length=6)]
    crs: str | None


class RowForm(TypedDict):
    """A line of the manifest; see ``manifest.TileRow``."""

    __pydantic_config__ = ConfigDict(**_STRICT, extra="forbid")  # type: ignore[misc]

    scene: _Scene
    place: str
    index: _Pixel
    window: tuple[_Pixel, _Pixel, _Length, _Length]
    grid: GridForm
    gsd_m: _Metres | None
    split: Literal["train", "val", "test", "buffer", ""]
    building_share: Annotated[float, Field(ge=0, le=1)]
    sha256: _Sha256
    synthetic: NotRequired[bool]


class ClassesForm(TypedDict):
    """Classes by index; each may have several colours, and values in masks of one band."""

    names: Annotated[list[str], Field(min_length=1, max_length=256)]
    colours: list[list[_Colour]]
    values: NotRequired[list[list[Annotated[int, Field(ge=0, le=255)]]]]


class SettingsForm(TypedDict):
    """What a store's reader needs of ``prepare``'s settings; the others are kept as they are."""

    __pydantic_config__ = ConfigDict(**_STRICT, extra="allow")  # type: ignore[misc]

    attribution: str
    split: str
    places: NotRequired[list[Annotated[list[str], Field(min_length=2, max_length=2)]]]
    bands: NotRequired[Annotated[list[_Length], Field(min_length=1)] | None]
    threshold: NotRequired[int | None]


class StoreForm(TypedDict):
    """``store.json``."""

    __pydantic_config__ = ConfigDict(**_STRICT, extra="allow")  # type: ignore[misc]

    format: _Length
    size_px: _Length
    gsd_m: _Metres | None
    classes: ClassesForm | None
    settings: SettingsForm
    fingerprint: _Sha256
    groups: NotRequired[dict[_Group, list[_Scene]]]


ROW, STORE_BODY = TypeAdapter(RowForm), TypeAdapter(StoreForm)


def problems(error: ValidationError) -> str:
    """What does not fit, a few words each: 'window.2: Input should be greater than or equal to 1'."""
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'all of it'}: {e['msg']}" for e in error.errors()[:3])


def store_body(content: bytes, file: object) -> StoreForm:
    """What ``store.json`` holds. ``DataError`` when it does not fit."""
    try:
        body = STORE_BODY.validate_json(content)
    except ValidationError as error:
        raise DataError(
            f"{file}: not a tile store's description, or damaged ({problems(error)}). Run orthoforge prepare --overwrite."
        ) from error
    classes = body["classes"]
    if classes and len(classes["names"]) != len(classes["colours"]):
        raise DataError(f"{file}: damaged (not as many colours as classes). Run orthoforge prepare --overwrite.")
    if classes and not _are_told_apart(classes):
        raise DataError(f"{file}: damaged (a class has neither colour nor value). Run orthoforge prepare --overwrite.")
    grouped = [scene for scenes in body.get("groups", {}).values() for scene in scenes]
    if len(set(grouped)) != len(grouped):
        raise DataError(f"{file}: damaged (a scene lies in two shards). Run orthoforge prepare --overwrite.")
    return body


def _are_told_apart(classes: ClassesForm) -> bool:
    values = classes.get("values") or [[] for _ in classes["names"]]
    return len(values) == len(classes["names"]) and all(own or other for own, other in zip(classes["colours"], values, strict=True))
