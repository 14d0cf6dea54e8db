"""``realign.html``: what was moved and how sure that is, in words, numbers and pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from orthoforge.geo.grid import Window
from orthoforge.pages import html
from orthoforge.pages.html import Html, Picture
from orthoforge.realigning.rows import Row, together
from orthoforge.realigning.search import buildings_of, drawn, missing_of
from orthoforge.realigning.written import Outcome

_PICTURED, _PICTURE_PX = 6, 256
_BEFORE, _AFTER, _FOUND = (255, 60, 40), (60, 255, 90), (255, 220, 0)
_COMMON_SHOWN = 20


def page(
    lines: Sequence[str], rows: Sequence[Row], outcomes: Sequence[Outcome], paths: Sequence[Path], *, rounds: int, reach_m: float
) -> Html:
    """The whole page; ``lines`` are its verdict."""
    lead = (
        f"Segmenters looked at each image, none at ground that it was taught on, in {rounds} round{'s' * (rounds > 1)}. Each "
        f"building was moved by {reach_m:g} m at most, to where they see one. realigned.csv has a row for each building."
    )
    parts = [html.section("Before and after", *_pictures(outcomes, paths)), html.section("In numbers", _counts(rows))]
    if common := together(rows):
        shown = [[one.file, f"{one.dx_m:+.1f}", f"{one.dy_m:+.1f}", str(one.buildings)] for one in common[:_COMMON_SHOWN]]
        columns = ["mask", ">m to the right", ">m up", ">sure buildings"]
        parts.append(html.section("Images that lie off as a whole", html.table(columns, shown)))
    return html.page("Masks, realigned", lead, *parts, verdict=" ".join(lines))


def _counts(rows: Sequence[Row]) -> Html:
    shown = []
    for status, meaning in (
        ("moved", "put where a segmenter is sure that it belongs"),
        ("kept", "where it belongs"),
        ("doubtful", "nothing clear is seen; look at it"),
        ("found", "seen, and not in the mask"),
    ):
        some = [row for row in rows if row.status == status]
        shift = [np.hypot(row.dx_m, row.dy_m) for row in some]
        scores = [
            [score for score in of if score is not None]
            for of in zip(*((r.score_before, r.score_after) for r in some), strict=True)
        ]
        before, after = [f"{np.mean(of):.2f}" if of else "" for of in scores] or ["", ""]
        shown.append([status, meaning, str(len(some)), f"{np.median(shift):.1f}" if any(shift) else "", before, after])
    columns = ["buildings", "", ">number", ">median shift, m", ">score before", ">score after"]
    return html.table(columns, shown, "Scores: how likely a segmenter takes the pixels for building, on average.")


def _pictures(outcomes: Sequence[Outcome], paths: Sequence[Path]) -> list[Html]:
    """The windows with most that moved, one of a scene."""
    ranked = sorted(
        range(len(outcomes)),
        key=lambda at: -float(np.hypot(*outcomes[at].placed.shift.T).sum() if len(outcomes[at].numbers) else 0),
    )
    shown = []
    for at in ranked[:_PICTURED]:
        outcome = outcomes[at]
        ground, shape = outcome.ground, outcome.ground.shape
        buildings = list(buildings_of(ground.ids).values())
        before = drawn(buildings, np.zeros((len(buildings), 2), int), shape)
        after = drawn(buildings, outcome.placed.shift, shape)
        found = missing_of(outcome.odds, after, gsd_m=ground.gsd_m)
        window = _busiest(before != after)
        image = np.array(ground.image[window.slices])
        name = paths[at].name
        shown.append(
            html.picture_row(
                [
                    Picture(_outlined(image, (before[window.slices], _BEFORE)), f"{name}: as it was"),
                    Picture(
                        _outlined(image, (after[window.slices], _AFTER), (found[window.slices], _FOUND)),
                        "as it is now; what was found beyond it in yellow",
                    ),
                ]
            )
        )
    return shown


def _busiest(changed: np.ndarray) -> Window:
    """The window in which most changes."""
    height, width = (min(_PICTURE_PX, side) for side in changed.shape)
    sums = np.pad(changed.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    row, col = np.unravel_index(int(inside.argmax()), inside.shape)
    return Window(int(row), int(col), height, width)


def _outlined(image: np.ndarray, *masks: tuple[np.ndarray, tuple[int, int, int]]) -> np.ndarray:
    picture = image.copy()
    for mask, colour in masks:
        inside = mask > 0
        picture[inside & ~ndimage.binary_erosion(inside, border_value=1)] = colour
    return picture
