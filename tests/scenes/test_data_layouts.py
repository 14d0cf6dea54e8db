import shutil

import pytest

from conftest import make_dataset, make_pair
from orthoforge.errors import ConfigError, DataError
from orthoforge.scenes.layouts import Where
from orthoforge.scenes.sources import find_pairs, lonely_message, survey


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Pairs a1, a2 and a3 in images/ and masks/, to be copied elsewhere."""
    return make_dataset(tmp_path_factory.mktemp("made"), ["a1", "a2", "a3"], 16, suffix=".png", crs=None)


def place(made, folder, images, masks, image="{}", mask="{}"):
    """The pairs of ``made`` in other folders and under other names."""
    for source, target, name in (("images", images, image), ("masks", masks, mask)):
        (folder / target).mkdir(parents=True, exist_ok=True)
        for path in (made / source).iterdir():
            shutil.copy(path, folder / target / f"{name.format(path.stem)}.png")
    return folder


@pytest.mark.parametrize(
    ("images", "masks", "told"),
    [
        ("img", "label", "img/ and label/"),
        ("train/img", "train/label", "img/ and label/"),
        ("train/image", "train/label", "image/ and label/, as in WHU"),
        ("train/sat", "train/map", "sat/ and map/, as in Massachusetts"),
        ("tiff/train", "tiff/train_labels", "train/ and train_labels/"),
        ("train/images", "train/gt", "images/ and gt/, as in Inria"),
        ("Images", "Labels", "Images/ and Labels/"),
        ("training/imgs", "training/mask", "imgs/ and mask/"),
    ],
)
def test_common_folders_are_recognised_and_told(made, tmp_path, images, masks, told):
    found = find_pairs(place(made, tmp_path, images, masks))
    assert [pair.name for pair in found.pairs] == ["a1", "a2", "a3"]
    assert found.pairs[0].mask == tmp_path / masks / "a1.png"
    assert found.layout[0].name == told


@pytest.mark.parametrize("folder", [".", "train"])
def test_images_and_masks_beside_each_other_are_told_apart_by_their_names(made, tmp_path, folder):
    found = find_pairs(place(made, tmp_path, folder, folder, "{}_sat", "{}_mask"))
    assert [(pair.name, pair.image.name, pair.mask.name) for pair in found.pairs][1] == ("a2", "a2_sat.png", "a2_mask.png")
    assert found.lonely == ()
    assert found.layout[0].name.endswith("as in DeepGlobe")
    (tmp_path / folder / "a2_mask.png").unlink()
    (tmp_path / folder / "a3_sat.png").unlink()
    found = survey(tmp_path)
    assert [pair.name for pair in found.pairs] == ["a1"]
    messages = [lonely_message(path, found) for path in found.lonely]
    assert ["a2_sat.png: has no mask" in messages[0], "a3_mask.png: has no image" in messages[1]] == [True, True]


def test_only_the_masks_may_have_an_ending(made, tmp_path):
    found = find_pairs(place(made, tmp_path, ".", ".", "{}", "{}_label"))
    assert next((pair.name, pair.image.name, pair.mask.name) for pair in found.pairs) == ("a1", "a1.png", "a1_label.png")


def test_an_ending_in_a_folder_of_its_own_is_recognised_or_said(made, tmp_path):
    place(made, tmp_path / "known", "images", "masks", mask="{}_mask")
    found = find_pairs(tmp_path / "known")
    assert [pair.name for pair in found.pairs] == ["a1", "a2", "a3"]
    assert found.layout[0].name == "images/ and masks/: NAME and NAME_mask"
    place(made, tmp_path / "odd", "images", "masks", "top_{}_o", "top_{}_bld")
    with pytest.raises(DataError, match="--mask-suffix"):
        find_pairs(tmp_path / "odd")
    found = find_pairs(tmp_path / "odd", Where(image_suffix="_o", mask_suffix="_bld"))
    assert [pair.name for pair in found.pairs] == ["top_a1", "top_a2", "top_a3"]


def test_the_parts_of_loveda_keep_their_names_apart(made, tmp_path):
    for part in ("Rural", "Urban"):
        place(made, tmp_path, f"Train/{part}/images_png", f"Train/{part}/masks_png")
    found = find_pairs(tmp_path)
    assert [pair.name for pair in found.pairs] == ["Rural_a1", "Rural_a2", "Rural_a3", "Urban_a1", "Urban_a2", "Urban_a3"]
    assert found.pairs[3].image == tmp_path / "Train/Urban/images_png/a1.png"
    assert found.layout[0].name == "images_png/ and masks_png/, as in LoveDA, in parts"


def test_folders_anywhere_are_taken_as_they_are_named(made, tmp_path):
    place(made, tmp_path, "x/photos", "y/drawings")
    where = Where(tmp_path / "x/photos", tmp_path / "y/drawings")
    for data in (None, tmp_path):
        assert [pair.name for pair in find_pairs(data, where).pairs] == ["a1", "a2", "a3"]
    # As seen from the data's folder; and the folder of the images itself as data.
    assert find_pairs(tmp_path, Where("x/photos", "y/drawings")).pairs[0].mask == tmp_path / "y/drawings/a1.png"
    assert len(find_pairs(tmp_path / "x/photos", Where(masks=tmp_path / "y/drawings")).pairs) == 3


def test_of_several_folders_of_masks_one_is_named(made, tmp_path):
    place(made, tmp_path, "images", "masks_rgb")
    place(made, tmp_path, "images", "masks_building")
    with pytest.raises(DataError, match="--masks masks_building or --masks masks_rgb"):
        find_pairs(tmp_path)
    assert find_pairs(tmp_path, Where(masks="masks_rgb")).pairs[0].mask.parent.name == "masks_rgb"
    place(made, tmp_path, "images", "labels")
    place(made, tmp_path, "images", "masks")
    with pytest.raises(DataError, match=r"has both masks/ and labels/.*Name one with --masks"):
        find_pairs(tmp_path)


def test_what_cannot_be_meant_says_why(made, tmp_path):
    place(made, tmp_path, "photos", "drawings")
    with pytest.raises(DataError, match="nowhere: no such folder, nor in"):
        find_pairs(tmp_path, Where(masks="nowhere"))
    with pytest.raises(ConfigError, match="which data"):
        find_pairs(None, Where(images=tmp_path / "photos"))
    with pytest.raises(ConfigError, match=r"as in --mask-suffix _mask"):
        find_pairs(tmp_path, Where(tmp_path / "photos", tmp_path / "photos"))
    with pytest.raises(DataError, match="NAME_no"):
        find_pairs(tmp_path, Where(tmp_path / "photos", tmp_path / "photos", mask_suffix="_no"))


def test_a_train_folder_comes_before_loose_files_beside_it(made, tmp_path):
    place(made, tmp_path, "train", "train", "{}_sat", "{}_mask")
    make_pair(tmp_path / "other", "z1", 16)
    shutil.copy(made / "images/a1.png", tmp_path / "b_sat.png")
    shutil.copy(made / "masks/a1.png", tmp_path / "b_mask.png")
    assert [pair.name for pair in find_pairs(tmp_path).pairs] == ["a1", "a2", "a3"]
