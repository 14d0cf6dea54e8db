"""Which device ``auto`` is, and what is said of it: with GPUs that are not here."""

import logging
from types import SimpleNamespace

import pytest
import torch

from orthoforge.cli.options import said_device
from orthoforge.config import load_recipe
from orthoforge.devices import chosen_device, chosen_devices, device_words
from orthoforge.errors import ConfigError
from orthoforge.training.hardware import new_fabric, resolved_precision


@pytest.fixture
def machine(monkeypatch):
    """Sets which GPUs torch sees."""

    def with_gpus(*kinds):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in kinds)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in kinds)

    return with_gpus


@pytest.mark.parametrize(("gpus", "chosen"), [((), "cpu"), (("mps",), "mps"), (("cuda",), "cuda"), (("cuda", "mps"), "cuda")])
def test_auto_is_a_gpu_where_there_is_one(machine, gpus, chosen):
    machine(*gpus)
    assert chosen_device("auto") == chosen


def test_a_named_device_is_that_one_or_an_error(machine):
    machine("cuda")
    assert chosen_device("cpu") == "cpu"
    with pytest.raises(ConfigError, match="Choose auto or cpu"):
        chosen_device("abacus")
    with pytest.raises(ConfigError, match="cuda:7"):
        chosen_devices("cpu,cuda:7")


def test_precision_is_that_of_the_device_that_is_chosen(machine, monkeypatch):
    machine("cuda")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    assert resolved_precision("auto") == resolved_precision("auto", "auto") == "bf16"
    machine("mps")
    assert resolved_precision("auto", "auto") == "float32"
    assert resolved_precision("bf16", "mps") == "bf16", "what a recipe names is not changed"


def test_nothing_is_said_before_the_first_line_of_a_training(capfd):
    new_fabric(load_recipe("tiny", precision="bf16"))
    assert not logging.getLogger("lightning_fabric.utilities.rank_zero").isEnabledFor(logging.INFO)
    assert capfd.readouterr() == ("", "")


def test_the_device_is_said_in_words(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(name="Big GPU", total_memory=80e9))
    assert device_words("cuda:1") == "cuda:1, Big GPU, 80.0 GB"
    assert device_words("mps") == "mps, Apple's GPU"


def test_commands_say_it_first_on_stderr(machine, capsys, monkeypatch):
    machine()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert said_device("auto") == "cpu"
    assert capsys.readouterr() == ("", "device: cpu, 2 threads\n")
