"""Every kind of recipe: what it records and saves, and that stopping and resuming changes nothing in any of them."""

import json
import re
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from harness import assert_same_run, begun, make_tiles, rows, tiny
from safetensors.torch import load_file

from orthoforge import run_files
from orthoforge.checkpoint_files import Checkpoint
from orthoforge.checkpoint_state import MODEL, STATE
from orthoforge.checkpoints import require_state
from orthoforge.errors import ConfigError
from orthoforge.measures.realism.distances import kernel_distance
from orthoforge.measures.realism.features import LiteFeatures, perceptual_distance
from orthoforge.models.conditions import encode_image, encode_mask
from orthoforge.models.perceptual import load_features, perceptual_l1
from orthoforge.tiles.store import TileStore, centre_batch, crop_batch
from orthoforge.trained_generator import load_generator
from orthoforge.training import loop, stopping, train
from orthoforge.training.batches import to_tensors, training_ids
from orthoforge.training.step import read_figures, train_step
from orthoforge.training.validation import collapse_notice
from saved_runs import state_of

VARIANTS = {
    "vanilla": {"gan_loss": "vanilla", "discriminator": "pixel"},
    "hinge": {"gan_loss": "hinge", "discriminator_layers": 2, "norm": "group"},
    "wgan-gp": {"gan_loss": "wgan-gp", "discriminator_norm": "instance", "warmup_steps": 5},
    "oasis": {"gan_loss": "oasis", "discriminator": "projected", "perceptual_layers": ("stem", "stage1")},
    "generator-only": {"gan_loss": "none", "ema_decay": 0.0},
    "perceptual": {"lambda_l1": 0.0, "lambda_perceptual": 10.0, "perceptual_layers": ("stem", "stage1")},
    "plateau-2021": {"schedule": "plateau-2021"},
    "plateau": {"schedule": "plateau"},
    "plateau-by-kernel": {"schedule": "plateau", "best_by": "kernel"},
    "cosine": {"schedule": "cosine", "tiles_per_place": 5},
}
LOSSES = {"loss_d", "loss_g", "loss_g_gan", "loss_g_l1"}
COLUMNS = {
    "wgan-gp": LOSSES | {"loss_d_penalty"},
    "generator-only": {"loss_g", "loss_g_l1"},
    "perceptual": {"loss_d", "loss_g", "loss_g_gan", "loss_g_perceptual"},
}


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    return make_tiles(tmp_path_factory.mktemp("variants"))


@pytest.fixture(scope="module")
def store(tiles):
    return TileStore.open(tiles)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_chain_of_three_resumed_trainings_is_one_uninterrupted_training(name, tiles, tmp_path):
    if name.startswith("plateau"):  # what it waits for takes some epochs
        recipe, parts = tiny(**VARIANTS[name]), ((2, 2), (3, 1), (5, 9))
    else:
        recipe, parts = tiny(**VARIANTS[name] | {"epochs": 2, "decay_epochs": 1}), ((1, 1), (2, 1), (3, 9))
    one = train(recipe, tiles, tmp_path / "one", quiet=True)
    for finished_epochs, more in parts:
        chain = train(recipe, tiles, tmp_path / "chain", resume=True, stop_after=more, quiet=True)
        assert len(run_files.read_results(chain)) == finished_epochs
    assert_same_run(chain, one)  # rows, curves of every step, weights, optimizers: to the bit
    losses = {column for column in rows(one)[0] if column.startswith("loss")}
    assert losses == COLUMNS.get(name, LOSSES)


def test_a_chain_of_a_network_with_dropout_is_one_training_and_its_images_depend_on_the_seed(tmp_path):
    tiles = make_tiles(tmp_path, size=256)
    recipe = tiny(
        generator="unet256",
        generator_width=2,
        crop_px=256,
        batch_size=4,
        epochs=2,
        decay_epochs=0,
        ema_decay=0.0,
        learning_rate=0.01,
    )
    one = train(recipe, tiles, tmp_path / "one", quiet=True)
    for _ in range(2):
        chain = train(recipe, tiles, tmp_path / "chain", resume=True, stop_after=1, quiet=True)
    assert_same_run(chain, one)
    generator, mask = load_generator(one), TileStore.open(tiles).tile(0)[1][:100, :200]
    image, same, other = (generator(mask, seed=seed) for seed in (1, 1, 2))
    assert image.shape == (100, 200, 3)
    assert (image == same).all()
    assert (image != other).any()


def test_it_says_at_its_start_what_it_will_do_and_where(tiles, tmp_path, capsys):
    run = train(tiny(), tiles, tmp_path / "run", stop_after=4)
    hardware, checked, too_few, *said = capsys.readouterr().out.splitlines()
    first = next(line for line in said if not line.startswith("  "))
    assert hardware == "tiny on cpu, 1 thread, in float32"
    assert too_few.startswith("15 steps are too few")
    assert checked.startswith(f"{tiles}: the checksums of 12 tiles are right")
    assert first == f"tiny: 8 tiles, 3 steps an epoch, 5 epochs; a line after each, all in {run}"
    train(tiny(), tiles, run, resume=True)
    assert first in capsys.readouterr().out
    train(tiny(), tiles, run, resume=True)
    assert first not in capsys.readouterr().out, "nothing is left to do"


def test_after_a_stop_in_mid_epoch_the_time_left_is_that_of_whole_epochs(tiles, tmp_path, monkeypatch, capsys):
    now, train_step, validate = [0.0], loop.train_step, loop.validate

    def step_of_a_minute(training, batch):
        now[0] += 60
        if training.progress.step == 1:  # the second of the three of the first epoch
            signal.raise_signal(signal.SIGTERM)
        return train_step(training, batch)

    def validation_of_half_a_minute(*words):
        now[0] += 30
        return validate(*words)

    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(loop, "train_step", step_of_a_minute)
    monkeypatch.setattr(loop, "validate", validation_of_half_a_minute)
    run = train(tiny(), tiles, tmp_path / "run")
    assert "stopped at epoch 1, step 2" in capsys.readouterr().out
    train(tiny(), tiles, run, resume=True)
    assert re.findall(r"(\d+:\d\d) left", capsys.readouterr().out) == ["14:00", "10:30", "7:00", "3:30", "0:00"]


def test_stopping_by_number_says_where_it_is_and_the_number_must_be_one(tiles, tmp_path, capsys):
    train(tiny(), tiles, tmp_path / "run", stop_after=1)
    assert "Go on with --resume" in capsys.readouterr().out
    train(tiny(), tiles, tmp_path / "run", resume=True, stop_after=1)
    assert "The same command goes on." in capsys.readouterr().out
    with pytest.raises(ConfigError, match="stop_after is 0"):
        train(tiny(), tiles, tmp_path / "other", stop_after=0)


def test_a_training_by_minutes_saves_when_they_are_over_and_ends_as_one_of_one_piece(tiles, tmp_path, monkeypatch, capsys):
    one = train(tiny(), tiles, tmp_path / "one", quiet=True)
    now, train_step = [0.0], loop.train_step

    def step_of_a_minute(training, batch):
        now[0] += 60
        return train_step(training, batch)

    with monkeypatch.context() as patch:
        patch.setattr(stopping, "time", SimpleNamespace(monotonic=lambda: now[0]))
        patch.setattr(loop, "train_step", step_of_a_minute)
        run = train(tiny(), tiles, tmp_path / "run", minutes=4.5)
        assert "stopped at epoch 2, step 5" in capsys.readouterr().out
    assert_same_run(train(tiny(), tiles, run, resume=True, minutes=1000, quiet=True), one)
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="minutes is"):
            train(tiny(), tiles, tmp_path / "other", minutes=wrong)


def test_without_an_adversarial_loss_there_is_no_discriminator_to_pay_for(tiles, tmp_path):
    run = train(tiny(gan_loss="none", epochs=1, decay_epochs=0), tiles, tmp_path / "run", quiet=True)
    kinds = {name.partition(".")[0] for name in load_file(run / "weights/last/train.safetensors")}
    assert kinds == {"generator", "averaged", "optimizer_g"}


def test_the_perceptual_term_is_the_distance_of_the_features_and_leaves_no_trace_in_the_checkpoint(store):
    recipe = tiny(gan_loss="none", lambda_l1=0.0, lambda_perceptual=3.0, perceptual_layers=("stage1",))
    training = begun(recipe, store)
    state = training.state
    batch = crop_batch(store, store.ids("train")[:3], crop_px=32, flips="none", keys=[(0, i) for i in range(3)])
    condition, real = to_tensors(batch, store, training.fabric.device)
    with torch.no_grad():
        expected = 3 * perceptual_l1(load_features("efficientnet-lite0", ["stage1"]), state.generator(condition), real)
    assert expected > 0.1
    train_step(training, batch)
    losses = read_figures(training)
    assert losses == {
        "loss_g": pytest.approx(expected.item(), rel=1e-5),
        "loss_g_perceptual": pytest.approx(expected.item(), rel=1e-5),
    }
    assert not [name for name in state.train_tensors() if "stage" in name or "feature" in name]


def test_vgg_without_its_weights_is_refused_before_the_run_begins(tiles, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    with pytest.raises(ConfigError, match=r"vgg19-dcbb9e9d\.pth"):
        train(tiny(perceptual="vgg19", perceptual_layers=("relu5_4",), lambda_perceptual=1.0), tiles, tmp_path / "run")
    assert not (tmp_path / "run" / "weights").exists()


def test_a_recipe_that_starts_from_another_asks_for_its_run(tiles, tmp_path, capsys):
    recipe = tiny(starts_from="baseline", epochs=1, decay_epochs=0)
    with pytest.raises(ConfigError, match="a run of `baseline`: name it with --init-from"):
        train(recipe, tiles, tmp_path / "run", quiet=True)
    first = train(tiny(epochs=1, decay_epochs=0), tiles, tmp_path / "first", quiet=True)
    run = train(recipe, tiles, tmp_path / "run", init_from=first, stop_after=1)
    assert "carried over" in capsys.readouterr().out
    train(recipe, tiles, run, resume=True)  # and not again on resumption


def test_tiles_that_a_recipe_was_not_made_for_are_named(tiles, tmp_path, capsys):
    train(tiny(tiles="--grid 1 --size 48 --split digits", epochs=1, decay_epochs=0), tiles, tmp_path / "run")
    assert "have grid 2; recipe tiny was made for those of `orthoforge prepare --grid 1 --size 48" in capsys.readouterr().out
    train(tiny(tiles="--grid 2 --size 48 --split digits", epochs=1, decay_epochs=0), tiles, tmp_path / "fits")
    assert "was made for" not in capsys.readouterr().out


def test_a_subset_is_what_is_trained_on_and_is_said(tiles, store, tmp_path, capsys):
    recipe = tiny(tiles_per_place=5, epochs=1, decay_epochs=0)
    run = train(recipe, tiles, tmp_path / "run")
    assert "training on 5 of 8 tiles: town 5" in capsys.readouterr().out
    assert rows(run)[0]["step"] == "2", "5 tiles in batches of 3"
    assert len(training_ids(store, recipe)) == 5


def test_a_collapse_is_noticed_once_when_it_shows(tiles, tmp_path, capsys):
    recipe = tiny(generator_width=1, learning_rate=1e-6, epochs=11, decay_epochs=0, ema_decay=0.0)
    train(recipe, tiles, tmp_path / "run")  # an untrained network of this width paints grey
    assert capsys.readouterr().out.count("% of the outlines in their masks. If that lasts, training has collapsed") == 1


@pytest.mark.parametrize(
    ("outlines", "told"),
    [
        ([0.9, 0.8, 0.7], [False] * 3),
        ([0.9, 0.3, 0.2, 0.6, 0.4], [False, True, False, False, True]),  # vanished, twice
        ([0.1] * 12, [False] * 9 + [True] + [False] * 2),  # never came
        ([0.1, 0.6, 0.7], [False] * 3),
    ],
)
def test_a_collapse_is_outlines_that_vanish_or_never_come(outlines, told):
    recipe, rows = tiny(epochs=20, decay_epochs=0), [{"outlines": share} for share in outlines]
    assert [collapse_notice(rows[: n + 1], recipe) is not None for n in range(len(rows))] == told


@pytest.mark.parametrize(("best_by", "column", "best"), [("ssim", "ssim", max), ("perceptual", "perceptual", min)])
def test_best_is_the_epoch_that_its_score_prefers(best_by, column, best, tiles, tmp_path):
    run = train(tiny(best_by=best_by, ema_decay=0.0, learning_rate=0.02), tiles, tmp_path / "run", quiet=True)
    values = [float(row[column]) for row in rows(run)]
    assert len(set(values)) == len(values)
    progress = json.loads((run / "weights/best/state.json").read_text())["progress"]
    assert progress["epoch"] == 1 + values.index(best(values))
    assert ({"perceptual", "kernel_x1000"} <= rows(run)[0].keys()) == (best_by != "ssim")


def test_what_best_goes_by_is_measured_on_the_validation_tiles_and_changes_no_step(tiles, store, tmp_path):
    settings = {"epochs": 2, "decay_epochs": 0}
    plain = train(tiny(**settings), tiles, tmp_path / "plain", quiet=True)
    judged = train(tiny(best_by="kernel", **settings), tiles, tmp_path / "judged", quiet=True)
    shared = rows(plain)[0].keys()
    assert [{name: row[name] for name in shared} for row in rows(judged)] == rows(plain)
    generator, eyes = load_generator(judged), LiteFeatures()
    batch = centre_batch(store, store.ids("val"), crop_px=32)
    with torch.inference_mode():
        fakes = generator.network(encode_mask(torch.from_numpy(batch.mask), None))
    (fake_maps, fake_vectors), (real_maps, real_vectors) = eyes(fakes), eyes(encode_image(torch.from_numpy(batch.image)))
    last = {name: float(text) for name, text in rows(judged)[-1].items()}
    assert last["perceptual"] == pytest.approx(perceptual_distance(fake_maps, real_maps).mean().item(), rel=1e-3)
    assert last["kernel_x1000"] == pytest.approx(1000 * kernel_distance(fake_vectors.numpy(), real_vectors.numpy()), rel=1e-2)


def test_a_checkpoint_from_before_best_by_goes_on_with_its_best_ssim(store):
    state = begun(tiny(), store).state
    values = {name: value for name, value in state.progress.plain_values().items() if name != "best_shortfall"}
    tensors = {"model": state.model_tensors(), "train": state.train_tensors()}
    held = {**state_of(), "format": 1, "checksums": {MODEL: "0" * 64}, "progress": values | {"best_ssim": 0.75}}
    state.restore(Checkpoint(Path("run"), require_state(json.dumps(held).encode(), Path(STATE)), **tensors))
    assert state.progress.best_shortfall == 0.25


def test_the_plateaus_standing_is_in_the_checkpoint(tiles, tmp_path):
    run = train(tiny(schedule="plateau-2021"), tiles, tmp_path / "run", quiet=True)
    standings = json.loads((run / "weights/last/state.json").read_text())["progress"]["standings"]
    assert set(standings) == {"generator", "discriminator"}
    assert all(standing["best"] is not None for standing in standings.values())
    assert {"learning_rate", "learning_rate_d"} <= rows(run)[0].keys()
