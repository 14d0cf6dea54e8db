"""Gradient accumulation: a batch in parts gives the step of the whole batch."""

import math
from dataclasses import replace

import harness
import pytest
import torch
from harness import assert_same_run, begun, make_tiles, rows, small_s, tiny
from lightning_fabric import Fabric
from torch import nn

from orthoforge import run_files
from orthoforge.config import Recipe, load_recipe
from orthoforge.errors import ConfigError, OutOfMemoryError
from orthoforge.models.losses import oasis_generator
from orthoforge.models.noise import draw, drawn_for
from orthoforge.tiles.store import Batch, TileStore
from orthoforge.training import state as state_module
from orthoforge.training import step as step_module
from orthoforge.training import train
from orthoforge.training.accumulation import Shown, parts_of, unmoved
from orthoforge.training.batches import epoch_batches
from orthoforge.training.dry_run import dry_run
from orthoforge.training.fitting import require_fit
from orthoforge.training.hardware import memory_advice
from orthoforge.training.material import material_of
from orthoforge.training.step import read_figures, train_step

SMALL = {"tiles": "", "crop_px": 32, "generator_width": 2, "discriminator_width": 2, "precision": "float32"}
WHOLE_OF_8 = {"batch_size": 8, "crops_per_tile": 1}
NO_BATCH_NORM = {"norm": "group", "discriminator_norm": "group"}
RECIPES: dict[str, Recipe] = {
    "baseline": load_recipe("baseline", **SMALL | WHOLE_OF_8 | NO_BATCH_NORM),
    "orthoforge-s": load_recipe("orthoforge-s", **SMALL | WHOLE_OF_8),
    "orthoforge-xs": load_recipe("orthoforge-xs", **SMALL | WHOLE_OF_8),
    "orthoforge-material": load_recipe("orthoforge-material", canvases_per_tile=1, **SMALL | WHOLE_OF_8),
    "with identity": load_recipe("orthoforge-material", canvases_per_tile=1, lambda_identity=1.0, **SMALL | WHOLE_OF_8),
    "wgan-gp": tiny(gan_loss="wgan-gp", discriminator_norm="instance", norm="instance", batch_size=8),
    "generator alone": tiny(gan_loss="none", norm="group", batch_size=8),
    "perceptual": tiny(lambda_perceptual=10.0, perceptual_layers=("stem", "stage1"), batch_size=8, **NO_BATCH_NORM),
}


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    return make_tiles(tmp_path_factory.mktemp("accumulated"), size=64)


@pytest.fixture(scope="module")
def store(tiles):
    return TileStore.open(tiles)


@pytest.fixture(scope="module")
def canvases(tmp_path_factory):
    """A run folder where canvases are kept, for all recipes that refine them."""
    return tmp_path_factory.mktemp("canvases")


@pytest.fixture
def in_float64(monkeypatch):
    """Trainings compute in float64: in float32 a ReLU near its kink may fall to either side by rounding."""
    made_of, told = step_module.to_tensors, step_module.canvas_tensor
    monkeypatch.setattr(step_module, "to_tensors", lambda *words: tuple(each.double() for each in made_of(*words)))
    monkeypatch.setattr(step_module, "canvas_tensor", lambda *words, **more: _double(told(*words, **more)))
    load = state_module.load_features
    monkeypatch.setattr(state_module, "load_features", lambda *words, **more: load(*words, **more).double())
    monkeypatch.setattr(state_module, "folded", lambda network: network)  # it calls oneDNN, which knows no float64
    monkeypatch.setattr(harness, "new_fabric", lambda recipe: Fabric(accelerator="cpu", devices=1, precision="64-true"))
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def _double(tensor):
    return None if tensor is None else tensor.double()


def stepped(recipe, store, out, batch=None):
    """A training after its first step, and what that step recorded."""
    training = begun(recipe, store, out)
    if recipe.material:
        training = replace(training, material=material_of(training))
    train_step(training, batch or next(epoch_batches(training)))
    return training, read_figures(training)


def gradients(training):
    """What Adam keeps of each network's gradients after one step, by network and parameter."""
    found = {}
    for network, (module, optimizer) in training.state.trained.items():
        kept = 1 - optimizer.defaults["betas"][0]
        for name, parameter in module.named_parameters():
            found[f"{network}.{name}"] = optimizer.state[parameter]["exp_avg"] / kept
    return found


def assert_alike(one, other, rel):
    """Gradients that differ by no more than ``rel`` of each network's largest."""
    assert one.keys() == other.keys()
    for network in ("generator", "discriminator"):
        names = [name for name in one if name.startswith(network)]
        largest = max((float(one[name].abs().max()) for name in names), default=0.0)
        apart = max((float((one[name] - other[name]).abs().max()) for name in names), default=0.0)
        print(f"{network}: {apart / max(largest, 1e-30):.1e} of the largest gradient")
        assert apart <= rel * largest


@pytest.mark.parametrize(("name", "count"), [*((name, 3) for name in RECIPES), ("orthoforge-s", 8), ("with identity", 8)])
def test_a_batch_in_parts_gives_the_step_of_the_whole(name, count, store, canvases, in_float64):
    whole, losses = stepped(RECIPES[name], store, canvases)
    parts, losses_of_parts = stepped(replace(RECIPES[name], accumulate=count), store, canvases)
    assert losses_of_parts == pytest.approx(losses, rel=1e-6)
    assert_alike(gradients(whole), gradients(parts), 1e-6)
    assert parts.progress.updates == whole.progress.updates
    if whole.state.discriminator is not None:  # its spectral norms took as many power iterations
        kept, kept_by_parts = (dict(each.state.discriminator.named_buffers()) for each in (whole, parts))
        for buffer, value in kept.items():
            torch.testing.assert_close(kept_by_parts[buffer], value, rtol=1e-6, atol=1e-9)


def test_no_network_sees_more_than_a_part(store, tmp_path):
    seen = []
    training = begun(replace(RECIPES["orthoforge-s"], accumulate=3), store, tmp_path)
    for network in (training.state.generator, training.state.features, training.state.discriminator.heads[0]):
        network.register_forward_hook(lambda network, given, made: seen.append(len(given[0])))
    train_step(training, next(epoch_batches(training)))
    assert set(seen) == {2, 3}, "8 images in three parts"


def test_batch_norm_normalises_each_part_by_itself(store, tmp_path):
    """The one thing that is not the same. Where both parts are alike, it is."""
    recipe = tiny(batch_size=4, norm="batch", discriminator_norm="batch")
    few = next(epoch_batches(begun(recipe, store, tmp_path)))
    alike, others = (Batch(few.image[of], few.mask[of], few.tile_ids[of]) for of in ([0, 1, 0, 1], [0, 1, 2, 3]))
    apart = []
    for batch in (alike, others):
        (whole, _), (parts, _) = (stepped(replace(recipe, accumulate=count), store, tmp_path, batch) for count in (1, 2))
        one, other = gradients(whole), gradients(parts)
        apart.append(max(float((one[name] - other[name]).abs().max() / one[name].abs().max().clamp(min=1e-3)) for name in one))
    assert apart[0] < 1e-3 < 0.05 < apart[1]


def test_statistics_of_batch_norm_take_each_part_once(store, tmp_path):
    training, _ = stepped(tiny(batch_size=4, accumulate=2), store, tmp_path)
    counts = [int(norm.num_batches_tracked) for norm in training.state.generator.modules() if isinstance(norm, nn.BatchNorm2d)]
    assert set(counts) == {2}, "images are made twice in a step, of two parts"


def test_an_unmoved_network_keeps_its_statistics_and_normalises_as_ever():
    network = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 8, 3)), nn.BatchNorm2d(8))
    before = {name: value.clone() for name, value in network.named_buffers()}
    image = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    with unmoved(network):
        made = network(image)
    assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())
    assert abs(float(made.detach().mean())) < 1e-6, "normalised by what it was shown"
    network(image)
    assert not any(torch.equal(value, before[name]) for name, value in network.named_buffers())


def test_what_is_drawn_for_a_part_are_its_rows_of_what_is_drawn_for_the_batch():
    drawn = []
    for start, count in ((0, 5), (0, 2), (2, 3)):
        torch.manual_seed(3)
        with drawn_for(5, start, count, torch.device("cpu")):
            drawn.append([draw(law, torch.Size((count, 2, 4)), torch.device("cpu")) for law in (torch.rand, torch.randn)])
    torch.manual_seed(3)
    assert torch.equal(draw(torch.rand, torch.Size((5, 2, 4)), torch.device("cpu")), drawn[0][0])
    for whole, *parts in zip(*drawn, strict=True):
        assert torch.equal(torch.cat(parts), whole)


def test_parts_know_what_they_weigh():
    images = torch.zeros(8, 3, 4, 4)
    parts = parts_of(Shown(images, images, {"colours": images}, own=4, unchanged=2, canvas=None), 3)
    assert [len(part.shown) for part in parts] == [2, 3, 3]
    assert [(part.shown.own, part.shown.unchanged, part.shown.judged) for part in parts] == [(2, 2, 0), (2, 0, 3), (0, 0, 3)]
    assert [part.is_first_judged for part in parts] == [False, True, False]
    assert [part.shown.told["colours"].shape[0] for part in parts] == [2, 3, 3]
    for kind in ("own", "unchanged", "judged", "all"):
        assert sum(part.weight(kind) for part in parts) == pytest.approx(1)
    assert [part.weight("own") for part in parts] == [0.5, 0.5, 0]


def test_more_parts_than_images_are_not_made():
    images = torch.zeros(2, 3, 4, 4)
    few = Shown(images, images, {}, own=2, unchanged=0, canvas=None)
    assert [len(part.shown) for part in parts_of(few, 5)] == [1, 1]
    assert [part.is_all for part in parts_of(few.rows(0, 1), 5)] == [True]


def test_classes_of_oasis_weigh_by_what_they_cover_of_the_batch():
    classes = torch.zeros(2, 2, 2, 2)
    classes[0, 0], classes[1, 1] = 1, 1  # all ground, all building: each half of the batch
    logits = torch.zeros(2, 3, 2, 2)
    whole = oasis_generator(logits, classes)
    parts = [oasis_generator(logits[of], classes[of], classes) for of in (slice(0, 1), slice(1, 2))]
    assert float(sum(parts) / 2) == pytest.approx(float(whole)) == pytest.approx(math.log(3))
    assert float(oasis_generator(logits[:1], classes[:1] * 0.5, classes)) == pytest.approx(math.log(3) / 2), "not its own half"


def test_a_training_in_parts_that_is_resumed_is_one_that_was_not_stopped(tiles, tmp_path, monkeypatch):
    monkeypatch.setattr(run_files, "plot_results", lambda run: None)
    recipe = small_s(accumulate=2)
    one = train(recipe, tiles, tmp_path / "one", quiet=True)
    for _ in range(2):
        chain = train(recipe, tiles, tmp_path / "chain", resume=True, stop_after=1, quiet=True)
    assert_same_run(chain, one)
    assert "accumulate: 2\n" in (one / "args.yaml").read_text()
    whole = train(small_s(), tiles, tmp_path / "whole", quiet=True)
    first, of_first = ({name: float(text) for name, text in rows(run)[0].items()} for run in (one, whole))
    assert first == pytest.approx(of_first, rel=1e-3)
    # Rounding grows with each step, and scores of a few tiny images feel it first.
    later, of_later = (
        [{name: float(text) for name, text in row.items() if name.startswith("loss")} for row in rows(run)] for run in (one, whole)
    )
    assert len(later) == 2
    for losses, of_whole in zip(later, of_later, strict=True):
        assert losses == pytest.approx(of_whole, rel=2e-3)


def test_a_run_may_go_on_in_other_parts(tiles, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_files, "plot_results", lambda run: None)
    recipe = tiny(epochs=2, decay_epochs=0)
    train(recipe, tiles, tmp_path / "run", stop_after=1, quiet=True)
    run = train(replace(recipe, accumulate=3), tiles, tmp_path / "run", resume=True)
    assert "changed since the run began: accumulate: 1 → 3" in capsys.readouterr().out
    assert len(rows(run)) == 2


def test_gradients_that_are_not_finite_in_one_part_skip_the_step(store, tmp_path, monkeypatch):
    real, calls = step_module.l1, []

    def overflowing(fake, wanted):
        calls.append(len(fake))
        loss = real(fake, wanted)
        if len(calls) == 2:  # a loss that is finite, and a gradient that is not
            loss = loss + (0 * fake.sum()).sqrt()
        return loss

    monkeypatch.setattr(step_module, "l1", overflowing)
    training = begun(tiny(batch_size=4, accumulate=2), store, tmp_path)
    before = {name: value.clone() for name, value in training.state.generator.named_parameters()}
    train_step(training, next(epoch_batches(training)))
    read_figures(training)
    assert len(calls) == 2
    assert training.progress.skipped == 1
    assert training.progress.updates == {"discriminator": 1}
    assert all(torch.equal(value, before[name]) for name, value in training.state.generator.named_parameters())


def test_parts_that_a_batch_does_not_have_are_refused(store):
    with pytest.raises(ConfigError, match="accumulate is 4; a batch of 3 has 3 parts at most"):
        tiny(accumulate=4)
    with pytest.raises(ConfigError, match="accumulate is 3; each process has 2 crops of a batch"):
        require_fit(tiny(batch_size=4, accumulate=3), store, 2)


@pytest.mark.parametrize(
    ("changes", "processes", "advice"),
    [
        ({}, 1, "at batch_size 8, crop_px 32, generator_width 2. Try one of --accumulate 2, --batch-size 4, "),
        ({"accumulate": 2}, 1, "generator_width 2, accumulate 2. Try one of --accumulate 4, --batch-size 4,"),
        ({"accumulate": 8}, 1, "generator_width 2, accumulate 8. Try one of --generator-width 1."),
        ({"accumulate": 3}, 2, "accumulate 3. Try one of --accumulate 4, --batch-size 4,"),
        ({"accumulate": 4}, 2, "accumulate 4. Try one of --batch-size 4,"),
    ],
)
def test_out_of_memory_names_it_first(changes, processes, advice):
    with pytest.raises(OutOfMemoryError) as raised, memory_advice(tiny(batch_size=8, **changes), processes):
        raise MemoryError
    assert advice in str(raised.value)


def test_a_dry_run_names_it(tiles, tmp_path):
    lines = "\n".join(dry_run(tiny(), tiles, tmp_path / "run").lines())
    assert "lower with --accumulate N, which computes a batch of 3 in N parts" in lines
    lines = "\n".join(dry_run(tiny(accumulate=2), tiles, tmp_path / "run").lines())
    assert "each batch of 3 in 2 parts" in lines
