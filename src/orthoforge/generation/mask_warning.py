"""What looks wrong with a building mask, said before an hour has passed."""

from collections.abc import Iterator

from orthoforge.errors import DataError
from orthoforge.generation.scene import sample_windows
from orthoforge.geo.grid import Grid, Window
from orthoforge.masks.opening import SceneMask
from orthoforge.masks.reader import MaskReader
from orthoforge.masks.share import MaskShare

_STRIP_PIXELS = 2**22


def mask_warning(mask: SceneMask, name: str, reader: MaskReader) -> str | None:
    """One line on a building mask that is empty or looks inverted, in the words of ``check``; ``None`` for any other.

    ``reader`` is what read it.
    A scene is judged by windows spread over it, a small one by all of it. Where they show no building, the rest is read too, as
    far as the first one: empty is a mask that has none anywhere. Raises ``DataError`` as reading does, on the mask as a whole.
    """
    found = MaskShare()
    try:
        for window in sample_windows(mask.grid, 1):
            found.add(mask.read(window)[0])
        if found.building_px == 0 and any(mask.read(strip)[0].any() for strip in _strips(mask.grid)):
            return None
    except DataError:
        mask.require_sound()
        raise
    return reader.share_warning(found, name)


def _strips(grid: Grid) -> Iterator[Window]:
    height = max(1, _STRIP_PIXELS // grid.width)
    return (Window(row, 0, min(height, grid.height - row), grid.width) for row in range(0, grid.height, height))
