"""Every pixel of an object is in its labels, whatever their format, and no other one: also beside holes, borders and neighbours."""

import json

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from pycocotools.coco import COCO

from conftest import make_grid, write_tiff
from orthoforge.errors import ConfigError, OutputExistsError
from orthoforge.geo.buildings import Buildings
from orthoforge.geo.grid import Grid, Window
from orthoforge.geo.rasters import open_raster
from orthoforge.labels import Categories, LabelFolder, instances, instances_of
from orthoforge.labels.coco import annotations_of
from orthoforge.labels.instances import numbers_in
from orthoforge.labels.yolo import label_lines
from orthoforge.masks.classes import Classes
from orthoforge.masks.opening import Extent, FootprintsMask
from yolo_layout import check, filled

BUILDINGS = Categories.of(None)


class MaskOf:
    """A mask in memory."""

    def __init__(self, pixels):
        self.pixels, self.grid, self.identity = pixels, Grid(*pixels.shape), "array"

    def read(self, window):
        return self.pixels[window.slices], None

    def valid(self, window):
        return None

    def require_sound(self):
        pass


def decoded(annotations, height, width):
    """The pixels of each annotation as pycocotools has them."""
    coco = COCO()
    images = [{"id": 1, "height": height, "width": width, "file_name": "a.tif"}]
    rows = [{"id": number, "image_id": 1, **row} for number, row in enumerate(annotations, 1)]
    coco.dataset = {"info": {}, "images": images, "annotations": rows, "categories": [{"id": 1, "name": "building"}]}
    coco.createIndex()
    return {row["instance"]: coco.annToMask(row).astype(bool) for row in rows}


@given(
    arrays.arrays(
        np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14), elements=st.sampled_from([0, 255])
    )
)
def test_each_format_has_the_pixels_of_each_building(pixels):
    height, width = pixels.shape
    found = instances_of(MaskOf(pixels), BUILDINGS)
    numbers = Buildings.of(pixels).ids(Window(0, 0, height, width))  # what a generator is told of the same mask
    np.testing.assert_array_equal(numbers_in(found, Window(0, 0, height, width)), numbers)
    of_coco = decoded(annotations_of(found, height, width), height, width)
    of_yolo = [np.array(line.split()[1:], float).reshape(-1, 2) for line in label_lines(found, height, width).splitlines()]
    assert len(of_yolo) == len(of_coco) == numbers.max()
    for number in range(1, numbers.max() + 1):
        np.testing.assert_array_equal(of_coco[number], numbers == number)
        np.testing.assert_array_equal(filled(of_yolo[number - 1], height, width), numbers == number)


@given(arrays.arrays(np.uint8, (13, 9), elements=st.sampled_from([0, 255])))
def test_strips_change_nothing(pixels):
    whole = instances_of(MaskOf(pixels), BUILDINGS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instances, "strips_of", lambda grid: [Window(row, 0, min(4, 13 - row), 9) for row in range(0, 13, 4)])
        assert instances_of(MaskOf(pixels), BUILDINGS) == whole


def test_area_and_box_are_those_of_the_pixels():
    pixels = np.zeros((8, 10), np.uint8)
    pixels[2:7, 3:9] = 255
    pixels[4, 5] = 0
    (row,) = annotations_of(instances_of(MaskOf(pixels), BUILDINGS), 8, 10)
    assert (row["area"], row["bbox"], row["category_id"], row["iscrowd"]) == (29, [3, 2, 6, 5], 1, 0)
    assert row["segmentation"]["size"] == [8, 10]  # one with a hole is run-length encoded


@pytest.fixture
def terrace(tmp_path):
    """Three houses wall to wall, one in two parts with a courtyard and over the image's edge, and a shed without a pixel."""
    left, top = 500_000, 5_000_000
    box = lambda col, row, wide, high: shapely.box(left + col, top - row - high, left + col + wide, top - row)  # noqa: E731
    yard = shapely.MultiPolygon([box(0, 8, 6, 6) - box(2, 10, 2, 2), box(14, 8, 9, 4)])
    houses = [box(2, 2, 4, 4), box(6, 2, 4, 4), box(10, 2, 4, 4), box(0.1, 0.1, 0.2, 0.2), yard]
    path = tmp_path / "town.geojson"
    features = [{"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(house)} for house in houses]
    crs = {"type": "name", "properties": {"name": "EPSG:32633"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
    return path


def test_numbers_are_those_of_the_footprints(terrace, tmp_path):
    like = write_tiff(tmp_path / "like.tif", np.zeros((16, 20), np.uint8), make_grid((16, 20), gsd_m=1.0))
    mask = FootprintsMask(terrace, Extent(like=like), None)
    found = instances_of(mask, BUILDINGS)
    whole = Window(0, 0, 16, 20)
    numbers = numbers_in(found, whole)
    np.testing.assert_array_equal(numbers, mask.numbers(whole))
    np.testing.assert_array_equal(numbers > 0, mask.read(whole)[0] > 0)
    assert [one.number for one in found] == [1, 2, 3, 5]  # the fourth in the file has no pixel
    assert [int(numbers[3, col]) for col in (2, 5, 6, 9, 10, 13)] == [1, 1, 2, 2, 3, 3]  # wall to wall
    assert (numbers == 5).sum() == 6 * 6 - 4 + 6 * 4  # both parts, without the courtyard, as far as the image goes
    of_coco = decoded(annotations_of(found, 16, 20), 16, 20)
    for number, inside in of_coco.items():
        np.testing.assert_array_equal(inside, numbers == number)


def test_classes_are_categories_but_not_the_background():
    classes = Classes(("Background", "Building", "Road"), (((0, 0, 0),), ((255, 0, 0),), ((0, 255, 0),)))
    pixels = np.zeros((6, 8), np.uint8)
    pixels[1:3, 1:4], pixels[1:3, 4:6], pixels[4, :] = 1, 2, 2
    categories = Categories.of(classes)
    found = instances_of(MaskOf(pixels), categories)
    assert categories.names == ("Building", "Road")
    assert [(one.number, one.category) for one in found] == [(1, 0), (2, 1), (3, 1)]
    assert label_lines(found, 6, 8).splitlines()[0].startswith("0 ")


def labelled(root, names=("town1", "town2", "town10"), formats=("coco", "yolo", "instances"), suffix=".tif"):
    folder = LabelFolder(root, formats, BUILDINGS)
    folder.require_own()
    for seed, name in enumerate(names):
        image = root / "images" / f"{name}{suffix}"
        image.parent.mkdir(parents=True, exist_ok=True)
        image.touch()
        pixels = np.zeros((12, 16), np.uint8)
        pixels[2:6, 1 + seed : 5], pixels[7:, 7:12], pixels[9, 9] = 255, 255, 0
        if not folder.has(image):
            folder.add(image, make_grid((12, 16)), instances_of(MaskOf(pixels), BUILDINGS))
    folder.finish()
    return folder


def test_a_folder_reads_as_its_formats_are_documented(tmp_path):
    labelled(tmp_path)
    coco = COCO(tmp_path / "annotations/instances_train.json")
    assert [coco.imgs[number]["file_name"] for number in coco.getImgIds()] == ["town1.tif", "town2.tif", "town10.tif"]
    assert len(coco.getAnnIds()) == 6 and coco.loadCats(1)[0]["name"] == "building"
    of_yolo = check(tmp_path / "data.yaml")
    assert set(of_yolo) == {"town1", "town2", "town10"}
    for number, image in coco.imgs.items():
        with open_raster(tmp_path / "instances" / image["file_name"]) as raster:
            numbers = raster.read()[..., 0]
            assert raster.grid == make_grid((12, 16)) and numbers.dtype == np.uint16
        rows = coco.loadAnns(coco.getAnnIds(number))
        assert sorted(row["instance"] for row in rows) == [1, 2] == np.unique(numbers)[1:].tolist()
        for row, (category, corners) in zip(rows, of_yolo[image["file_name"][:-4]], strict=True):
            assert category == row["category_id"] - 1
            np.testing.assert_array_equal(coco.annToMask(row), numbers == row["instance"])
            np.testing.assert_array_equal(filled(corners, 12, 16), numbers == row["instance"])


def test_images_of_several_calls_come_out_as_those_of_one(tmp_path):
    names = ("town1", "town2", "town10")
    one, several = tmp_path / "one", tmp_path / "several"
    labelled(one, names)
    labelled(several, names[:2])
    labelled(several, names)  # what is there is not made again
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert [path.relative_to(several) for path in sorted(several.rglob("*")) if path.is_file()] == files
    assert [(several / file).read_bytes() for file in files] == [(one / file).read_bytes() for file in files]


def test_png_images_have_png_numbers(tmp_path):
    labelled(tmp_path, ["a"], ["instances"], suffix=".png")
    numbers = np.asarray(Image.open(tmp_path / "instances/a.png"))
    assert numbers.max() == 2 and numbers.shape == (12, 16)


def test_files_of_others_are_refused_before_anything_is_made(tmp_path):
    (tmp_path / "annotations").mkdir()
    theirs = tmp_path / "annotations/instances_train.json"
    theirs.write_text('{"info": {"description": "by hand"}, "images": [], "annotations": [], "categories": []}')
    with pytest.raises(OutputExistsError, match="not written by orthoforge"):
        labelled(tmp_path, formats=["coco"])
    (tmp_path / "data.yaml").write_text("train: images\n")
    with pytest.raises(OutputExistsError, match="not written by orthoforge"):
        labelled(tmp_path, formats=["yolo"])
    assert theirs.exists() and not (tmp_path / "labels").exists()


def test_other_categories_are_refused(tmp_path):
    labelled(tmp_path)
    for form in ("coco", "yolo"):
        with pytest.raises(OutputExistsError, match="other categories"):
            LabelFolder(tmp_path, [form], Categories(("roof",), (255,))).require_own()


def test_an_unknown_format_is_named(tmp_path):
    with pytest.raises(ConfigError, match="'voc'"):
        LabelFolder(tmp_path, ["voc"], BUILDINGS)


def test_an_image_without_objects_has_empty_labels(tmp_path):
    folder = LabelFolder(tmp_path, ["coco", "yolo", "instances"], BUILDINGS)
    image = tmp_path / "images/empty.tif"
    image.parent.mkdir()
    image.touch()
    folder.add(image, make_grid(8), instances_of(MaskOf(np.zeros((8, 8), np.uint8)), BUILDINGS))
    folder.finish()
    assert (tmp_path / "labels/empty.txt").read_text() == ""
    assert COCO(tmp_path / "annotations/instances_train.json").getAnnIds() == []
    assert check(tmp_path / "data.yaml") == {"empty": []}
