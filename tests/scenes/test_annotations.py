"""COCO's and YOLO's outlines as masks, pixel by pixel, and files that are damaged or meant to harm."""

import json
import tempfile

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from conftest import make_dataset, make_grid, write_tiff
from orthoforge.errors import DataError
from orthoforge.geo.rasters import open_raster
from orthoforge.scenes.checks import check
from orthoforge.scenes.layouts import Where
from orthoforge.scenes.outlines import folder_of_drawn_masks
from orthoforge.scenes.sources import find_pairs

HEIGHT, WIDTH = 12, 16
SQUARE = [2, 3, 8, 3, 8, 7, 2, 7]  # columns 2 to 7, rows 3 to 6
CATEGORIES = [{"id": 7, "name": "house"}, {"id": 3, "name": "pool"}]


def runs(inside):
    """Run lengths of (H, W) bool, column by column, from outside."""
    flat = inside.T.ravel()
    ends = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], ends, [flat.size]])).tolist()
    return [0, *counts] if flat[0] else counts


def coco(annotations, categories=CATEGORIES, images=None):
    images = images or [{"id": 1, "file_name": "a1.png", "width": WIDTH, "height": HEIGHT}]
    return {"images": images, "annotations": annotations, "categories": categories}


def one(segmentation, category=7, **more):
    return {"id": 5, "image_id": 1, "category_id": category, "segmentation": segmentation, **more}


@pytest.fixture
def data(tmp_path):
    """A folder with images/a1.png, and what writes a COCO file beside it."""
    (tmp_path / "data/images").mkdir(parents=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "data/images/a1.png")
    return tmp_path / "data"


def written(data, content, name="annotations.json"):
    path = data / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return data


def drawn(data, tmp_path, **where):
    found = find_pairs(data, Where(**where), drawn=lambda: tmp_path)
    with open_raster(found.pairs[0].mask) as raster:
        return found, raster.read()[..., 0]


def filled(rows, cols, value=1):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[rows, cols] = value
    return mask


def test_a_polygon_covers_the_pixels_whose_centres_it_holds(data, tmp_path):
    found, mask = drawn(written(data, coco([one([SQUARE])])), tmp_path)
    assert np.array_equal(mask, filled(slice(3, 7), slice(2, 8)))
    assert found.classes.names == ("background", "house", "pool")
    assert found.layout[0].name == "outlines of COCO in annotations.json"


def test_several_polygons_are_one_object_and_what_comes_later_lies_above(data, tmp_path):
    other = [10, 0, 14, 0, 14, 4, 10, 4]
    inner = one([[3, 4, 6, 4, 6, 6, 3, 6]], category=3)
    _, mask = drawn(written(data, coco([one([SQUARE, other]), inner])), tmp_path)
    wanted = filled(slice(3, 7), slice(2, 8)) + filled(slice(0, 4), slice(10, 14))
    wanted[4:6, 3:6] = 2
    assert np.array_equal(mask, wanted)


@pytest.mark.parametrize("compressed", [False, True])
def test_run_lengths_with_a_hole_are_decoded_as_pycocotools_does(data, tmp_path, compressed):
    inside = filled(slice(0, 9), slice(0, 11)).astype(bool)
    inside[3:5, 4:7] = False  # a court
    inside[11, 15] = True
    rle = {"size": [HEIGHT, WIDTH], "counts": runs(inside)}
    if compressed:
        packed = coco_mask.encode(np.asfortranarray(inside.astype(np.uint8)))
        assert np.array_equal(coco_mask.decode(packed), inside)
        rle = {"size": packed["size"], "counts": packed["counts"].decode()}
    _, mask = drawn(written(data, coco([one(rle, iscrowd=1)])), tmp_path)
    assert np.array_equal(mask > 0, inside)


def test_compressed_run_lengths_of_any_shape_come_back(data, tmp_path):
    rng = np.random.default_rng(0)
    for share in (0, 0.03, 0.5, 1):
        inside = rng.random((HEIGHT, WIDTH)) < share
        packed = coco_mask.encode(np.asfortranarray(inside.astype(np.uint8)))
        rle = {"size": packed["size"], "counts": packed["counts"].decode()}
        _, mask = drawn(written(data, coco([one(rle)])), tmp_path)
        assert np.array_equal(mask > 0, inside)


@pytest.mark.parametrize(
    ("where", "file_name"),
    [
        ("annotations/instances_train2017.json", "a1.png"),
        ("labels.json", "images/a1.png"),
        ("result.json", "C:\\upload\\images\\a1.png"),
        ("images/_annotations.coco.json", "../../somewhere/a1.png"),
    ],
)
def test_files_lie_where_tools_put_them(data, tmp_path, where, file_name):
    images = [{"id": 1, "file_name": file_name}]
    found, _ = drawn(written(data, coco([one([SQUARE])], images=images), where), tmp_path)
    assert found.pairs[0].image == data / "images/a1.png"


def test_the_file_of_training_is_meant_and_others_are_named(data, tmp_path):
    content = coco([one([SQUARE])])
    written(written(data, content, "annotations/instances_val.json"), content, "annotations/instances_train.json")
    assert drawn(data, tmp_path)[0].layout[0].name.endswith("instances_train.json")
    written(data, content, "annotations/instances_train2.json")
    with pytest.raises(DataError, match="Name one with --masks"):
        find_pairs(data, drawn=lambda: tmp_path)
    found, _ = drawn(data, tmp_path, masks="annotations/instances_val.json")
    assert found.layout[0].name.endswith("instances_val.json")
    elsewhere = find_pairs(None, Where(data / "images", data / "annotations/instances_val.json"), drawn=lambda: tmp_path)
    assert elsewhere.pairs[0].name == "a1"


def test_an_image_without_an_annotation_is_background_and_one_that_is_missing_is_lonely(data, tmp_path):
    images = [{"id": 1, "file_name": "a1.png"}, {"id": "two", "file_name": "a2.png"}]
    found, mask = drawn(written(data, coco([], images=images)), tmp_path)
    assert not mask.any()
    assert found.lonely == (data / "images/a2.png",)


def test_a_category_that_only_groups_others_is_no_class(data, tmp_path):
    groups = [{"id": 0, "name": "buildings"}, {"id": 1, "name": "building", "supercategory": "buildings"}]
    found, _ = drawn(written(data, coco([one([SQUARE], category=1)], categories=groups)), tmp_path)
    assert found.classes.names == ("background", "building")


def test_the_mask_lies_where_the_image_does(data, tmp_path):
    grid = make_grid((HEIGHT, WIDTH))
    write_tiff(data / "images/a1.tif", np.zeros((HEIGHT, WIDTH, 3), np.uint8), grid)
    (data / "images/a1.png").unlink()
    found, _ = drawn(written(data, coco([one([SQUARE])], images=[{"id": 1, "file_name": "a1.tif"}])), tmp_path)
    with open_raster(found.pairs[0].mask) as raster:
        assert raster.grid == grid


RLE = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [', "not a COCO file of outlines, or damaged"),
        ('{"images": ' + "[" * 5000, "not a COCO file of outlines, or damaged"),
        ({"images": [], "annotations": []}, "categories: Field required"),
        ({"images": 3, "annotations": [], "categories": []}, "images: Input should be a valid array"),
        (coco([], images=[{"id": 1, "file_name": "b1.png"}]), r"none of its 1 images is in .*images \(b1\.png for one\)"),
        (coco([], images=[{"id": 1, "file_name": "a\0.png"}]), "is no name of a file"),
        (coco([], images=[{"id": 1, "file_name": "a" * 300}]), "is no name of a file"),
        (coco([one([SQUARE], category=9)]), "annotation 5 has category 9, which the file does not name"),
        (coco([one([SQUARE]) | {"image_id": 8}]), "annotation 5 is of image 8, which it does not list"),
        (coco([one([])]), "annotation 5 is a box without an outline"),
        (coco([one([SQUARE[:4]])]), "at least 6 items"),
        (coco([one([SQUARE[:7]])]), "annotation 5 has 7 coordinates: x and y must come in pairs"),
        (coco([one([[1e300] * 8])]), "less than or equal to 10000000"),
        (json.dumps(coco([one([SQUARE])])).replace("8,", "NaN,"), "annotations.0"),
        (coco([one(RLE | {"size": [WIDTH, HEIGHT]})]), "its run lengths are of 12×16 px, the image has 16×12"),
        (coco([one(RLE | {"counts": [10**12]})]), "do not add up to its 192 pixels"),
        (
            coco([one(RLE | {"counts": [-1, 193]})]),
            r"annotations\.0\.segmentation\.counts\.0: Input should be greater than or equal to 0",
        ),
        (coco([one(RLE | {"counts": "~~~"})]), "are no compressed text"),
        (coco([one(RLE | {"counts": "o" * 50})]), "are no compressed text"),
        (coco([one(RLE | {"counts": "P"})]), "end in the middle of a number"),
        (coco([one(RLE | {"counts": "N"})]), "do not add up"),
        (
            coco([one([SQUARE])], images=[{"id": 1, "file_name": "a1.png", "width": 99, "height": HEIGHT}]),
            "its annotations are for 99×12",
        ),
        (coco([], categories=[{"id": n, "name": str(n)} for n in range(300)]), "names 300 classes; 254 at most"),
        (coco([], categories=[{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]), "two classes are called 'a'"),
        (coco([], categories=[{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]), "two categories have one id"),
    ],
)
def test_a_coco_file_that_cannot_be_used_says_why(data, tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        find_pairs(written(data, content), drawn=lambda: tmp_path)


def test_outlines_want_a_folder_to_be_drawn_in(data):
    with pytest.raises(DataError, match="check, prepare, forge, generate and grow read as masks"):
        find_pairs(written(data, coco([])))


def yolo(data, lines, names="names:\n  0: house\n  1: pool\n", folder="labels"):
    (data / folder).mkdir(parents=True, exist_ok=True)
    (data / folder / "a1.txt").write_text(lines)
    if names:
        (data / "data.yaml").write_text(names)
    return data


def test_yolos_outlines_are_shares_of_the_sides(data, tmp_path):
    lines = "0 0.125 0.25 0.5 0.25 0.5 0.58333333 0.125 0.58333333\n\n1 0.625 0 0.875 0 0.875 0.33333333 0.625 0.33333333\n"
    found, mask = drawn(yolo(data, lines), tmp_path)
    wanted = filled(slice(3, 7), slice(2, 8)) + filled(slice(0, 4), slice(10, 14), 2)
    assert np.array_equal(mask, wanted)
    assert found.classes.names == ("background", "house", "pool")
    assert found.layout[0].name == "outlines of YOLO in data/labels/"


@pytest.mark.parametrize("names", ["names: [house, pool]\n", "names: {0: house, 1: pool}\n"])
def test_yolos_layouts_and_lists_of_names(data, tmp_path, names):
    (data / "images").rename(data / "train_images")
    (data / "train").mkdir()
    (data / "train_images").rename(data / "train/images")
    found, mask = drawn(yolo(data, "1 0 0 1 0 1 1 0 1", names, "train/labels"), tmp_path)
    assert (mask == 2).all()
    assert found.classes.names == ("background", "house", "pool")
    named = find_pairs(None, Where(data / "train/images", data / "train/labels"), drawn=lambda: tmp_path)
    assert named.pairs == found.pairs


def test_without_names_classes_are_numbers_and_an_image_without_a_text_is_background(data, tmp_path):
    Image.new("RGB", (WIDTH, HEIGHT)).save(data / "images/a2.png")
    found, _ = drawn(yolo(data, "2 0 0 1 0 1 1", names=None), tmp_path)
    assert found.classes.names == ("background", "class 0", "class 1", "class 2")
    with open_raster(found.pairs[1].mask) as raster:
        assert not raster.read().any()
    (data / "labels/classes.txt").write_text("house\npool\ntree\n")
    assert drawn(data, tmp_path)[0].classes.names == ("background", "house", "pool", "tree")


@pytest.mark.parametrize(
    ("lines", "names", "message"),
    [
        ("0 0.5 0.5 0.1 0.1", "names: [a]", "line 1 is a box"),
        ("0 0 0 1 0 1 1\nhouse 0 0 1 0 1 1", "names: [a]", "line 2 is 'house"),
        ("0 0 0 1 0 1", "names: [a]", "line 1 has 5 coordinates"),
        ("0 0 0 1 0 1 nan", "names: [a]", "beyond 0 to 1"),
        ("0 0 0 640 0 640 480", "names: [a]", "beyond 0 to 1"),
        ("-1 0 0 1 0 1 1", "names: [a]", "line 1 has 6 coordinates"),
        ("3 0 0 1 0 1 1", "names: [a, b]", r"a line is of class 3, and the names that are given are 2 \(a, b\)"),
        ("0 0 0 1 0 1 1", "names: [a, &b c, *b]", "not valid YAML"),
    ],
)
def test_labels_of_yolo_that_cannot_be_used_say_why(data, tmp_path, lines, names, message):
    with pytest.raises(DataError, match=message):
        find_pairs(yolo(data, lines, names), drawn=lambda: tmp_path)


@pytest.mark.parametrize("kind", ["coco", "yolo"])
def test_a_file_with_bytes_changed_at_random_is_read_or_refused_in_words(data, tmp_path, kind):
    packed = coco_mask.encode(np.asfortranarray(filled(slice(3, 7), slice(2, 8))))
    rle = {"size": packed["size"], "counts": packed["counts"].decode()}
    if kind == "coco":
        path = written(data, coco([one([SQUARE]), one(rle)])) / "annotations.json"
    else:
        path = yolo(data, "0 0.125 0.25 0.5 0.25 0.5 0.58 0.125 0.58\n1 0 0 1 0 1 1\n") / "labels/a1.txt"
    whole, rng = path.read_bytes(), np.random.default_rng(1)
    refused = 0
    where = Where(data / "images", path if kind == "coco" else path.parent)
    assert find_pairs(None, where, drawn=lambda: tmp_path).pairs
    for _ in range(40):
        changed = bytearray(whole)
        for at in rng.integers(0, len(changed), rng.integers(1, 4)):
            changed[at] = rng.integers(0, 256) if rng.random() < 0.5 else ord(rng.choice(list('0123456789-.e{}[]," ')))
        path.write_bytes(changed[: rng.integers(1, len(changed) + 1)] if rng.random() < 0.2 else changed)
        try:
            find_pairs(None, where, drawn=lambda: tmp_path)
        except DataError:
            refused += 1
    assert refused > 5


def test_for_rasters_no_folder_is_made(tmp_path, monkeypatch):
    make_dataset(tmp_path / "data", ["a1", "a2"])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    assert check(tmp_path / "data").faults == 0
    with pytest.raises(FileNotFoundError), folder_of_drawn_masks() as folder:
        folder()
