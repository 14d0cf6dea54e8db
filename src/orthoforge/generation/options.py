"""What a command says of all its images, and what there is to say of them at its end."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from orthoforge.errors import OrthoforgeError
from orthoforge.generation.beside import Beside
from orthoforge.geo.cog import Compression
from orthoforge.labels import Added
from orthoforge.masks.layered import MapFiles
from orthoforge.masks.opening import Extent
from orthoforge.masks.reader import MaskReader


@dataclass
class Heard:
    """What came up with some masks, beside their images."""

    overruled: dict[str, float] = field(default_factory=dict)
    """Masks whose own pixel size is another than the stated, and their metres."""
    assumed: list[str] = field(default_factory=list)
    """Notes of masks whose pixels are taken to be as large as the run's."""
    kept: list[Path] = field(default_factory=list)
    """Images that were there already."""
    labelled: Added | None = None
    """What was added to a copy of the folder of labels."""
    failure: OrthoforgeError | None = None


@dataclass(frozen=True)
class Options:
    """How images are made and written, the same for every mask of a command."""

    overlap_px: int | None
    resample: bool
    deliver: Literal["mask", "run"]
    compress: Compression
    quality: int
    reader: MaskReader
    devices: list[str]
    extent: Extent
    layers: MapFiles | None
    sign: tuple[Path, Path] | None
    beside: Beside
    overwrite: bool
    tells_assumed: bool = True
    """Whether it is said that pixels of unknown size are taken to be as large as the run's."""
    doubts_masks: bool = True
    """Whether it is said that a mask is empty, or looks inverted."""
    heard: Heard = field(default_factory=Heard)

    def assume(self, note: str) -> None:
        """Say of the first mask of which it holds that its pixels are taken to be as large as the run's."""
        if self.tells_assumed and not self.heard.assumed:
            print(f"note: {note}", file=sys.stderr)
        self.heard.assumed.append(note)

    def take(self, other: Heard) -> None:
        """What was heard of a mask, maybe in another process. Raises what went wrong with it."""
        failure, other.failure = other.failure, None
        if other is not self.heard:
            for note in other.assumed:
                self.assume(note)
            self.heard.overruled.update(other.overruled)
            self.heard.kept.extend(other.kept)
            if other.labelled is not None and self.beside.labels is not None:
                self.beside.labels.take_in(other.labelled)
        if failure is not None:
            raise failure
