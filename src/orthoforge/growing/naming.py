"""Names of synthetic pairs, such that every reader of the layout puts them into training.

A reader of Inria's layout takes the first number that follows letters (torchgeo: ``([A-Za-z]+)(\\d+)``, above 5 trains); the split
of 2021 takes the last digit of the last number (0 to 6 trains). A synthetic name is PLACE and one number that satisfies both.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orthoforge.scenes.place_names import place_key

# Inria's authors keep 1 to 5 of each city for validation.
_LARGEST_HELD_BACK = 5
_TRAINING_DIGITS = range(7)


@dataclass(frozen=True)
class Places:
    """Where a data set keeps its pairs: folders of images and masks below its root, and what file names end in."""

    images: str = "images"
    masks: str = "masks"
    image_suffix: str = ""
    mask_suffix: str = ""

    def pair(self, root: Path, name: str) -> tuple[Path, Path]:
        """The files of a synthetic image and its mask."""
        return root / self.images / f"{name}{self.image_suffix}.tif", root / self.masks / f"{name}{self.mask_suffix}.tif"

    @property
    def plain(self) -> list[str]:
        """As plain values: both folders, and both endings where there are any."""
        return [self.images, self.masks, *([self.image_suffix, self.mask_suffix] if self.image_suffix or self.mask_suffix else [])]


class Names:
    """Gives names, each of them once: ``names.next("austin")`` is 'austin40' where the last real scene is austin36."""

    def __init__(self, in_use: Iterable[str]) -> None:
        self._highest: dict[str, int] = defaultdict(lambda: _LARGEST_HELD_BACK)
        for name in in_use:
            stem = _stem(place_key(name))
            self._highest[stem] = max(self._highest[stem], *map(int, re.findall(r"\d+", name) or "0"))

    def next(self, place: str) -> str:
        """A new name for ``place``, its number above all numbers in names of the place."""
        stem = _stem(place)
        number = self._highest[stem] + 1
        while number % 10 not in _TRAINING_DIGITS:
            number += 1
        self._highest[stem] = number
        return f"{stem}{number}"


def _stem(place: str) -> str:
    """The place as names begin with it: it ends in a letter of ASCII, and none is followed by a number, as readers expect it."""
    stem = re.sub(r"[-_.\s]+$", "", re.sub(r"(?<=[A-Za-z])\d+", "", place))
    return stem if re.search(r"[A-Za-z]$", stem) else f"{stem}s"
