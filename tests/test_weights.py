"""Tensors of a file go into a network when each is what the network computes with."""

import json
import re
import time

import pytest
import torch

from orthoforge.checkpoint_files import load_checkpoint, save_checkpoint
from orthoforge.checkpoints import MODEL, STATE, state_bytes
from orthoforge.config import Recipe
from orthoforge.errors import CheckpointError
from orthoforge.networks import GENERATORS, new_generator
from orthoforge.trained_generator import load_generator
from orthoforge.weights import load_weights
from saved_runs import RECIPE, save_run

FIRST = next(iter(new_generator(RECIPE, None).state_dict()))
SPOILS = {
    "nan": (lambda t: t.view(-1).select(0, 0).fill_(float("nan")) is None or t, f"{FIRST} holds NaN or Inf"),
    "inf": (lambda t: t.view(-1).select(0, 1).fill_(-float("inf")) is None or t, f"{FIRST} holds NaN or Inf"),
    "float64": (lambda t: t.double(), f"{FIRST} is float32 in the network and float64 in the file"),
    "integers": (lambda t: t.to(torch.int8), f"{FIRST} is float32 in the network and int8 in the file"),
    "complex": (lambda t: t.to(torch.complex64), f"{FIRST} is float32 in the network and complex64 in the file"),
    "flat": (lambda t: t.reshape(-1), f"{FIRST} is "),
}


def respoil(folder, spoil):
    """The checkpoint again, with its first tensor spoilt and fitting checksums."""
    checkpoint = load_checkpoint(folder)
    model = checkpoint.model | {FIRST: spoil(checkpoint.model[FIRST].clone())}
    state = {name: value for name, value in checkpoint.state.recorded.items() if name not in ("format", "checksums")}
    save_checkpoint(folder, model=model, train=checkpoint.train, state=state)


@pytest.mark.parametrize("kind", SPOILS)
def test_weights_that_cannot_be_computed_with_are_refused_by_name(kind, tmp_path):
    spoil, message = SPOILS[kind]
    folder = save_run(tmp_path)
    respoil(folder, spoil)
    with pytest.raises(CheckpointError, match=re.escape(f"{folder / MODEL}: {message}")):
        load_generator(tmp_path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_are_taken(dtype, tmp_path):
    respoil(save_run(tmp_path), lambda t: t.to(dtype))
    weight = load_generator(tmp_path).network.state_dict()[FIRST]
    assert weight.dtype == torch.float32 and torch.equal(weight, weight.to(dtype).float())


def test_a_variance_below_0_is_refused_and_the_network_unchanged():
    network = torch.nn.BatchNorm2d(2)
    spoilt = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    spoilt["weight"].fill_(7)
    spoilt["running_var"][1] = -1
    with pytest.raises(CheckpointError, match=r"it: running_var is below 0"):
        load_weights(network, spoilt, "it")
    assert network.weight.tolist() == [1, 1]


@pytest.mark.parametrize("name", GENERATORS)
def test_a_recipe_of_absurd_width_is_refused_without_taking_its_memory(name, tmp_path):
    folder = save_run(tmp_path, Recipe(name="small", generator=name, generator_width=4, crop_px=512))
    body = json.loads((folder / STATE).read_bytes())
    body["recipe"]["generator_width"] = 4096  # its weights would take 10 GB and more
    del body["sha256"]
    (folder / STATE).write_bytes(state_bytes(body))
    began = time.monotonic()
    with pytest.raises(CheckpointError, match=r"model\.safetensors: .* in the network and \(.*in the file"):
        load_generator(tmp_path)
    assert time.monotonic() - began < 5
