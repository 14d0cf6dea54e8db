"""Plots say what they show, keep within their axes, and hold no more points than can be seen."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orthoforge.comparison.curves import y_limits
from orthoforge.pages.line_drawings import Curve, curves_plot, legend, tick_text, ticks
from page_checks import read_page


def points(plot: str) -> list[list[tuple[float, float]]]:
    lines = re.findall(r'<polyline points="([^"]*)"', plot)
    return [[tuple(map(float, point.split(","))) for point in line.split()] for line in lines]


def test_points_lie_where_their_values_are():
    plot = curves_plot("Loss", "epoch", [Curve("a", [0, 5, 10], [0, 10, 5], 0), Curve("b", [0, 10], [10, 0], 1)])
    first, second = points(plot)
    assert first[0][0] < first[1][0] < first[2][0] and first[0][1] > first[2][1] > first[1][1]
    assert first[1][0] == pytest.approx((first[0][0] + first[2][0]) / 2, abs=0.1)
    assert (second[0][1], second[1][1]) == (first[1][1], first[0][1])
    assert 'aria-label="Loss: a from 0 to 5; b from 10 to 0"' in plot
    assert read_page(plot).unclosed == []


def test_text_is_escaped_and_long_curves_are_thinned():
    name = '<b a="`x`">'
    plot = curves_plot(name, name, [Curve(name, range(5000), range(5000), 3)])
    assert "<b" not in plot and plot.count("&lt;b") == 4
    [line] = points(plot)
    assert len(line) == 300 and "<circle" not in plot
    assert (line[0][0], line[-1][0]) == (56, 436)
    assert "<code>x</code>" in legend([("`x`", 0)])


def test_flat_and_single_values_can_be_drawn():
    for y in ([0.0, 0.0], [3.0, 3.0], [-2e-4, -2e-4]):
        [line] = points(curves_plot("Rate", "epoch", [Curve("a", [1, 2], y, 0)]))
        assert line[0][1] == line[1][1] == pytest.approx(138, abs=1)
    assert len(points(curves_plot("Rate", "epoch", [Curve("a", [1], [2], 0)]))[0]) == 1


def test_forty_lines_can_be_told_apart():
    styles = re.findall(r'stroke="(#\w+)"(?: stroke-dasharray="([^"]*)")?', legend([(str(i), i) for i in range(40)]))
    assert len(styles) == len(set(styles)) == 40


@given(low=st.floats(-1e6, 1e6), span=st.floats(1e-4, 1e6), whole=st.booleans())
def test_ticks_are_few_round_numbers_within_the_limits(low, span, whole):
    found = ticks(low, low + span, whole=whole)
    assert len(found) <= 8
    assert whole or len(found) >= 3
    assert all(low - 1e-6 * span - 1e-9 <= value <= low + span + 1e-6 * span + 1e-9 for value in found)
    assert not whole or all(value == round(value) for value in found)


def test_numbers_beside_an_axis_are_short():
    assert [tick_text(value) for value in (0.0002, 12.5, 9999, 12000, 1.5e6)] == ["0.0002", "12.5", "9999", "12\u202f000", "1.5 M"]


def test_spikes_are_cut_off_and_ordinary_curves_are_not():
    usual = [1 + 0.1 * i for i in range(40)]
    assert y_limits([usual]) is None
    low, high = y_limits([[500.0, *usual]])
    assert low < 1 and 4 < high < 6
    assert y_limits([[500.0, 1.0, 1.1]]) is None  # too few to know what is usual
