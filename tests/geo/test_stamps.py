"""What changed about a source is noticed, and nothing is read twice for nothing."""

import json
import os

import pytest

from conftest import make_grid, make_mask, write_tiff
from orthoforge.files import sha256_of
from orthoforge.geo import stamps


@pytest.fixture
def source(tmp_path):
    return write_tiff(tmp_path / "town1.tif", make_mask(), make_grid())


def recorded(path):
    return json.loads(json.dumps(stamps.stamp(path)))


@pytest.mark.parametrize(
    "beside", ["town1.tfw", "town1.TFW", "town1.wld", "town1.prj", "town1.tif.aux.xml", "town1.tab", "town1.tif.msk"]
)
def test_side_files_belong_to_a_source(source, beside):
    alone, sha256 = recorded(source), stamps.source_sha256(source)
    assert stamps.unchanged(source, alone) and sha256 == sha256_of(source)
    side = source.with_name(beside)
    side.write_text("0.3")
    assert stamps.source_files(source) == [source, side]
    assert not stamps.unchanged(source, alone)
    both, with_side = recorded(source), stamps.source_sha256(source)
    assert stamps.unchanged(source, both) and with_side != sha256
    side.write_text("0.4")
    assert not stamps.unchanged(source, both)
    assert stamps.source_sha256(source) not in (sha256, with_side)
    side.unlink()
    assert stamps.unchanged(source, alone) and not stamps.unchanged(source, both)


def test_other_files_of_the_folder_do_not(source):
    before = recorded(source)
    for name in ("town1.json", "town10.tfw", "town1.png", "town1.txt", "town1.tif.ovr"):
        source.with_name(name).write_text("x")
    assert stamps.unchanged(source, before)


def test_other_bytes_of_the_same_size_and_time_are_noticed(source):
    before, state = recorded(source), source.stat()
    content = bytearray(source.read_bytes())
    content[-1] ^= 255
    source.write_bytes(content)
    os.utime(source, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (source.stat().st_size, source.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    assert not stamps.unchanged(source, before)


def test_the_same_bytes_of_another_time_are_no_change(source, monkeypatch):
    before = recorded(source)
    os.utime(source, (1, 1))
    assert stamps.unchanged(source, before)
    before = recorded(source)
    monkeypatch.setattr(stamps, "sha256_of", None)  # nothing is read where the times are as they were
    assert stamps.unchanged(source, before)


def test_stamps_of_earlier_versions_and_odd_ones(source):
    state = source.stat()
    assert stamps.unchanged(source, [state.st_size, state.st_mtime_ns])
    assert not stamps.unchanged(source, [state.st_size, 1])
    for odd in (None, [], {}, "x", [[]], [None], [["town1.tif", state.st_size]], [1, [2]]):
        assert not stamps.unchanged(source, odd)
    assert not stamps.unchanged(source.with_name("nowhere.tif"), recorded(source))


@pytest.mark.parametrize("beside", ["town1.tfw", "town1.TFW", "town1.wld", "town1.tif.aux.xml", "town1.tif.msk", "town1.tif.MSK"])
def test_a_list_of_the_folder_says_what_belongs_to_a_source(source, beside):
    source.with_name(beside).write_text("0.3")
    assert stamps.stamp(source, stamps.Listed()) == stamps.stamp(source)
    assert stamps.unchanged(source, recorded(source), stamps.Listed())
    source.with_name(beside).unlink()
    assert len(stamps.stamp(source, stamps.Listed())) == 1


@pytest.mark.parametrize("name", ["ΣΑΣ.tif", "straße.tif", "İ.TIF"])
def test_names_in_any_letters_are_found_in_a_list(tmp_path, name):
    path = write_tiff(tmp_path / name, make_mask(), make_grid(), driver="GTiff")
    path.with_suffix(".tfw").write_text("0.3")
    assert len(stamps.stamp(path, stamps.Listed())) == len(stamps.stamp(path)) == 2


def test_where_a_folder_lists_nothing_every_name_is_asked_for(source, monkeypatch):
    source.with_suffix(".tfw").write_text("0.3")
    monkeypatch.setattr(os, "listdir", lambda folder: [])
    assert stamps.stamp(source, stamps.Listed()) == stamps.stamp(source)


def test_many_sources_of_a_folder_ask_for_no_name_that_is_not_there(source, monkeypatch):
    asked = []
    state = os.stat
    monkeypatch.setattr(stamps.os, "stat", lambda file, *args, **options: asked.append(file) or state(file, *args, **options))
    stamps.state(source)
    assert len(asked) > 40
    asked.clear()
    stamps.stamp(source, stamps.Listed())
    assert len([file for file in asked if str(file).startswith(str(source.with_suffix("")))]) <= 3
