"""A JSON document read piece by piece: a city's GeoJSON needs the memory of its largest feature, not of its text."""

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from orthoforge.vectors.limits import Metered, shown

# What anybody may have written between braces: nothing is known of it before it is looked at.
JsonObject = dict[str, Any]
_SPACE = re.compile(r"[ \t\n\r]*")
_BLOCK_BYTES, _MOST_BYTES = 2**20, 2**26
# A number, a word or an escape that the end of the text has cut looks like a fault so many characters before it.
_CUT_CHARACTERS = 16


class JsonStream:
    """A cursor in a JSON text. Raises ``ValueError`` where the text is not JSON, with the place."""

    def __init__(self, file: Metered) -> None:
        self._file = file
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._raw_decode = json.JSONDecoder().raw_decode
        self._text, self._at, self._before, self._ended = "", 0, 0, False

    @property
    def place(self) -> int:
        """The number of the character under the cursor."""
        return self._before + self._at

    def peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            space = _SPACE.match(self._text, self._at)
            assert space
            self._at = space.end()
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def skip(self, character: str, missing: str) -> None:
        """Step over ``character``. ``ValueError`` when another stands there: ``missing`` names it."""
        found = self.peek()
        if found != character:
            raise ValueError(f"no {missing} at character {self.place}" if found else "it ends too early")
        self._at += 1

    def value(self) -> Any:
        """The value at the cursor, which moves behind it."""
        self.peek()
        while True:
            try:
                found, end = self._raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos >= len(self._text) - _CUT_CHARACTERS
                if cut and not self._ended:
                    self._more()
                    continue
                raise ValueError("it ends too early" if cut else f"{error.msg} at character {self._before + error.pos}") from None
            if isinstance(found, int | float) and end > len(self._text) - _CUT_CHARACTERS and not self._ended:
                self._more()  # what looks like the number's end may be the text's: 12 of 12.5
                continue
            self._at = end
            self._file.mark()
            return found

    def items(self, what: str) -> Iterator[Any]:
        """The values of the list at the cursor, which moves behind it."""
        self.skip("[", "list")
        number = 0
        while self.peek() != "]":
            try:
                found = self.value()
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{what} {number}: {shown(error)}") from error
            yield found
            number += 1
            if self.peek() != "]":
                self.skip(",", "comma")
        self.skip("]", "end of the list")

    def members(self) -> Iterator[str]:
        """The names in the object at the cursor. For each, who reads takes its value before the next."""
        self.skip("{", "object")
        while self.peek() != "}":
            name = self.value()
            self.skip(":", "colon")
            yield name
            if self.peek() != "}":
                self.skip(",", "comma")
        self.skip("}", "end of the object")

    def _more(self) -> bool:
        if self._ended:
            return False
        left = self._text[self._at :]
        data = self._file.read(min(max(_BLOCK_BYTES, len(left)), _MOST_BYTES))
        self._ended = not data
        self._before += self._at
        self._text, self._at = left + self._decode(data, final=self._ended), 0
        return not self._ended
