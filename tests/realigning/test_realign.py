"""``realign`` from files to files: with a segmenter that sees roofs by their colour, and once with a tiny network."""

import csv
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from scipy import ndimage

import orthoforge
from orthoforge.cli import main
from orthoforge.errors import ConfigError, DataError, GridError, OutputExistsError
from orthoforge.geo.cog import write_raster
from orthoforge.geo.grid import Grid
from orthoforge.geo.rasters import open_raster, read_mask
from orthoforge.realigning.realign import realign

SIDE, GSD_M = 128, 0.5
CORNERS = [(12 + 40 * row, 10 + 40 * col) for row in range(3) for col in range(3)]
QUICK = {"gsd": GSD_M, "reach": 5.0, "steps": 1, "device": "cpu"}


class SeesRed:
    """Stands for a segmenter: red is building, with soft edges."""

    def probabilities(self, images):
        red = (images[..., 0] > 150).astype(np.float32)
        return np.clip(ndimage.gaussian_filter(red, (0, 1.5, 1.5)), 0.01, 0.99)


def sees_red(sample, settings, *, device="cpu"):
    images, masks = sample(0)
    assert images.shape[:3] == masks.shape and set(np.unique(masks)) <= {0, 255}
    return SeesRed()


def grid(side: int = SIDE, gsd_m: float = GSD_M) -> Grid:
    return Grid(side, side, Affine(gsd_m, 0, 500_000, 0, -gsd_m, 5_000_000), CRS.from_epsg(32633))


def truth(leave_out: int = 0) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for row, col in CORNERS[leave_out:]:
        mask[row : row + 16, col : col + 20] = 255
    return mask


def write_pairs(folder: Path, shifts, *, leave_out: int = 0) -> Path:
    """A scene a shift (down, right) of its mask; the first houses may be missing in the masks."""
    rng = np.random.default_rng(0)
    for number, (down, right) in enumerate(shifts):
        image = rng.integers(60, 100, (SIDE, SIDE, 3), np.uint8)
        image[truth() > 0, 0] = 200
        write_raster(folder / "images" / f"town{number}.tif", image, grid())
        moved = ndimage.shift(truth(leave_out), (down, right), order=0)
        write_raster(folder / "masks" / f"town{number}.tif", moved, grid())
    return folder


def read(path: Path) -> np.ndarray:
    with open_raster(path) as raster:
        return read_mask(raster)


def rows_of(out: Path) -> list[dict[str, str]]:
    with open(out / "realigned.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_shifted_masks_come_back_and_right_ones_stay(tmp_path):
    data = write_pairs(tmp_path / "data", [(4, -6), (0, 0), (0, 0)])
    made = realign(data, tmp_path / "out", rounds=1, train=sees_red, **QUICK)
    for number in range(3):
        found = read(tmp_path / "out" / "masks" / f"town{number}.tif")
        assert ((found > 0) & (truth() > 0)).sum() / ((found > 0) | (truth() > 0)).sum() > 0.88  # a pixel off at most
    assert (read(made.masks[1]) == truth()).all()
    rows = rows_of(made.out)
    assert [row["status"] for row in rows] == ["moved"] * 9 + ["kept"] * 18
    assert all(abs(float(row["dx_m"]) - 3) <= GSD_M and abs(float(row["dy_m"]) - 2) <= GSD_M for row in rows[:9])
    assert all(float(row["score_after"]) >= float(row["score_before"]) for row in rows[:9])
    assert 500_000 < float(rows[0]["x"]) < 500_064 and 4_999_936 < float(rows[0]["y"]) < 5_000_000
    assert any(line.startswith("town0.tif lies off as a whole: it was moved") for line in made.lines)
    assert "9 of 27 buildings were moved" in (made.out / "realign.html").read_text("utf-8")
    with open_raster(made.masks[0]) as raster:
        assert raster.grid == grid() and raster.tags()["REALIGNED"] == "YES"


def test_what_the_masks_lack_is_found_and_added_only_when_asked(tmp_path):
    data = write_pairs(tmp_path / "data", [(0, 0), (0, 0)], leave_out=2)
    made = realign(data, tmp_path / "out", rounds=1, train=sees_red, **QUICK)
    assert sum(row.status == "found" for row in made.rows) == 4
    assert (read(made.masks[0]) == truth(2)).all()
    made = realign(data, tmp_path / "out", rounds=1, add=True, train=sees_red, **QUICK)
    found = read(made.masks[0])
    assert ((found > 0) & (truth() > 0)).sum() / ((found > 0) | (truth() > 0)).sum() > 0.95


def test_what_was_said_is_kept_and_other_settings_are_refused(tmp_path):
    data, out = write_pairs(tmp_path / "data", [(2, 2), (0, 0)]), tmp_path / "out"
    calls = []

    def counting(*words, **options):
        calls.append(words)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return sees_red(*words, **options)

    with pytest.raises(KeyboardInterrupt):
        realign(data, out, rounds=1, train=counting, **QUICK)
    made = realign(data, out, rounds=1, train=counting, **QUICK)
    assert len(calls) == 3  # the first fold was not taught again
    realign(data, out, rounds=1, train=counting, **QUICK)
    assert len(calls) == 3
    again = realign(data, out, rounds=2, train=counting, **QUICK)
    assert len(calls) == 5 and len(again.rows) == len(made.rows)
    with pytest.raises(OutputExistsError, match="other settings or from other files \\(reach\\)"):
        realign(data, out, rounds=1, train=counting, **(QUICK | {"reach": 4.0}))


def test_one_scene_is_cut_and_no_segmenter_judges_what_it_was_taught_on(tmp_path):
    data, seen = write_pairs(tmp_path / "data", [(2, 2)]), []

    class Looks(SeesRed):
        def __init__(self, images):
            self.learnt = {tuple(pixel) for pixel in images.reshape(-1, 3)[:200].tolist()}

        def probabilities(self, images):
            seen.append(images.shape)
            return super().probabilities(images)

    made = realign(data, tmp_path / "out", rounds=1, train=lambda sample, settings, device: Looks(sample(0)[0]), **QUICK)
    assert set(seen) == {(1, 64, 128, 3), (1, 128, 64, 3)}  # halves, turned
    assert len(made.rows) == 9


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"folds": 1}, ConfigError, "no segmenter may judge"),
        ({"reach": 0.1}, ConfigError, "reach is 0.1 m"),
        ({"reach": float("nan")}, ConfigError, "reach is nan m"),
        ({"rounds": 0}, ConfigError, "rounds and steps are at least 1"),
        ({"seed": -1}, ConfigError, "seed is -1"),
    ],
)
def test_impossible_numbers_are_refused(options, error, words, tmp_path):
    data = write_pairs(tmp_path / "data", [(0, 0), (0, 0)])
    with pytest.raises(error, match=words):
        realign(data, tmp_path / "out", train=sees_red, **(QUICK | options))


def test_data_that_cannot_be_realigned_are_refused(tmp_path):
    data = write_pairs(tmp_path / "data", [(0, 0), (0, 0)])
    palette = tmp_path / "palette.json"
    palette.write_text('{"Building": 255, "Other": 0}')
    with pytest.raises(ConfigError, match="say with --building"):
        realign(data, tmp_path / "classes", palette=palette, train=sees_red, **QUICK)
    for number in range(2):
        write_raster(data / "masks" / f"town{number}.tif", np.zeros((SIDE, SIDE), np.uint8), grid(), overwrite=True)
    with pytest.raises(DataError, match="no mask holds a building"):
        realign(data, tmp_path / "empty", train=sees_red, **QUICK)
    plain = tmp_path / "plain"
    nowhere = Grid(SIDE, SIDE, Affine.identity(), None)
    for kind, pixels in (("images", np.zeros((SIDE, SIDE, 3), np.uint8)), ("masks", truth())):
        write_raster(plain / kind / "a.png", pixels, nowhere)
    with pytest.raises(GridError, match="--pixel-size METRES"):
        realign(plain, tmp_path / "nowhere", train=sees_red, **QUICK)
    assert realign(plain, tmp_path / "said", pixel_size=0.5, rounds=1, train=sees_red, **QUICK).masks[0].name == "a.png"


def test_finer_images_are_searched_coarser_and_masks_keep_their_grid(tmp_path):
    data = write_pairs(tmp_path / "data", [(4, -4), (0, 0)])
    made = realign(data, tmp_path / "out", rounds=1, train=sees_red, **(QUICK | {"gsd": 1.0}))
    found = read(made.masks[0])
    assert found.shape == (SIDE, SIDE)
    assert ((found > 0) & (truth() > 0)).sum() / ((found > 0) | (truth() > 0)).sum() > 0.85


def test_the_command_with_a_tiny_network_twice_gives_the_same_masks(tmp_path, capsys):
    data = write_pairs(tmp_path / "data", [(2, 2), (0, 0)])
    for name in ("one", "two"):
        words = [
            "realign",
            str(data),
            "--out",
            str(tmp_path / name),
            "--steps",
            "2",
            "--rounds",
            "1",
            "--gsd",
            "0.5",
            "--device",
            "cpu",
        ]
        assert main(words) == 0
    said = capsys.readouterr()
    assert "of 18 buildings were moved" in said.out and str(tmp_path / "two" / "realign.html") in said.out
    for number in range(2):
        masks = [tmp_path / name / "masks" / f"town{number}.tif" for name in ("one", "two")]
        assert masks[0].read_bytes() == masks[1].read_bytes()
    assert (tmp_path / "one" / "realigned.csv").read_bytes() == (tmp_path / "two" / "realigned.csv").read_bytes()
    assert orthoforge.realign is realign
