"""The quality card: forged masks beside real ones, property by property, and how far real ones are from each other."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
from PIL import Image

from orthoforge.files import new_file
from orthoforge.forging.distributions import distribution_plot
from orthoforge.forging.statistics import PROPERTIES, Floor, PlaceStatistics, floor_of, plain
from orthoforge.pages import html
from orthoforge.pages.html import Html, Picture, Text, Tone

PICTURED = 8  # masks of each kind, the first ones
_THUMBNAIL_PX = 200
_PLOTTED = ("share", "area", "elongation", "orientation", "spacing", "emptiness")
_LOGARITHMIC = ("area", "elongation")
# What nobody sees and no chance explains away: so small a difference is as real even where the real masks agree to a hair, as
# whole cities and regular towns do, whose floor is near 0. Of a distance that is a share or a factor, of one on a scale from
# -1 to 1, and of one in degrees (a pixel's staircase turns a house of 25 px by so much).
_NOTHING = {"relative": 0.02, "log": 0.02, "level": 0.02, "circular": 1.0}
# No property is judged of fewer, real or forged; halves of six real windows are three.
LEAST_REAL_WINDOWS, LEAST_BUILDINGS = 6, 30
# What must be able to show, in the same units: where real parts are further apart by chance, "as real" says nothing.
_WORTH_SEEING = {"relative": 0.5, "log": 0.5, "level": 0.25, "circular": 20.0}


class JudgedProperty(TypedDict):
    """A ``Verdict`` in JSON; ``None`` for what is no number."""

    distance: float | None
    floor: float | None
    floor_highest: float | None
    difference: float | None
    as_real: bool | None
    verdict: str


class CardValues(TypedDict):
    """A ``Card`` in JSON."""

    how: str
    density: float
    passed: bool | None
    real: dict[str, object]
    forged: dict[str, object]
    floor_windows: list[int]
    properties: dict[str, JudgedProperty]


@dataclass(frozen=True)
class Verdict:
    """One property of a place's forged masks beside its real ones."""

    name: str
    title: str
    distance: float
    floor: float
    """Median distance of two parts of the real masks."""
    highest: float
    """What 19 of 20 such pairs of parts stay below."""
    difference: float
    as_real: bool | None
    """``None`` without a verdict: too few masks, or real ones that differ too much."""
    words: str

    @property
    def multiple(self) -> float:
        """Distance in multiples of the floor; NaN without one."""
        return self.distance / self.floor if self.floor else float("nan")


@dataclass(frozen=True)
class Card:
    """A place's forged masks, judged."""

    place: str
    how: str
    density: float
    real: PlaceStatistics
    forged: PlaceStatistics
    floor: Floor
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool | None:
        """Whether no property is further from real than real ones are from each other, in 19 of 20 cases.

        ``None`` where none is, but some have no verdict.
        """
        if any(verdict.as_real is False for verdict in self.verdicts):
            return False
        return None if any(verdict.as_real is None for verdict in self.verdicts) else True

    def summary(self) -> str:
        """What the card found, in a sentence or two."""
        off = [verdict for verdict in self.verdicts if verdict.as_real is False]
        silent = [verdict for verdict in self.verdicts if verdict.as_real is None]
        total, as_real = len(self.verdicts), len(self.verdicts) - len(off) - len(silent)
        if len(silent) == total:
            more = " A larger --count forges more." if self.forged.buildings < LEAST_BUILDINGS <= self.real.buildings else ""
            return f"forged and real masks cannot be compared: {silent[0].words.partition(': ')[2]}.{more}"
        said = []
        if off:
            told = ", ".join(f"{verdict.title} ({verdict.words})" for verdict in off)
            said.append(f"the forged masks differ from the real ones in {len(off)} of {total} properties: {told}.")
        elif as_real:
            said.append(f"the forged masks are like the real ones in {'all ' * (not silent)}{as_real} properties.")
        if silent:
            told = ", ".join(verdict.title for verdict in silent)
            said.append(f"{told}: cannot be judged, because {silent[0].words.partition(': ')[2]}.")
        return " ".join(said)

    def values(self) -> CardValues:
        """For JSON."""
        return {
            "how": self.how, "density": self.density, "passed": self.passed, "real": self.real.summary(),
            "forged": self.forged.summary(), "floor_windows": list(self.floor.windows),
            "properties": {
                verdict.name: {
                    "distance": plain(verdict.distance), "floor": plain(verdict.floor), "floor_highest": plain(verdict.highest),
                    "difference": plain(verdict.difference), "as_real": verdict.as_real, "verdict": verdict.words,
                }
                for verdict in self.verdicts
            },
        }  # fmt: skip


def judge(place: str, how: str, forged: PlaceStatistics, real: PlaceStatistics, *, density: float = 1.0) -> Card:
    """The card of forged masks. A property is as real when it is no further from real than 19 of 20 pairs of real parts are, or
    nearer than 2 % (0.02 on a scale from -1 to 1, 1 degree) whatever those are. It has no verdict where there are fewer than
    ``LEAST_REAL_WINDOWS`` or ``LEAST_BUILDINGS``, or where real parts are so far apart that no large difference would show."""
    floor = floor_of(real, forged.windows)
    distances, differences = forged.distances(real, density=density), forged.differences(real, density=density)
    verdicts = []
    for name, kind in PROPERTIES.items():
        distance, highest, difference = distances[name], floor.highest[name], differences[name]
        as_real, words = _judged(name, distance, highest, difference, forged, real)
        verdicts.append(Verdict(name, kind.title, distance, floor.typical[name], highest, difference, as_real, words))
    return Card(place, how, density, real, forged, floor, tuple(verdicts))


def write_cards(
    out: Path, cards: Sequence[Card], pictures: Mapping[str, tuple[Sequence[np.ndarray], Sequence[np.ndarray]]], *, overwrite: bool
) -> None:
    """Write ``out/card.json`` and ``out/card.html``, one page without anything to fetch.

    ``pictures`` holds the first real and the first forged masks of each place. Errors as in ``orthoforge.files.new_file``.
    """
    with new_file(out / "card.json", overwrite=overwrite) as partial:
        partial.write_text(json.dumps({card.place: card.values() for card in cards}, indent=1) + "\n", encoding="utf-8")
    html.write_page(out / "card.html", _page(cards, pictures), overwrite=overwrite)


def _judged(
    name: str, distance: float, highest: float, difference: float, forged: PlaceStatistics, real: PlaceStatistics
) -> tuple[bool | None, str]:
    """Whether a property is as real, and the verdict in words, which say how large a difference would have shown."""
    if real.windows < LEAST_REAL_WINDOWS:
        return None, f"too few to tell: {real.windows} real windows, {LEAST_REAL_WINDOWS} are needed"
    fewest = min(forged.buildings, real.buildings)
    if math.isnan(distance) or math.isnan(highest) or fewest < LEAST_BUILDINGS:
        counts = f"{real.buildings} real and {forged.buildings} forged buildings"
        return None, f"too few to tell: {counts}, {LEAST_BUILDINGS} of each are needed"
    kind = PROPERTIES[name].distance
    seen_from = max(highest, _NOTHING[kind])
    if distance > seen_from + 1e-9:
        return False, _words(name, distance, difference, forged.unit)
    if seen_from > _WORTH_SEEING[kind]:
        return None, f"no verdict: only more than {_figure(name, seen_from)} would have shown"
    return True, f"as real; more than {_figure(name, seen_from)} would have shown"


def _words(name: str, distance: float, difference: float, unit: str) -> str:
    kind = PROPERTIES[name]
    if kind.distance == "circular":
        return f"turned against real by {distance:.0f}°"
    if math.isnan(difference) or abs(difference) < 0.5 * distance:
        return f"spread differently from real, by {_figure(name, distance)}"
    word = kind.more if difference > 0 else kind.less
    return f"{word} than real by {_figure(name, abs(difference))}"


def _figure(name: str, value: float) -> str:
    if math.isnan(value):
        return "–"
    kind = PROPERTIES[name].distance
    if kind == "circular":
        return f"{value:.1f}°"
    return f"{value:.2f}" if kind == "level" and name != "touching" else f"{100 * value:.0f} %"


def _middle(name: str, statistics: PlaceStatistics) -> str:
    """Median and quartiles of a property in the reader's units; of orientation, which has no middle, the main direction."""
    values = np.atleast_1d(getattr(statistics, name))
    values = values[~np.isnan(values)]
    if not len(values):
        return "–"
    if name == "touching":
        return f"{100 * values[0]:.0f} %"
    if name == "orientation":
        turned = np.sum(statistics.elongation * np.exp(4j * np.radians(values)))
        order = abs(turned) / statistics.elongation.sum()
        return f"{np.degrees(np.angle(turned)) / 4 % 90:.0f}°, order {order:.2f}"
    unit = _unit(name, statistics)
    low, middle, high = (_short(value * (100 if unit == "%" else 1)) for value in np.quantile(values, [0.25, 0.5, 0.75]))
    return f"{middle} {unit} ({low} to {high})".replace("  ", " ")


def _unit(name: str, statistics: PlaceStatistics) -> str:
    """'m²', or 'px²' where the ground resolution is not known; 'per 100² px' is what a hectare then is."""
    unit = PROPERTIES[name].unit
    return "per 100² px" if unit == "/ha" and statistics.unit == "px" else unit.replace("u", statistics.unit)


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _page(cards: Sequence[Card], pictures: Mapping[str, tuple[Sequence[np.ndarray], Sequence[np.ndarray]]]) -> Html:
    return html.page(
        f"Forged masks: {', '.join(card.place for card in cards)}",
        "Forged masks beside the place's real ones. The floor is the distance between two parts of the real masks: what chance "
        "alone makes of it. A property is as real when it is no further than 19 of 20 such pairs of real parts are, or less than "
        "anyone would see: 2 %, 0.02 of a cosine, 1°.",
        *(html.section(card.place, *_parts(card, *pictures[card.place])) for card in cards),
        verdict=Html("<br>".join(html.escape(_verdict(card)) for card in cards)),
    )


def _verdict(card: Card) -> str:
    """What was found, in a sentence or two."""
    off, silent = (sum(verdict.as_real is known for verdict in card.verdicts) for known in (False, None))
    total = len(card.verdicts)
    if silent == total:
        reasons = {verdict.words for verdict in card.verdicts}
        why = f": {reasons.pop().partition(': ')[2]}" if len(reasons) == 1 else ""
        return f"{card.place}: too few to tell whether the forged masks are like the real ones{why}."
    judged = f"the {total - silent} properties that can be judged" if silent else f"{total} properties"
    if off:
        return f"{card.place}: the forged masks differ from the real ones in {off} of {judged}."
    return (
        f"{card.place}: the forged masks are like the real ones in all {judged.removeprefix('the ')}. The table says how large a "
        "difference would have shown."
    )


def _parts(card: Card, real: Sequence[np.ndarray], forged: Sequence[np.ndarray]) -> list[Html]:
    dense = f", at {card.density:g} times its density" * (card.density != 1)
    first, rest = card.floor.windows
    note = (
        f"Medians and, in brackets, quartiles. {card.real.buildings} real and {card.forged.buildings} forged buildings on "
        f"{card.real.windows} and {card.forged.windows} windows. The floor compares {first} real windows with {rest} others, 40 "
        f"times: median – 95th percentile. Below {LEAST_REAL_WINDOWS} real windows or {LEAST_BUILDINGS} buildings of a kind "
        "nothing is judged."
    )
    columns = ["property", "real", "forged", ">distance", ">floor", "verdict"]
    sheets = [Picture(_sheet(masks), kind, alt=f"The first {len(masks)} {kind} masks") for masks, kind in
              ((real, "real"), (forged, "forged"))]  # fmt: skip
    return [
        html.paragraph(f"Made by `{card.how}`{dense}."),
        html.picture_row(sheets, heading="The first masks of each, unpicked", stack=True),
        html.table(columns, [_row(card, verdict) for verdict in card.verdicts]),
        html.aside(note),
        html.subheading("Distributions"),
        html.aside(
            Html(
                f"{html.toned('real', 'real')} {html.toned('forged', 'forged')} Lines: how many in a hundred are at most so large."
            )
        ),
        html.plots(_plots(card)),
    ]


def _row(card: Card, verdict: Verdict) -> list[Text]:
    name = verdict.name
    tones: dict[bool | None, Tone] = {True: "good", False: "off", None: "quiet"}
    return [
        verdict.title,
        _middle(name, card.real),
        _middle(name, card.forged),
        _figure(name, verdict.distance),
        f"{_figure(name, verdict.floor)} – {_figure(name, verdict.highest)}",
        html.toned(tones[verdict.as_real], verdict.words),
    ]


def _sheet(masks: Sequence[np.ndarray]) -> np.ndarray:
    """Masks in rows of four, each reduced to a thumbnail: (H, W) uint8."""
    step, columns = _THUMBNAIL_PX + 6, 4
    rows = max(1, -(-len(masks) // columns))
    sheet = np.full((rows * step - 6, columns * step - 6), 128, np.uint8)
    for number, mask in enumerate(masks):
        row, column = divmod(number, columns)
        scale = _THUMBNAIL_PX / max(mask.shape)
        size = max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale))
        small = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.BOX))
        sheet[row * step : row * step + size[1], column * step : column * step + size[0]] = small
    return sheet


def _plots(card: Card) -> list[Html]:
    """Cumulative distributions of the main properties, real and forged."""
    plots = []
    for name in _PLOTTED:
        unit = _unit(name, card.real)
        real, forged = (
            values[~np.isnan(values)] * (100 if unit == "%" else 1)
            for values in (getattr(card.real, name), getattr(card.forged, name))
        )
        title = PROPERTIES[name].title + (f", {unit}" if unit else "")
        plots.append(distribution_plot(title, real, forged, logarithmic=name in _LOGARITHMIC))
    return plots
