"""What a step computes, what a training leaves behind, and that it learns."""

import contextlib
import itertools
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from harness import begun, curves, hidden_leftovers, largest_difference, make_tiles, rows, tiny
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from conftest import plotted
from orthoforge import run_files
from orthoforge.config import load_recipe
from orthoforge.errors import OutOfMemoryError
from orthoforge.models.conditions import encode_image, encode_mask
from orthoforge.models.generator import Generator
from orthoforge.tiles.store import Batch, TileStore, centre_batch, crop_batch
from orthoforge.trained_generator import load_generator
from orthoforge.training import train
from orthoforge.training.batches import epoch_batches
from orthoforge.training.hardware import new_fabric, require_address_space, resolved_precision
from orthoforge.training.progress import Progress
from orthoforge.training.state import Steps
from orthoforge.training.step import read_figures
from orthoforge.training.step import train_step as take_step
from orthoforge.training.training import Training
from orthoforge.training.validation import validate


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    return make_tiles(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="module")
def store(tiles):
    return TileStore.open(tiles)


@pytest.fixture(scope="module")
def finished(tiles, tmp_path_factory):
    """A finished run of ``tiny()``."""
    with plotted():
        return train(tiny(), tiles, tmp_path_factory.mktemp("runs") / "finished", quiet=True)


@pytest.fixture(scope="module")
def batch(store):
    return crop_batch(store, store.ids("train")[:3], crop_px=32, flips="none", keys=[(0, i) for i in range(3)])


# One step


def test_a_training_uses_that_rate(finished):
    recipe = tiny()  # 3 epochs, then 2 of decay
    expected = [recipe.learning_rate * factor for factor in (1, 1, 1, 1 - 1 / 3, 1 - 2 / 3)]
    assert [float(row["learning_rate"]) for row in rows(finished)] == pytest.approx(expected)


class Constant(nn.Module):
    """A network of one number: G paints every pixel with it; D adds a third of it times the image's mean."""

    def __init__(self, value):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([value]))


class Painter(Constant):
    shown = Generator.shown
    colours = None

    def forward(self, condition):
        return self.weight * torch.ones_like(condition)


class Judge(Constant):
    def forward(self, condition, image):
        return self.weight * image.mean(dim=(1, 2, 3), keepdim=True)


def state_of(generator, discriminator, rate=0.1):
    optimizers = [torch.optim.SGD(net.parameters(), lr=rate, fused=True) for net in (generator, discriminator)]
    step_g, step_d = (Steps(optimizer, optimizer) for optimizer in optimizers)
    state = SimpleNamespace(
        progress=Progress(), train_generator=generator, train_discriminator=discriminator, step_g=step_g, step_d=step_d,
        average=lambda: None, features=None, set_learning_rates=lambda: None, unread=[],
        seed_torch=lambda *stream: None, generator=generator, discriminator=discriminator,
    )  # fmt: skip
    state.count_step = state.unread.append
    return state


def train_step(training, batch):
    """A step, and its losses."""
    take_step(training, batch)
    return read_figures(training)


FABRIC = SimpleNamespace(
    device=torch.device("cpu"), backward=lambda loss: loss.backward(), global_rank=0, world_size=1,
    no_backward_sync=lambda network: contextlib.nullcontext(),
)  # fmt: skip
TWO_TILES = SimpleNamespace(class_count=None, describe=str)


def training_of(recipe, state):
    return Training(FABRIC, recipe, TWO_TILES, state, Path("run"))


def test_one_step_by_hand():
    # Real is 1 everywhere, G paints 0.5, D says 2 · mean. Rate 0.1, plain gradient descent, λ 10.
    white = Batch(np.full((1, 4, 4, 3), 255, np.uint8), np.zeros((1, 4, 4), np.uint8), np.array([0]))
    generator, discriminator = Painter(0.5), Judge(2.0)
    recipe = tiny(lambda_l1=10.0)
    losses = train_step(training_of(recipe, state_of(generator, discriminator)), white)
    # D: ((2·1 − 1)² + (2·0.5)²) / 2 = 1; slope (2·(2 − 1)·1 + 2·(2·0.5)·0.5) / 2 = 1.5; D becomes 2 − 0.15 = 1.85.
    assert losses["loss_d"] == pytest.approx(1)
    assert discriminator.weight.item() == pytest.approx(1.85)
    # G is judged by the new D: (1.85·0.5 − 1)² = 0.005625; L1: 10·|0.5 − 1| = 5.
    assert losses["loss_g_gan"] == pytest.approx(0.005625, rel=1e-5)
    assert losses["loss_g_l1"] == pytest.approx(5)
    assert losses["loss_g"] == pytest.approx(5.005625)
    # Slope 2·(0.925 − 1)·1.85 − 10 = −10.2775; G becomes 0.5 + 1.02775.
    assert generator.weight.item() == pytest.approx(1.52775, rel=1e-5)


def test_gradients_that_d_collects_in_the_step_of_g_are_dropped():
    white = Batch(np.full((1, 4, 4, 3), 255, np.uint8), np.zeros((1, 4, 4), np.uint8), np.array([0]))
    generator, discriminator = Painter(0.5), Judge(2.0)
    state = state_of(generator, discriminator)
    train_step(training_of(tiny(lambda_l1=10.0), state), white)
    assert discriminator.weight.grad.abs() > 0, "G's step leaves some behind"
    d, g = discriminator.weight.item(), generator.weight.item()
    train_step(training_of(tiny(lambda_l1=10.0), state), white)
    slope = (d - 1) + d * g * g  # of ((d − 1)² + (d·g)²) / 2, nothing added from the step before
    assert discriminator.weight.item() == pytest.approx(d - 0.1 * slope, rel=1e-5)


def test_a_step_whose_gradients_overflow_is_skipped_and_counted():
    white = Batch(np.full((1, 4, 4, 3), 255, np.uint8), np.zeros((1, 4, 4), np.uint8), np.array([0]))
    generator, discriminator = Painter(0.5), Judge(2.0)
    generator.weight.register_hook(lambda gradient: gradient * float("inf"))
    state = state_of(generator, discriminator)
    losses = train_step(training_of(tiny(lambda_l1=10.0), state), white)
    assert all(math.isfinite(value) for value in losses.values())
    assert generator.weight.item() == 0.5
    assert discriminator.weight.item() == pytest.approx(1.85), "the other network takes its step"
    assert state.progress.skipped == 1


@pytest.mark.parametrize("changes", [{}, {"norm": "instance", "generator": "resunet6", "ema_decay": 0.0}])
def test_two_steps_of_real_networks_equal_plain_torch(changes, store, batch):
    recipe = tiny(**changes)
    training, plain = begun(recipe, store), begun(recipe, store).state
    state = training.state
    generator, discriminator = plain.generator, plain.discriminator
    optimizers = [
        torch.optim.Adam(net.parameters(), lr=recipe.learning_rate, betas=(0.5, 0.999), fused=True)
        for net in (generator, discriminator)
    ]
    condition = encode_mask(torch.from_numpy(batch.mask), None)
    real = encode_image(torch.from_numpy(batch.image))
    for _ in range(2):
        losses = train_step(training, batch)
        fake = generator(condition)
        d_real = discriminator(condition, real)
        d_fake = discriminator(condition, fake.detach())
        loss_d = 0.5 * ((d_real - 1) ** 2).mean() + 0.5 * (d_fake**2).mean()
        gradients = torch.autograd.grad(loss_d, list(discriminator.parameters()))
        for parameter, gradient in zip(discriminator.parameters(), gradients, strict=True):
            parameter.grad = gradient
        optimizers[1].step()
        loss_gan = ((discriminator(condition, fake) - 1) ** 2).mean()
        loss_l1 = 100 * (fake - real).abs().mean()
        gradients = torch.autograd.grad(loss_gan + loss_l1, list(generator.parameters()))
        for parameter, gradient in zip(generator.parameters(), gradients, strict=True):
            parameter.grad = gradient
        optimizers[0].step()
        expected = {"loss_d": loss_d, "loss_g": loss_gan + loss_l1, "loss_g_gan": loss_gan, "loss_g_l1": loss_l1}
        assert losses == pytest.approx({name: value.item() for name, value in expected.items()}, rel=1e-4)
    for name, tensor in state.generator.state_dict().items():
        torch.testing.assert_close(tensor, generator.state_dict()[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("decay", "decays"), [(0.75, [2 / 11, 3 / 12, 4 / 13]), (0.22, [2 / 11, 0.22, 0.22])])
def test_the_averaged_generator_is_an_average_that_is_short_at_first(store, batch, decay, decays):
    recipe = tiny(ema_decay=decay)
    training = begun(recipe, store)
    state = training.state
    expected, seen = None, []
    for keep in [None, *decays]:
        train_step(training, batch)
        weights = {name: tensor.clone() for name, tensor in state.generator.state_dict().items() if tensor.is_floating_point()}
        seen.append(weights)
        # The first step's weights begin the average: the initial noise is no part of it.
        expected = weights if keep is None else {n: keep * expected[n] + (1 - keep) * weights[n] for n in weights}
    averaged = state.model_tensors()
    for name, value in expected.items():
        torch.testing.assert_close(averaged[name], value, rtol=1e-5, atol=1e-7)
    assert not torch.equal(averaged["head.1.weight"], seen[-1]["head.1.weight"])
    assert {"stem.2.running_mean", "stem.2.running_var"} <= expected.keys(), "statistics of batch norm are averaged too"


# What a run leaves


def test_a_run_folder_holds_what_it_should(finished):
    names = {str(path.relative_to(finished)) for path in finished.rglob("*") if path.is_file()}
    events = {name for name in names if name.startswith("events.out.tfevents.")}
    weights = {
        f"weights/{folder}/{file}"
        for folder, file in itertools.product(
            ("last", "previous", "best"), ("model.safetensors", "train.safetensors", "state.json")
        )
    }
    panels = {f"panels/epoch{epoch:05d}.png" for epoch in (2, 4, 5)}
    assert len(events) == 1
    assert names == {"args.yaml", "results.csv", "results.png"} | events | weights | panels
    assert hidden_leftovers(finished) == []


def test_args_yaml_is_the_recipe_with_its_circumstances(finished, tiles, store):
    assert load_recipe(finished / "args.yaml") == tiny()
    circumstances = yaml.safe_load((finished / "args.yaml").read_text())["run"]
    assert circumstances["data"] == str(tiles)
    assert circumstances["tiles"]["fingerprint"] == store.fingerprint
    assert circumstances["versions"]["torch"] == torch.__version__


def test_results_have_a_row_an_epoch(finished):
    results = run_files.read_results(finished)
    scores = ["psnr", "ssim", "psnr_seed", "detail", "outlines"]
    losses = ["loss_d", "loss_g", "loss_g_gan", "loss_g_l1"]
    assert list(results[0]) == ["epoch", "step", "learning_rate", *losses, *scores, "seconds", "images_per_s", "data_wait"]
    assert [(row["epoch"], row["step"]) for row in results] == [(1, 3), (2, 6), (3, 9), (4, 12), (5, 15)]
    for row in results:
        assert all(math.isfinite(value) for value in row.values())
        assert row["loss_g"] == pytest.approx(row["loss_g_gan"] + row["loss_g_l1"], rel=1e-5)
        assert row["psnr_seed"] == pytest.approx(row["psnr"] - 6.0206, abs=1e-4)
        assert row["images_per_s"] == pytest.approx(8 / row["seconds"])
        assert 0 <= row["data_wait"] < 1


def test_rows_of_an_older_version_keep_their_place_when_columns_are_added(tmp_path):
    run_files.append_result(tmp_path, {"epoch": 1, "step": 3, "psnr": 10.0})
    run_files.append_result(tmp_path, {"epoch": 2, "step": 6, "psnr": 11.0, "detail": 0.5})
    assert run_files.read_results(tmp_path) == [
        {"epoch": 1, "step": 3, "psnr": 10.0}, {"epoch": 2, "step": 6, "psnr": 11.0, "detail": 0.5},
    ]  # fmt: skip
    run_files.truncate_results(tmp_path, 1)
    assert run_files.read_results(tmp_path) == [{"epoch": 1, "step": 3, "psnr": 10.0}]


def test_curves_hold_the_rows_values_for_tensorboard(finished):
    points, results = curves(finished), run_files.read_results(finished)
    for name in ("loss_d", "loss_g", "loss_g_gan", "loss_g_l1", "psnr", "ssim", "psnr_seed", "detail", "outlines", "learning_rate"):
        assert points[f"epoch/{name}"] == [(row["step"], pytest.approx(row[name])) for row in results]
    assert [step for step, _ in points["train/loss_d"]] == [10]


def test_pictures_show_mask_generated_and_real(finished, store):
    with Image.open(finished / "panels" / "epoch00005.png") as file:
        picture = np.asarray(file)
    assert picture.shape == (4 * 32 + 3 * 4, 3 * 32 + 2 * 4, 3)
    centres = centre_batch(store, store.ids("val"), crop_px=32)
    generator = load_generator(finished)
    for row in range(4):
        mask, fake, real = (picture[row * 36 : row * 36 + 32, column * 36 : column * 36 + 32] for column in range(3))
        np.testing.assert_array_equal(mask, store.mask_rgb(centres.mask[row]))
        np.testing.assert_array_equal(real, centres.image[row])
        np.testing.assert_allclose(fake.astype(int), generator(centres.mask[row]), atol=2)
    with Image.open(finished / "results.png") as plot:
        assert plot.size == (1200, 900)


def test_the_scores_in_the_last_row_are_those_of_the_saved_generator(finished, store):
    generator = load_generator(finished)
    centres = centre_batch(store, store.ids("val"), crop_px=32)
    fakes = np.stack([generator(mask) for mask in centres.mask]).astype(float)
    mse = ((fakes - centres.image) ** 2).mean(axis=(1, 2, 3))
    row = run_files.read_results(finished)[-1]
    assert row["psnr"] == pytest.approx((10 * np.log10(255**2 / mse)).mean(), abs=0.02)


def test_best_is_the_epoch_with_the_highest_ssim(finished):
    results = run_files.read_results(finished)
    best = max(results, key=lambda row: row["ssim"])
    assert load_generator(finished / "weights" / "best").step == best["step"]
    assert load_generator(finished).step == results[-1]["step"]


def test_with_averaging_the_saved_generator_is_not_the_trained_one(finished):
    model, others = (load_file(finished / "weights/last" / f"{name}.safetensors") for name in ("model", "train"))
    assert others["averaged.count"] == 15
    assert not torch.equal(model["head.1.weight"], others["generator.head.1.weight"])


def test_runs_without_a_folder_are_numbered(tmp_path, monkeypatch, tiles):
    monkeypatch.chdir(tmp_path)
    one_epoch = tiny(epochs=1, decay_epochs=0)
    assert [str(train(one_epoch, tiles, quiet=True)) for _ in range(2)] == ["runs/tiny", "runs/tiny-2"]


# What the bits depend on


def test_the_same_seed_gives_the_same_bits_whatever_was_drawn_before_and_another_seed_others(finished, tiles, tmp_path):
    torch.manual_seed(99)
    same = train(tiny(), tiles, tmp_path / "same", quiet=True)
    assert largest_difference(same, finished) == 0
    assert rows(same) == rows(finished)
    other = train(tiny(seed=1), tiles, tmp_path / "other", quiet=True)
    assert largest_difference(other, finished) > 0.01


@pytest.mark.parametrize("seed", [2**24, 20261122, 2**63 - 1])
def test_a_seed_may_be_large(seed, store, batch):
    training = begun(tiny(seed=seed), store)
    assert all(math.isfinite(value) for value in train_step(training, batch).values())
    assert next(epoch_batches(training)).image.shape == (3, 32, 32, 3)


def test_validation_leaves_the_training_as_it_was(store, batch):
    training = begun(tiny(ema_decay=0.0), store)
    state = training.state
    train_step(training, batch)
    before = {name: tensor.clone() for name, tensor in (state.model_tensors() | state.train_tensors()).items()}
    validate(training)
    assert state.generator.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in (state.model_tensors() | state.train_tensors()).items())


def test_bf16_trains_in_bf16_and_saves_float32(tiles, store, batch, finished, tmp_path):
    seen = set()

    class Spy(nn.Conv2d):
        def forward(self, x):
            y = super().forward(x)
            seen.add(y.dtype)
            return y

    recipe = tiny(precision="bf16", epochs=1, decay_epochs=0)
    training = begun(recipe, store)
    training.state.generator.head[1].__class__ = Spy
    train_step(training, batch)
    assert seen == {torch.bfloat16}
    run = train(recipe, tiles, tmp_path / "run", quiet=True)
    tensors = load_file(run / "weights/last/model.safetensors")
    assert {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()} == {torch.float32}
    half, whole = (float(rows(folder)[0]["loss_g_l1"]) for folder in (run, finished))
    assert half != whole
    assert half == pytest.approx(whole, rel=0.05)


def test_the_discriminator_learns_from_its_own_update_alone(store, batch):
    training = begun(tiny(beta1=0.0), store)
    train_step(training, batch)
    state = training.state
    for parameter in state.discriminator.parameters():
        assert parameter.requires_grad
        assert torch.equal(parameter.grad, state.optimizer_d.state[parameter]["exp_avg"]), "the generator's update adds none"


def test_auto_precision_is_one_of_the_two():
    assert resolved_precision("auto") in ("bf16", "float32")
    assert resolved_precision("float32") == "float32"


# Learning


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_it_learns_where_the_roofs_are(norm, tiles, store, tmp_path):
    recipe = tiny(
        norm=norm, generator="resunet6", upsample="resize", generator_width=4, discriminator_width=4, batch_size=4, epochs=10,
        decay_epochs=4, crops_per_tile=2, ema_decay=0.8, panels_every=100, checkpoint_every=100,
    )  # fmt: skip
    run = train(recipe, tiles, tmp_path / "run", quiet=True)
    results = run_files.read_results(run)
    assert results[-1]["loss_g_l1"] < 0.6 * results[0]["loss_g_l1"]
    assert results[-1]["psnr"] > results[0]["psnr"] + 3
    generator = load_generator(run)
    correlations = []
    for tile_id in store.ids("val"):
        image, mask = store.tile(tile_id)
        brightness = generator(mask).mean(axis=-1)
        assert np.corrcoef(image.mean(axis=-1).ravel(), mask.ravel() > 0)[0, 1] > 0.5, "roofs are brighter in the data"
        correlations.append(np.corrcoef(brightness.ravel(), mask.ravel() > 0)[0, 1])
    print(f"{norm}: correlation of generated brightness with the mask {np.mean(correlations):.2f}")
    assert np.mean(correlations) > 0.7


def test_a_limit_on_memory_that_no_training_fits_in_is_said_before_it_begins(monkeypatch):
    resource = pytest.importorskip("resource")
    require_address_space()
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (2**20, 2**20))
    with pytest.raises(OutOfMemoryError, match=r"\(ulimit -v\) leaves 0 MB, and a training takes at least 512 MB"):
        new_fabric(None)
