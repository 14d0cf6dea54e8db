"""A run is opened from its folder or a checkpoint, wherever one stands, and knows its tiles while they are what they were."""

import numpy as np
import pytest

from conftest import make_dataset
from made_runs import make_run
from orthoforge.checkpoints import checkpoint_folder
from orthoforge.errors import CheckpointError, ConfigError
from orthoforge.runs import Run
from orthoforge.tiles.prepare import prepare
from orthoforge.trained_generator import load_generator

MASK = np.eye(16, dtype=bool)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("town")
    return prepare(make_dataset(root / "data", ("arden1", "arden9"), 64), root / "tiles", grid=2, size=32, workers=1)


@pytest.fixture
def folder(tmp_path, store):
    return make_run(tmp_path / "runs" / "first", store, epochs=2, init_from="other")


def test_a_run_and_its_checkpoint_are_one_run_from_wherever_one_looks(folder, store, monkeypatch):
    monkeypatch.chdir(folder / "weights")
    for path in (folder, folder / "weights" / "last", "last"):
        run = Run.open(path)
        assert run.folder == folder
        assert (run.recipe.name, run.state.progress.epoch, run.state.tiles.gsd_m) == ("first", 2, store.gsd_m)
        assert (run.args.data, run.args.init_from, run.args.versions["threads"]) == (str(store.path), "other", 2)
        assert [row["epoch"] for row in run.results] == [1, 2]
        assert run.epochs == (2, 4)
        assert run.tiles() == store
        assert np.array_equal(run.generator()(MASK), load_generator(folder)(MASK))


def test_other_tiles_in_that_place_are_not_its_own(folder, tmp_path):
    args = folder / "args.yaml"
    other = prepare(make_dataset(tmp_path / "data", ("uma1",), 64), tmp_path / "other", grid=1, size=32, workers=1)
    args.write_text(f"run: {{data: '{other.path}'}}\n")
    assert Run.open(folder).tiles() is None
    args.write_text(f"run: {{data: '{tmp_path / 'nowhere'}'}}\n")
    assert Run.open(folder).tiles() is None
    args.unlink()
    assert Run.open(folder).tiles() is None and Run.open(folder).args is None


def test_bundled_weights_are_a_run_without_a_training():
    run = Run.open("orthoforge-s")
    assert run.is_pretrained and run.folder == checkpoint_folder(run.folder)
    assert (run.args, run.results, run.tiles(), run.epochs) == (None, [], None, None)


def test_what_cannot_be_opened_is_said(folder):
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        Run.open("owner/name")  # whatever the Hugging Face hub has
    with pytest.raises(CheckpointError, match="pickled weights can run any code"):
        Run.open(folder / "model.pth")
    with pytest.raises(ConfigError, match="device 'xyz' cannot be used here"):
        Run.open(folder).generator("xyz")
