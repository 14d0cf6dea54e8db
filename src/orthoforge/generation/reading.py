"""What reads the masks of a command: as the run knows them, from files as the options describe them."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from orthoforge.errors import DataError, NotBuildingsError
from orthoforge.generation.given_masks import GivenMasks
from orthoforge.geo.pixel_sizes import PixelSizes
from orthoforge.masks.reader import MaskReader, palette_of, reader_of
from orthoforge.trained_generator import TrainedGenerator


def reader_for(
    generator: TrainedGenerator,
    masks: GivenMasks,
    threshold: int | None,
    palette: str | Path | None,
    building: Sequence[str],
    pixel_size: PixelSizes | float | str | Path | None,
) -> MaskReader:
    """What reads the masks: as the run knows them, from files as the options describe them."""
    known, building = palette_of(palette, masks.classes, building)
    sizes = PixelSizes.stated(pixel_size, *masks.homes)
    reader = reader_of(generator.classes, threshold=threshold, palette=known, building=building, pixel_sizes=sizes)
    if known and generator.classes is None and not building:
        assert known.building is not None
        print(
            f"note: the run knows buildings alone; {known.names[known.building]!r} of the palette is taken for them.",
            file=sys.stderr,
        )
    return reader


@contextlib.contextmanager
def saying_what_is_known(generator: TrainedGenerator) -> Iterator[None]:
    """Add to what is wrong with a mask of classes that the run knows buildings alone."""
    try:
        yield
    except NotBuildingsError as error:
        known = "buildings alone" if generator.classes is None else f"the classes {', '.join(generator.classes.names)}"
        raise DataError(f"{error} The run, {generator.recipe.name}, knows {known}.") from error
