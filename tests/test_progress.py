"""How far a command is: a bar where there is a terminal, lines a minute apart where there is none."""

import io

import pytest
from rich.console import Console

from orthoforge import progress
from orthoforge.progress import Progress, duration, rate


@pytest.fixture
def clock(monkeypatch):
    """A clock that tests move."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(progress.time, "monotonic", lambda: Clock.now)
    return Clock


def test_a_log_gets_a_line_a_minute_with_rate_and_time_left(capsys, clock):
    with Progress("orthoforge-s").task("epoch 3 of 9, steps", 100) as step:
        for _ in range(50):
            clock.now += 3
            step()
    assert capsys.readouterr().err.splitlines() == [
        "orthoforge-s epoch 3 of 9, steps: 20 of 100, 20 a minute, 4 min left",
        "orthoforge-s epoch 3 of 9, steps: 40 of 100, 20 a minute, 3 min left",
    ]


@pytest.mark.parametrize(("asked", "lines"), [("3", 4), ("often", 0)])
def test_a_program_that_reads_the_lines_may_ask_for_more_of_them(capsys, clock, monkeypatch, asked, lines):
    monkeypatch.setenv("ORTHOFORGE_PROGRESS_SECONDS", asked)
    with Progress().task("masks", 4) as step:
        for _ in range(4):
            clock.now += 3
            step()
    said = capsys.readouterr().err.splitlines()
    assert len(said) == lines and (not lines or said[0].startswith("masks: 1 of 4, "))


def test_what_was_done_before_is_no_speed_of_now(capsys, clock):
    with Progress().task("blocks", 100, done=90) as step:
        for _ in range(2):
            clock.now += 60
            step()
    assert capsys.readouterr().err.splitlines()[-1] == "blocks: 92 of 100, 1.0 a minute, 8 min left"


def test_hidden_and_single_tasks_say_nothing(capsys, clock):
    for shown, total in ((Progress(hidden=True), 100), (Progress(), 1)):
        with shown.task("steps", total) as step:
            clock.now += 1000
            step()
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_with_the_rate(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda **_: Console(file=screen, force_terminal=True, width=100))
    with Progress("grow").task("pairs", 4) as step, Progress("segmenter").task("steps", 2) as inner:
        for _ in range(3):
            step()
        inner()
        Progress._bars.refresh()
    assert "grow pairs" in screen.getvalue() and "segmenter steps" in screen.getvalue()
    assert "3/4" in screen.getvalue() and "a second" in screen.getvalue()
    assert Progress._bars is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (0.04, "0.04 s"), (1.63, "1.6 s"), (40, "40 s"), (720, "12 min"), (12600, "3.5 h"), (400_000, "5 days")],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("a_second", "words"), [(120, "120 a second"), (2.34, "2.3 a second"), (0.5, "30 a minute"), (0.001, "3.6 an hour")]
)
def test_rates(a_second, words):
    assert rate(a_second) == words
