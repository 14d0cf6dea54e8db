"""VGG19 as published: how many parameters, under which names."""

import torch
from torch import nn

from orthoforge.models.features.layers import PERCEPTUAL_LAYERS
from orthoforge.models.features.vgg import VGG19


def whole() -> VGG19:
    with torch.device("meta"):
        return VGG19()


def test_parameters_are_as_many_as_published():
    network = whole()
    assert sum(parameter.numel() for parameter in network.features.parameters()) == 20_024_384
    assert sum(parameter.numel() for parameter in network.parameters()) == 143_667_240


def test_names_and_shapes_are_torchvisions():
    state = {name: tuple(tensor.shape) for name, tensor in whole().state_dict().items()}
    convolutions = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]
    names = [f"features.{number}" for number in convolutions] + [f"classifier.{number}" for number in (0, 3, 6)]
    assert list(state) == [f"{name}.{part}" for name in names for part in ("weight", "bias")]
    assert state["features.0.weight"] == (64, 3, 3, 3)
    assert state["features.34.weight"] == (512, 512, 3, 3)
    assert state["classifier.0.weight"] == (4096, 25088)
    assert state["classifier.6.bias"] == (1000,)


def test_steps_carry_the_names_that_a_recipe_may_use():
    steps = whole().steps()
    assert [name for name in steps if not name.startswith("pool")] == list(PERCEPTUAL_LAYERS["vgg19"])
    for name, step in steps.items():
        assert name == "logits" or isinstance(step, {"conv": nn.Conv2d, "relu": nn.ReLU, "pool": nn.MaxPool2d}[name[:4]])
