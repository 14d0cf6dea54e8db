"""Training on material: which tiles a canvas is made of, what is kept, and that a training goes on as if it had not stopped."""

import json
import os
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
from harness import assert_same_run, make_tiles

from orthoforge.checkpoint_files import load_checkpoint
from orthoforge.checkpoints import MATERIAL
from orthoforge.config import load_recipe
from orthoforge.errors import CheckpointError, ConfigError
from orthoforge.material import packing
from orthoforge.tiles.store import TileStore, crop_batch
from orthoforge.training import material as material_module
from orthoforge.training import train
from orthoforge.training.batches import training_ids
from orthoforge.training.material import TileCanvases, canvas_of, library_of

SHORT = {
    "tiles": "", "crop_px": 32, "generator_width": 2, "discriminator_width": 2, "batch_size": 5, "crops_per_tile": 1, "epochs": 1,
    "decay_epochs": 1, "precision": "float32", "learning_rate": 2e-3, "ema_decay": 0.8, "panels_every": 2, "canvases_per_tile": 2,
}  # fmt: skip


def recipe(**changes):
    return load_recipe("orthoforge-material", **SHORT | changes)


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    return make_tiles(tmp_path_factory.mktemp("material"), ("arden1", "arden2", "brennau1", "brennau7"), size=64)


@pytest.fixture(scope="module")
def finished(tiles, tmp_path_factory):
    return train(recipe(), tiles, tmp_path_factory.mktemp("runs") / "finished", quiet=True)


def test_a_run_keeps_its_library_and_its_canvases(tiles, finished):
    store = TileStore.open(tiles)
    library = packing.unpack((finished / "weights/last" / MATERIAL).read_bytes(), "material")
    assert library.names == tuple(store.describe(tile_id) for tile_id in training_ids(store, recipe()))
    assert sorted(path.name for path in (finished / "canvases").iterdir()) == ["0.npy", "1.npy", "canvases.json"]
    first, second = (np.load(finished / f"canvases/{number}.npy") for number in (0, 1))
    assert first.shape == (len(library) + len(store.ids("val")), 64, 64, 3)
    assert second.shape == (len(library), 64, 64, 3)
    assert np.abs(first[: len(library)].astype(int) - second).mean() > 1
    state = json.loads((finished / "weights/last/state.json").read_text())
    assert MATERIAL in state["checksums"]


def test_a_tile_is_never_material_of_its_own_canvas(tiles, monkeypatch):
    store = TileStore.open(tiles)
    library = library_of(store, recipe())
    left_out = []
    of = material_module.Composer.of
    monkeypatch.setattr(
        material_module.Composer,
        "of",
        lambda *args, without, **options: left_out.append(without) or of(*args, without=without, **options),
    )
    for row, tile_id in enumerate(training_ids(store, recipe()).tolist()[:3]):
        canvas_of(store, library, tile_id, (row, 0), seed=0)
    canvas_of(store, library, int(store.ids("val")[0]), (20, 0), seed=0)
    assert left_out == [[0], [1], [2], []]


def test_canvases_are_cropped_and_turned_along_with_their_tiles(tiles):
    store = TileStore.open(tiles)

    class Same:
        count = 3

        def image(self, tile_id, number):
            return store.tile(tile_id)[0]

    ids = store.ids("train")[:8]
    batch = crop_batch(store, ids, crop_px=32, flips="dihedral", keys=[(0, i) for i in range(len(ids))], canvases=Same())
    np.testing.assert_array_equal(batch.canvas, batch.image)


def test_all_canvases_of_a_tile_are_used(tiles):
    store = TileStore.open(tiles)
    asked = set()

    class Counted:
        count = 4

        def image(self, tile_id, number):
            asked.add(number)
            return store.tile(tile_id)[0]

    ids = np.repeat(store.ids("train")[:1], 40)
    crop_batch(store, ids, crop_px=32, flips="none", keys=[(0, i) for i in range(40)], canvases=Counted())
    assert asked == {0, 1, 2, 3}


@pytest.fixture(scope="module")
def stopped(tiles, tmp_path_factory):
    """A run that was stopped after its first epoch."""
    return train(recipe(), tiles, tmp_path_factory.mktemp("runs") / "stopped", stop_after=1, quiet=True)


def test_a_stopped_training_goes_on_with_the_same_bits(tiles, finished, stopped, tmp_path):
    out = shutil.copytree(stopped, tmp_path / "run")
    kept = (out / "canvases/1.npy").stat().st_mtime_ns
    train(recipe(), tiles, out, resume=True, quiet=True)
    assert (out / "canvases/1.npy").stat().st_mtime_ns == kept
    assert_same_run(out, finished)


def test_canvases_that_are_missing_are_made_again(tiles, finished, stopped, tmp_path):
    out = shutil.copytree(stopped, tmp_path / "run")
    lost = out / "canvases/1.npy"
    before = lost.read_bytes()
    lost.unlink()
    train(recipe(), tiles, out, resume=True, quiet=True)
    assert lost.read_bytes() == before
    assert_same_run(out, finished)


def test_a_training_can_be_stopped_while_canvases_are_composed(tiles, tmp_path, monkeypatch, capsys):
    real, calls = material_module.canvas_of, []

    def stopping(*args, **options):
        calls.append(1)
        if len(calls) == 14:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args, **options)

    monkeypatch.setattr(material_module, "canvas_of", stopping)
    out = train(recipe(), tiles, tmp_path / "run")
    assert "stopped while canvases were composed" in capsys.readouterr().out
    assert not (out / "weights").exists()
    assert len(calls) == 14


def test_the_canvas_is_what_an_untrained_network_gives_back(tiles, finished, tmp_path):
    shutil.copytree(finished / "canvases", tmp_path / "run" / "canvases")  # those of the same tiles and seed are taken as they are
    out = train(recipe(learning_rate=1e-9, epochs=1, decay_epochs=0), tiles, tmp_path / "run", quiet=True)
    row = (out / "results.csv").read_text().splitlines()
    columns = dict(zip(row[0].split(","), row[1].split(","), strict=True))
    assert float(columns["loss_g_canvas"]) < 0.35
    assert float(columns["loss_g_canvas_features"]) > 0


def test_a_library_that_changed_is_refused(tiles, finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    path = run / "weights/last" / MATERIAL
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError, match=r"material\.zip: its checksum does not fit"):
        load_checkpoint(run / "weights/last")


def test_what_cannot_be_refined_is_refused():
    with pytest.raises(ConfigError, match="resnet9 takes no canvas"):
        load_recipe("baseline", material=True)
    with pytest.raises(ConfigError, match="compare with a canvas; pass --material True"):
        load_recipe("orthoforge-s", lambda_canvas=1.0)
    with pytest.raises(ConfigError, match="canvases_per_tile is 0"):
        replace(recipe(), canvases_per_tile=0)


def test_canvases_are_read_once_mapped(finished, tiles):
    store = TileStore.open(tiles)
    ids = training_ids(store, recipe()).tolist()
    canvases = TileCanvases(finished / "canvases", 2, {tile_id: row for row, tile_id in enumerate(ids)}, len(ids))
    np.testing.assert_array_equal(canvases.image(ids[2], 1), np.load(finished / "canvases/1.npy")[2])
