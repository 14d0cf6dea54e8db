"""Plots of many lines as drawings inside a page: sharp at any size, in the page's own colours by day and by night."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orthoforge.pages.html import Html, escape

# Read well on a light and on a dark page.
_COLOURS = ("#2f7fb8", "#d0722b", "#3b9a6d", "#c24f5d", "#8d6cc0", "#9c8420", "#c2649a", "#6d8894")
# On and off, in pixels. Four colours to a dash: 0 to 3 are plain, 4 to 7 dashed, and 40 lines differ in one or the other.
_DASHES = ("", "9 4", "2.5 2.5", "13 4 2.5 4", "5 7")
_COLOURS_A_DASH = 4
_WIDTH, _HEIGHT = 460, 290
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 436, 30, 246  # half of the last label needs its room at the right
_MOST_POINTS = 300
_MARKED_POINTS = 40
_TICKS = 6


@dataclass(frozen=True)
class Curve:
    """A line in a plot. ``number`` decides its colour and dash, the same in every plot and in the legend."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    number: int


def curves_plot(title: str, x_label: str, curves: Sequence[Curve], y_limits: tuple[float, float] | None = None) -> Html:
    """Curves with an x of their own each. They are named by a ``legend`` beside the plots; what leaves ``y_limits`` is cut off."""
    x_low, x_high = _limits([value for curve in curves for value in curve.x])
    y_low, y_high = y_limits or _limits([value for curve in curves for value in curve.y], margin=0.04)

    def to_x(value: float) -> float:
        return _LEFT + (value - x_low) / (x_high - x_low) * (_RIGHT - _LEFT)

    def to_y(value: float) -> float:
        return _BOTTOM - (value - y_low) / (y_high - y_low) * (_BOTTOM - _TOP)

    parts = [f'<text class="title" x="{_LEFT}" y="16">{html.escape(title)}</text>']
    for value in ticks(x_low, x_high, whole=True):
        x = to_x(value)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_BOTTOM}"></line>')
        parts.append(f'<text x="{x:.1f}" y="{_BOTTOM + 17}" text-anchor="middle">{tick_text(value)}</text>')
    for value in ticks(y_low, y_high):
        y = to_y(value)
        parts.append(f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"></line>')
        parts.append(f'<text x="{_LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{tick_text(value)}</text>')
    parts.append(f'<text x="{(_LEFT + _RIGHT) / 2}" y="{_BOTTOM + 38}" text-anchor="middle">{html.escape(x_label)}</text>')
    # A picture within the picture, so that nothing is drawn outside the axes.
    parts.append(f'<svg x="0" y="{_TOP - 4}" width="{_WIDTH}" height="{_BOTTOM - _TOP + 8}" viewBox="0 {_TOP - 4} {_WIDTH} '
                 f'{_BOTTOM - _TOP + 8}">')  # fmt: skip
    for curve in curves:
        colour, dash = _COLOURS[curve.number % len(_COLOURS)], _dash(curve.number)
        points = [(to_x(curve.x[i]), to_y(curve.y[i])) for i in _shown(len(curve.x))]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" stroke="{colour}"{dash}></polyline>')
        if len(points) < _MARKED_POINTS:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}"></circle>' for x, y in points]
    ends = "; ".join(f"{curve.name} from {curve.y[0]:.3g} to {curve.y[-1]:.3g}" for curve in curves)
    return Html(
        f'<figure><svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{html.escape(f"{title}: {ends}")}">'
        f"{''.join(parts)}</svg></svg></figure>"
    )


def legend(entries: Sequence[tuple[str, int]]) -> Html:
    """Names with the colours and dashes of their curves: (name, number)."""
    items = ""
    for name, number in entries:
        line = f'<line x1="1" y1="6" x2="39" y2="6" stroke="{_COLOURS[number % len(_COLOURS)]}"{_dash(number)}></line>'
        items += f'<li><svg width="40" height="12" aria-hidden="true">{line}</svg> {escape(name)}</li>'
    return Html(f'<ul class="legend">{items}</ul>')


def ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Round numbers between ``low`` and ``high``, about half a dozen; ``whole`` ones when asked for."""
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    if whole:
        step = max(1.0, math.ceil(step))
    return [round(i * step, 12) for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def tick_text(value: float) -> str:
    """A number beside an axis: '0.0002', '12 000', '1.5 M'."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:.6g} M"
    return f"{value:,.0f}".replace(",", "\u202f") if abs(value) >= 1e4 else f"{value:.6g}"


def _limits(values: Sequence[float], margin: float = 0.0) -> tuple[float, float]:
    low, high = min(values), max(values)
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # flat, or a single point
        return low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    return low - margin * (high - low), high + margin * (high - low)


def _shown(count: int) -> list[int]:
    """Which of ``count`` points are drawn: all, or as many as there are pixels for, with the first and the last."""
    return np.unique(np.linspace(0, count - 1, min(count, _MOST_POINTS)).round().astype(int)).tolist()


def _dash(number: int) -> str:
    dash = _DASHES[number // _COLOURS_A_DASH % len(_DASHES)]
    return f' stroke-dasharray="{dash}"' if dash else ""
