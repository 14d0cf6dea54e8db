"""Between two logged steps nothing waits for what a GPU computes."""

import threading

import pytest
import torch
from harness import begun, make_tiles, small_s, tiny
from host_waits import counted

from orthoforge.config import load_recipe
from orthoforge.devices import freed_memory_kept
from orthoforge.errors import DataError
from orthoforge.tiles.store import TileStore
from orthoforge.training import loop
from orthoforge.training.batches import ahead, epoch_batches
from orthoforge.training.hardware import new_fabric
from orthoforge.training.material import material_of
from orthoforge.training.state import TrainingState
from orthoforge.training.step import read_figures, train_step
from orthoforge.training.training import Training


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    return make_tiles(tmp_path_factory.mktemp("waits"))


def small(name):
    """A recipe of the package with networks of a few channels."""
    if name == "baseline":
        return load_recipe(name, crop_px=32, batch_size=3, generator_width=2, discriminator_width=2, precision="float32")
    if name == "orthoforge-s":
        return small_s()
    changes = {"tiles": "", "crop_px": 32, "generator_width": 2, "discriminator_width": 2, "batch_size": 5, "canvases_per_tile": 1}
    return load_recipe(name, precision="float32", lambda_identity=1.0, **changes)


def trained(recipe, tiles, out):
    store, fabric = TileStore.open(tiles), new_fabric(recipe)
    training = Training(fabric, recipe, store, TrainingState(fabric, recipe, store), out)
    if recipe.material:
        training = Training(fabric, recipe, store, training.state, out, material=material_of(training))
    return training


@pytest.mark.parametrize("name", ["baseline", "orthoforge-s", "orthoforge-material"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_step_asks_nothing_of_the_device(name, precision, tiles, tmp_path):
    recipe = small(name)
    training = trained(type(recipe)(**vars(recipe) | {"precision": precision}), tiles, tmp_path / "run")
    batches = epoch_batches(training)
    train_step(training, next(batches))  # the first one makes the optimizers' moments
    batch = next(batches)
    with counted() as waits:
        train_step(training, batch)
    assert not waits
    with counted() as waits:
        figures = read_figures(training)
    assert waits == {"Tensor.tolist": 1}, "one reading for both steps"
    assert {"loss_g", "loss_d"} <= figures.keys()


@pytest.mark.parametrize(
    ("asks", "name"),
    [
        (lambda x: bool(x.isfinite().all()), "Tensor.__bool__"),
        (lambda x: x[x > 0], "index by a mask"),
        (lambda x: x.unique(), "_unique2"),
        (lambda x: x.max().item(), "Tensor.item"),
        (lambda x: torch.tensor([1.0, 2.0]) * x, "torch.tensor"),
        (lambda x: torch.equal(x, x), "equal"),
        (lambda x: x.to("meta"), "_to_copy between devices"),
    ],
)
def test_what_is_asked_is_counted(asks, name):
    with counted() as waits:
        asks(torch.rand(2))
    assert waits[name] == 1


def test_a_training_reads_its_steps_at_the_logged_ones_and_at_the_end_of_an_epoch(tiles, tmp_path, monkeypatch):
    read, inner = [], loop.read_figures
    monkeypatch.setattr(loop, "STEPS_BETWEEN_CURVE_POINTS", 4)
    monkeypatch.setattr(loop, "STEPS_OF_THE_ESTIMATE", 0)
    monkeypatch.setattr(loop, "read_figures", lambda training: read.append(training.progress.step) or inner(training))
    training = begun(tiny(crops_per_tile=2), TileStore.open(tiles), tmp_path / "run")
    epochs = loop._Epochs(training, None)
    assert epochs.take_steps()
    assert read == [4, 6]
    assert training.progress.updates == {"discriminator": 6, "generator": 6}


def test_batches_are_cut_beside_the_steps_and_come_in_their_order():
    began, asked = threading.Event(), []

    def cut():
        for number in range(3):
            asked.append(number)
            if number == 1:
                began.set()
            yield number

    batches = ahead(cut())
    assert next(batches)[0] == 0
    assert began.wait(5), "the second one is cut while the first is used"
    assert [batch for batch, _ in batches] == [1, 2]
    assert asked == [0, 1, 2]


def test_a_batch_that_cannot_be_cut_says_so():
    def cut():
        yield 0
        raise DataError("damaged")

    batches = ahead(cut())
    next(batches)
    with pytest.raises(DataError, match="damaged"):
        next(batches)


def test_freed_memory_is_kept_in_a_training_and_given_back_after_it():
    with freed_memory_kept():
        assert torch.zeros(2**22).sum() == 0
    assert torch.zeros(2**22).sum() == 0
