"""Images in the histograms of other tiles, of masks of one's own or of the weights' library."""

from dataclasses import replace

import numpy as np
import pytest

from conftest import make_grid, write_tiff
from made_runs import make_run
from material_runs import SIZE, TOWN, refiner
from orthoforge.cli import main
from orthoforge.errors import ConfigError, DataError
from orthoforge.generation import generate
from orthoforge.geo.rasters import open_raster, read_image, read_mask, read_tags
from orthoforge.masks.classes import Classes
from orthoforge.tiles.prepare import prepare
from orthoforge.trained_generator import load_generator
from orthoforge.trained_generator.given_histograms import looks_of

VILLAGE = TOWN[:96, :80]
BLUE = (40, 60, 160)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A training tile of one blue, and for validation a black one."""
    root = tmp_path_factory.mktemp("tiles")
    grid = make_grid(TOWN.shape, gsd_m=0.5)
    for name, colour in (("heath1", BLUE), ("heath7", (0, 0, 0))):
        write_tiff(root / "data" / "images" / f"{name}.tif", np.full((*TOWN.shape, 3), colour, np.uint8), grid)
        write_tiff(root / "data" / "gt" / f"{name}.tif", TOWN.astype(np.uint8) * 255, grid)
    return prepare(root / "data", root / "tiles", gsd=0.5, size=80, split="digits", workers=1)


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    return load_generator(refiner(tmp_path_factory.mktemp("run")))


def test_images_have_the_colours_of_the_training_tiles(generator, store):
    image = generator.with_histograms(store.path)(VILLAGE, seed=3)
    assert np.abs(image.reshape(-1, 3).astype(int) - BLUE).max() <= 1
    assert generator(VILLAGE, seed=3)[..., 2].mean() < 140  # the generator itself stays as it was


def test_parts_several_images_and_three_bands_are_matched_alike(generator, store):
    matched = generator.with_histograms(store)
    whole = matched(VILLAGE, seed=2)
    part = (slice(16, 48), slice(8, 40))
    assert np.abs(matched(VILLAGE, seed=2, part=part).astype(int) - whole[part]).max() <= 1
    both = matched.together([VILLAGE, VILLAGE], seeds=[2, 5], origins=[(0, 0), (0, 0)])
    assert np.abs(both[0].astype(int) - whole).max() <= 1
    bare = matched.with_refinement(0)
    np.testing.assert_array_equal(bare.together([VILLAGE], seeds=[2], origins=[(0, 0)])[0], bare(VILLAGE, seed=2))
    np.testing.assert_array_equal(matched.showing([2, 1, 0])(VILLAGE, seed=2), whole[..., ::-1])


def test_given_material_keeps_the_histograms(generator, store):
    image = generator.with_histograms(store).with_material(store)(VILLAGE)
    assert np.abs(image.reshape(-1, 3).astype(int) - BLUE).max() <= 1


def test_files_say_whose_histograms_they_have_and_are_made_anew_for_others(generator, store, tmp_path):
    mask = write_tiff(tmp_path / "mask.tif", VILLAGE.astype(np.uint8), make_grid(VILLAGE.shape, gsd_m=0.5))
    (plain,) = generate(generator, mask, tmp_path / "plain.tif")
    (matched,) = generate(generator, mask, tmp_path / "matched.tif", histograms_from=store.path)
    assert "HISTOGRAMS_FROM" not in read_tags(plain)
    assert read_tags(matched)["HISTOGRAMS_FROM"] == store.fingerprint
    assert read_tags(plain)["REQUEST_SHA256"] != read_tags(matched)["REQUEST_SHA256"]


def test_what_does_not_fit_is_refused(generator, store, tmp_path):
    with pytest.raises(DataError, match="its tiles have 3 bands, the images 4"):
        looks_of(store, bands=4)
    with pytest.raises(DataError, match="has no training tile"):
        generator.with_histograms(replace(store, rows=()))
    with pytest.raises(ConfigError, match=r"has no material.* Take weights of orthoforge-material"):
        load_generator(make_run(tmp_path / "run", store)).with_histograms(store)


def test_masks_of_the_library_become_pairs_each_in_the_style_of_its_place(generator, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = generate(generator, "library", tmp_path / "made", keep_mask=True, seed=4)
    assert [path.stem for path in paths] == [f"place{number % 2}_{number}" for number in range(8)]
    tags = [read_tags(path) for path in paths]
    assert [one["STYLE"] for one in tags] == ["place0", "place1"] * 4
    assert len({one["SEED"] for one in tags}) == 8
    masks = [read(tmp_path / "made" / "masks" / path.name, read_mask) for path in paths]
    assert all(mask.shape == (SIZE, SIZE) for mask in masks)
    own = generator.library.masks.astype(np.uint8) * 255
    assert not any((mask == one).all() for mask, one in zip(masks, own, strict=True))  # turned
    assert len({mask.tobytes() for mask in masks}) == 8
    roofs = [read(path, read_image)[mask > 0].mean(axis=0) for path, mask in zip(paths, masks, strict=True)]
    assert all(red > green for red, green, _ in roofs)  # of red roofs


def test_an_empty_mask_of_the_library_is_no_mistake(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = load_generator(refiner(tmp_path / "run"))
    run.__dict__["library"] = replace(run.library, masks=np.zeros_like(run.library.masks))
    assert len(generate(run, "library", tmp_path / "made")) == 8
    assert "empty" not in capsys.readouterr().err


def read(path, how):
    with open_raster(path) as raster:
        return how(raster)


def test_a_file_called_library_comes_first(generator, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tiff(tmp_path / "library" / "one.tif", VILLAGE.astype(np.uint8), make_grid(VILLAGE.shape, gsd_m=0.5))
    assert [path.stem for path in generate(generator, "library", tmp_path / "made")] == ["one"]


def test_masks_of_a_library_of_classes_have_its_classes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = load_generator(refiner(tmp_path / "run", classes=Classes(("road", "building"), (((0, 0, 0),), ((255, 0, 0),)))))
    library = replace(run.library, classes=run.library.masks.astype(np.uint8))
    run.__dict__["library"] = library
    (first, *_) = generate(run, "library", tmp_path / "made", keep_mask=True)
    with open_raster(tmp_path / "made" / "masks" / first.name) as raster:
        assert set(np.unique(raster.read())) == {0, 1}


def test_a_network_without_a_library_has_no_masks(store, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path / "run", store)
    assert main(["generate", str(run), "library", "--out", "made"]) == 2
    assert "has no library whose masks could be taken" in capsys.readouterr().err
