"""What is said of a forged mask, as plain values."""

from collections.abc import Mapping
from typing import TypedDict

# What made a mask what it is, by name: numbers, and lists of them. Which there are depends on how it was made.
Parameters = Mapping[str, object]


class Made(TypedDict):
    """The masks that it was made of, by name, and its share of building."""

    sources: list[str]
    parameters: Parameters
    building_share: float


class ForgedRow(Made):
    """A line of ``forged.jsonl``."""

    name: str
    place: str
    how: str
    seed: int
