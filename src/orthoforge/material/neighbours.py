"""In which order things of the plane are chosen, so that each may look at its neighbours, and all is still a function of place.

The plane is divided into cells. Those of even rows and columns have the first turn, then those beside them, those below them, and
last those between four. What lies in a cell looks at cells around it of an earlier turn, so that no question goes farther than
three cells.
"""

from collections.abc import Iterator

Cell = tuple[int, int]


def turn_of(cell: Cell) -> int:
    """When it is a cell's turn, from 0 to 3; neighbours never have the same."""
    return 2 * (cell[0] % 2) + cell[1] % 2


def earlier(cell: Cell) -> Iterator[tuple[Cell, Cell]]:
    """The cells around one that have an earlier turn, each with the step to it, in rows and columns."""
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            other = cell[0] + down, cell[1] + right
            if turn_of(other) < turn_of(cell):
                yield other, (down, right)
