"""Pixel sizes that a user states, for rasters whose files do not say them: a number for all, or a table of names and metres."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from orthoforge.errors import ConfigError, DataError
from orthoforge.files import no_such_file, require_end
from orthoforge.geo.grid import POSSIBLE_PIXEL_M, Grid

TABLE = "pixel_size.csv"
"""A table of this name in a folder of data is used without being named."""
# A file's own pixel size is another one than the stated when they differ by more: a degree's pixels change with the latitude.
_SAME = 0.02
_HEADS = ("name", "pattern", "file", "scene")
_MOST_BYTES = 2**20
_FORM = "Each line is a name or a pattern, a comma, and the metres of a pixel: rf_*,0.4"


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
        return next((metres for pattern, metres in self.rules if _fits(pattern, path)), None)

    def applied(self, grid: Grid, path: Path) -> Grid:
        """``grid`` with the pixel size that is stated for the file ``path``; as it is where the file says its own, or none is."""
        metres = self.of(path) if grid.pixel_m() is None else None
        return grid if metres is None else grid.with_pixel_size(metres)

    def is_overruled(self, own_m: float | None, path: Path) -> bool:
        """Whether the file ``path``, whose pixels are ``own_m`` metres by what it says itself, was stated to have others."""
        metres = self.of(path)
        return metres is not None and own_m is not None and abs(own_m / metres - 1) > _SAME

    def unused(self, paths: Sequence[Path]) -> list[str]:
        """Patterns that fit none of the files."""
        return [pattern for pattern, _ in self.rules if not any(_fits(pattern, path) for path in paths)]


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
    try:
        require_end(path)
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path}: has {path.stat().st_size / 1e6:.0f} MB, which no table of pixel sizes has. {_FORM}")
        text = path.read_text(encoding="utf-8-sig")
        lines = text.splitlines()
        rows = list(csv.reader(lines, delimiter=";" if any(";" in line for line in lines) else ","))
    except FileNotFoundError:
        raise DataError(f"{no_such_file(path)} --pixel-size takes metres, as in 0.3, or a table.") from None
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path}: not a readable table of pixel sizes ({error}). {_FORM}") from error
    rules = []
    for number, row in enumerate(rows, 1):
        cells = [cell.strip() for cell in row]
        is_head = number == 1 and cells and cells[0].lower() in _HEADS
        if is_head or not any(cells) or cells[0].startswith("#"):
            continue
        metres = _number(cells[1]) if len(cells) == 2 and cells[0] else None
        if metres is None or not _is_possible(metres):
            raise DataError(f"{path}: line {number} is {','.join(row)[:80]!r}. {_FORM}")
        rules.append((cells[0], metres))
    if not rules:
        raise DataError(f"{path}: holds no pixel size. {_FORM}")
    return tuple(rules)


def _fits(pattern: str, path: Path) -> bool:
    return fnmatchcase(path.stem, pattern) or fnmatchcase(path.name, pattern)


def _number(value: object) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _is_possible(metres: float) -> bool:
    low, high = POSSIBLE_PIXEL_M
    return math.isfinite(metres) and low <= metres <= high
