"""What a place looks like, in numbers, and how far two sets of masks are apart.

Lengths are in metres where the masks' ground resolution is known, else in pixels. A building that the border cuts is left out of
whatever needs its whole shape.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

# Labels of neighbours that touch are often kept apart by a line of one pixel.
_TOUCHING_PX = 1.5
_LEVELS = (np.arange(200) + 0.5) / 200
_BINS = 90  # of orientation, one degree each
_SPLITS = 40


@dataclass(frozen=True)
class Property:
    """One thing to compare: its name on the card, and words for more and less of it than real."""

    title: str
    more: str
    less: str
    distance: str
    """``relative``: mean distance of quantiles over the real mean; ``log``: mean factor between them, less 1; ``circular``: mean
    turn in degrees that makes one the other, of 45 at most; ``level``: mean distance of values that run from -1 to 1."""
    unit: str = ""


PROPERTIES: dict[str, Property] = {
    "share": Property("building share", "denser", "sparser", "relative", "%"),
    "per_ha": Property("buildings per hectare", "more", "fewer", "relative", "/ha"),
    "area": Property("area", "larger", "smaller", "log", "u²"),
    "elongation": Property("elongation", "longer", "squarer", "log"),
    "fill": Property("share of its rectangle", "plainer", "more angled", "log"),
    "orientation": Property("orientation", "turned", "turned", "circular", "°"),
    "coherence": Property("agreement with neighbours", "more aligned", "less aligned", "level"),
    "spacing": Property("spacing", "wider", "narrower", "relative", "u"),
    "touching": Property("share touching", "more", "fewer", "level", "%"),
    "emptiness": Property("distance to the nearest building", "emptier", "less empty", "relative", "u"),
}


@dataclass(frozen=True)
class PlaceStatistics:
    """Measurements of a place. Of a building there are (n,) values, NaN where one could not be taken."""

    unit: str
    """``m`` or ``px``."""
    pixel: float
    """Mean side of a pixel in units."""
    window: tuple[float, float]
    """Height and width of the windows that shares are taken over, in units."""
    share: np.ndarray
    """(w,) building share of each window."""
    per_ha: np.ndarray
    """(w,) buildings on 10 000 square units; one that the border cuts counts half."""
    area: np.ndarray
    elongation: np.ndarray
    """Long side over short side of the smallest rectangle around it."""
    fill: np.ndarray
    """Area over that rectangle's."""
    orientation: np.ndarray
    """Degrees from north, clockwise, 0 to 90: a rectangle looks the same a quarter turn on. By elongation in comparisons."""
    coherence: np.ndarray
    """Mean of cos(4 × difference of orientation) with the three nearest: 1 in a street, about 0 where there is no order."""
    spacing: np.ndarray
    """Edge to edge to the nearest building, where that is nearer than the border (behind it may be a nearer one)."""
    building_window: np.ndarray
    """(n,) the window each building's centre lies in."""
    emptiness: np.ndarray
    """Distance to the nearest building from points on a regular grid that lie on none."""
    emptiness_window: np.ndarray

    @property
    def windows(self) -> int:
        """Number of windows."""
        return len(self.share)

    @property
    def buildings(self) -> int:
        """Number of buildings whose whole shape was seen."""
        return len(self.area)

    @property
    def touching(self) -> float:
        """Share of the buildings that have a neighbour within a pixel; NaN without any."""
        known = self.spacing[~np.isnan(self.spacing)]
        return float(np.mean(known <= _TOUCHING_PX * self.pixel + 1e-9)) if len(known) else float("nan")

    def of_windows(self, which: np.ndarray) -> "PlaceStatistics":
        """The part of these windows (indices)."""
        ours, empty = np.isin(self.building_window, which), np.isin(self.emptiness_window, which)
        by_building = {
            name: getattr(self, name)[ours]
            for name in ("area", "elongation", "fill", "orientation", "coherence", "spacing", "building_window")
        }
        return replace(
            self, share=self.share[which], per_ha=self.per_ha[which], **by_building,
            emptiness=self.emptiness[empty], emptiness_window=self.emptiness_window[empty],
        )  # fmt: skip

    def summary(self) -> dict[str, object]:
        """Quartiles of each property, and counts: what goes into a JSON file."""
        row: dict[str, object] = {"unit": self.unit, "windows": self.windows, "buildings": self.buildings}
        for name in PROPERTIES:
            value = getattr(self, name)
            row[name] = plain(value) if isinstance(value, float) else [plain(q) for q in _quartiles(value)]
        return row

    def distances(self, real: "PlaceStatistics", *, density: float = 1.0) -> dict[str, float]:
        """How far these masks are from ``real`` in each of ``PROPERTIES``; NaN where either has nothing to compare.

        ``density`` is what the share was asked to be multiplied by: share and number are compared with the real ones times it.
        Distances are Wasserstein's between the distributions (the area between their quantile functions), in relative units.
        """
        found = {}
        for name, kind in PROPERTIES.items():
            ours, theirs = _values(self, name), _values(real, name)
            if name in ("share", "per_ha"):
                theirs = theirs * density
            if not len(ours) or not len(theirs):
                found[name] = float("nan")
            elif kind.distance == "circular":
                found[name] = _turn_distance(ours, self.elongation, theirs, real.elongation)
            else:
                found[name] = _DISTANCES[kind.distance](ours, theirs)
        return found

    def differences(self, real: "PlaceStatistics", *, density: float = 1.0) -> dict[str, float]:
        """By how much the mean of each property is above (below 0: below) the real one's, in the distances' units."""
        found = {}
        for name, kind in PROPERTIES.items():
            ours, theirs = _values(self, name), _values(real, name)
            factor = density if name in ("share", "per_ha") else 1.0
            if not len(ours) or not len(theirs):
                found[name] = float("nan")
            elif kind.distance == "log":
                found[name] = float(np.exp(np.log(ours).mean() - np.log(theirs).mean()) - 1)
            elif kind.distance == "relative":
                found[name] = float(ours.mean() / (factor * theirs.mean()) - 1) if theirs.mean() else float("nan")
            elif kind.distance == "circular":
                turn = _main_direction(ours, self.elongation) - _main_direction(theirs, real.elongation)
                found[name] = float((turn + 45) % 90 - 45)
            else:
                found[name] = float(ours.mean() - theirs.mean())
        return found


@dataclass(frozen=True)
class Floor:
    """How far two parts of the real masks are apart: what chance alone makes of a distance."""

    windows: tuple[int, int]
    """In the first part and in the second."""
    typical: dict[str, float]
    """Median distance of random splits."""
    highest: dict[str, float]
    """What 19 of 20 splits stay below."""


def floor_of(real: PlaceStatistics, forged_windows: int | None = None) -> Floor:
    """The distances between two disjoint parts of the real windows, over 40 random splits.

    The first part has half of them, or as many as were forged when those are fewer: few windows differ more by chance.
    """
    first = max(1, real.windows // 2 if forged_windows is None else min(forged_windows, real.windows // 2))
    rng = np.random.default_rng([0, 0xF1])
    rows: list[dict[str, float]] = []
    for _ in range(_SPLITS):
        order = rng.permutation(real.windows)
        part, rest = real.of_windows(order[:first]), real.of_windows(order[first:])
        rows.append(part.distances(rest))
    table = {name: np.array([row[name] for row in rows]) for name in PROPERTIES}
    return Floor(
        (first, real.windows - first),
        {name: _percentile(values, 50) for name, values in table.items()},
        {name: _percentile(values, 95) for name, values in table.items()},
    )


def _values(statistics: PlaceStatistics, name: str) -> np.ndarray:
    """A property's values without NaN; orientations keep their order, for their weights."""
    values = np.atleast_1d(getattr(statistics, name))
    return values[~np.isnan(values)]


def _relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    scale = theirs.mean()
    return _wasserstein(ours, theirs) / scale if scale else float("nan")


def _log(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.expm1(_wasserstein(np.log(ours), np.log(theirs))))


def _wasserstein(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(_quantiles(ours) - _quantiles(theirs)).mean())


def _quantiles(values: np.ndarray) -> np.ndarray:
    """At ``_LEVELS``, as ``np.quantile`` has them, in a fifth of the time."""
    return np.interp(_LEVELS * (len(values) - 1), np.arange(len(values)), np.sort(values))


_DISTANCES: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "relative": _relative, "log": _log, "level": _wasserstein,
}  # fmt: skip


def _turn_distance(ours: np.ndarray, our_weight: np.ndarray, theirs: np.ndarray, their_weight: np.ndarray) -> float:
    """Wasserstein distance on the circle of 90 degrees: the least over all places to cut it (Werman et al. 1986)."""
    shares = []
    for values, weight in ((ours, our_weight), (theirs, their_weight)):
        histogram = np.bincount((values % 90).astype(int) % _BINS, weights=weight, minlength=_BINS)
        shares.append(histogram / histogram.sum())
    ahead = np.cumsum(shares[0] - shares[1])
    return float(np.abs(ahead - np.median(ahead)).sum() * 90 / _BINS)


def _main_direction(values: np.ndarray, weight: np.ndarray) -> float:
    turned = np.sum(weight * np.exp(4j * np.radians(values)))
    return float(np.degrees(np.angle(turned)) / 4)


def _quartiles(values: np.ndarray) -> list[float]:
    values = values[~np.isnan(values)]
    return [float(q) for q in np.quantile(values, [0.25, 0.5, 0.75])] if len(values) else [float("nan")] * 3


def _percentile(values: np.ndarray, level: float) -> float:
    values = values[~np.isnan(values)]
    return float(np.percentile(values, level)) if len(values) else float("nan")


def plain(value: float) -> float | None:
    """A number for JSON: four digits, ``None`` for NaN."""
    return None if np.isnan(value) else round(float(value), 4)
