"""What a feature says of itself: attributes by name, as text."""

import re
from collections.abc import Collection, Mapping

from orthoforge.vectors.chunks import Tags

OTHER_TAGS = "other_tags"
"""Where GDAL puts the tags of OpenStreetMap that have no column of their own, as PostgreSQL's hstore."""
# Longer texts are descriptions, which decide nothing.
_LONGEST = 200
_HSTORE = re.compile(r'"((?:[^"\\]|\\.)*)"\s*=>\s*"((?:[^"\\]|\\.)*)"')


def tags_of(attributes: Mapping[str, object], keys: Collection[str]) -> Tags:
    """Those of ``keys`` that are among the attributes, in any case of letters, or among their ``other_tags``; no empty ones."""
    found: dict[str, str] = {}
    for name, value in attributes.items():
        if name == OTHER_TAGS and isinstance(value, str):
            found = {key: text for key, text in _hstore(value) if key in keys} | found
        elif (key := name.lower() if isinstance(name, str) else "") in keys and (text := _text(value)):
            found[key] = text
    return found


def _text(value: object) -> str:
    """A value as OpenStreetMap writes it; empty for what is no single value."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}" if value == value else ""
    return str(value).strip()[:_LONGEST] if isinstance(value, str | int) else ""


def _hstore(text: str) -> list[tuple[str, str]]:
    """'"natural"=>"tree","height"=>"8"', with quotes and backslashes behind a backslash."""
    return [(re.sub(r"\\(.)", r"\1", key), re.sub(r"\\(.)", r"\1", value)[:_LONGEST]) for key, value in _HSTORE.findall(text)]
