"""Real and forged distributions as drawings inside the card: sharp at any size, in the page's own colours."""

import math

import numpy as np

from orthoforge.pages.html import Html, escape

_WIDTH, _HEIGHT = 340, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 38, 322, 30, 174
_LEVELS = np.linspace(0, 1, 201)  # more points than pixels show nothing more
_ROOM_FOR_TICKS = 6


def distribution_plot(title: str, real: np.ndarray, forged: np.ndarray, *, logarithmic: bool = False) -> Html:
    """An SVG of both cumulative distributions: how many in a hundred are at most x. Values (n,) are finite, for a logarithmic axis
    above 0; either may be empty."""
    drawn = (("real", real), ("forged", forged))
    both = np.concatenate([real, forged])
    low, high = (float(both.min()), float(both.max())) if len(both) else (0.0, 1.0)
    if low == high:
        low, high = (low / 2, high * 2) if logarithmic else (low - 0.5, high + 0.5)
    forward = np.log10 if logarithmic else np.asarray
    start, end = float(forward(low)), float(forward(high))

    def to_x(values: np.ndarray | float) -> np.ndarray:
        return np.asarray(_LEFT + (forward(values) - start) / (end - start) * (_RIGHT - _LEFT))

    def to_y(level: np.ndarray | float) -> np.ndarray:
        return np.asarray(_BOTTOM - np.asarray(level) * (_BOTTOM - _TOP))

    parts = [f'<text class="title" x="0" y="15">{escape(title)}</text>']
    for level in (0.0, 0.5, 1.0):
        y = float(to_y(level))
        parts.append(f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"></line>')
        parts.append(f'<text x="{_LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{100 * level:.0f}</text>')
    for tick in _log_ticks(low, high) if logarithmic else _ticks(low, high):
        x = float(to_x(tick))
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_BOTTOM}"></line>')
        parts.append(f'<text x="{x:.1f}" y="{_BOTTOM + 17}" text-anchor="middle">{tick:g}</text>')
    for name, values in drawn:
        if len(values):
            points = zip(to_x(np.quantile(values, _LEVELS)), to_y(_LEVELS), strict=True)
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            parts.append(f'<polyline class="{name}" points="{path}"></polyline>')
    told = "; ".join(f"{name}, median {np.median(values):.3g}" for name, values in drawn if len(values))
    label = escape(f"{title}: {told}")
    box = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}"'
    return Html(f'<figure><svg class="plot" {box}>{"".join(parts)}</svg></figure>')


def _ticks(low: float, high: float) -> list[float]:
    """Round values from low to high, a few."""
    rough = (high - low) / (_ROOM_FOR_TICKS - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten from low to high; powers alone where that is too many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [factor * 10.0**power for power in powers for factor in factors]
        inside = [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if len(inside) <= _ROOM_FOR_TICKS:
            break
    return inside if len(inside) > 1 else _ticks(low, high)
