"""What a run was trained on is recognised, by the store, by bytes, by area on the ground, by scene; and said in words."""

import numpy as np
import pytest
from rasterio.crs import CRS

from conftest import make_grid, make_image, make_mask, write_tiff
from made_runs import make_run
from orthoforge.runs import Run, overlap_statement, tiles_on
from orthoforge.tiles.prepare import prepare

SIZE = 96


def scenes(root, places, *, crs=True, epsg=None):
    """Scenes by name and metres east of the first."""
    for name, east_m in places.items():
        seed = sum(name.encode())  # other ground, other pixels
        grid = make_grid(SIZE) if crs else make_grid(SIZE, crs=None)
        if crs:
            grid = type(grid)(SIZE, SIZE, grid.transform.translation(east_m, 0) @ grid.transform, epsg or grid.crs)
        mask = make_mask(SIZE, seed=seed)
        write_tiff(root / "images" / f"{name}.tif", make_image(mask, seed=seed), grid if crs else None)
        write_tiff(root / "masks" / f"{name}.tif", mask, grid if crs else None)
    return root


def tiles(root, places, *, crs=True, grid=2, epsg=None):
    data = scenes(root / "data", places, crs=crs, epsg=epsg)
    return prepare(data, root / "tiles", grid=grid, size=40, split="digits", workers=1)


FAR = 1000.0


@pytest.fixture
def trained(tmp_path):
    """A run on one scene, and its tiles."""
    store = tiles(tmp_path / "theirs", {"aba1": 0.0, "aba9": FAR})
    return Run.open(make_run(tmp_path / "run", store)), store


def test_of_the_same_store_the_split_decides(trained):
    run, store = trained
    train = run.ground_on(store, store.ids("train").tolist())
    assert (train.same_store, train.tiles, train.example) == (True, 4, "aba1 at row 0, column 0")
    assert run.ground_on(store, store.ids("test").tolist()).tiles == 0
    assert train.training is store


def test_another_store_of_the_same_ground_is_recognised_whatever_its_scenes_are_called(trained, tmp_path):
    run, _ = trained
    other = tiles(tmp_path / "ours", {"uma9": SIZE * 0.3 / 2, "uma19": FAR}, grid=2)
    ids = other.ids("test").tolist()
    found = run.ground_on(other, ids)
    seen = {tile_id for tile_id in ids if run.ground_on(other, [tile_id]).tiles}
    assert not found.same_store
    # The left half of uma9 lies on the right half of aba1, its right half begins where aba1 ends; uma19 lies on aba9, a test scene.
    assert {(other.rows[tile_id].scene, other.rows[tile_id].window.col) for tile_id in seen} == {("uma9", 0)}
    assert found.tiles == len(seen) == 2


def test_the_same_ground_in_another_crs_is_recognised(trained, tmp_path):
    run, _ = trained
    other = tiles(tmp_path / "ours", {"uma9": SIZE * 0.3 / 2, "uma19": FAR}, epsg=CRS.from_epsg(25833))
    ids = other.ids("test").tolist()
    found = tiles_on([row for row in run.ground_on(other, ids).training.rows if row.split == "train"], other, ids)
    assert {(other.rows[tile_id].scene, other.rows[tile_id].window.col) for tile_id in found} == {("uma9", 0)}
    assert run.ground_on(other, ids).tiles == len(found) == 2
    assert tiles_on(other.rows, other, ids, by_name=False) == ids


def test_without_a_crs_scenes_of_one_name_are_the_same_ground(tmp_path):
    run = Run.open(make_run(tmp_path / "run", tiles(tmp_path / "theirs", {"aba1": 0, "aba9": 0}, crs=False)))
    other = tiles(tmp_path / "ours", {"aba1": 0, "uma1": 0}, crs=False, grid=3)
    found = run.ground_on(other, other.ids("train").tolist())
    assert found.tiles == 9
    assert found.example.startswith("aba1")


def test_the_same_bytes_are_the_same_tile(trained, tmp_path):
    run, store = trained
    data = tmp_path / "ours" / "data"
    for folder in ("images", "masks"):
        (data / folder).mkdir(parents=True)
        (data / folder / "zen9.tif").write_bytes((tmp_path / "theirs" / "data" / folder / "aba1.tif").read_bytes())
    other = prepare(data, tmp_path / "ours" / "tiles", grid=2, size=40, split="digits", workers=1)
    assert np.array_equal(other.tile(0)[0], store.tile(0)[0])
    assert run.ground_on(other, other.ids("test").tolist()).tiles == 4


def test_without_the_training_tiles_nothing_is_known(trained, tmp_path):
    run, store = trained
    other = tiles(tmp_path / "ours", {"uma9": 0.0})
    (store.path / "store.json").unlink()
    found = run.ground_on(other, other.ids("test").tolist())
    assert (found.same_store, found.tiles, found.training) == (False, None, None)


@pytest.mark.parametrize(
    ("same", "split", "method", "words", "is_warning"),
    [
        (True, "test", "blocks", "kept out of its training", False),
        (True, "val", "blocks", "chose its best checkpoint", False),
        (True, "train", "blocks", "measure memory", True),
        (True, "test", "random", "neighbours", True),
        (False, "test", "blocks", "unknown", True),
        (None, "test", "blocks", "What made these images is not known", True),
    ],
)
def test_the_report_says_whether_tiles_were_trained_on(same, split, method, words, is_warning):
    text, warned = overlap_statement({"trained_on_these": same, "split": split, "split_method": method})
    assert words in text
    assert warned == is_warning


@pytest.mark.parametrize(
    ("seen", "words", "is_warning"), [(0, "none shows ground", False), (3, "that 3 of these tiles show", True)]
)
def test_other_tiles_whose_ground_is_known_are_spoken_of_so(seen, words, is_warning):
    data = {"trained_on_these": False, "split": "test", "split_method": "blocks"}
    text, warned = overlap_statement(data, seen)
    assert words in text
    assert warned == is_warning
