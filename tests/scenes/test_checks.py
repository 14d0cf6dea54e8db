import errno
import functools
import io
import json
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rich.console import Console

from conftest import UTM, make_dataset, make_grid, make_image, make_mask, make_pair, write_tiff
from orthoforge.errors import ConfigError, DataError
from orthoforge.geo.cog import write_raster
from orthoforge.geo.grid import Grid
from orthoforge.geo.rasters import raster as raster_module
from orthoforge.masks.share import turning
from orthoforge.scenes.alignment import RADIUS_PX, cast_votes, common_shift, estimate
from orthoforge.scenes.check_table import format_report
from orthoforge.scenes.checks import CheckReport, check
from orthoforge.scenes.scene_check import Finding, SceneCheck
from orthoforge.scenes.sources import find_pairs
from orthoforge.tiles.prepare import prepare


def printed(report, width=100, **options):
    console = Console(width=width, file=io.StringIO())
    console.print(format_report(report, **options))
    return console.file.getvalue()


def messages(report, severity):
    everything = [*report.findings, *(finding for scene in report.scenes for finding in scene.findings)]
    return [finding.message for finding in everything if finding.severity == severity]


def row(report, name):
    return next(scene for scene in report.scenes if scene.name == name)


def only_fault(report):
    (fault,) = messages(report, "fault")
    return fault


def truncate(path, share=0.5):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def test_a_sound_data_set_has_no_findings_and_its_facts_in_the_rows(tmp_path):
    make_dataset(tmp_path, ["austin1", "austin2", "vienna1"], (60, 80), layout="inria")
    done = []
    report = check(tmp_path, progress=lambda count, total: done.append((count, total)))
    assert (report.faults, report.warnings) == (0, 0)
    assert done == [(1, 3), (2, 3), (3, 3)]
    scene = row(report, "austin2")
    assert (scene.size, scene.bands, scene.crs, scene.place) == ((80, 60), "3×uint8", "EPSG:32633", "austin")
    assert scene.gsd_m == pytest.approx(0.3, rel=1e-3)
    assert scene.building_share == pytest.approx((make_mask((60, 80), seed=1) > 0).mean())
    assert "3 scenes, 3 without findings of their own; 0 faults, 0 warnings" in printed(report)


@pytest.mark.parametrize("all_scenes", [False, True])
def test_long_names_take_several_lines_and_cut_no_other_column_at_80(tmp_path, all_scenes):
    name = "a_satellite_building_segmentation_of_eastern_europe_"
    scenes = tuple(
        SceneCheck(f"{name}{n}", (1817 + n, 2062), "3×uint8", "EPSG:32633", gsd_m=0.13, building_share=0.2) for n in (1, 2)
    )
    _, _, headings, _, *lines, _ = printed(CheckReport(tmp_path, scenes), width=80, all_scenes=all_scenes).splitlines()
    assert headings.rstrip().endswith("ings")
    rows = [line for line in lines if "EPSG:32633" in line]
    assert len(rows) == (2 if all_scenes else 1) and all("0.13" in row and row.rstrip().endswith("–      ·     ·") for row in rows)
    second = headings.index("in px") if all_scenes else headings.index("scenes")
    assert name.rstrip("_") in "".join(line[:second].strip() for line in lines)


@functools.cache
def not_a_number():
    pixels = np.zeros((64, 64, 3), np.float32)
    pixels[12, 34] = np.nan
    return pixels


def bad_values():
    mask = make_mask(64)
    mask[0, :41] = 37
    return mask


GRID = make_grid(64)
FAULTS = {
    "image of 0 bytes": ("images", lambda path: path.write_bytes(b""), r"images/b2\.tif: the file is empty"),
    "mask is HTML": ("masks", lambda path: path.write_bytes(b"<html>"), r"masks/b2\.tif: not a GTiff file"),
    "truncated image": ("images", truncate, r"images/b2\.tif: pixels cannot be read near row \d+"),
    "truncated mask": ("masks", truncate, r"masks/b2\.tif: pixels cannot be read near row \d+"),
    "uint16": ("images", lambda path: write_tiff(path, np.zeros((64, 64, 3), np.uint16), GRID), "image is uint16"),
    "four bands": ("images", lambda path: write_tiff(path, np.zeros((64, 64, 4), np.uint8), GRID), "image has 4 bands"),
    "NaN": ("images", lambda path: write_tiff(path, not_a_number(), GRID), "1 NaN pixel, the first at row 12, column 34"),
    "values": ("masks", lambda path: write_tiff(path, bad_values(), GRID), r"value 37 in 1\.0 % of pixels; pass --threshold"),
    "other size": (
        "masks",
        lambda path: write_tiff(path, make_mask((64, 63)), make_grid((64, 63))),
        "b2: mask is 63×64 but image is 64×64",
    ),
    "other CRS": (
        "masks",
        lambda path: write_tiff(path, make_mask(64), make_grid(64, crs=CRS.from_epsg(3857))),
        "mask is in EPSG:3857 but image is in EPSG:32633",
    ),
    "half a pixel off": (
        "masks",
        lambda path: write_tiff(path, make_mask(64), Grid(64, 64, GRID.transform @ Affine.translation(0.5, 0), UTM)),
        r"mask lies 0\.50 px off the image's grid",
    ),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_one_bad_scene_is_named_and_the_others_are_still_checked(tmp_path, kind):
    folder, spoil, message = FAULTS[kind]
    make_dataset(tmp_path, ["b1", "b2", "b3"])
    spoil(tmp_path / folder / "b2.tif")
    report = check(tmp_path)
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(only_fault(report))
    assert row(report, "b1").building_share > 0
    assert row(report, "b3").building_share > 0
    assert [scene.name for scene in report.scenes if scene.findings] == ["b2"]


def test_a_rotated_scene_is_a_fault_of_both_its_files(tmp_path):
    make_dataset(tmp_path, ["b1"])
    grid = Grid(64, 64, GRID.transform @ Affine.rotation(5), UTM)
    write_tiff(tmp_path / "images/b1.tif", make_image(make_mask(64)), grid)
    write_tiff(tmp_path / "masks/b1.tif", make_mask(64), grid)
    faults = messages(check(tmp_path), "fault")
    assert len(faults) == 2
    assert all("transform is rotated" in fault for fault in faults)


def test_all_faults_of_one_scene_are_collected(tmp_path):
    make_dataset(tmp_path, ["b1", "b2"])
    write_tiff(tmp_path / "images/b1.tif", np.zeros((64, 64), np.uint16), GRID)
    write_tiff(tmp_path / "masks/b1.tif", bad_values()[:, :50], make_grid((64, 50)))
    faults = " ".join(messages(check(tmp_path), "fault"))
    assert "image is uint16" in faults
    assert "mask is 50×64" in faults
    assert "value 37" in faults


def test_lonely_files_and_twins_are_faults_and_the_rest_is_checked(tmp_path):
    make_dataset(tmp_path, ["b1", "b2", "b3", "b4"])
    (tmp_path / "masks/b2.tif").unlink()
    (tmp_path / "images/b4.tif").unlink()
    make_pair(tmp_path, "b3", suffix=".png", crs=None)
    report = check(tmp_path)
    assert [scene.name for scene in report.scenes] == ["b1"]
    faults = messages(report, "fault")
    assert report.faults == len(faults) == 4
    assert sum("share one stem" in fault for fault in faults) == 2
    assert any("images/b2.tif: has no mask" in fault for fault in faults)
    assert any("masks/b4.tif: has no image" in fault for fault in faults)


def test_a_name_that_is_not_utf_8_is_a_fault_and_the_rest_is_checked(tmp_path):
    make_dataset(tmp_path, ["b1", "b2"])
    for folder in ("images", "masks"):
        (tmp_path / folder / "b2.tif").rename(tmp_path / folder / "b2\udcff.tif")
    report = check(tmp_path)
    faults = messages(report, "fault")
    assert len(faults) == 2 and all("b2\udcff.tif: its name, or a folder's, is not UTF-8" in fault for fault in faults)
    assert row(report, "b1").building_share > 0


def test_files_that_cannot_be_opened_are_faults_and_the_rest_is_checked(tmp_path, monkeypatch):
    make_dataset(tmp_path, ["b1", "b2", "b3"])
    (tmp_path / "masks/b1.tif").rename(tmp_path / "elsewhere.tif")
    (tmp_path / "masks/b1.tif").symlink_to(tmp_path / "gone.tif")
    is_dir = Path.is_dir

    def refused(path):  # what the system says of a file in a folder that must not be searched; the mode stops no administrator
        if path.name == "b2.tif" and path.parent.name == "images":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return is_dir(path)

    opened = find_pairs(tmp_path)
    monkeypatch.setattr("orthoforge.scenes.checks.survey", lambda *_, **__: opened)
    monkeypatch.setattr(Path, "is_dir", refused)
    faults = messages(check(tmp_path), "fault")
    assert len(faults) == 2
    assert "masks/b1.tif: is a link to" in faults[0]
    assert "images/b2.tif: cannot be read (Permission denied)" in faults[1]


def test_pixels_without_data_and_alpha_as_a_colour_are_warnings(tmp_path):
    make_dataset(tmp_path, ["b1", "b2"])
    image = make_image(make_mask(64))
    image[:, :16] = 0
    write_tiff(tmp_path / "images/b1.tif", image, GRID, nodata=0)
    opaque = np.full((64, 64), 255, np.uint8)
    write_tiff(tmp_path / "images/b2.tif", np.dstack([make_image(make_mask(64)), opaque]), GRID, alpha="yes")
    assert messages(check(tmp_path, bands=(1, 2, 3)), "warning") == [
        f"{tmp_path}/images/b1.tif: 25.0 % of the image holds no data. Cut it to where it has some."
    ]
    write_tiff(tmp_path / "images/b1.tif", np.dstack([image, image[..., 0]]), GRID)  # near infrared, whatever the file calls it
    (warning,) = messages(check(tmp_path, bands=(1, 2, 3, 4)), "warning")[-1:]
    assert "images/b2.tif: band 4 is alpha" in warning
    assert not any("b1.tif: band 4" in message for message in messages(check(tmp_path, bands=(1, 2, 3, 4)), "warning"))


def test_1_and_255_in_one_mask_are_a_fault_and_a_declared_255_alone_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(raster_module, "_STRIP_PIXELS", 64 * 16)
    make_dataset(tmp_path, ["b1", "b2", "b3"])
    mask = make_mask(64) // 255
    mask[48:] = 255  # in other strips than the buildings
    write_tiff(tmp_path / "masks/b1.tif", mask, GRID, blockysize=16)
    write_tiff(tmp_path / "masks/b2.tif", mask, GRID, blockysize=16, nodata=255)
    write_tiff(tmp_path / "masks/b3.tif", make_mask(64, seed=2), GRID, nodata=255)
    report = check(tmp_path)
    assert "masks/b1.tif: mask holds 1 in" in only_fault(report)
    assert row(report, "b2").building_share == pytest.approx((mask == 1).mean())
    (warning,) = messages(report, "warning")
    assert "masks/b3.tif: declares 255 to be no data and holds no other value but 0" in warning


def test_control_points_are_no_place(tmp_path):
    make_pair(tmp_path, "b1", crs=None)
    points = [GroundControlPoint(row, col, 500_000 + col, 5_000_000 - row) for row in (0, 64) for col in (0, 64)]
    write_tiff(tmp_path / "masks/b1.tif", make_mask(64), gcps=points, crs=UTM)
    assert any(
        "masks/b1.tif: only 4 ground control points say where" in message for message in messages(check(tmp_path), "warning")
    )


def test_a_threshold_that_parts_nothing_is_no_finding_but_an_error(tmp_path):
    make_dataset(tmp_path, ["b1"])
    with pytest.raises(ConfigError, match="threshold 300 makes nothing building"):
        check(tmp_path, threshold=300)


def test_values_are_judged_over_all_strips(tmp_path, monkeypatch):
    monkeypatch.setattr(raster_module, "_STRIP_PIXELS", 64 * 8)
    make_dataset(tmp_path, ["b1"])
    mask = make_mask(64)
    mask[63, :41] = 37  # a thirteenth of its strip, but 1 % of the mask
    write_tiff(tmp_path / "masks/b1.tif", mask, GRID, blockysize=8)
    assert "value 37 in 1.0 % of pixels" in only_fault(check(tmp_path))
    assert check(tmp_path, threshold=128).faults == 0


def test_missing_crs_is_said_once_for_all_and_by_name_for_some(tmp_path):
    make_dataset(tmp_path / "none", ["b1", "b2"], crs=None)
    (warning,) = messages(check(tmp_path / "none"), "warning")
    assert "no scene has a CRS" in warning
    make_dataset(tmp_path / "some", ["b1", "c1", "c2"])
    make_pair(tmp_path / "some", "c3", crs=None)
    (warning,) = messages(check(tmp_path / "some"), "warning")
    assert "no CRS in 1 of 3 scenes of c (c3)" in warning


def test_degrees_are_a_warning_that_says_where_gsd_is_taken(tmp_path):
    grid = Grid(64, 64, Affine(1e-6, 0, 85.5, 0, -1e-6, 27.6), CRS.from_epsg(4326))
    write_tiff(tmp_path / "images/b1.tif", make_image(make_mask(64)), grid)
    write_tiff(tmp_path / "masks/b1.tif", make_mask(64), grid)
    report = check(tmp_path)
    (warning,) = messages(report, "warning")
    assert "CRS in degrees, not metres, in all 1 scenes" in warning
    assert "GSD is taken at each scene's centre" in warning
    assert row(report, "b1").gsd_m == pytest.approx(0.105, abs=0.002)


def blocks():
    """A building of 8×8 px on a plot of 16×16."""
    return np.pad(np.full((8, 8), 255, np.uint8), 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda mask: 0 * mask, r"the mask is empty \(building share 0 %\)"),
        (lambda mask: 255 - np.tile(blocks(), (4, 4)), r"looks inverted: building share 75\.0 %, and its outlines enclose holes"),
        (lambda mask: 255 - 0 * mask, r"looks inverted: building share 100\.0 %, and it is nearly full"),
    ],
)
def test_empty_and_inverted_masks_are_warnings_with_the_share(tmp_path, change, message):
    make_dataset(tmp_path, ["b1"])
    write_tiff(tmp_path / "masks/b1.tif", change(make_mask(64)), GRID)
    report = check(tmp_path)
    assert report.faults == 0
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(*messages(report, "warning"))


def test_masks_of_classes_are_not_judged_as_masks_of_buildings(tmp_path):
    make_dataset(tmp_path, ["b1", "b2"])
    write_tiff(tmp_path / "masks/b1.tif", np.full((64, 64), 1, np.uint8), GRID)
    write_tiff(tmp_path / "masks/b2.tif", np.zeros((64, 64), np.uint8), GRID)
    (tmp_path / "palette.json").write_text('{"Ground": 0, "Building": 1}')
    report = check(tmp_path, palette=tmp_path / "palette.json")
    assert (report.faults, report.warnings) == (0, 0)
    assert row(report, "b1").building_share == 1
    inverted, _ = messages(check(tmp_path, palette=tmp_path / "palette.json", building=["Building"]), "warning")
    assert inverted.endswith("it is nearly full. Choose with --building what is building.")


@given(st.integers(0, 2**32 - 1), st.floats(0.02, 0.98))
def test_turning_changes_its_sign_with_the_mask(seed, share):
    mask = np.random.default_rng(seed).random((17, 23)) < share
    assert turning(mask) == -turning(~mask)
    assert turning(np.tile(blocks(), (2, 3))) == 6 * 4  # six buildings of four corners


def test_blocks_that_were_never_written_are_a_warning(tmp_path):
    make_dataset(tmp_path, ["b1"])
    image = make_image(make_mask(64))
    image[16:32] = 0
    write_tiff(tmp_path / "images/b1.tif", image, GRID, blockysize=16, sparse_ok=True, compress="deflate")
    (warning,) = messages(check(tmp_path), "warning")
    assert "1 of 4 blocks were never written and read as zeros" in warning


def test_masks_by_palette(tmp_path):
    colours = {"Road": [110, 193, 228], "Building": [60, 16, 152]}
    (tmp_path / "palette.json").write_text(json.dumps(colours))
    mask = make_mask(64)
    rgb = np.where(mask[..., None] > 0, colours["Building"], colours["Road"]).astype(np.uint8)
    for folder, array in (("images", make_image(mask)), ("masks", rgb)):
        (tmp_path / folder).mkdir()
        Image.fromarray(array).save(tmp_path / folder / "b1.png")
    report = check(tmp_path, palette=tmp_path / "palette.json")
    assert report.faults == 0
    assert row(report, "b1").building_share == pytest.approx((mask > 0).mean())
    assert "say what they are with --palette" in only_fault(check(tmp_path))

    rgb[5, 5] = (1, 2, 3)
    Image.fromarray(rgb).save(tmp_path / "masks/b1.png")
    fault = only_fault(check(tmp_path, palette=tmp_path / "palette.json"))
    assert "masks/b1.png: colours that are not in the palette: [1, 2, 3] in 0.024 % of pixels" in fault

    (tmp_path / "palette.json").write_text(json.dumps({"Road": [110, 193, 228], "Roof": [60, 16, 152], "?": [1, 2, 3]}))
    report = check(tmp_path, palette=tmp_path / "palette.json")
    assert any("no class is named 'building'" in warning for warning in messages(report, "warning"))
    assert row(report, "b1").building_share is None


def test_threshold_and_palette_exclude_each_other(tmp_path):
    with pytest.raises(ConfigError, match="exclude each other"):
        check(tmp_path, threshold=1, palette=tmp_path / "p.json")
    with pytest.raises(DataError, match="no such folder"):
        check(tmp_path / "nowhere")


# Shifts


def town(size, seed):
    mask = make_mask(size, seed=seed)
    return make_image(mask, seed=seed), mask


@given(st.integers(-RADIUS_PX, RADIUS_PX), st.integers(-RADIUS_PX, RADIUS_PX), st.booleans())
def test_a_moved_mask_is_found_to_the_pixel_on_bright_roofs_and_dark_ones(down, right, dark):
    image, mask = town(240, seed=3)
    shift = estimate(cast_votes(255 - image if dark else image, np.roll(mask, (down, right), (0, 1))))
    assert (shift.down, shift.right) == (down, right)
    assert shift.is_sure == (np.hypot(down, right) >= 2)


def test_an_image_that_has_nothing_to_do_with_the_mask_moves_nothing():
    alarms = 0
    for seed in range(30):
        noise = np.random.default_rng(seed).integers(0, 256, (240, 240, 3), np.uint8)
        alarms += estimate(cast_votes(noise, make_mask(240, seed=seed))).is_sure
    assert alarms <= 3


def test_too_little_to_see_gives_no_estimate():
    assert estimate(cast_votes(*town(64, seed=0))) is None  # smaller than a cell and its margins
    image, mask = town(240, seed=0)
    assert estimate(cast_votes(image, 0 * mask)) is None


def test_fewer_cells_still_find_the_shift():
    image, mask = town(400, seed=1)
    votes = cast_votes(image, np.roll(mask, 5, 1), limit=8)
    assert len(votes) == 8
    assert (estimate(votes).down, estimate(votes).right) == (0, 5)


def test_a_shift_that_a_place_shares_is_said_once_and_another_ones_beside_it(tmp_path):
    for index in range(5):
        image, mask = town(240, seed=index)
        down, right = (3, 4) if index < 4 else (-6, 0)
        write_tiff(tmp_path / f"images/c{index}.tif", image, make_grid(240))
        write_tiff(tmp_path / f"masks/c{index}.tif", np.roll(mask, (down, right), (0, 1)), make_grid(240))
    make_dataset(tmp_path, ["d1", "d2"], 240)
    warnings = messages(check(tmp_path), "warning")
    assert len(warnings) == 2
    assert "c: its masks lie 5 px off their images (4 px right, 3 px down), the same in 5 scenes" in warnings[0]
    assert "c4: the mask seems to lie 6 px off the image (6 px up)" in warnings[1]


def test_strips_lead_to_the_estimate_of_the_whole(tmp_path, monkeypatch):
    image, mask = town(400, seed=2)
    write_tiff(tmp_path / "images/c1.tif", image, make_grid(400), blockysize=16)
    write_tiff(tmp_path / "masks/c1.tif", np.roll(mask, 7, 0), make_grid(400), blockysize=16)
    monkeypatch.setattr(raster_module, "_STRIP_PIXELS", 400 * 130)
    shift = check(tmp_path).scenes[0].shift
    assert (shift.down, shift.right) == (7, 0)


def test_one_scene_has_one_vote_in_its_place():
    votes = [cast_votes(image, np.roll(mask, 4, 1)).sum(axis=0) for image, mask in (town(240, seed) for seed in range(5))]
    loud = 1000 * cast_votes(*town(240, seed=9)).sum(axis=0)
    assert common_shift([*votes, loud]).right == 4
    assert common_shift([]) is None


# The table


def test_the_table_fits_100_columns_and_puts_faults_before_warnings(tmp_path):
    make_dataset(tmp_path, [f"a_place_with_quite_a_long_name{n}" for n in range(12)])
    write_tiff(tmp_path / "masks/a_place_with_quite_a_long_name3.tif", 0 * make_mask(64), GRID)
    (tmp_path / "images/a_place_with_quite_a_long_name7.tif").write_bytes(b"")
    report = check(tmp_path)
    for options in ({}, {"all_scenes": True}):
        text = printed(report, **options)
        assert max(map(len, text.splitlines())) <= 100
        assert text.index("fault ") < text.index("warning ")
        assert "12 scenes, 10 without findings of their own; 1 fault, 1 warning" in text
        assert f"{tmp_path}/images" not in text  # what all paths share is said once, in the last line
    assert printed(report).count("a_place_with") == 3  # the place, and its two findings
    assert printed(report, all_scenes=True).count("a_place_with") == 14


def test_what_many_scenes_share_is_one_line(tmp_path):
    make_dataset(tmp_path, [f"b{n}" for n in range(5)])
    for n in range(3):
        write_tiff(tmp_path / f"masks/b{n}.tif", 0 * make_mask(64), GRID)
    report = check(tmp_path)
    assert report.warnings == 3
    assert printed(report).count("the mask is empty") == 1
    assert "3 scenes of b (b0, b1, b2): the mask is empty" in printed(report)


def test_brackets_in_a_name_are_no_markup(tmp_path):
    make_dataset(tmp_path, ["[red]b1", "c1"])
    (tmp_path / "masks/[red]b1.tif").write_bytes(b"")
    assert "masks/[red]b1.tif: the file is empty" in printed(check(tmp_path))


def made_check(name, *messages, severity="fault"):
    return SceneCheck(
        name=name, size=(64, 64), bands=None, crs=None, in_degrees=False, gsd_m=None, building_share=None, shift=None,
        findings=tuple(Finding(severity, message) for message in messages),
    )  # fmt: skip


def test_like_faults_are_said_together():
    """Of forty scenes with the same fault in other numbers one is told in full, and some of the others by name."""
    scenes = [made_check(f"oak{n}", f"oak{n}: mask is 64×64 but image is {n}×64. Re-export one of them.") for n in range(40)]
    report = CheckReport(Path("data"), tuple(scenes))
    said = " ".join(printed(report).split())
    assert "40 scenes of oak (oak0, oak1, oak2, oak3, oak4, …): alike, such as: oak0: mask is 64×64 but image is 0×64. Re-e" in said
    assert said.count("Re-export") == 1
    assert "40 faults" in said
    assert "oak39" in printed(report, all_scenes=True)


def test_few_faults_that_differ_are_said_in_full():
    scenes = [made_check(f"oak{n}", f"oak{n}: mask is 64×64 but image is {n}×64.") for n in range(3)]
    said = printed(CheckReport(Path("data"), tuple(scenes)))
    assert all(f"image is {n}×64" in said for n in range(3))


def test_faults_of_several_places_and_of_files_without_a_scene_are_said_together():
    scenes = [made_check(f"{name}1", f"{name}1: the mask is empty") for name in ("ash", "elm", "oak")]
    lonely = [Finding("fault", f"data/images/fir{n}.png: has no mask of the same name. Add it.") for n in range(9)]
    said = " ".join(printed(CheckReport(Path("data"), tuple(scenes), findings=tuple(lonely))).split())
    assert "3 scenes (ash1, elm1, oak1): the mask is empty" in said
    assert "9 files (fir0.png, fir1.png, fir2.png, fir3.png, fir4.png, …): alike, such as: images/fir0.png: has no mask" in said
    assert "12 faults" in said


def test_the_layout_is_told_and_a_stated_pixel_size_shows(tmp_path):
    make_dataset(tmp_path, ["a1", "a2"], crs=None, suffix=".png")
    report = check(tmp_path)
    assert report.layout == "images/ and masks/"
    assert "State it with --pixel-size METRES" in messages(report, "warning")[0]
    report = check(tmp_path, pixel_size=0.4)
    assert [scene.gsd_m for scene in report.scenes] == pytest.approx([0.4, 0.4])
    assert "--pixel-size" not in messages(report, "warning")[0]
    (tmp_path / "pixel_size.csv").write_text("a1,0.2\nz*,0.3\n")
    report = check(tmp_path)
    assert [scene.gsd_m for scene in report.scenes] == [pytest.approx(0.2), None]
    assert any("'z*' fits the name of no image" in text for text in messages(report, "warning"))


@pytest.mark.parametrize("tagged", [("images", "masks"), ("images",), ("masks",)])
def test_a_pixel_size_in_the_tag_of_one_file_of_a_pair_is_that_of_both(tmp_path, tagged):
    mask = make_mask(64)
    for part, pixels in (("images", make_image(mask)), ("masks", mask)):
        grid = Grid(64, 64).with_pixel_size(0.3) if part in tagged else Grid(64, 64)
        write_raster(tmp_path / "data" / part / "a1.tif", pixels, grid)
    report = check(tmp_path / "data")
    assert row(report, "a1").gsd_m == pytest.approx(0.3)
    assert "--pixel-size" not in " ".join(messages(report, "warning"))
    store = prepare(tmp_path / "data", tmp_path / "tiles", gsd=0.3, size=64, split="random")
    assert store.gsd_m == pytest.approx(0.3)


def test_the_table_shows_the_commonest_size_of_a_place(tmp_path):
    scenes = [SceneCheck(f"a{n}", size=(500, 500) if n > 2 else (348 + n, 384)) for n in range(9)]
    text = printed(CheckReport(tmp_path, tuple(scenes)))
    assert "500×500 +3" in text and "348×384" not in text
    assert "+N: the commonest; the place has N more values" in text


def test_a_file_that_says_another_pixel_size_than_the_stated_is_told_once(tmp_path):
    make_dataset(tmp_path, ["a1", "a2"])
    told = [text for text in messages(check(tmp_path, pixel_size=2.0), "warning") if "--pixel-size" in text]
    assert len(told) == 1
    assert "2 scenes (a1, a2): the file itself says that a pixel is 0.3 m, and that holds." in told[0]


def test_classes_may_be_checked_as_buildings(tmp_path):
    make_dataset(tmp_path, ["a1"])
    write_tiff(tmp_path / "masks/a1.tif", make_mask(64) // 255 * np.uint8(3), make_grid(64))
    assert "say what they are with --palette, or which are building with --building" in messages(check(tmp_path), "fault")[0]
    report = check(tmp_path, building=["3"])
    assert report.faults == 0
    assert report.scenes[0].building_share == pytest.approx((make_mask(64) > 0).mean())
