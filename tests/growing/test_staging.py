"""The work folder of a grown data set moves and removes what its own files name; never what lies elsewhere."""

import json

import pytest

from orthoforge.errors import DataError, OutputExistsError
from orthoforge.growing.staging import DONE, Staging


@pytest.mark.parametrize("name", ["../kept", "..", "a/../../kept"])
def test_overwriting_removes_nothing_that_lies_elsewhere(name, tmp_path):
    kept = tmp_path / "kept" / "file"
    kept.parent.mkdir()
    kept.write_text("mine")
    out = tmp_path / "grown"
    out.mkdir()
    (out / "a").mkdir()
    (out / DONE).write_text(json.dumps({"settings": {"seed": 1}, "entries": ["a", name]}))
    with pytest.raises(DataError, match=f"names '{name}' as a part of the data set, which lies elsewhere"):
        Staging(out, {"seed": 2}).begin(overwrite=True)
    assert kept.read_text() == "mine" and (out / "a").is_dir()


def test_a_data_set_that_an_earlier_version_told_of_otherwise_is_the_same(tmp_path):
    staging = Staging(tmp_path / "grown", {"sources": [5, 17]})
    staging.begin(overwrite=False)
    staging.publish({})
    assert Staging(tmp_path / "grown", {"sources": "sha"}, {"sources": [5, 17]}).begin(overwrite=False)
    with pytest.raises(OutputExistsError, match="or from other data"):
        Staging(tmp_path / "grown", {"sources": "sha"}, {"sources": [5, 18]}).begin(overwrite=False)


def test_publishing_moves_nothing_to_elsewhere(tmp_path):
    staging = Staging(tmp_path / "grown", {})
    staging.begin(overwrite=False)
    (staging.work / "mine").write_text("mine")
    (staging.work / "ready.json").write_text(json.dumps({"entries": ["../mine"]}))
    with pytest.raises(DataError, match=r"ready\.json: names '\.\./mine' as a part of the data set"):
        staging.publish({})
    assert (staging.work / "mine").is_file()
