"""Checksums of the tiny road: what they leave aside, and that they see everything else."""

import json

import numpy as np
from bench.bits.__main__ import differences
from bench.bits.checksums import of_folder

from conftest import make_grid, write_tiff


def sums(folder, **files):
    folder.mkdir()
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return dict(of_folder(folder, "made"))


def test_times_and_hidden_files_are_left_aside_and_scores_are_not(tmp_path):
    def report(score, seconds, day):
        return json.dumps({"score": score, "timing": {"seconds": seconds}, "note": f"made 2026-01-{day}T10:00:00Z"})

    table = "epoch,ssim,seconds\n1,{},{}\n"
    first = sums(tmp_path / "a", report_json=report(0.5, 1, 11), results_csv=table.format(0.1, 7), _lock="a")
    again = sums(tmp_path / "b", report_json=report(0.5, 2, 12), results_csv=table.format(0.1, 8), _lock="b")
    other = sums(tmp_path / "c", report_json=report(0.6, 1, 11), results_csv=table.format(0.2, 7))
    assert differences(first, again) == []
    assert differences(first, other) == ["differs: made/report.json", "differs: made/results.csv"]


def test_one_pixel_of_a_raster_and_its_place_are_seen(tmp_path):
    pixels = np.zeros((8, 8), np.uint8)
    write_tiff(tmp_path / "a/mask.tif", pixels, make_grid(8), compress="deflate")
    write_tiff(tmp_path / "b/mask.tif", pixels, make_grid(8, gsd_m=0.5))
    pixels[3, 4] = 255
    write_tiff(tmp_path / "c/mask.tif", pixels, make_grid(8))
    first, moved, other = (dict(of_folder(tmp_path / name, "made")) for name in "abc")
    assert differences(first, moved) == ["differs: made/mask.tif grid and tags"]
    assert differences(first, other) == ["differs: made/mask.tif pixels"]


def test_a_page_with_another_style_has_the_same_words(tmp_path):
    page = "<style>{}</style><h1>Scores</h1><p>{}</p>"
    first = sums(tmp_path / "a", page_html=page.format("h1 {color: red}", "0.5"))
    styled = sums(tmp_path / "b", page_html=page.format("h1 {color: blue}", "0.5"))
    other = sums(tmp_path / "c", page_html=page.format("h1 {color: red}", "0.6"))
    assert differences(first, styled) == ["differs: made/page.html"]
    assert differences(first, other) == ["differs: made/page.html", "differs: made/page.html words"]
