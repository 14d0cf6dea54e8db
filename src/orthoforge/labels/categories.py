"""What is labelled: buildings, or the classes of a mask that are things to be found."""

import re
from dataclasses import dataclass

import numpy as np

from orthoforge.masks.classes import BUILDING, Classes

# Classes that say that nothing was labelled. Their pixels belong to no object.
_NOTHING = re.compile(r"background|unlabell?ed|unclassified|unknown|ignored?|void|no[ _-]?data|none", re.IGNORECASE)


@dataclass(frozen=True)
class Categories:
    """The categories of labels by index from 0: their names, and the value that each has in a mask as it is read."""

    names: tuple[str, ...]
    values: tuple[int, ...]

    @staticmethod
    def of(classes: Classes | None) -> "Categories":
        """Building alone for masks without classes; else every class but those called background, unlabeled, ignore or the like."""
        if classes is None:
            return Categories(("building",), (BUILDING,))
        kept = [index for index, name in enumerate(classes.names) if not _NOTHING.fullmatch(name.strip())]
        return Categories(tuple(classes.names[index] for index in kept), tuple(kept))

    def numbered(self, labels: np.ndarray) -> np.ndarray:
        """The category of each pixel and 1, (h, w) uint8, of labels (h, w) uint8; 0 where there is none."""
        table = np.zeros(256, np.uint8)
        table[list(self.values)] = np.arange(1, len(self.values) + 1)
        numbered: np.ndarray = table[labels]
        return numbered
