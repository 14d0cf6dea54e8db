"""Growing data sets of other forms: beside each other, in parts, of classes, of outlines, without coordinates."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from conftest import make_dataset, make_mask
from made_runs import make_run
from orthoforge.errors import DataError
from orthoforge.geo.rasters import open_raster, read_mask
from orthoforge.growing import grow
from orthoforge.scenes.checks import check
from orthoforge.scenes.sources import find_pairs
from orthoforge.tiles.prepare import prepare

NAMES = [f"a{number}" for number in range(6)]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Six scenes of 32 px without coordinates."""
    return make_dataset(tmp_path_factory.mktemp("plain"), NAMES, 32, suffix=".png", crs=None)


def grown(data, tmp_path, said=None, **options):
    """A run of nobody on the tiles of ``data``, and what grows of it."""
    said = said or {}
    store = prepare(data, tmp_path / "tiles", size=32, split="digits", **options, **said)
    run = make_run(tmp_path / "run", store, classes=store.classes)
    return grow(run, data, tmp_path / "more", ratio=0.4, least_agreement=0, **said)


def masks_of(folder):
    found = find_pairs(folder)
    masks = {}
    for pair in found.pairs:
        with open_raster(pair.mask) as raster:
            masks[pair.name] = read_mask(raster), raster.grid
    return masks


def test_pairs_beside_each_other_stay_so(plain, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for name in NAMES:
        shutil.copy(plain / f"images/{name}.png", data / f"{name}_sat.png")
        shutil.copy(plain / f"masks/{name}.png", data / f"{name}_mask.png")
    made = grown(data, tmp_path)
    new = sorted(path.name for path in made.path.glob("a*") if path.suffix == ".tif")
    assert new == sorted(f"{row['name']}_{part}.tif" for row in made.rows for part in ("sat", "mask"))
    assert len(find_pairs(made.path).pairs) == len(NAMES) + made.added
    assert check(made.path).faults == 0


def test_the_pixel_size_of_the_tiles_goes_along(plain, tmp_path):
    data = shutil.copytree(plain, tmp_path / "data")
    made = grown(data, tmp_path, pixel_size=0.5)
    assert (made.path / "pixel_size.csv").read_text() == "name,metres\n*,0.5\n"
    for _, grid in (masks := masks_of(made.path)).values():
        assert grid.crs is None
    new = made.rows[0]["name"]
    assert masks[new][1].gsd_m() == pytest.approx(0.5)  # by its own tag
    again = prepare(made.path, tmp_path / "again", gsd=0.5, size=32, split="digits")
    assert again.gsd_m == 0.5
    assert {row.scene for row in again.rows if row.synthetic} == {row["name"] for row in made.rows}


def test_a_run_of_buildings_grows_masks_of_classes_into_masks_of_buildings(plain, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(plain / "images", data / "images")
    (data / "masks").mkdir()
    (tmp_path / "palette.json").write_text(json.dumps({"Land": 0, "House": 7, "Water": 9}))
    for seed, name in enumerate(NAMES):
        labels = make_mask(32, seed=seed) // 255 * np.uint8(7)
        labels[20:] = 9
        Image.fromarray(labels).save(data / f"masks/{name}.png")
    made = grown(data, tmp_path, palette=tmp_path / "palette.json", building=["House"])
    masks = masks_of(made.path)  # 0 and 255, real ones too
    assert set(masks) == {*NAMES, *(row["name"] for row in made.rows)}
    for seed, name in enumerate(NAMES):
        wanted = make_mask(32, seed=seed)
        wanted[20:] = 0
        assert np.array_equal(masks[name][0], wanted)
    assert made.rows[0]["mask"]["scene"] in NAMES
    assert np.array_equal(masks[made.rows[0]["name"]][0], masks[made.rows[0]["mask"]["scene"]][0])


def test_outlines_grow_into_masks(plain, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(plain / "images", data / "images")
    (data / "labels").mkdir()
    for name in NAMES:
        (data / f"labels/{name}.txt").write_text("0 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75\n")
    made = grown(data, tmp_path)
    masks = masks_of(made.path)
    assert all(mask.sum() == 16 * 16 * 255 for mask, _ in masks.values())
    assert len(masks) == len(NAMES) + made.added
    # Of classes the run knows each, and the files hold their numbers.
    (data / "data.yaml").write_text("names: [house, pool]\n")
    (data / "labels/a0.txt").write_text("1 0 0 1 0 1 1 0 1\n")
    (tmp_path / "classes").mkdir()
    made = grown(data, tmp_path / "classes")
    with open_raster(made.path / "masks" / "a0.tif") as raster:
        assert (raster.read() == 2).all()


def test_parts_become_one_folder_and_folders_may_lie_anywhere(plain, tmp_path):
    for part in ("Rural", "Urban"):
        shutil.copytree(plain / "images", tmp_path / f"data/Train/{part}/images_png")
        shutil.copytree(plain / "masks", tmp_path / f"data/Train/{part}/masks_png")
    made = grown(tmp_path / "data", tmp_path)
    names = {f"{part}_{name}" for part in ("Rural", "Urban") for name in NAMES}
    assert names < {path.stem for path in (made.path / "images").iterdir()}
    tiles = tmp_path / "tiles2"
    store = prepare(tiles, images=plain / "images", masks=plain / "masks", size=32, split="digits")
    run = make_run(tmp_path / "run2", store)
    other = grow(run, plain / "images", tmp_path / "other", ratio=0.4, least_agreement=0, real_masks=plain / "masks")
    assert set(NAMES) < {path.stem for path in (other.path / "masks").iterdir()}


def test_what_leads_out_of_the_named_folders_is_refused(plain, tmp_path):
    store = prepare(plain, tmp_path / "tiles", size=32, split="digits")
    run = make_run(tmp_path / "run", store)
    (tmp_path / "images").mkdir()
    for name in NAMES:
        (tmp_path / f"images/{name}.png").symlink_to(plain / f"images/{name}.png")
    with pytest.raises(DataError, match="would be carried over"):
        grow(run, tmp_path / "images", tmp_path / "more", least_agreement=0, real_masks=plain / "masks")
