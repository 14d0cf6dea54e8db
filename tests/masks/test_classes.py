import json
import os

import numpy as np
import pytest
from PIL import Image

from orthoforge.errors import DataError
from orthoforge.geo.rasters import open_raster, read_mask_rgb
from orthoforge.masks.classes import Classes, building_value, class_count
from orthoforge.masks.palette import load_classes

COLOURS = {"Road": [110, 193, 228], "Building": [60, 16, 152], "Unlabeled": [155, 155, 155]}


def write_palette(folder, entries):
    path = folder / "palette.json"
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    return path


def test_classes_follow_the_files_order_and_building_is_found_by_name(tmp_path):
    classes = load_classes(write_palette(tmp_path, COLOURS))
    assert classes.names == ("Road", "Building", "Unlabeled")
    assert classes.building == 1
    rgb = np.array([[COLOURS["Unlabeled"], COLOURS["Building"]], [COLOURS["Road"], COLOURS["Road"]]], np.uint8)
    assert classes.indices(rgb).tolist() == [[2, 1], [0, 0]]
    assert classes.indices(rgb).dtype == np.uint8


@pytest.mark.parametrize(
    ("names", "index"),
    [(("Road", "SMALL BUILDINGS"), 1), (("Non-building", "building"), 1), (("Road", "Water"), None)],
)
def test_the_building_class(names, index):
    assert Classes(names, ()).building == index


def test_a_treat_as_entry_is_one_more_colour_of_its_class(tmp_path):
    classes = load_classes(write_palette(tmp_path, COLOURS | {"(also seen, treat as Unlabeled)": [0, 0, 0]}))
    assert classes.names == ("Road", "Building", "Unlabeled")
    assert classes.indices(np.zeros((1, 2, 3), np.uint8)).tolist() == [[2, 2]]


def test_unknown_colours_are_named_with_their_share(tmp_path):
    classes = load_classes(write_palette(tmp_path, COLOURS))
    rgb = np.full((10, 10, 3), COLOURS["Road"], np.uint8)
    rgb[0, :3] = (1, 2, 3)
    rgb[1, 0] = (9, 9, 9)
    with pytest.raises(DataError, match=r"\[1, 2, 3\] in 3\.0 %, \[9, 9, 9\] in 1\.0 % of pixels"):
        classes.indices(rgb)


def test_many_unknown_colours_are_summed_up(tmp_path):
    classes = load_classes(write_palette(tmp_path, COLOURS))
    photo = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    with pytest.raises(DataError, match=r"and 39\d more colours, 100\.0 % in all"):
        classes.indices(photo)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ("<html>", "not a readable palette"),
        ("[" * 100_000, "not a readable palette"),
        ("[]", "not a palette"),
        ("[1, 2]", "not a palette"),
        ({"Road": [1, 2]}, r"'Road' is \[1, 2\]; red, green and blue from 0 to 255"),
        ({"Road": [1, 2, 256]}, "from 0 to 255"),
        ({"Road": "#ff0000"}, "'#ff0000'"),
        ({"Road": [1, 2, 3], "Path": [1, 2, 3]}, r"\[1, 2, 3\] stands for both 'Road' and 'Path'"),
        ({"Road": [1, 2, 3], "(treat as Path)": [3, 2, 1]}, "refers to 'Path', which is not in it. It has Road"),
        ({"Road": 7, "Path": {"value": 7}}, "7 stands for both 'Road' and 'Path'"),
        ({"Road": 256}, "'Road' is 256; red, green and blue"),
        ({"Road": {"value": 1, "color": [1, 2, 3]}}, '"value": 1} or one of both is expected'),
        ('{"Road": [1, 2, 3], "Road": [3, 2, 1]}', "'Road' is there twice"),
    ],
)
def test_a_palette_that_cannot_be_used_says_why(tmp_path, entries, message):
    with pytest.raises(DataError, match=message):
        load_classes(write_palette(tmp_path, entries))
    with pytest.raises(DataError, match="no such file"):
        load_classes(tmp_path / "other.json")


def test_classes_come_back_from_plain_values_as_they_were(tmp_path):
    classes = load_classes(write_palette(tmp_path, COLOURS | {"(also seen, treat as Road)": [0, 0, 0]}))
    plain = json.loads(json.dumps(classes.plain()))
    assert plain["colours"] == [[COLOURS["Road"], [0, 0, 0]], [COLOURS["Building"]], [COLOURS["Unlabeled"]]]
    assert Classes.of_plain(plain) == classes
    assert classes.rgb(classes.indices(np.zeros((1, 1, 3), np.uint8))).tolist() == [[COLOURS["Road"]]]  # its first colour
    assert (class_count(classes), building_value(classes)) == (3, 1)
    assert (Classes.of_plain(None), class_count(None), building_value(None)) == (None, None, 255)


def test_a_palette_from_a_pipe_is_refused_for_it_may_never_end(tmp_path):
    os.mkfifo(tmp_path / "palette.json")
    with pytest.raises(DataError, match=r"palette\.json: not a readable palette .*it is a device or a pipe; copy it into a file"):
        load_classes(tmp_path / "palette.json")


def test_a_palette_png_reads_as_the_same_colours_as_rgb(tmp_path):
    rgb = np.array([[COLOURS["Road"], COLOURS["Building"], COLOURS["Unlabeled"]]] * 5, np.uint8)
    Image.fromarray(rgb).save(tmp_path / "rgb.png")
    Image.fromarray(rgb).convert("P", palette=Image.Palette.ADAPTIVE, colors=8).save(tmp_path / "palette.png")
    Image.fromarray(rgb[..., 0]).save(tmp_path / "grey.png")
    with open_raster(tmp_path / "rgb.png") as plain, open_raster(tmp_path / "palette.png") as indexed:
        assert (plain.band_count, indexed.band_count) == (3, 1)
        assert np.array_equal(read_mask_rgb(plain), rgb)
        assert np.array_equal(read_mask_rgb(indexed), rgb)
    with (
        open_raster(tmp_path / "grey.png") as grey,
        pytest.raises(DataError, match="1 band of uint8 and no colours"),
    ):
        read_mask_rgb(grey)
