"""Training on material: which tiles a canvas is made of, what is kept, and that a training goes on as if it had not stopped."""

import json
import os
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from harness import assert_same_run, make_tiles

from conftest import make_grid, write_tiff
from made_land_cover import COLOURS, make_land_cover
from orthoforge.checkpoint_files import load_checkpoint
from orthoforge.checkpoints import MATERIAL
from orthoforge.config import load_recipe
from orthoforge.errors import CheckpointError, ConfigError
from orthoforge.masks.classes import Classes
from orthoforge.material import packing
from orthoforge.models.conditions import decode_image, encode_mask
from orthoforge.models.modulated import told_classes
from orthoforge.networks import new_generator
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore, crop_batch
from orthoforge.trained_generator import load_generator
from orthoforge.training import material as material_module
from orthoforge.training import step as step_module
from orthoforge.training import train
from orthoforge.training.batches import training_ids
from orthoforge.training.material import TileCanvases, canvas_of, library_of
from orthoforge.weights import load_weights

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
def stopped(tiles, finished, tmp_path_factory):
    """A run that was stopped after its first epoch."""
    out = tmp_path_factory.mktemp("runs") / "stopped"
    shutil.copytree(finished / "canvases", out / "canvases")  # those of the same tiles and seed are taken as they are
    return train(recipe(), tiles, out, stop_after=1, quiet=True)


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
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args, **options)

    monkeypatch.setattr(material_module, "canvas_of", stopping)
    out = train(recipe(), tiles, tmp_path / "run")
    assert "stopped while canvases were composed" in capsys.readouterr().out
    assert not (out / "weights").exists()
    assert len(calls) == 3


def test_the_canvas_is_what_an_untrained_network_gives_back(tiles, finished, tmp_path):
    shutil.copytree(finished / "canvases", tmp_path / "run" / "canvases")  # those of the same tiles and seed are taken as they are
    out = train(recipe(learning_rate=1e-9, epochs=1, decay_epochs=0), tiles, tmp_path / "run", quiet=True)
    row = (out / "results.csv").read_text().splitlines()
    columns = dict(zip(row[0].split(","), row[1].split(","), strict=True))
    assert float(columns["loss_g_canvas"]) < 0.35
    assert float(columns["loss_g_canvas_features"]) > 0


def test_what_is_made_of_real_images_stays_as_it_is_and_is_not_judged(tiles, finished, tmp_path, monkeypatch):
    canvases, judged = [], []
    made_of, game_of = step_module.canvas_tensor, step_module._game
    monkeypatch.setattr(
        step_module,
        "canvas_tensor",
        lambda batch, *_, **real: canvases.append((batch, made_of(batch, *_, **real))) or canvases[-1][1],
    )
    monkeypatch.setattr(step_module, "_game", lambda training, part: judged.append(part.shown.judged) or game_of(training, part))
    shutil.copytree(finished / "canvases", tmp_path / "run" / "canvases")
    out = train(recipe(lambda_identity=5.0, sees_mask=False, epochs=1, decay_epochs=0), tiles, tmp_path / "run", quiet=True)
    batch, canvas = next((batch, canvas) for batch, canvas in canvases if len(batch.image) == 5)
    shown = decode_image(torch.tanh(canvas)).numpy().astype(int)
    assert np.abs(shown[:1] - batch.image[:1]).max() <= 3  # one of five; white and black are kept off tanh's limits
    assert np.abs(shown[1:] - batch.canvas[1:]).max() <= 3 < np.abs(shown[1:] - batch.image[1:]).max()
    assert set(judged) == {4} | {len(batch.image) for batch, _ in canvases if len(batch.image) < 4}
    rows = (out / "results.csv").read_text().splitlines()
    columns = dict(zip(rows[0].split(","), rows[1].split(","), strict=True))
    assert 0 < float(columns["loss_g_identity"]) < 5


def test_a_library_that_changed_is_refused(tiles, finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    path = run / "weights/last" / MATERIAL
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError, match=r"material\.zip: its checksum does not fit"):
        load_checkpoint(run / "weights/last")


def test_what_cannot_be_refined_is_refused():
    with pytest.raises(ConfigError, match="resnet9 takes no canvas"):
        load_recipe("baseline", material=True)
    with pytest.raises(ConfigError, match="need a canvas; pass --material True"):
        load_recipe("orthoforge-s", lambda_canvas=1.0)
    with pytest.raises(ConfigError, match="need a canvas; pass --material True"):
        load_recipe("orthoforge-s", lambda_identity=1.0)
    with pytest.raises(ConfigError, match="without a mask and without a canvas"):
        load_recipe("orthoforge-s", sees_mask=False)
    with pytest.raises(ConfigError, match="canvases_per_tile is 0"):
        replace(recipe(), canvases_per_tile=0)


def test_canvases_are_read_once_mapped(finished, tiles):
    store = TileStore.open(tiles)
    ids = training_ids(store, recipe()).tolist()
    canvases = TileCanvases(finished / "canvases", 2, {tile_id: row for row, tile_id in enumerate(ids)}, len(ids))
    np.testing.assert_array_equal(canvases.image(ids[2], 1), np.load(finished / "canvases/1.npy")[2])


def test_what_a_network_knows_of_buildings_is_of_that_class():
    """One that is told classes begins as one of buildings alone: both make the same image of the same buildings."""
    settings, classes = recipe(), Classes(("road", "water", "building", "trees"), ((), (), (), ()))
    torch.manual_seed(0)
    before, network = new_generator(settings, None), new_generator(settings, classes)
    load_weights(network, told_classes(network, before.state_dict()), "buildings")
    mask = np.random.default_rng(0).integers(0, 4, (1, 32, 32)).astype(np.uint8)
    of_classes, of_buildings = (
        encode_mask(torch.from_numpy(mask), 4),
        encode_mask(torch.from_numpy((mask == 2) * np.uint8(255)), None),
    )
    canvas = torch.rand(1, 3, 32, 32) - 0.5
    images = []
    for one, condition in ((network, of_classes), (before, of_buildings)):
        torch.manual_seed(1)  # the same noise
        images.append(one(condition, reference=canvas, colours=canvas))
    torch.testing.assert_close(*images)


def test_land_cover_is_learnt_from_weights_that_know_buildings_and_drawn_with_ground_of_its_classes(finished, tmp_path):
    library = make_land_cover(4)
    palette = {name: COLOURS[index].tolist() for index, name in enumerate(("land", "building", "road", "trees", "water"))}
    for number, (image, classes) in enumerate(zip(library.images, library.classes, strict=True)):
        name = f"town{(1, 2, 3, 7)[number]}.tif"
        write_tiff(tmp_path / "data/images" / name, image, make_grid(image.shape[:2]))
        write_tiff(tmp_path / "data/masks" / name, COLOURS[classes].astype(np.uint8), make_grid(image.shape[:2]))
    (tmp_path / "palette.json").write_text(json.dumps(palette))
    store = prepare(tmp_path / "data", tmp_path / "tiles", size=112, split="digits", workers=1, palette=tmp_path / "palette.json")
    slow = recipe(learning_rate=1e-6, canvases_per_tile=1, decay_epochs=0)
    run = train(slow, store.path, tmp_path / "run", init_from=finished, quiet=True)
    generator = load_generator(run)
    np.testing.assert_array_equal(generator.library.classes[0], store.tile(int(store.ids("train")[0]))[1])
    lake = np.full((96, 96), 4, np.uint8)
    lake[:, :40] = 3
    image = generator(lake).astype(int)
    assert (image[:, 60:, 2] > image[:, 60:, 1] + 20).mean() > 0.9
    assert (image[:, :30, 1] > image[:, :30, 2] + 20).mean() > 0.9
