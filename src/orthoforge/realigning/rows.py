"""``realigned.csv``: a row for each building, and what the rows say together."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np

from orthoforge.files import new_file

Status = Literal["moved", "kept", "doubtful", "found"]
# An image lies off as a whole where so many sure buildings or more say so, by so much, most of them alike within so much.
_LEAST_BUILDINGS, _LEAST_M, _MOST_OF, _WITHIN_M = 4, 1.0, 0.75, 1.0


@dataclass(frozen=True)
class Row:
    """A building: ``x`` and ``y`` of its centroid in the masks, in the coordinates of the file, or pixels where it has none.

    ``dx_m`` and ``dy_m`` say how far it was moved to the right and up (east and north on a map). ``score_before`` and
    ``score_after`` are how likely the segmenter takes its pixels for building, 0 to 1; ``None`` where it is too small to be
    looked at.
    """

    file: str
    x: float
    y: float
    area_m2: float
    dx_m: float
    dy_m: float
    score_before: float | None
    score_after: float | None
    status: Status


@dataclass(frozen=True)
class Together:
    """An image that lies off as a whole: ``dx_m`` to the right and ``dy_m`` up its buildings were moved."""

    file: str
    dx_m: float
    dy_m: float
    buildings: int


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """The table, replaced whole."""
    with new_file(path, overwrite=True) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in fields(Row)])
        for row in rows:
            writer.writerow([_plain(getattr(row, field.name)) for field in fields(Row)])


def together(rows: Sequence[Row]) -> list[Together]:
    """The images whose buildings agree that all of it lies off."""
    found = []
    for file in dict.fromkeys(row.file for row in rows):
        sure = np.array([(row.dx_m, row.dy_m) for row in rows if row.file == file and row.status in ("moved", "kept")])
        if len(sure) < _LEAST_BUILDINGS:
            continue
        middle = np.median(sure, axis=0)
        agree = (np.hypot(*(sure - middle).T) <= _WITHIN_M).mean()
        if np.hypot(*middle) >= _LEAST_M and agree >= _MOST_OF:
            found.append(Together(file, float(middle[0]), float(middle[1]), len(sure)))
    return found


def verdict(rows: Sequence[Row], *, spread_m: float, added: bool) -> list[str]:
    """What happened, in sentences."""
    own = [row for row in rows if row.status != "found"]
    counts = {status: sum(row.status == status for row in rows) for status in ("moved", "kept", "doubtful", "found")}
    shifts = [float(np.hypot(row.dx_m, row.dy_m)) for row in own if row.status == "moved"]
    by = f", half of them by {np.median(shifts):.1f} m or more" if shifts else ""
    sure = (counts["moved"] + counts["kept"]) / max(1, len(own))
    said = [
        f"{counts['moved']} of {len(own)} buildings were moved{by}; {counts['kept']} lie where they belong.",
        f"The segmenters are sure of the place of {sure:.0%}. The other {counts['doubtful']} are doubtful: they kept their place, "
        "or went with their neighbours.",
    ]
    for one in (found := together(rows))[:3]:
        said.append(f"{one.file} lies off as a whole: it was moved {_way(one.dx_m, one.dy_m)}.")
    if len(found) > 3:
        said.append(f"So do {len(found) - 3} more images.")
    if counts["found"]:
        what = "were added to the masks" if added else "are listed as found and not in the masks (--add writes them)"
        said.append(f"{counts['found']} buildings that the masks lack {what}.")
    if not counts["moved"]:
        said.append("The masks fit their images as far as the segmenters can see.")
    else:
        said.append(f"Labels seem to lie off by themselves with a standard deviation of {spread_m:g} m along each axis.")
    return said


def _way(dx_m: float, dy_m: float) -> str:
    parts = [
        f"{abs(by):.1f} m {words[by < 0]}" for by, words in ((dx_m, ("right", "left")), (dy_m, ("up", "down"))) if abs(by) >= 0.05
    ]
    return " and ".join(parts)


def _plain(value: object) -> object:
    return "" if value is None else f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
