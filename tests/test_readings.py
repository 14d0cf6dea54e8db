"""Sheets of blind readings: what stands where, and how answers are counted."""

import json

import numpy as np
import pytest
from bench import readings
from PIL import Image


@pytest.fixture
def folders(tmp_path):
    """Real images are bright, generated ones dark, others grey."""
    for folder, level in (("real", 220), ("generated", 20), ("other", 120)):
        (tmp_path / folder).mkdir()
        for number in range(4):
            Image.fromarray(np.full((16, 16, 3), level, np.uint8)).save(tmp_path / folder / f"town_{number}.png")
    return tmp_path


def run(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["readings", *map(str, words)])
    return readings.main()


def key_of(folders, kind):
    return json.loads((folders / "out" / f"{kind}-key.json").read_text())["key"]


def test_the_key_says_what_a_sheet_shows(folders, monkeypatch):
    assert run(monkeypatch, "quarters", folders / "real", folders / "generated", "--count", 12, "--out", folders / "out") == 0
    key = key_of(folders, "quarters")
    assert sorted(key) == ["generated"] * 6 + ["real"] * 6
    sheet = np.asarray(Image.open(folders / "out" / "quarters-01.png"))
    side, margin = readings.ENLARGED * 8, readings.MARGIN
    for number, kind in enumerate(key):
        row, col = divmod(number, readings.A_ROW)
        y, x = row * (side + margin) + margin, col * (side + margin)
        assert (sheet[y : y + side, x : x + side] == (220 if kind == "real" else 20)).all(), number


def test_pairs_say_on_which_side_the_generated_image_is(folders, monkeypatch):
    assert run(monkeypatch, "pairs", *(folders / name for name in ("real", "generated", "other")), "--out", folders / "out") == 0
    sheet = np.asarray(Image.open(folders / "out" / "pairs-01.png"))
    for number, side in enumerate(key_of(folders, "pairs")[: readings.ROWS]):
        y = number * (32 + readings.MARGIN) + readings.MARGIN + 10
        assert (sheet[y, 4] == (20 if side == "left" else 120)).all()


def test_answers_are_counted(folders, monkeypatch, capsys):
    run(monkeypatch, "quarters", folders / "real", folders / "generated", "--count", 4, "--out", folders / "out")
    key = key_of(folders, "quarters")
    answers = folders / "answers.json"
    answers.write_text(json.dumps(dict.fromkeys(range(1, 5), "real")))
    capsys.readouterr()
    assert run(monkeypatch, "score", folders / "out" / "quarters-key.json", answers) == 0
    said = capsys.readouterr().out
    assert said.startswith("2 of 4 as the key says: 50%") and "generated: 0 of 2" in said and "real: 2 of 2" in said
    assert sorted(key) == ["generated"] * 2 + ["real"] * 2
    answers.write_text(json.dumps({"1": "real"}))
    assert run(monkeypatch, "score", folders / "out" / "quarters-key.json", answers) == 1
    assert "no answer to [2, 3, 4]" in capsys.readouterr().err
    assert run(monkeypatch, "quarters", folders / "real", folders / "generated", "--count", 3, "--out", folders / "out") == 1
    assert "must be even" in capsys.readouterr().err
