import shutil

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from conftest import LAYOUTS, make_dataset, make_pair
from orthoforge.errors import DataError
from orthoforge.scenes.place_names import place_key, place_of
from orthoforge.scenes.sources import find_pairs, natural_key, number_of


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_found(tmp_path, layout):
    make_dataset(tmp_path, ["austin2", "austin10", "austin1"], layout=layout)
    pairs = find_pairs(tmp_path).pairs
    assert [pair.name for pair in pairs] == ["austin1", "austin2", "austin10"]
    images, masks = LAYOUTS[layout]
    assert pairs[2].image == tmp_path / images / "austin10.tif"
    assert pairs[2].mask == tmp_path / masks / "austin10.tif"


def test_inrias_test_folder_has_no_masks_and_that_is_no_fault(tmp_path):
    make_dataset(tmp_path, ["austin1"], layout="inria")
    (tmp_path / "test/images").mkdir(parents=True)
    shutil.copy(tmp_path / "train/images/austin1.tif", tmp_path / "test/images/bellingham1.tif")
    found = find_pairs(tmp_path)
    assert [pair.name for pair in found.pairs] == ["austin1"]
    assert found.lonely == ()


def test_a_deleted_mask_leaves_its_image_lonely_and_moves_no_other(tmp_path):
    make_dataset(tmp_path, [f"vienna{n}" for n in range(1, 6)])
    (tmp_path / "masks/vienna2.tif").unlink()
    (tmp_path / "images/vienna4.tif").unlink()
    found = find_pairs(tmp_path)
    assert [pair.name for pair in found.pairs] == ["vienna1", "vienna3", "vienna5"]
    assert all(pair.image.stem == pair.mask.stem for pair in found.pairs)
    assert found.lonely == (tmp_path / "images/vienna2.tif", tmp_path / "masks/vienna4.tif")


def test_side_files_and_hidden_files_are_no_scenes(tmp_path):
    make_dataset(tmp_path, ["a1"])
    for name in ("a1.tfw", "a1.tif.aux.xml", "a1.tif.ovr", ".a1.tif.partial", "._a1.tif", "Thumbs.db"):
        (tmp_path / "images" / name).write_bytes(b"x")
    (tmp_path / "images/old.tif").mkdir()
    assert [pair.name for pair in find_pairs(tmp_path).pairs] == ["a1"]
    assert find_pairs(tmp_path).lonely == ()


def test_suffixes_in_capitals_and_mixed_formats_pair(tmp_path):
    make_pair(tmp_path, "b1", suffix=".TIF")
    make_pair(tmp_path, "b2", suffix=".png", crs=None)
    (tmp_path / "masks/b2.png").rename(tmp_path / "masks/b2.PNG")
    assert [pair.mask.name for pair in find_pairs(tmp_path).pairs] == ["b1.TIF", "b2.PNG"]


def test_two_files_with_one_stem_are_refused(tmp_path):
    make_dataset(tmp_path, ["a1", "a2"])
    make_pair(tmp_path, "a2", suffix=".png", crs=None)
    with pytest.raises(DataError, match=r"images: a2\.png and a2\.tif share one stem"):
        find_pairs(tmp_path)


def test_an_unknown_layout_says_what_is_accepted_and_what_was_seen(tmp_path):
    for folder in ("images", "masks_rgb", "masks_building"):
        (tmp_path / folder).mkdir()
    (tmp_path / "palette.json").write_text("{}")
    with pytest.raises(DataError) as raised:
        find_pairs(tmp_path)
    message = str(raised.value)
    assert "it holds images/, masks_building/, masks_rgb/, palette.json" in message
    assert "images/ and masks/" in message
    assert "train/images/ and train/gt/" in message
    assert "--masks masks_building or --masks masks_rgb" in message


def test_the_folder_of_images_itself_suggests_its_parent(tmp_path):
    make_dataset(tmp_path, ["a1"])
    with pytest.raises(DataError, match=f"Perhaps {tmp_path} is meant"):
        find_pairs(tmp_path / "images")


def test_a_missing_folder_and_a_file_are_told_apart(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="no such folder"):
        find_pairs(tmp_path / "nowhere")
    with pytest.raises(DataError, match="not a folder"):
        find_pairs(tmp_path / "file")


def test_gt_beside_masks_is_ambiguous(tmp_path):
    make_dataset(tmp_path, ["a1"])
    (tmp_path / "gt").mkdir()
    with pytest.raises(DataError, match="both gt/ and masks/"):
        find_pairs(tmp_path)


def test_nothing_that_pairs_shows_both_folders_names(tmp_path):
    make_dataset(tmp_path, ["a1", "a2"])
    for path in list((tmp_path / "masks").iterdir()):
        path.rename(path.with_name(f"{path.stem}_drawn.tif"))
    with pytest.raises(DataError, match=r"2 rasters \(a1\.tif, a2\.tif\).*2 rasters \(a1_drawn\.tif, a2_drawn\.tif\)"):
        find_pairs(tmp_path)
    shutil.rmtree(tmp_path / "masks")
    (tmp_path / "masks").mkdir()
    with pytest.raises(DataError, match="masks holds nothing"):
        find_pairs(tmp_path)


@pytest.mark.parametrize(
    ("name", "place", "number"),
    [
        ("austin12", "austin", 12),
        ("tyrol-w3", "tyrol-w", 3),
        ("banepa_core_386690_220241", "banepa_core", 220241),
        ("inria_austin1_00", "inria_austin", 0),
        ("zanzibar_319292_270960", "zanzibar", 270960),
        ("inria_austin_geo1000_a", "inria_austin_geo1000_a", 1000),
        ("2021_06", "2021_06", 6),
        ("17", "17", 17),
        ("_5", "_5", 5),
        ("harbour", "harbour", None),
    ],
)
def test_place_and_number_of_names(name, place, number):
    assert place_of(name) == place
    assert number_of(name) == number


@given(st.text(min_size=1))
@example("0\n")
def test_a_place_is_a_non_empty_beginning_of_the_name(name):
    assert place_of(name)
    assert name.startswith(place_of(name))


@given(st.text("abc-_ ", min_size=1).filter(lambda s: s[-1] in "abc"), st.lists(st.integers(0, 10**6), min_size=1))
def test_numbers_behind_a_place_do_not_belong_to_it(place, numbers):
    name = place + "_".join(map(str, numbers))
    assert place_of(name) == place
    assert number_of(name) == numbers[-1]


def test_a_name_of_many_digits_takes_no_time():
    assert place_of("1" * 200 + "x") == "1" * 200 + "x"  # a careless pattern tries 2^200 ways to split these


@pytest.mark.parametrize(
    ("name", "place"),
    [("austin12", "austin"), ("北京3", "北京"), ("000123", "scenes"), ("12-34", "scenes"), ("7_1", "scenes"), ("12-a", "12-a")],
)
def test_scenes_without_a_letter_are_of_one_place(name, place):
    assert place_key(name) == place


@given(st.lists(st.text()))
def test_any_names_can_be_sorted(names):
    in_order = sorted(names, key=natural_key)
    backwards = names[::-1]
    assert sorted(backwards, key=natural_key) == in_order
