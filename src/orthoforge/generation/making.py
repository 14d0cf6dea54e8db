"""The images of one mask after the other, here or in a worker of a cluster."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from orthoforge.errors import LockedError, OrthoforgeError
from orthoforge.generation.chosen_styles import Style
from orthoforge.generation.options import Heard, Options
from orthoforge.trained_generator import TrainedGenerator
from orthoforge.trained_generator.sent import Sent, device_there

Looks = Mapping[str | Path | None, tuple[TrainedGenerator, Style]]


class Wanted(NamedTuple):
    """A mask, the files of its images, the look that is asked for, and the seed of the first."""

    source: Path
    paths: Sequence[Path]
    look: str | Path | None
    seed: int


@dataclass
class Maker:
    """Makes the images of a mask by ``make``. What is heard of it is returned; what goes wrong with it, too."""

    make: Callable[..., None]
    looks: Mapping[str | Path | None, tuple[Sent, Style]]
    options: Options
    is_far: bool

    @staticmethod
    def of(make: Callable[..., None], looks: Looks, options: Options, *, is_far: bool) -> "Maker":
        """For the looks of a command; ``is_far`` where workers of a cluster get copies of it."""
        if is_far:
            options = replace(options, devices=[device_there(options.devices[0])])
        return Maker(make, {look: (Sent(generator), style) for look, (generator, style) in looks.items()}, options, is_far)

    def __call__(self, wanted: Wanted) -> Heard:
        options = replace(self.options, tells_assumed=False, heard=Heard()) if self.is_far else self.options
        heard, labels = options.heard, options.beside.labels
        sent, style = self.looks[wanted.look]
        try:
            self.make(wanted.source, wanted.paths, sent.generator, style, wanted.seed, options)
        except LockedError:
            raise  # a worker waits
        except OrthoforgeError as error:
            heard.failure = error
        if self.is_far and labels is not None:
            heard.labelled = labels.handed_over()
        return heard
