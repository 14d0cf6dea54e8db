"""The examples of docs/pytorch.md run, on a town of a few tiles."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from conftest import make_grid, make_image, make_mask, write_tiff
from made_runs import make_run
from orthoforge.geo.grid import Window
from orthoforge.growing import grow
from orthoforge.tiles.prepare import prepare

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    root = tmp_path_factory.mktemp("town")
    for number in range(10):
        grid, mask = make_grid(2000).window(Window(0, 100 * number, 64, 64)), make_mask(64, seed=number)
        write_tiff(root / f"data/images/town{number}.tif", make_image(mask, seed=number), grid)
        write_tiff(root / f"data/masks/town{number}.tif", mask, grid)
    store = prepare(root / "data", root / "tiles", grid=2, size=32, split="digits")
    return root / "data", store, make_run(root / "run", store)


def test_a_segmenter_learns_from_both(town):
    _, store, run = town
    words = [str(store.path), str(run), "--epochs", "2", "--workers", "0", "--crop-px", "32", "--width", "4"]
    assert 0 <= example("segmenter").main(words) <= 1


def test_windows_by_ground_show_the_pixels_that_lie_there(town, tmp_path, capsys):
    data, _, run = town
    grown = grow(run, data, tmp_path / "more", ratio=0.5, least_agreement=0)
    module = example("torchgeo_samplers")
    assert module.main([str(grown.path), "--size", "16", "--length", "6"]) == [(4, 3, 16, 16), (2, 3, 16, 16)]
    assert "stands in" in capsys.readouterr().out
    dataset = module.GrownGround(grown.path)
    assert len(dataset) == grown.added == len(dataset.index) and dataset.index.index.name == "datetime"
    row = grown.rows[1]
    source = np.flatnonzero([f"town{n}" == row["mask"]["scene"] for n in range(10)])[0]
    left, top = make_grid(2000).transform @ (100 * int(source) + 8, 20)
    side = 16 * dataset.res[0]
    sample = dataset[slice(left, left + side), slice(top - side, top)]
    np.testing.assert_array_equal(sample["mask"].numpy(), make_mask(64, seed=int(source))[20:36, 8:24] // 255)
    assert sample["image"].shape == (3, 16, 16) and sample["image"].max() > 1
