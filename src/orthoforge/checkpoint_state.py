"""What ``state.json`` and ``config.json`` hold, as a form that each is checked against: it may come from anywhere.

A state may hold more than this, of newer versions and for people; that goes along and is not looked at.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from orthoforge.config import problems
from orthoforge.errors import CheckpointError

MODEL, TRAIN, STATE, CONFIG = "model.safetensors", "train.safetensors", "state.json", "config.json"

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


@dataclass(frozen=True)
class Tiles:
    """What a generator knows of the tiles that it learnt from."""

    fingerprint: str
    gsd_m: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
    classes: Classes | None
    attribution: str
    places: list[str] = field(default_factory=list)  # not in runs from before there were styles
    bands: Annotated[int, Field(ge=1, le=65_535)] = 3  # nor are those in runs from before there could be others


@dataclass(frozen=True)
class Progress:
    """How far it was trained; ``orthoforge.training`` keeps more of it."""

    step: _Count
    epoch: _Count = 0


@dataclass(frozen=True)
class Checksums:
    """SHA-256 of the files beside the state."""

    model: Annotated[_Sha256, Field(alias=MODEL)]
    train: Annotated[_Sha256 | None, Field(alias=TRAIN)] = None


@dataclass(frozen=True)
class State:
    """A checkpoint's state, or a pretrained folder's."""

    format: Annotated[int, Field(ge=1)]
    recipe: dict[str, Any]
    progress: Progress
    tiles: Tiles
    checksums: Checksums


_STATE = TypeAdapter(State)


def require_state(payload: bytes, path: Path) -> State:
    """The known part of a state from JSON. ``CheckpointError`` when it does not describe a generator."""
    try:
        return _STATE.validate_json(payload, strict=True)
    except ValidationError as error:
        maker = "publish" if path.name == CONFIG else "train"
        raise CheckpointError(
            f"{path}: does not describe a generator, though its checksum fits: {problems(error)}. Other software wrote or changed "
            f"it; get one that `orthoforge {maker}` wrote."
        ) from error
