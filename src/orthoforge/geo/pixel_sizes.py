"""Pixel sizes that a user states, for rasters whose files do not say them: a number for all, or a table of names and metres."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orthoforge.errors import ConfigError
from orthoforge.geo.grid import POSSIBLE_PIXEL_M, Grid
from orthoforge.geo.name_table import Told, first_fitting, fits, rules_of

TABLE = "pixel_size.csv"
"""A table of this name beside the files, or one folder above, is used without being named."""
SAY_IT = f"State it with --pixel-size METRES, as in --pixel-size 0.3, or in a table {TABLE} beside the files."
"""What ends every message on files that do not say how large their pixels are."""
# A file's own pixel size is another one than the stated when they differ by more: a degree's pixels change with the latitude.
_SAME = 0.02
_TOLD = Told(
    "pixel size",
    "Each line is a name or a pattern, a comma, and the metres of a pixel: rf_*,0.4",
    "--pixel-size takes metres, as in 0.3, or a table.",
)


@dataclass(frozen=True)
class PixelSizes:
    """Pairs of a name pattern (``rf_*``) and the metres of a pixel. The first pattern that fits a file's name decides."""

    rules: tuple[tuple[str, float], ...] = ()

    @staticmethod
    def stated(value: "PixelSizes | float | str | Path | None", *folders: Path) -> "PixelSizes":
        """What ``--pixel-size`` says: metres, or the path of a table. ``None`` looks for ``pixel_size.csv`` in ``folders``.

        Raises ``ConfigError`` for a number that is no pixel size, ``DataError`` for a table that cannot be read.
        """
        if isinstance(value, PixelSizes):
            return value
        if value is None:
            found = next((folder / TABLE for folder in folders if (folder / TABLE).is_file()), None)
            return PixelSizes(_table(found)) if found else PixelSizes()
        metres = _number(value)
        if metres is None:
            return PixelSizes(_table(Path(value)))  # type: ignore[arg-type]
        if not _is_possible(metres):
            raise ConfigError(f"pixel_size is {value}; {_RANGE}")
        return PixelSizes((("*", metres),))

    @staticmethod
    def of_plain(plain: Sequence[Sequence[str | float]] | None) -> "PixelSizes":
        """From what ``plain`` gave."""
        return PixelSizes(tuple((str(pattern), float(metres)) for pattern, metres in plain or ()))

    @property
    def plain(self) -> list[list[str | float]]:
        """The rules as plain values."""
        return [list(rule) for rule in self.rules]

    def of(self, path: Path) -> float | None:
        """Metres of a pixel of the file ``path``, by its name with or without the suffix; ``None`` where nothing is stated."""
        return first_fitting(self.rules, path)

    def applied(self, grid: Grid, path: Path) -> Grid:
        """``grid`` with the pixel size that is stated for the file ``path``; as it is where the file says its own, or none is."""
        metres = self.of(path)
        return grid if metres is None or grid.pixel_m() is not None else grid.with_pixel_size(metres)

    def is_overruled(self, own_m: float | None, path: Path) -> bool:
        """Whether the file ``path``, whose pixels are ``own_m`` metres by what it says itself, was stated to have others."""
        metres = self.of(path)
        return metres is not None and own_m is not None and abs(own_m / metres - 1) > _SAME

    def unused(self, paths: Sequence[Path]) -> list[str]:
        """Patterns that fit none of the files."""
        return [pattern for pattern, _ in self.rules if not any(fits(pattern, path) for path in paths)]


def homes_of(*files: Path) -> tuple[Path, ...]:
    """The folders in which tables speak of files: that of each file, and the one above."""
    return tuple(dict.fromkeys(home for file in files for home in (file.parent, file.parent.parent)))


def overruled_note(names: Sequence[str], own_m: Sequence[float]) -> str | None:
    """What to say of files whose own pixel size, ``own_m``, is another than the stated; ``None`` without any."""
    if not names:
        return None
    low, high = f"{min(own_m):.2g}", f"{max(own_m):.2g}"
    who = names[0] if len(names) == 1 else f"{len(names)} scenes ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
    span = f"{low} m" if low == high else f"{low} to {high} m"
    return f"{who}: the file itself says that a pixel is {span}, and that holds. --pixel-size is for files that do not say it."


_RANGE = (
    f"it is the side of a pixel on the ground in metres, {POSSIBLE_PIXEL_M[0]:g} to {POSSIBLE_PIXEL_M[1]:g}, or the path of a "
    "table (.csv)."
)


def _table(path: Path) -> tuple[tuple[str, float], ...]:
    return rules_of(path, _metres, _TOLD)


def _metres(text: str) -> float | None:
    metres = _number(text)
    return metres if metres is not None and _is_possible(metres) else None


def _number(value: object) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _is_possible(metres: float) -> bool:
    low, high = POSSIBLE_PIXEL_M
    return math.isfinite(metres) and low <= metres <= high
