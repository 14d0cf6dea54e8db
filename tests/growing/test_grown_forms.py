"""Growing data sets of other forms: beside each other, in parts, of classes, of outlines, without coordinates."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from conftest import make_dataset, make_grid, make_image, make_mask, write_tiff
from made_runs import make_run
from material_runs import TOWN, refiner
from orthoforge import SyntheticPairs
from orthoforge.errors import ConfigError, DataError, OutputExistsError
from orthoforge.geo.rasters import open_raster, read_image, read_mask, read_tags
from orthoforge.growing import grow
from orthoforge.growing.library_words import library_words
from orthoforge.growing.planning import OF_LIBRARY
from orthoforge.scenes.checks import check
from orthoforge.scenes.sources import find_pairs
from orthoforge.tiles.prepare import prepare
from orthoforge.trained_generator import load_generator

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


def test_the_places_of_the_tiles_go_along(plain, tmp_path):
    data = shutil.copytree(plain, tmp_path / "data")
    (data / "places.csv").write_text("a[0-3],hill\na*,shore\n")
    made = grown(data, tmp_path)
    assert {row["place"] for row in made.rows} <= {"hill", "shore"}
    assert (made.path / "places.csv").read_text() == "name,place\na[0-3],hill\na*,shore\n"
    found = {pair.name: pair.place for pair in find_pairs(made.path).pairs}
    assert found["a1"] == "hill" and found["a5"] == "shore"
    assert all(found[row["name"]] == row["place"] for row in made.rows if row["accepted"])


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
    new = SyntheticPairs.grown(made.path)[0]  # by the palette.json that was written
    with open_raster(made.path / "masks" / f"{new.meta['name']}.tif") as raster:
        assert np.array_equal(new.mask.numpy(), raster.read()[..., 0])


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


def test_tiles_of_ones_own_are_the_material_of_what_grows(tmp_path, capsys):
    grid = make_grid(TOWN.shape, gsd_m=0.5)
    for name in NAMES:
        write_tiff(tmp_path / f"data/images/{name}.tif", make_image(TOWN), grid)
        write_tiff(tmp_path / f"data/masks/{name}.tif", TOWN.astype(np.uint8) * 255, grid)
    store = prepare(tmp_path / "data", tmp_path / "tiles", gsd=0.5, size=80, split="digits", workers=1)
    run = refiner(tmp_path / "run")
    options = {"ratio": 0.1, "split": "digits", "least_agreement": 0}
    capsys.readouterr()
    made = grow(run, tmp_path / "data", tmp_path / "more", material_from=store.path, **options)
    assert f"{made.path}: 6 real pairs and 1 synthetic, 1 wanted.\n" in capsys.readouterr().out
    tags = read_tags(made.path / f"images/{made.rows[0]['name']}.tif")
    assert tags["MATERIAL_SHA256"] == load_generator(run).with_material(store).material_sha256
    with pytest.raises(OutputExistsError):
        grow(run, tmp_path / "data", tmp_path / "more", **options)  # of the run's own material
    with pytest.raises(OutputExistsError):
        grow(run, tmp_path / "data", tmp_path / "more", material_from=store.path, sun=45, **options)
    lit = grow(run, tmp_path / "data", tmp_path / "lit", material_from=store.path, sun=45, **options)
    assert read_tags(lit.path / f"images/{lit.rows[0]['name']}.tif")["SUN_AZIMUTH"] == "45"


def test_what_grows_has_the_histograms_of_tiles(tmp_path):
    grid = make_grid(TOWN.shape, gsd_m=0.5)
    for name in NAMES:
        write_tiff(tmp_path / f"data/images/{name}.tif", np.full((*TOWN.shape, 3), (40, 60, 160), np.uint8), grid)
        write_tiff(tmp_path / f"data/masks/{name}.tif", TOWN.astype(np.uint8) * 255, grid)
    store = prepare(tmp_path / "data", tmp_path / "tiles", gsd=0.5, size=80, split="digits", workers=1)
    run, options = refiner(tmp_path / "run"), {"ratio": 0.1, "split": "digits", "least_agreement": 0}
    made = grow(run, tmp_path / "data", tmp_path / "more", histograms_from=store.path, **options)
    path = made.path / f"images/{made.rows[0]['name']}.tif"
    assert read_tags(path)["HISTOGRAMS_FROM"] == store.fingerprint
    with open_raster(path) as raster:
        assert np.abs(read_image(raster).reshape(-1, 3).astype(int) - (40, 60, 160)).max() <= 1
    with pytest.raises(OutputExistsError):
        grow(run, tmp_path / "data", tmp_path / "more", **options)  # in the run's own colours


def blue_tiles(folder, size, *, gsd_m):
    """Tiles of six scenes of one colour in ``folder / "data"``, a tile a scene."""
    grid = make_grid((size, size), gsd_m=gsd_m)
    for name in NAMES:
        write_tiff(folder / f"data/images/{name}.tif", np.full((size, size, 3), (40, 60, 160), np.uint8), grid)
        write_tiff(folder / f"data/masks/{name}.tif", TOWN[:size, :size].astype(np.uint8) * 255, grid)
    return prepare(folder / "data", folder / "tiles", gsd=gsd_m, size=size, split="digits", workers=1)


def test_by_default_weights_of_the_package_grow_pairs_of_their_own_places(tmp_path, capsys):
    """What brought most beside few labelled tiles: their masks and material, in the histograms of these tiles."""
    store = blue_tiles(tmp_path, 112, gsd_m=0.3)
    options = {"tiles": store.path, "ratio": 0.5}
    made = grow("orthoforge-material", tmp_path / "data", tmp_path / "more", **options)
    assert made.added == made.wanted == 3
    assert "3 pairs by masks of the material of " in capsys.readouterr().out
    places = load_generator("orthoforge-material").library.place_names
    assert {row["mask"]["kind"] for row in made.rows} == {"library"}
    assert {row["place"] for row in made.rows} <= set(places)
    assert any("0.12 IoU" in note and "twenty" in note for note in made.notes)
    row = made.rows[0]
    path = made.path / f"images/{row['name']}.tif"
    assert read_tags(path)["HISTOGRAMS_FROM"] == store.fingerprint
    with open_raster(path) as raster:
        assert raster.grid.gsd_m() == pytest.approx(0.3)
        assert np.abs(read_image(raster).reshape(-1, 3).astype(int) - (40, 60, 160)).max() <= 1
    card = (made.path / "README.md").read_text("utf-8")
    assert "no split of the real pairs is behind them" in card and "The real pairs may be split in any way" in card
    assert "histograms are of training tiles by `prepare --split digits`" in card and places[0] in card
    assert not any(words in card for words in ("{", "split that the generator was trained with", "not new places"))
    again = grow("orthoforge-material", tmp_path / "data", tmp_path / "twice", **options)
    assert [one["mask"] for one in again.rows] == [one["mask"] for one in made.rows]
    cut = prepare(made.path, tmp_path / "cut", gsd=0.3, size=112, split="digits", workers=1)
    assert len(cut.ids("train")) == len(store.ids("train")) + 3 * 4  # of 224 px, cut at 112
    of_theirs = grow(
        "orthoforge-material", tmp_path / "data", tmp_path / "own", material_from=store.path, least_agreement=0, **options
    )
    assert {row["mask"]["kind"] for row in of_theirs.rows} == {"real"}


@pytest.mark.parametrize(
    ("material", "real", "of"),
    [
        (("dhaka", "a"), ("austin",), "other places"),
        (("dhaka", "a"), ("Dhaka",), "unknown"),
        (("dhaka", "tiles"), ("dhaka",), "these tiles"),
        (("dhaka", "a", "tiles"), ("dhaka",), "these tiles"),
    ],
)
def test_a_card_says_of_masks_of_the_material_whether_a_split_is_behind_them(material, real, of):
    place, fingerprint, *given = material
    tiles = SimpleNamespace(fingerprint=fingerprint, material=SimpleNamespace(fingerprint=given[0]) if given else None)
    generator = SimpleNamespace(styles=(place,), saved=SimpleNamespace(state=SimpleNamespace(tiles=tiles)))
    words = library_words(generator, {"tiles": "tiles"}, SimpleNamespace(real_pairs=dict.fromkeys(real, 1)))
    assert words.of == of
    assert ("no split" in words.masks) == (of == "other places")


def test_the_gain_that_a_note_names_is_the_one_that_was_measured():
    rows = json.loads((Path(__file__).parents[2] / "bench/results/proof.json").read_text("utf-8"))["rows"]
    arm, setting = "real + synthetic 1:1, other places", "4 places, 6 tiles and weights of other places"
    measured = next(row["difference"] for row in rows if row["arm"] == arm and row["setting"] == setting)
    assert f"brought {measured:.2f} IoU" in OF_LIBRARY


def test_weights_without_a_library_have_no_masks_to_grow(plain, tmp_path):
    store = prepare(plain, tmp_path / "tiles", size=32, split="digits")
    run = make_run(tmp_path / "run", store)
    with pytest.raises(ConfigError, match="no library whose masks could be taken"):
        grow(run, plain, tmp_path / "more", masks="library")


def test_pairs_of_the_library_make_tiles_of_coarser_ground_too(tmp_path):
    store = blue_tiles(tmp_path, 144, gsd_m=0.5)
    made = grow("orthoforge-material", tmp_path / "data", tmp_path / "more", tiles=store.path, ratio=0.2)
    cut = prepare(made.path, tmp_path / "cut", gsd=0.5, size=144, split="digits", workers=1)
    assert len(cut.ids("train")) > len(store.ids("train")), "a pair of 224 px of 0.3 m is smaller than a tile of 144 px of 0.5 m"


def test_tiles_of_other_scenes_are_named_as_the_tiles_and_not_as_those_of_a_run(plain, tmp_path):
    store = blue_tiles(tmp_path, 64, gsd_m=0.3)
    elsewhere = make_dataset(tmp_path / "elsewhere", ["b1", "b2"], 32, crs=None)
    for data, words in (
        (elsewhere, rf"none of its scenes is among those of the tiles {store.path}, .* that those tiles were cut from"),
        (plain, rf"is not the mask that the tiles {store.path} were cut from, .* Grow the data set that those tiles were cut from"),
    ):
        with pytest.raises(DataError, match=words) as told:
            grow("orthoforge-material", data, tmp_path / "more", tiles=store.path)
        assert "the run" not in str(told.value)


def test_a_folder_called_library_comes_first(plain, tmp_path, monkeypatch):
    store = prepare(plain, tmp_path / "tiles", size=32, split="digits")
    run = make_run(tmp_path / "run", store)
    write_tiff(tmp_path / "library/own1.tif", np.eye(32, dtype=np.uint8) * 255, None)
    monkeypatch.chdir(tmp_path)
    made = grow(run, plain, tmp_path / "more", masks="library", ratio=0.2, least_agreement=0)
    assert {row["mask"]["kind"] for row in made.rows} == {"given"}
