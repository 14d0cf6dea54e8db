"""``compare``: one page of any runs, true to what each made; what a run lacks is said and keeps nobody from comparing the rest."""

import html
import json
import math
import re
import shutil
import statistics
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image

from conftest import make_dataset
from made_runs import SECONDS, make_run
from orthoforge.comparison.compare import compare
from orthoforge.errors import CheckpointError, ConfigError, DataError, OutputExistsError
from orthoforge.masks.classes import Classes
from orthoforge.measures.paired import tile_scores
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import load_generator
from page_checks import read_page

SCENES = ("aba1", "oro2", "aba7", "aba9", "oro9")
CLASSES = Classes(("Building", "Road"), (((60, 16, 152),), ((110, 193, 228),)))


def tiles(data: Path, out: Path, grid: int, size: int = 36, split: str = "digits", **options) -> TileStore:
    return prepare(data, out, grid=grid, size=size, split=split, workers=1, **options)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Scenes cut three ways, and runs on each: two on whole scenes, one on 2 × 2 tiles."""
    torch.set_num_threads(1)  # with more, tiny networks wait for each other's threads
    root = tmp_path_factory.mktemp("compare")
    data = make_dataset(root / "data", SCENES, 144)
    low, mid = tiles(data, root / "tiles" / "low", 1), tiles(data, root / "tiles" / "mid", 2)
    make_run(root / "runs" / "first", low)
    make_run(root / "runs" / "second", low, seed=1, norm="batch", lambda_l1=10.0, columns=("loss_g", "loss_g_perceptual"))
    make_run(root / "runs" / "third", mid, seed=2, init_from="runs/first")
    compare([root / "runs" / name for name in ("first", "second", "third")], root / "report.html", price_per_hour=36.0)
    return root


@pytest.fixture(scope="module")
def page(world):
    return read_page((world / "report.html").read_text())


@pytest.fixture(scope="module")
def result(world):
    return json.loads((world / "report.json").read_text())


def runs_of(world, *names):
    return [world / "runs" / name for name in names]


def text_of(path):
    return read_page(path.read_text()).text


# The page


def test_the_page_is_whole_and_fetches_nothing(page):
    assert page.unclosed == []
    assert [address for address in page.addresses if not address.startswith("data:")] == []
    assert page.links == []
    for word in ("http:", "https:", "url(", "@import", "fetch("):
        assert word not in page.source


def test_the_page_begins_with_the_verdict_then_pictures_then_tables(page, result):
    words = "Too few to tell whether second is better than first: 2 tiles of 2 scenes; it takes 6 scenes or 30 tiles."
    assert result["verdict"].startswith(words) and words in page.text
    marks = ['<p class="verdict">', "<h2>The same ground", "<h2>Whole masks", "<h2>What differs", "<h2>Curves", "<h2>Scores"]
    places = [page.source.index(mark) for mark in marks]
    assert places == sorted(places)


def test_every_run_has_a_picture_in_every_row(page):
    rows = re.findall(r'<div class="row wide" style="--columns: (\d+)">(.*?)</div>', page.source, flags=re.S)
    # 8 grounds (test tiles of 2 × 2 in two scenes), and two scenes in three ways.
    assert len(rows) == 8 + 2 * 3
    for columns, row in rows:
        captions = re.findall(r"<strong>(.*?)</strong>", row)
        assert captions == ["mask", "first", "second", "third", "real"]
        assert int(columns) == row.count("<img") == 5
    pictures = [alt for alt in page.alts if "column 72" in alt and alt.startswith("third")]
    assert len(pictures) == 4
    assert all("36 × 36 px, 0.6 m a pixel" in alt for alt in pictures)
    coarse = [alt for alt in page.alts if "column 72" in alt and alt.startswith("first")]
    assert all("18 × 18 px of a tile of 36 px, 1.2 m a pixel" in alt for alt in coarse)


def test_the_pictures_are_what_each_run_makes_of_its_own_tile(world, page):
    kinds = {alt: picture for alt, (_, picture) in zip(page.alts, page.images()[: len(page.alts)], strict=False)}
    low, mid = TileStore.open(world / "tiles" / "low"), TileStore.open(world / "tiles" / "mid")
    whole = next(row for row in low.rows if row.scene == "aba9")
    drawn = load_generator(world / "runs" / "second")(low.tile(low.rows.index(whole))[1])
    alt = next(alt for alt in kinds if alt.startswith("second, aba9") and "at row 72, column 0" in alt)
    assert np.abs(np.asarray(kinds[alt]).astype(int) - drawn[18:, :18]).mean() < 4  # JPEG
    quarter = next(row for row in mid.rows if row.scene == "aba9" and tuple(row.window)[:2] == (72, 0))
    mask = mid.tile(mid.rows.index(quarter))[1]
    alt = next(alt for alt in kinds if alt.startswith("mask, aba9") and "at row 72, column 0" in alt)
    assert np.array_equal(np.asarray(kinds[alt].convert("L")), mask)


def test_only_what_differs_stands_in_the_table_and_is_marked(page, result):
    assert result["differing_fields"] == ["norm", "lambda_l1"]
    table = page.source.split("<table>")[1].split("</table>")[0]
    assert re.findall(r"<code>(\w+)</code>", table) == ["norm", "lambda_l1"]
    assert re.findall(r"<mark>(.*?)</mark>", table) == ["batch", "10"]
    folded = page.source.split("<details>")[1]
    assert "generator_width" in folded and "generator_width" not in page.source.split("<details>")[0]


def test_time_images_and_cost_are_those_of_the_curves(result, page):
    first, _, third = result["runs"]
    assert first["seconds"] == sum(SECONDS[:4]) and first["seconds_per_epoch"] == statistics.median(SECONDS[:4])
    assert first["cost"] == pytest.approx(sum(SECONDS[:4]) / 3600 * 36)
    assert (first["images_seen"], third["images_seen"]) == (4 * 2, 4 * 8)  # 2 whole scenes, 8 quarters
    assert third["init_from"] == "runs/first" and "Started from" in page.text
    assert "36.00 € an hour" in page.text and "2 threads" in page.text


def test_every_quantity_that_any_run_wrote_down_is_plotted(page):
    plots = re.findall(r'aria-label="([^"]*: [^"]*)"', page.source)
    assert [alt.split(":")[0] for alt in plots] == [
        "Learning rate", "Loss of the discriminator", "Loss of the generator, all terms", "Generator, L1 term",
        "Generator, perceptual term", "PSNR on validation tiles, dB", "SSIM on validation tiles",
    ]  # fmt: skip
    assert plots[1] == "Loss of the discriminator: first from 1 to 0.25; third from 3 to 2.25"
    assert "over training images seen" in page.text  # an epoch of the third run is four times as long
    assert "lambda_l1 differ" in page.text


# Scores


def test_scores_are_those_of_the_generated_tiles(world, result):
    for entry in result["runs"]:
        store = TileStore.open(world / "tiles" / ("mid" if entry["label"] == "third" else "low"))
        generator, scores = load_generator(world / "runs" / entry["label"]), entry["scores"]
        assert [row["id"] for row in scores["tiles"]] == store.ids("test").tolist()
        for row in scores["tiles"]:
            real, mask = store.tile(row["id"])
            expected = tile_scores(generator(mask), real)
            assert {name: row[name] for name in expected} == pytest.approx(expected)
        values = [row["ssim"] for row in scores["tiles"]]
        assert scores["means"]["ssim"]["mean"] == pytest.approx(np.mean(values))
        assert scores["means"]["ssim"]["standard_error"] == pytest.approx(np.std(values, ddof=1) / math.sqrt(len(values)))
        assert scores["checkpoint"] == {"sha256": generator.sha256, "step": 40}
        assert scores["data"]["fingerprint"] == store.fingerprint and scores["data"]["trained_on_these"]


def test_differences_are_tile_by_tile_and_only_where_tiles_are_the_same(result, page):
    first, second, third = (entry["scores"] for entry in result["runs"])
    differences = [one["psnr"] - other["psnr"] for one, other in zip(second["tiles"], first["tiles"], strict=True)]
    difference = second["difference_to_first"]["psnr"]
    assert difference["mean"] == pytest.approx(np.mean(differences)) and difference["n"] == 2
    assert difference["standard_error"] == pytest.approx(np.std(differences, ddof=1) / math.sqrt(2))
    assert first["difference_to_first"] is None and third["difference_to_first"] is None
    assert page.source.count('class="difference"') == 4
    assert "favour blur" in page.text and "kept out of its training" in page.text


def test_the_same_call_gives_the_same_files(world, tmp_path):
    for name in ("a", "b"):
        compare(runs_of(world, "second", "first"), tmp_path / f"{name}.html", seed=3)
    for suffix in (".html", ".json"):
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


# What runs lack


def test_runs_that_lack_something_are_shown_with_what_they_have(world, tmp_path):
    low = TileStore.open(world / "tiles" / "low")
    make_run(tmp_path / "unfinished", low, epochs=2, rollbacks=3, drop=("beta2", "upsample"))
    make_run(tmp_path / "damaged", low)
    weights = tmp_path / "damaged" / "weights" / "last" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    make_run(tmp_path / "unbegun", low, epochs=0)
    shutil.copytree(world / "tiles" / "low", tmp_path / "moving")
    make_run(tmp_path / "moved", TileStore.open(tmp_path / "moving"))
    new_place = tmp_path / "elsewhere" / "low"
    new_place.parent.mkdir()
    (tmp_path / "moving").rename(new_place)
    (tmp_path / "empty").mkdir()
    names = ("unfinished", "damaged", "unbegun", "moved", "empty", "missing")
    out = compare([tmp_path / name for name in names], tmp_path / "report.html")
    result, text = json.loads(out.with_suffix(".json").read_text()), text_of(out)
    assert [entry["label"] for entry in result["runs"]] == ["unfinished", "damaged", "unbegun", "moved"]
    assert [entry["scores"] is not None for entry in result["runs"]] == [True, False, True, False]
    assert result["differing_fields"] == []  # fields that came later have the value that they had before
    for words in (
        "unfinished: Unfinished: 2 of 4 epochs",
        "rolled back 3 times",
        "damaged: No pictures and no scores:",
        "checksum does not fit",
        "unbegun: Unfinished: 0 of 4 epochs",
        "moved: No pictures and no scores:",
        "Name their new place with --data",
        f"Left out: {tmp_path / 'empty'}: no checkpoint",
        f"Left out: {tmp_path / 'missing'}: no checkpoint",
    ):
        assert words in text, words
    assert "damaged from 1 to 0.25; moved from 1 to 0.25" in out.read_text()  # curves need no pictures

    out = compare([tmp_path / "moved", world / "runs" / "third"], tmp_path / "found.html", data=tmp_path / "elsewhere")
    result = json.loads(out.with_suffix(".json").read_text())
    assert result["runs"][0]["scores"]["data"]["tiles"] == str(new_place)
    assert result["runs"][0]["scores"]["data"]["trained_on_these"]
    assert result["runs"][1]["scores"] is None  # its tiles are not there
    assert "none of the tiles in --data (1 stores) are its own" in text_of(out)


def test_one_store_for_all_runs_is_used_and_said_to_be_another(world, tmp_path):
    out = compare(runs_of(world, "first", "third"), tmp_path / "report.html", data=world / "tiles" / "mid")
    result, text = json.loads(out.with_suffix(".json").read_text()), text_of(out)
    assert [entry["scores"]["data"]["trained_on_these"] for entry in result["runs"]] == [False, True]
    assert result["runs"][1]["scores"]["difference_to_first"]["psnr"]["n"] == 8
    assert "first: Shown and scored on" in text and "third: Shown" not in text


def test_without_tiles_in_the_split_another_is_shown_and_said(world, tmp_path):
    data = make_dataset(tmp_path / "data", ("aba1", "aba7"), 96)
    make_run(tmp_path / "run", tiles(data, tmp_path / "tiles", 2))
    out = compare([tmp_path / "run"], tmp_path / "report.html")
    assert "Not every set of tiles has tiles in split test, so pictures and scores are of split val." in text_of(out)
    assert json.loads(out.with_suffix(".json").read_text())["runs"][0]["scores"]["data"]["split"] == "val"


def test_scenes_of_other_data_with_the_same_names_are_other_ground(world, tmp_path):
    data = make_dataset(tmp_path / "data", SCENES, 144)
    for path in (data / "images").iterdir():
        with rasterio.open(path, "r+") as raster:
            raster.write(255 - raster.read())  # another town, under the same names and coordinates
    make_run(tmp_path / "other", tiles(data, tmp_path / "tiles", 1))
    page = read_page(compare([world / "runs" / "first", tmp_path / "other"], tmp_path / "report.html").read_text())
    assert "Other ground: other" in page.text
    assert all(int(columns) == 3 for columns in re.findall(r"--columns: (\d+)", page.source))


def test_a_run_that_knows_other_masks_than_the_tiles_hold_gets_no_pictures(world, tmp_path):
    low = TileStore.open(world / "tiles" / "low")
    make_run(tmp_path / "classes", low, classes=CLASSES)
    text = text_of(compare([tmp_path / "classes", world / "runs" / "first"], tmp_path / "report.html"))
    assert "hold buildings only, the run knows 2 classes" in text


def test_classes_and_long_scenes_without_coordinates(tmp_path):
    rng = np.random.default_rng(0)
    colours = np.array([entry[0] for entry in CLASSES.colours], np.uint8)
    for folder in ("masks", "images"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for number in (1, 7, 9):
        mask = colours[rng.integers(0, 2, (8, 20)).repeat(8, 0).repeat(8, 1)]
        Image.fromarray(mask).save(tmp_path / "data" / "masks" / f"aba{number}.png")
        Image.fromarray(255 - mask).save(tmp_path / "data" / "images" / f"aba{number}.png")
    palette = dict(zip(CLASSES.names, colours.tolist(), strict=True))
    (tmp_path / "palette.json").write_text(json.dumps(palette))
    store = tiles(tmp_path / "data", tmp_path / "tiles", 1, palette=tmp_path / "palette.json")
    assert len(store.ids("test")) == 2  # two squares in a scene of 64 × 160
    make_run(tmp_path / "run", store, classes=store.classes)
    page = read_page(compare([tmp_path / "run"], tmp_path / "report.html").read_text())
    assert "run, aba9 in one piece (72 × 36 px)" in page.alts
    assert "run, aba9 2 × 2 tiles side by side, with their seams (2 × 4 tiles of 36 px)" in page.alts
    assert "run, aba9 tile by tile (1 × 2 tiles of 36 px)" in page.alts
    masks = [image for alt, (_, image) in zip(page.alts, page.images(), strict=False) if alt.startswith("mask")]
    assert {colour for mask in masks for _, colour in mask.convert("RGB").getcolors()} == {(60, 16, 152), (110, 193, 228)}


def test_checkpoints_and_runs_of_one_name_are_told_apart(world, tmp_path):
    low = TileStore.open(world / "tiles" / "low")
    for name in ("a", "b"):
        make_run(tmp_path / name / "run", low)
    best = shutil.copytree(tmp_path / "a" / "run" / "weights" / "last", tmp_path / "a" / "run" / "weights" / "best")
    paths = [tmp_path / "a" / "run", best, tmp_path / "b" / "run", tmp_path / "a" / "run"]
    out = compare(paths, tmp_path / "report.html")
    labels = [entry["label"] for entry in json.loads(out.with_suffix(".json").read_text())["runs"]]
    assert labels == ["a/run", "run/best", "b/run"]  # given twice, shown once


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"out": "report.pdf"}, ConfigError, "ends in .html"),
        ({"price_per_hour": -1.0}, ConfigError, "at least 0"),
        ({"split": "tset"}, ConfigError, "train, val or test"),
        ({"runs": []}, ConfigError, "no run"),
        ({"runs": ["nowhere"]}, CheckpointError, "nothing to compare"),
        ({"runs": ["circle"]}, CheckpointError, "nothing to compare"),
        ({"data": "nowhere"}, DataError, "no such folder"),
        ({"data": "runs"}, DataError, "holds no tiles"),
        ({"out": "report.html"}, OutputExistsError, "overwrite"),
    ],
)
def test_what_cannot_be_is_said(world, options, error, words):
    given = {"runs": ["runs/first"], "out": "new.html"} | options
    if "circle" in given["runs"]:
        (world / "circle").symlink_to("circle")
    paths = {name: world / given.pop(name) for name in ("out", "data") if name in given}
    before = (world / "report.html").read_bytes()
    with pytest.raises(error, match=words):
        compare([world / name for name in given.pop("runs")], **paths, **given)
    assert (world / "report.html").read_bytes() == before and not (world / "new.html").exists()


# In a browser

PROBE = """
<script>
addEventListener("load", () => {
  const images = [...document.querySelectorAll("main img")];  // pictures in the page itself have all been decoded by now
  const broken = images.filter((image) => !image.naturalWidth).length;
  const dialog = document.getElementById("zoom");
  const row = [...document.querySelectorAll(".row.wide")].at(-1);
  row.querySelector("button.zoom").click();
  const alts = [dialog.querySelector("img").alt];
  for (const key of ["ArrowRight", "ArrowLeft", "ArrowLeft"]) {
    dialog.dispatchEvent(new KeyboardEvent("keydown", { key }));
    alts.push(dialog.querySelector("img").alt);
  }
  const opened = dialog.open;
  dialog.close();
  const wider = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  const found = { pictures: images.length, broken, opened, alts, width: innerWidth, wider };
  parent.document.body.textContent = "FOUND" + JSON.stringify(found) + "END";
});
</script>
</body>"""


def in_browser(source: str, folder: Path, width: int) -> tuple[dict, list[str]]:
    """What the probe found on a page that Chromium has opened, and what it wrote to its console."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on PATH: the page is not opened in a browser")
    # In a frame: a window of Chromium is 500 px wide at least.
    inner = html.escape(source.replace("</body>", PROBE))
    frame = f'<!DOCTYPE html><body style="margin: 0"><iframe width="{width}" height="900" srcdoc="{inner}"></iframe></body>'
    (folder / "probe.html").write_text(frame, encoding="utf-8")
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr", "--v=0",
        "--window-size=1400,900", f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000", "--dump-dom",
        (folder / "probe.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r"FOUND(\{.*?\})END", done.stdout)
    assert found, done.stderr[-2000:]
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(found[1])), complaints


@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_shows_every_picture_and_has_nothing_to_complain_about(world, page, tmp_path, width):
    found, console = in_browser(page.source, tmp_path, width)
    assert console == []
    assert found["broken"] == 0
    assert found["pictures"] == page.source.count("<img src=") > 60
    assert found["opened"]
    assert [alt.split(",")[0] for alt in found["alts"]] == ["mask", "first", "mask", "real"]
    assert (found["width"], found["wider"]) == (width, 0)  # tables and rows scroll, the page does not


def test_the_probe_sees_a_broken_picture_and_a_complaint(page, tmp_path):
    spoilt = page.source.replace("data:image/jpeg;base64,/9j", "data:image/jpeg;base64,AAAA", 1)
    spoilt = spoilt.replace("<main>", "<main><img src='https://example.org/picture.png' alt='x'>")
    found, console = in_browser(spoilt, tmp_path, 1280)
    assert found["broken"] == 2
    assert any("Content Security Policy" in line for line in console)
