"""Masks and labels beside generated images: they fit to the pixel, and a command that goes on leaves what one would have left."""

import json

import numpy as np
import pytest
import shapely
from PIL import Image
from pycocotools.coco import COCO

from conftest import make_grid, make_mask, write_tiff
from orthoforge.cli import main
from orthoforge.config import Recipe
from orthoforge.datasets import SyntheticPairs
from orthoforge.errors import ConfigError, DataError, OutputExistsError
from orthoforge.generation import batch, generate
from orthoforge.geo.rasters import open_raster, read_mask, read_tags
from orthoforge.masks.classes import Classes
from orthoforge.masks.reader import open_raster_mask
from orthoforge.scenes.sources import find_pairs
from saved_runs import save_run
from yolo_layout import check

FORMATS = ["coco", "yolo", "instances"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("run")).parents[1]


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    recipe = Recipe(name="noisy", generator="unet256", generator_width=4, norm="instance")
    return save_run(tmp_path_factory.mktemp("noisy"), recipe).parents[1]


@pytest.fixture
def masks(tmp_path):
    for seed, name in enumerate(("a1", "a2", "a10")):
        write_tiff(tmp_path / "in" / f"{name}.tif", make_mask((40, 48), seed=seed), make_grid((40, 48)))
    return tmp_path / "in"


@pytest.fixture
def terrace(tmp_path):
    """Two houses wall to wall, as footprints of 3 m by 4 m."""
    houses = [shapely.box(500_001 + 3 * n, 4_999_990, 500_004 + 3 * n, 4_999_994) for n in range(2)]
    features = [{"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(house)} for house in houses]
    crs = {"type": "name", "properties": {"name": "EPSG:32633"}}
    path = tmp_path / "terrace.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
    return path


def content(folder, *, without=()):
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix not in without]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_kept_masks_say_the_pixel_size_that_their_images_say(run, tmp_path, suffix):
    mask = write_tiff(tmp_path / "in" / "town.tif", make_mask(32))
    (path,) = generate(run, [mask], tmp_path / "out", pixel_size=0.3, format=suffix, keep_mask=True, labels=["instances"])
    beside = [path, *(file for file in (tmp_path / "out").rglob(f"town.{suffix}") if file != path)]
    assert len(beside) > 1
    assert {read_tags(file)["PIXEL_SIZE_M"] for file in beside} == {"0.3"}
    (path,) = generate(run, [mask], tmp_path / "unknown", format=suffix, keep_mask=True)
    assert "PIXEL_SIZE_M" not in read_tags(tmp_path / "unknown/masks" / path.name)


@pytest.mark.parametrize(("options", "told"), [(["--keep-mask"], True), ([], False)])
def test_the_command_ends_with_how_pairs_are_read(run, tmp_path, masks, capsys, options, told):
    out = tmp_path / "out"
    assert main(["generate", str(run), str(masks), "--out", str(out), *options]) == 0
    printed = capsys.readouterr()
    line = f"3 pairs in {out}: orthoforge.SyntheticPairs.generated({str(out)!r}) reads them\n"
    assert printed.err.endswith(line) is told
    assert len(printed.out.splitlines()) == 3, "paths alone go to the standard output"
    assert not told or len(SyntheticPairs.generated(out)) == 3


def test_masks_beside_images_make_a_data_set(run, tmp_path, masks):
    paths = generate(run, [masks], tmp_path / "out", keep_mask=True)
    assert paths == [tmp_path / "out/images" / f"{name}.tif" for name in ("a1", "a10", "a2")]
    pairs = find_pairs(tmp_path / "out")
    assert [pair.name for pair in pairs.pairs] == ["a1", "a2", "a10"] and not pairs.lonely
    for pair in pairs.pairs:
        with open_raster(pair.mask) as kept, open_raster(masks / f"{pair.name}.tif") as given, open_raster(pair.image) as image:
            np.testing.assert_array_equal(read_mask(kept), read_mask(given))
            assert kept.grid == given.grid == image.grid
            assert kept.tags()["IMAGE"] == pair.image.name and "SYNTHETIC" not in kept.tags()


def test_footprints_are_kept_as_pixels_on_the_images_grid(run, tmp_path, terrace):
    (path,) = generate(run, [terrace], tmp_path / "out.tif", keep_mask=True)
    with open_raster(path) as image, open_raster(tmp_path / "out_mask.tif") as mask:
        assert mask.grid == image.grid
        assert read_mask(mask).any()


def test_a_folder_of_png_masks_becomes_png_images_and_masks(run, tmp_path):
    for seed in range(2):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(make_mask(40, seed=seed)).save(tmp_path / "in" / f"m{seed}.png")
    paths = generate(run, [tmp_path / "in"], tmp_path / "out", format="png", keep_mask=True, labels=FORMATS)
    assert paths == [tmp_path / "out/images/m0.png", tmp_path / "out/images/m1.png"]
    for seed, path in enumerate(paths):
        assert np.asarray(Image.open(path)).shape == (40, 40, 3)
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out/masks" / path.name)), make_mask(40, seed=seed))
        assert (tmp_path / "out/instances" / path.name).exists()
    assert set(check(tmp_path / "out/data.yaml")) == {"m0", "m1"}


def test_a_name_that_asks_for_another_format_is_refused(run, tmp_path, masks):
    with pytest.raises(ConfigError, match="--format png"):
        generate(run, [masks / "a1.tif"], tmp_path / "out.tif", format="png")


def test_labels_have_the_masks_buildings_of_each_variant(noisy, tmp_path, masks):
    generate(noisy, [masks], tmp_path / "out", variants=2, labels=FORMATS, keep_mask=True)
    coco = COCO(tmp_path / "out/annotations/instances_train.json")
    names = [image["file_name"] for image in coco.imgs.values()]
    assert names == [f"{name}_v{n}.tif" for name in ("a1", "a2", "a10") for n in (1, 2)]
    assert set(check(tmp_path / "out/data.yaml")) == {name[:-4] for name in names}
    for number, image in coco.imgs.items():
        with open_raster(tmp_path / "out/instances" / image["file_name"]) as raster:
            numbers = raster.read()[..., 0]
        with open_raster(tmp_path / "out/masks" / image["file_name"]) as raster:
            mask = read_mask(raster)
        np.testing.assert_array_equal(numbers > 0, mask > 0)
        for row in coco.loadAnns(coco.getAnnIds(number)):
            np.testing.assert_array_equal(coco.annToMask(row), numbers == row["instance"])


def test_houses_wall_to_wall_stay_apart(run, tmp_path, terrace):
    generate(run, [terrace], tmp_path / "out", labels=FORMATS)
    coco = COCO(tmp_path / "out/annotations/instances_train.json")
    assert [row["instance"] for row in coco.anns.values()] == [1, 2]
    assert len(check(tmp_path / "out/data.yaml")["terrace"]) == 2
    with open_raster(tmp_path / "out/instances/terrace.tif") as raster:
        assert np.unique(raster.read()).tolist()[-2:] == [1, 2]


def test_footprints_brought_to_another_grid_have_no_numbers(run, tmp_path, terrace):
    with pytest.raises(ConfigError, match="touch"):
        generate(run, [terrace], tmp_path / "out", labels=FORMATS, gsd=0.5, resample=True, deliver="run")


def test_classes_are_categories_and_keep_their_colours(tmp_path):
    run = save_run(tmp_path / "run", classes=["Background", "Building", "Road"]).parents[1]
    colours = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0]], np.uint8)
    indices = np.zeros((32, 32), np.uint8)
    indices[4:10, 4:10], indices[20:24] = 1, 2
    mask = write_tiff(tmp_path / "town.tif", colours[indices], make_grid(32))
    generate(run, [mask], tmp_path / "out", keep_mask=True, labels=FORMATS)
    classes = Classes(("Background", "Building", "Road"), tuple(((i, 0, 0),) for i in range(3)))
    with open_raster_mask(tmp_path / "out/masks/town.tif", classes=classes) as kept:
        np.testing.assert_array_equal(kept.labels(), indices)
        assert kept.raster.band_count == 1
    coco = COCO(tmp_path / "out/annotations/instances_train.json")
    assert [(row["category_id"], row["area"]) for row in coco.anns.values()] == [(1, 36), (2, 128)]
    assert [category["name"] for category in coco.cats.values()] == ["Building", "Road"]


def test_a_command_that_was_stopped_goes_on_to_the_same_files(run, tmp_path, masks, monkeypatch):
    generate(run, [masks], tmp_path / "whole", keep_mask=True, labels=FORMATS)
    make, made = batch._generate_mask, []

    def stopped(source, *rest):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(source)
        make(source, *rest)

    monkeypatch.setattr(batch, "_generate_mask", stopped)
    with pytest.raises(KeyboardInterrupt):
        generate(run, [masks], tmp_path / "out", keep_mask=True, labels=FORMATS)
    assert not (tmp_path / "out/data.yaml").exists() and not (tmp_path / "out/annotations").exists()
    monkeypatch.undo()
    (tmp_path / "out/labels/a10.txt").unlink()  # as if it was killed between image and labels
    generate(run, [masks], tmp_path / "out", keep_mask=True, labels=FORMATS)
    assert content(tmp_path / "out", without=[".json"]) == content(tmp_path / "whole", without=[".json"])
    rows = "annotations/instances_train.json"
    assert (tmp_path / "out" / rows).read_bytes() == (tmp_path / "whole" / rows).read_bytes()
    before = content(tmp_path / "out")
    generate(run, [masks], tmp_path / "out", keep_mask=True, labels=FORMATS)
    assert content(tmp_path / "out") == before


def test_a_later_command_adds_its_images(run, tmp_path, masks):
    generate(run, [masks], tmp_path / "whole", labels=FORMATS)
    for name in ("a10", "a1", "a2"):
        generate(run, [masks / f"{name}.tif"], tmp_path / "out", labels=FORMATS)
    rows = "annotations/instances_train.json"
    assert (tmp_path / "out" / rows).read_bytes() == (tmp_path / "whole" / rows).read_bytes()
    assert (tmp_path / "out/train.txt").read_bytes() == (tmp_path / "whole/train.txt").read_bytes()


def test_a_bad_mask_leaves_the_labels_of_the_others(run, tmp_path, masks):
    write_tiff(masks / "bad.tif", np.full((40, 48), 7, np.uint8), make_grid((40, 48)))
    with pytest.raises(DataError, match="1 of 4"):
        generate(run, [masks], tmp_path / "out", labels=FORMATS)
    assert set(check(tmp_path / "out/data.yaml")) == {"a1", "a2", "a10"}


def test_without_an_image_there_are_no_lists(run, tmp_path):
    bad = [write_tiff(tmp_path / f"bad{n}.tif", np.full((8, 8), 7, np.uint8), make_grid(8)) for n in range(2)]
    with pytest.raises(DataError, match="2 of 2"):
        generate(run, bad, tmp_path / "out", labels=FORMATS)
    assert not (tmp_path / "out/data.yaml").exists() and not (tmp_path / "out/annotations").exists()


def test_masks_that_lie_there_already_are_left_as_they_are(run, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(make_mask(32)).save(tmp_path / "masks" / f"{name}.png")
    before = content(tmp_path / "masks")
    generate(run, [tmp_path / "masks"], tmp_path, keep_mask=True)
    assert content(tmp_path / "masks") == before
    assert [pair.name for pair in find_pairs(tmp_path).pairs] == ["a", "b"]


def test_masks_of_others_are_not_replaced(run, tmp_path, masks):
    write_tiff(tmp_path / "out/masks/a1.tif", make_mask(8), make_grid(8))
    before = content(tmp_path / "out")
    with pytest.raises(OutputExistsError, match=r"a1\.tif"):
        generate(run, [masks], tmp_path / "out", keep_mask=True)
    assert content(tmp_path / "out") == before


def test_labels_of_one_file_are_refused(run, tmp_path, masks):
    with pytest.raises(ConfigError, match="folder"):
        generate(run, [masks / "a1.tif"], tmp_path / "out.tif", labels=["coco"])


def test_a_mask_names_the_model_of_its_image(run, tmp_path, masks):
    (path,) = generate(run, [masks / "a1.tif"], tmp_path / "out.tif", keep_mask=True)
    assert read_tags(tmp_path / "out_mask.tif")["MODEL_SHA256"] == read_tags(path)["MODEL_SHA256"]
