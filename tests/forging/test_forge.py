import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from towns import SIDE_PX, town_mask, write_place

from conftest import make_dataset, make_grid, write_tiff
from orthoforge.errors import ConfigError, DataError, GridError, OutputExistsError
from orthoforge.forging.card import judge
from orthoforge.forging.drawings import clean_drawing
from orthoforge.forging.forge import forge
from orthoforge.forging.measuring import measure
from orthoforge.forging.shapes import take_apart
from orthoforge.forging.statistics import PROPERTIES, floor_of
from orthoforge.geo.rasters import open_raster, read_mask, read_tags
from orthoforge.scenes.place_names import place_of
from orthoforge.scenes.sources import number_of


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return write_place(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="module")
def recombined(place, tmp_path_factory):
    """Three masks that no test changes."""
    return forge(place, tmp_path_factory.mktemp("recombined") / "out", count=3, seed=7)


def read(path):
    with open_raster(path) as raster:
        return read_mask(raster), raster.grid


@pytest.mark.parametrize("how", ["recombine", "streets", "transform"])
def test_masks_lie_on_a_source_s_grid_and_say_what_made_them(place, recombined, tmp_path, how):
    made = recombined if how == "recombine" else forge(place, tmp_path / "out", how=how, count=2, seed=7)
    rows = [json.loads(line) for line in (made.out / "forged.jsonl").read_text().splitlines()]
    assert [row["name"] for row in rows] == [path.stem for path in made.masks]
    assert len({row["sources"][0] for row in rows}) == len(rows) > 1  # a source each before one comes again
    for path, row in zip(made.masks, rows, strict=True):
        assert place_of(path.stem) == "elm"
        assert number_of(path.stem) > 1000
        mask, grid = read(path)
        assert (grid.transform, grid.crs, grid.width) == (make_grid().transform, make_grid().crs, SIDE_PX)
        assert mask.any()
        assert row["building_share"] == pytest.approx(np.count_nonzero(mask) / mask.size, abs=1e-5)
        tags = read_tags(path)
        assert tags["SYNTHETIC_MASK"] == "YES" and tags["FORGED_HOW"] == how and tags["SEED"] == "7"
        assert json.loads(tags["FORGED_PARAMETERS"]) == row["parameters"]
    assert set(made.cards) == {"elm"}


def test_same_seed_same_bytes_however_many(place, recombined, tmp_path):
    few = forge(place, tmp_path / "few", count=1, seed=7)
    other = forge(place, tmp_path / "other", count=1, seed=4)
    for one, same, different in zip(few.masks, recombined.masks, other.masks, strict=False):
        assert one.read_bytes() == same.read_bytes()
        assert one.name == different.name
        assert not np.array_equal(read(one)[0], read(different)[0])


def test_killed_and_run_again_it_goes_on(place, recombined, tmp_path):
    out = tmp_path / "left"
    shutil.copytree(recombined.out, out)
    whole = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    first, second, _ = (out / "masks" / path.name for path in recombined.masks)
    second.unlink()
    (out / "card.html").unlink()
    before = first.stat().st_mtime_ns
    again = forge(place, out, count=3, seed=7)
    assert again.kept == 2
    assert first.stat().st_mtime_ns == before
    assert len(whole) == 3 + 3
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == whole
    with pytest.raises(OutputExistsError, match=r"made with other settings.*--overwrite"):
        forge(place, out, count=3, seed=1)
    assert forge(place, out, count=1, seed=1, overwrite=True).kept == 0


def test_without_crs_and_of_another_size(tmp_path):
    source = write_place(tmp_path / "plain", crs=False)
    made = forge(source, tmp_path / "out", count=1, size=260)
    mask, grid = read(made.masks[0])
    assert mask.shape == (260, 260)
    assert grid.crs is None
    assert made.cards["elm"].real.unit == "px"


def test_a_data_set_by_place_leaves_out_places_with_too_little(tmp_path):
    data = make_dataset(tmp_path / "data", [f"oak{n}" for n in range(1, 9)], 128)
    make_dataset(data, ["lone_a"], 64)
    made = forge(data, tmp_path / "out", count=1)
    assert [path.stem for path in made.masks] == ["oak_1001"]
    assert "at least 20 are needed" in made.skipped["lone_a"]
    with pytest.raises(DataError, match="no mask of a place called 'elm'; there are lone_a, oak"):
        forge(data, tmp_path / "named", place="elm")
    with pytest.raises(DataError, match=r"lone_a: .*at least 20 are needed"):
        forge(data, tmp_path / "lone", place="lone_a")


def test_bad_input(place, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="density goes with recombine and streets"):
        forge(place, out, how="transform", density=2)
    with pytest.raises(ConfigError, match="count is 1000000000000; it must be 1 to 1000000"):
        forge(place, out, count=10**12)
    with pytest.raises(ConfigError, match="how is 'magic'"):
        forge(place, out, how="magic")
    with pytest.raises(ConfigError, match="a changed mask is no larger"):
        forge(place, out, how="transform", size=512)
    with pytest.raises(DataError, match=r"density 6 asks for 98 % building in a mask; \d\d % was reached.*Ask for"):
        forge(place, out, density=6, count=1)
    empty = [write_tiff(tmp_path / "empty" / f"e{n}.tif", np.zeros((64, 64), np.uint8), make_grid()) for n in (1, 2)]
    with pytest.raises(DataError, match="e: no building in any of the 2 masks"):
        forge(empty, out)
    mixed = [
        write_tiff(tmp_path / "mixed" / f"m{n}.tif", town_mask(n), make_grid(SIDE_PX, gsd_m=gsd)) for n, gsd in ((1, 0.3), (2, 0.5))
    ]
    with pytest.raises(DataError, match=r"m2.tif: its pixels are 0\.5 m, those of m1.tif 0\.3 m"):
        forge(mixed, out)
    turned = make_grid(SIDE_PX)
    turned = type(turned)(SIDE_PX, SIDE_PX, turned.transform.rotation(10), turned.crs)
    with pytest.raises(GridError, match="rotated"):
        forge([write_tiff(tmp_path / "turned.tif", town_mask(0), turned)], out)


def test_drawn_masks_are_cleaned_placed_and_judged(place, tmp_path):
    drawings = tmp_path / "drawings"
    drawings.mkdir()
    mask = town_mask(20).copy()
    mask[100, 100] ^= 255  # a speck or a pinhole
    ink = np.zeros((*mask.shape, 4), np.uint8)
    ink[..., :3], ink[..., 3] = np.where(mask[..., None] > 0, [200, 180, 40], [10, 10, 30]), 255
    Image.fromarray(ink).save(drawings / "elm3.png")
    made = forge(place, tmp_path / "out", how="drawn", drawn=drawings)
    cleaned, grid = read(made.masks[0])
    assert np.array_equal(cleaned, town_mask(20))
    assert grid == make_grid(SIDE_PX)
    assert made.rows[0]["parameters"]["reference"] == "elm3"
    assert len(made.cards["elm"].verdicts) == 10
    soft = np.asarray(Image.fromarray(mask).resize((150, 150), Image.Resampling.BILINEAR))[..., None]
    with pytest.raises(DataError, match=r"tones of grey.*--threshold"):
        clean_drawing(soft, "soft.png")
    assert set(np.unique(clean_drawing(soft, threshold=128))) == {0, 255}


@pytest.fixture(scope="module")
def real():
    return measure([take_apart(town_mask(seed)) for seed in range(8)])


def test_a_hair_s_breadth_is_as_real_however_alike_the_real_masks_are():
    """Eight masks of one pattern have a floor of nothing."""
    alike = measure(
        [take_apart(np.kron(np.eye(6, dtype=np.uint8)[::-1] * 255, np.ones((30, 30), np.uint8)))] * 8, window=(180, 180)
    )
    card = judge("elm", "drawn", replace(alike, area=alike.area * 0.985, per_ha=alike.per_ha * 0.97), alike)
    verdicts = {verdict.name: verdict for verdict in card.verdicts}
    assert card.floor.highest["area"] == card.floor.highest["per_ha"] == 0
    assert verdicts["area"].distance == pytest.approx(0.015, abs=1e-3)
    assert verdicts["area"].as_real
    assert verdicts["per_ha"].words == "fewer than real by 3 %"


def test_the_card_is_a_page_of_its_own(recombined):
    page = (recombined.out / "card.html").read_text()
    assert page.count('<svg class="plot"') == 6
    assert not re.search(r"(src|href)=\"(?!data:)|url\(|NaN|nan,", page)
    drawn = [[float(n) for n in pair.split(",")] for line in re.findall(r'points="([^"]+)"', page) for pair in line.split()]
    assert len(drawn) > 1000
    assert all(0 <= x <= 340 and 0 <= y <= 200 for x, y in drawn)


def test_the_card_passes_the_place_s_own_and_notices_what_is_wrong(real):
    fresh = [take_apart(town_mask(seed)) for seed in range(100, 108)]
    same = judge("elm", "drawn", measure(fresh, window=real.window), real)
    # Each of ten verdicts is wrong about a sound set in one case of twenty.
    assert sum(not verdict.as_real for verdict in same.verdicts) <= 1
    assert all("would have shown" in verdict.words for verdict in same.verdicts if verdict.as_real)

    def verdicts(layouts):
        card = judge("elm", "drawn", measure(layouts, window=real.window), real)
        return {verdict.name: verdict for verdict in card.verdicts if not verdict.as_real}

    large = verdicts([take_apart(np.kron(town_mask(seed), np.ones((2, 2), np.uint8))[:SIDE_PX, :SIDE_PX]) for seed in range(8)])
    assert "larger than real" in large["area"].words
    assert "wider than real" in large["spacing"].words
    assert "fewer than real" in large["per_ha"].words
    assert "share" not in large  # a town twice as large is as dense
    turned = verdicts([take_apart(town_mask(seed, turn=seed * 0.7)) for seed in range(8)])
    assert turned["orientation"].words.startswith("turned against real by")
    assert "area" not in turned


def test_few_masks_get_no_verdict(real):
    """Two masks of a place differ from each other as much as from anything."""
    few = measure([take_apart(town_mask(seed)) for seed in range(2)], window=real.window)
    card = judge("elm", "drawn", few, few)
    assert card.passed is None
    assert {verdict.as_real for verdict in card.verdicts} == {None}
    assert card.summary() == "forged and real masks cannot be compared: 2 real windows, 6 are needed."
    assert card.values()["passed"] is None
    assert judge("elm", "drawn", real, real).summary() == "the forged masks are like the real ones in all 10 properties."
    one = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    one[40:60, 40:60] = 255
    alone = judge("elm", "drawn", measure([take_apart(one)], window=real.window), real)
    assert {verdict.as_real for verdict in alone.verdicts} == {None}
    assert alone.verdicts[0].words.startswith("too few to tell: ")
    assert alone.verdicts[0].words.endswith("and 1 forged buildings, 30 of each are needed")
    assert alone.summary().endswith("and 1 forged buildings, 30 of each are needed. A larger --count forges more.")


def test_real_masks_that_differ_much_are_no_evidence(real, monkeypatch):
    """What is as near as chance makes of them says nothing where chance makes much."""
    fresh = measure([take_apart(town_mask(seed)) for seed in range(100, 108)], window=real.window)
    wide = replace(floor_of(real, fresh.windows), highest=dict.fromkeys(PROPERTIES, 90.0))
    monkeypatch.setattr("orthoforge.forging.card.floor_of", lambda *_: wide)
    card = judge("elm", "drawn", fresh, real)
    assert {verdict.as_real for verdict in card.verdicts} == {None}
    words = {verdict.name: verdict.words for verdict in card.verdicts}
    assert words["area"] == "no verdict: only more than 9000 % would have shown"


@pytest.mark.parametrize("how", ["recombine", "streets", "transform"])
def test_masks_take_the_resolution_that_is_asked_for(place, recombined, tmp_path, how):
    own = recombined if how == "recombine" else forge(place, tmp_path / "own", how=how, count=1, seed=7)
    made = forge(place, tmp_path / "out", how=how, count=1, seed=7, gsd=0.6)
    (mask, grid), (fine, grid_of_own) = read(made.masks[0]), read(own.masks[0])
    assert grid_of_own.pixel_m() == pytest.approx((0.3, 0.3), rel=1e-3)
    assert grid.pixel_m() == pytest.approx((0.6, 0.6), rel=1e-3)
    assert grid.bounds == pytest.approx(grid_of_own.bounds), "the same ground"
    assert mask.shape == (SIDE_PX // 2, SIDE_PX // 2)
    assert (mask > 0).mean() == pytest.approx((fine > 0).mean(), abs=0.05)
    assert forge(place, tmp_path / "out", how=how, count=1, seed=7, gsd=0.6).kept == 1
    with pytest.raises(OutputExistsError):
        forge(place, tmp_path / "out", how=how, count=1, seed=7)


def test_forged_masks_are_judged_beside_real_ones_of_their_resolution(place, tmp_path):
    """At 1.5 m houses touch that do not at 0.3 m, in real masks too: that is no fault of the forged ones."""
    made = forge(place, tmp_path / "out", how="transform", count=2, seed=7, gsd=1.5)
    fine = forge(place, tmp_path / "fine", how="transform", count=2, seed=7)
    assert made.cards["elm"].real.touching > fine.cards["elm"].real.touching


def test_the_resolution_of_the_source_changes_nothing(place, recombined, tmp_path):
    again = forge(place, tmp_path / "out", count=1, seed=7, gsd=0.3)
    assert np.array_equal(read(again.masks[0])[0], read(recombined.masks[0])[0])
    assert read(again.masks[0])[1] == read(recombined.masks[0])[1]


def test_what_holds_no_masks_is_refused_without_options_that_forge_lacks(tmp_path):
    with pytest.raises(DataError, match=r"no image/mask folders recognised.* Or name a folder of masks\.") as refused:
        forge(tmp_path, tmp_path / "out")
    assert "--images" not in str(refused.value)


def test_a_resolution_that_cannot_be_is_refused(place, tmp_path):
    with pytest.raises(ConfigError, match="gsd is 0"):
        forge(place, tmp_path / "out", gsd=0)
    with pytest.raises(ConfigError, match="drawn masks keep their pixels"):
        forge(place, tmp_path / "out", how="drawn", drawn=[tmp_path / "x.png"], gsd=0.6)
    bare = write_place(tmp_path / "bare", scenes=2, crs=False)
    with pytest.raises(ConfigError, match=r"masks of elm do not say how large their pixels are .* State it with --pixel-size"):
        forge(bare, tmp_path / "out", gsd=0.6)
