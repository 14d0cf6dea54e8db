"""Which place a scene is of, where its name does not say it: a table, and who reads it."""

import pytest

from conftest import make_dataset, make_grid, make_mask, write_tiff
from orthoforge.errors import DataError, OutputExistsError
from orthoforge.forging.forge import forge
from orthoforge.scenes.checks import check
from orthoforge.scenes.layouts import Where
from orthoforge.scenes.place_names import PlaceNames
from orthoforge.scenes.sources import find_pairs
from orthoforge.tiles.prepare import prepare

NAMES = [f"rf_{number}" for number in range(1, 13)]
TABLE = "name,place\n# dry\nrf_[1-6],arid\nrf_*,green\n"


@pytest.fixture
def data(tmp_path):
    """Scenes without coordinates, of one name, and a table that says which of two places each is of."""
    data = make_dataset(tmp_path / "data", NAMES, 64, suffix=".png")
    (data / "places.csv").write_text(TABLE)
    return data


def test_the_first_pattern_that_fits_decides_and_the_others_go_by_their_name(tmp_path):
    table = tmp_path / "of.csv"
    table.write_text("a1.png;town\nb*;old village\n")
    names = PlaceNames.stated(table)
    assert [names.of(tmp_path / name) for name in ("a1.png", "a1.tif", "b7.tif")] == ["town", None, "old village"]
    assert [names.key(tmp_path / name) for name in ("b7.tif", "vienna_3.tif", "12.tif")] == ["old village", "vienna", "scenes"]
    assert names.unused([tmp_path / "b1.tif"]) == ["a1.png"]
    assert PlaceNames.of_plain(names.plain) == names
    assert PlaceNames.stated(None, tmp_path) == PlaceNames()


@pytest.mark.parametrize("place", ["", "site1", "site 2", "12", "../x", ".x", "a/b", "x" * 99])
def test_a_place_is_a_word_that_names_of_new_masks_can_begin_with(tmp_path, place):
    (tmp_path / "places.csv").write_text(f"a*,town\nb*,{place}\n")
    with pytest.raises(DataError, match=r"places\.csv: line 2 is .* a place: rf_0\*,village\. A place is a word that does not end"):
        PlaceNames.stated(None, tmp_path)


def test_check_says_that_many_scenes_without_coordinates_are_one_place_by_their_names(data):
    said = "By their names all are of one place, rf. If they are of several, say so in a table places.csv."
    assert not any(said in finding.message for finding in check(data).findings)
    (data / "places.csv").unlink()
    assert any(said in finding.message for finding in check(data).findings)


def test_check_and_prepare_take_the_table_of_the_folder(data, tmp_path):
    report = check(data)
    assert {scene.name: scene.place for scene in report.scenes}["rf_6"] == "arid"
    store = prepare(data, tmp_path / "tiles", grid=1, size=32)
    assert {row.scene: row.place for row in store.rows} == {name: "arid" if int(name[3:]) < 7 else "green" for name in NAMES}
    assert {row.place for row in store.rows if row.split == "test"} == {"arid", "green"}, "each place is split"


def test_another_table_is_another_store_and_cuts_no_pixel_anew(data, tmp_path, capsys):
    prepare(data, tmp_path / "tiles", grid=1, size=32)
    (data / "places.csv").write_text("rf_*,green\n")
    with pytest.raises(OutputExistsError, match="other settings"):
        prepare(data, tmp_path / "tiles", grid=1, size=32)
    capsys.readouterr()
    store = prepare(data, tmp_path / "tiles", grid=1, size=32, overwrite=True)
    assert {row.place for row in store.rows} == {"green"}
    assert "12 scenes kept from an earlier run" in capsys.readouterr().out


def test_a_table_is_named_and_a_pattern_without_a_scene_is_said(data, tmp_path):
    table = tmp_path / "mine.csv"
    table.write_text("rf_*,hills\nlondon*,london\n")
    report = check(data, places=table)
    assert {scene.place for scene in report.scenes} == {"hills"}
    assert "places.csv: 'london*' fits the name of no image." in [finding.message for finding in report.findings]
    assert find_pairs(data, Where(places=table)).pairs[0].place == "hills"


def test_forged_masks_are_named_by_the_stated_place(tmp_path):
    for number in (1, 2, 3, 4):
        write_tiff(tmp_path / "masks" / f"rf_{number}.tif", make_mask(96, seed=number), make_grid(96))
    (tmp_path / "places.csv").write_text("rf_[12],arid\nrf_*,green\n")
    made = forge(tmp_path / "masks", tmp_path / "forged", how="transform", count=1)
    assert sorted(path.name for path in made.masks) == ["arid_1001.tif", "green_1001.tif"]
