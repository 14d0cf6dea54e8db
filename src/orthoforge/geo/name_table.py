"""Tables in which a user states something of files by their names: lines of a name, or a pattern such as rf_*, and a value."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

from orthoforge.errors import DataError
from orthoforge.files import no_such_file, require_end

_T = TypeVar("_T")
_HEADS = ("name", "pattern", "file", "scene")
_MOST_BYTES = 2**20


@dataclass(frozen=True)
class Told:
    """The words for a table: what it is of, and how a line looks. ``option`` ends what is said where the file is not there."""

    what: str
    form: str
    option: str


def rules_of(path: Path, value_of: Callable[[str], _T | None], told: Told) -> tuple[tuple[str, _T], ...]:
    """The patterns and values of a table. ``value_of`` gives ``None`` for what is no value.

    ``DataError`` names the file, or the line that cannot be used.
    """
    rows = _rows(path, told)
    rules = []
    for number, row in enumerate(rows, 1):
        cells = [cell.strip() for cell in row]
        is_head = number == 1 and cells and cells[0].lower() in _HEADS
        if is_head or not any(cells) or cells[0].startswith("#"):
            continue
        value = value_of(cells[1]) if len(cells) == 2 and cells[0] else None
        if value is None:
            raise DataError(f"{path}: line {number} is {','.join(row)[:80]!r}. {told.form}")
        rules.append((cells[0], value))
    if not rules:
        raise DataError(f"{path}: holds no {told.what}. {told.form}")
    return tuple(rules)


def first_fitting(rules: Sequence[tuple[str, _T]], path: Path) -> _T | None:
    """The value of the first pattern that fits the name of the file ``path``; ``None`` where none does."""
    return next((value for pattern, value in rules if fits(pattern, path)), None)


def fits(pattern: str, path: Path) -> bool:
    """Whether a pattern fits the name of a file, with or without its suffix."""
    return fnmatchcase(path.stem, pattern) or fnmatchcase(path.name, pattern)


def _rows(path: Path, told: Told) -> list[list[str]]:
    try:
        require_end(path)
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path}: has {path.stat().st_size / 1e6:.0f} MB, which no table of {told.what}s has. {told.form}")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        return list(csv.reader(lines, delimiter=";" if any(";" in line for line in lines) else ","))
    except FileNotFoundError:
        raise DataError(f"{no_such_file(path)} {told.option}") from None
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path}: not a readable table of {told.what}s ({error}). {told.form}") from error
