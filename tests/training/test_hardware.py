"""Switches of the hardware: how GPUs multiply, and compilation."""

import json
from dataclasses import replace

import pytest
import torch
from harness import assert_same_run, begun, largest_difference, make_tiles, small_s, tiny
from safetensors.torch import load_file

from orthoforge import run_files
from orthoforge.errors import ConfigError
from orthoforge.tiles.store import TileStore
from orthoforge.training import hardware, session, train
from orthoforge.training import state as state_module
from orthoforge.training.batches import epoch_batches
from orthoforge.training.hardware import arithmetic_of, require_compiler, resolved_precision
from orthoforge.training.step import read_figures, train_step

SHORT = tiny(epochs=2, decay_epochs=0, batch_size=4, discriminator_layers=1)


# torch.compile looks at tensors where it stops and begins again, and warns of what it does there itself.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf Tensor")


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    return make_tiles(tmp_path_factory.mktemp("hardware"))


@pytest.fixture
def traced(monkeypatch):
    """Networks are traced as torch.compile does it, and then computed by PyTorch's own operations: no compiler is needed."""
    compiled = []

    def by_tracing(network):
        compiled.append(type(network).__name__)
        return torch.compile(network, dynamic=False, backend="eager")

    monkeypatch.setattr(state_module, "compiled", by_tracing)
    monkeypatch.setattr(session, "require_compiler", lambda device: None)
    monkeypatch.setattr(run_files, "plot_results", lambda run: None)
    yield compiled
    torch._dynamo.reset()


def switches():
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark


@pytest.mark.parametrize(
    ("precision", "wanted"), [("float32", (False, False, True)), ("tf32", (True, True, True)), ("bf16", (True, True, True))]
)
def test_gpus_multiply_as_the_precision_says_within_a_training_alone(precision, wanted):
    before = switches()
    with arithmetic_of(tiny(precision=precision)):
        assert switches() == wanted
    assert switches() == before
    with pytest.raises(KeyError), arithmetic_of(tiny(precision=precision)):
        raise KeyError
    assert switches() == before


def test_a_training_sets_them(tiles, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(session, "_train", lambda training, **_: seen.append(switches()))
    train(tiny(precision="float32"), tiles, tmp_path / "run", quiet=True)
    assert seen == [(False, False, True)]


def test_tf32_is_refused_where_nothing_computes_in_it(monkeypatch, tiles, tmp_path):
    with pytest.raises(ConfigError, match="precision is tf32, which NVIDIA GPUs from Ampere on compute in; cpu does not"):
        train(tiny(precision="tf32"), tiles, tmp_path / "run", device="cpu")
    monkeypatch.setattr(hardware, "chosen_device", lambda name: "cuda")
    for capability, is_one in (((9, 0), True), ((8, 0), True), ((7, 5), False)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda found=capability: found)
        if is_one:
            assert resolved_precision("tf32") == "tf32"
        else:
            with pytest.raises(ConfigError, match="Choose auto, bf16 or float32"):
                resolved_precision("tf32")


def test_where_nothing_can_be_compiled_a_training_is_refused_before_it_begins(monkeypatch, tiles, tmp_path):
    def failing(network):
        raise RuntimeError("\nNo working C++ compiler found in: ('no-such-g++',)\nmore of it")

    monkeypatch.setattr(hardware, "compiled", failing)
    with pytest.raises(ConfigError) as raised:
        train(replace(SHORT, compile=True), tiles, tmp_path / "run", quiet=True)
    assert "--compile cannot work here: torch.compile needs a C++ compiler" in str(raised.value)
    assert "No working C++ compiler found in: ('no-such-g++',) Install it, or leave --compile out." in str(raised.value)
    assert not (tmp_path / "run" / "weights").exists()
    with pytest.raises(ConfigError, match="needs Triton"):
        require_compiler(torch.device("meta"))


def test_a_compiled_training_is_resumed_to_the_bit_and_saves_plain_networks(traced, tiles, tmp_path, monkeypatch):
    recipe = replace(SHORT, compile=True)
    one = train(recipe, tiles, tmp_path / "one", quiet=True)
    assert len(traced) == 2
    for _ in range(2):
        chain = train(recipe, tiles, tmp_path / "chain", resume=True, stop_after=1, quiet=True)
    assert_same_run(chain, one)
    assert "compile: true\n" in (one / "args.yaml").read_text()
    assert json.loads((one / "weights/last/state.json").read_text())["recipe"]["compile"] is True
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)  # own gradients are for networks that are not
    plain = train(SHORT, tiles, tmp_path / "plain", quiet=True)
    assert largest_difference(one, plain) == 0, "the same names, and by the same operations the same bits"
    assert load_file(one / "weights/last/model.safetensors").keys() == load_file(plain / "weights/last/model.safetensors").keys()


def test_a_run_goes_on_uncompiled_where_it_is_told_to(traced, tiles, tmp_path, capsys):
    run = train(replace(SHORT, compile=True), tiles, tmp_path / "run", stop_after=1)
    assert "compiling the networks: the first steps take minutes" in capsys.readouterr().out
    train(SHORT, tiles, run, resume=True)
    said = capsys.readouterr().out
    assert "changed since the run began: compile: True → False" in said and "compiling" not in said


def test_what_is_compiled_of_networks_with_styles_computes_the_same(traced, tiles, tmp_path):
    store, found = TileStore.open(tiles), []
    for is_compiled in (False, True):
        training = begun(small_s(compile=is_compiled), store, tmp_path / "run")
        train_step(training, next(epoch_batches(training)))
        found.append(read_figures(training))
    assert traced == ["FeatureNetwork", "ModulatedGenerator"], "not the heads of spectral norm"
    assert found[1] == pytest.approx(found[0], rel=1e-4)


def test_networks_that_are_compiled_learn_in_parts_as_well(traced, tiles, tmp_path):
    store = TileStore.open(tiles)
    recipe = replace(SHORT, norm="group", discriminator_norm="group")
    found = []
    for accumulate in (1, 2):
        training = begun(replace(recipe, compile=True, accumulate=accumulate), store, tmp_path / "run")
        train_step(training, next(epoch_batches(training)))
        found.append(read_figures(training))
    assert found[1] == pytest.approx(found[0], rel=1e-4)
