"""What ``state.json`` and ``config.json`` hold, as a form that each is checked against: it may come from anywhere.

A state may hold more than this, of newer versions and for people; that goes along and is not looked at.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

from pydantic import Field

MODEL, TRAIN, MATERIAL = "model.safetensors", "train.safetensors", "material.zip"
STATE, CONFIG = "state.json", "config.json"

_Count = Annotated[int, Field(ge=0, le=10**15)]
_Byte = Annotated[int, Field(ge=0, le=255)]
_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class Classes:
    """Names by index, and of each the colours that it has in masks, or its values in masks of one band."""

    names: Annotated[list[str], Field(min_length=1, max_length=255)]
    colours: list[list[tuple[_Byte, _Byte, _Byte]]]
    values: list[list[_Byte]] = field(default_factory=list)  # only where a palette gave some

    def __post_init__(self) -> None:
        if len(self.colours) != len(self.names):
            raise ValueError(f"{len(self.names)} names, but colours of {len(self.colours)} classes")
        if self.values and len(self.values) != len(self.names):
            raise ValueError(f"{len(self.names)} names, but values of {len(self.values)} classes")

    def plain(self) -> dict[str, list[Any]]:
        """``names`` and ``colours``, and ``values`` where there are some, as they are written."""
        colours = [[list(colour) for colour in of_class] for of_class in self.colours]
        plain: dict[str, list[Any]] = {"names": list(self.names), "colours": colours}
        return plain | ({"values": self.values} if self.values else {})


@dataclass(frozen=True)
class GivenMaterial:
    """What is known of the tiles whose roofs and ground a generator was given in place of those that it learnt from."""

    fingerprint: str
    attribution: str


@dataclass(frozen=True)
class Tiles:
    """What a generator knows of the tiles that it learnt from."""

    fingerprint: str
    gsd_m: Annotated[float, Field(ge=1e-11, le=1e8, allow_inf_nan=False)] | None  # as a store's, ``tiles.forms``
    classes: Classes | None
    attribution: str
    places: list[str] = field(default_factory=list)  # not in runs from before there were styles
    bands: Annotated[int, Field(ge=1, le=65_535)] = 3  # nor are those in runs from before there could be others
    size_px: int | None = None
    material: GivenMaterial | None = None  # whose places ``places`` are then


@dataclass(frozen=True)
class Progress:
    """How far it was trained; ``orthoforge.training`` keeps more of it."""

    step: _Count
    epoch: _Count = 0
    rollbacks: _Count = 0


@dataclass(frozen=True)
class Checksums:
    """SHA-256 of the files beside the state."""

    model: Annotated[_Sha256, Field(alias=MODEL)]
    train: Annotated[_Sha256 | None, Field(alias=TRAIN)] = None
    material: Annotated[_Sha256 | None, Field(alias=MATERIAL)] = None

    def of(self, file: str) -> str | None:
        """That of a file by its name; ``None`` where the state has none of it."""
        return {MODEL: self.model, TRAIN: self.train, MATERIAL: self.material}[file]


@dataclass(frozen=True)
class Form:
    """The parts of it that are checked."""

    format: Annotated[int, Field(ge=1)]
    recipe: dict[str, object]
    progress: Progress
    tiles: Tiles
    checksums: Checksums
    versions: dict[str, object] = field(default_factory=dict)  # not in pretrained folders
    refinement: Annotated[float, Field(ge=0, le=1)] | None = None  # in pretrained folders alone, where it is not the usual one


@dataclass(frozen=True)
class CheckpointState(Form):
    """A checkpoint's state, or a pretrained folder's.

    ``recipe`` are its fields as they were written: a recipe of another version may have others (``checkpoints.recipe_of``).
    ``versions`` is what it was trained with and on. ``refinement`` is the share of its network's changes that a canvas gets unless
    another is asked for.
    """

    recorded: Mapping[str, object] = field(kw_only=True, repr=False)
    """All that the file holds, its own checksum aside."""

    def part(self, name: str) -> Mapping[str, object]:
        """``progress``, ``tiles`` or ``checksums`` as written: with what this version does not know, without what it adds."""
        return cast(Mapping[str, object], self.recorded[name])
