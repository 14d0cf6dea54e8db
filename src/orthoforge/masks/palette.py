"""Palettes: files that name the classes of a mask, with their colours or values, read and written."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from orthoforge.errors import DataError
from orthoforge.files import new_file, no_such_file, require_end
from orthoforge.masks.classes import Classes, Colour

# An entry of that name adds a colour to another class: '(also seen, treat as Unlabeled)' in the Dubai data set.
_ALIAS = re.compile(r"treat(?:ed)?\s+as\s+(?P<name>.+?)\s*\)?\s*$", re.IGNORECASE)
# Indices are bytes, and one of them stands for no class.
_MOST_CLASSES = 255
_T = TypeVar("_T")
PALETTE = "palette.json"
"""The file of a data set that was made here and says what its masks of classes hold."""


def load_classes(path: str | Path) -> Classes:
    """The classes of a palette: a JSON file of ``{"Building": [60, 16, 152], …}``.

    For masks of one band it gives values, ``{"Building": 1, …}``, or both,
    ``{"Building": {"colour": [60, 16, 152], "value": 1}, …}``. A key that ends in 'treat as NAME' gives the class NAME one
    more of them. ``DataError`` says what is wrong otherwise.
    """
    path = Path(path)
    entries = _entries(path)
    aliases = {name: match["name"] for name, _ in entries if (match := _ALIAS.search(name))}
    names = [name for name, _ in entries if name not in aliases]
    if len(set(names)) < len(names):
        raise DataError(f"{path}: {next(name for name in names if names.count(name) > 1)!r} is there twice.")
    if len(names) > _MOST_CLASSES:
        raise DataError(f"{path}: {len(names)} classes; {_MOST_CLASSES} at most are taken.")
    index_of: dict[Colour, int] = {}
    index_of_value: dict[int, int] = {}
    for name, entry in entries:
        colour, value = _codes(path, name, entry)
        meant = aliases.get(name, name)
        if meant not in names:
            raise DataError(f"{path}: {name!r} refers to {meant!r}, which is not in it. It has {', '.join(names)}.")
        index = names.index(meant)
        if colour is not None and index_of.setdefault(colour, index) != index:
            raise DataError(f"{path}: {list(colour)} stands for both {names[index_of[colour]]!r} and {meant!r}.")
        if value is not None and index_of_value.setdefault(value, index) != index:
            raise DataError(f"{path}: {value} stands for both {names[index_of_value[value]]!r} and {meant!r}.")
    values = _by_class(index_of_value, len(names)) if index_of_value else ()
    return Classes(tuple(names), _by_class(index_of, len(names)), values)


def write_palette(path: Path, classes: Classes, *, overwrite: bool = False) -> None:
    """Write a palette that ``load_classes`` reads: the first colour and value of each class. Raises what ``new_file`` raises."""
    with new_file(path, overwrite=overwrite) as partial:
        partial.write_text(json.dumps(_entries_of(classes), indent=1) + "\n", encoding="utf-8")


def says(path: Path, classes: Classes | None) -> bool:
    """Whether a palette file says the same as ``write_palette`` would of ``classes``. ``False`` for what is no palette."""
    try:
        return classes is not None and _entries_of(load_classes(path)) == _entries_of(classes)
    except DataError:
        return False


def _entries_of(classes: Classes) -> dict[str, dict[str, object]]:
    """The first colour and value of each class, as a palette file holds them."""
    values = classes.values or ((),) * classes.count
    return {
        name: ({"colour": list(colours[0])} if colours else {}) | ({"value": own[0]} if own else {})
        for name, colours, own in zip(classes.names, classes.colours, values, strict=True)
    }


def _entries(path: Path) -> list[tuple[str, Any]]:
    """What a palette file holds, entries of the same name included."""
    try:
        require_end(path)
        entries = json.loads(path.read_text("utf-8"), object_pairs_hook=list)
    except FileNotFoundError:
        raise DataError(no_such_file(path)) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f'{path}: not a readable palette ({error}). {{"Building": [60, 16, 152], …}} is expected.') from error
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, tuple) for entry in entries):
        raise DataError(f'{path}: not a palette; {{"Building": [60, 16, 152], …}} is expected.')
    return entries


def _by_class(index_of: Mapping[_T, int], count: int) -> tuple[tuple[_T, ...], ...]:
    return tuple(tuple(code for code, of in index_of.items() if of == index) for index in range(count))


def _codes(path: Path, name: str, entry: Any) -> tuple[Colour | None, int | None]:
    """The colour and the value that an entry of a palette gives: either, or both."""
    if _is_byte(entry):
        return None, entry
    if not (isinstance(entry, list) and entry and all(isinstance(part, tuple) for part in entry)):
        return _colour(path, name, entry), None
    both = dict(entry)
    if not both.keys() <= {"colour", "value"} or len(both) < len(entry) or not ("value" not in both or _is_byte(both["value"])):
        raise DataError(f'{path}: {name!r} is {both!r}; {{"colour": [60, 16, 152], "value": 1}} or one of both is expected.')
    return _colour(path, name, both["colour"]) if "colour" in both else None, both.get("value")


def _is_byte(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255


def _colour(path: Path, name: str, value: Any) -> Colour:
    if not isinstance(value, list) or len(value) != 3 or not all(map(_is_byte, value)):
        raise DataError(f"{path}: {name!r} is {value!r}; red, green and blue from 0 to 255 are expected, as [60, 16, 152].")
    return value[0], value[1], value[2]
