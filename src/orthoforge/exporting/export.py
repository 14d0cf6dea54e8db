"""`export`: a trained generator as one file in ONNX, OpenVINO or TorchScript, which needs nothing of ours to be run."""

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from orthoforge.backends.graph import Graph, onnx_bytes, traced
from orthoforge.backends.inputs import STYLE_CODE
from orthoforge.checkpoints import checkpoint_folder
from orthoforge.errors import ConfigError
from orthoforge.exporting.described import KEY, as_json, described, licence_of
from orthoforge.exporting.int8 import quantised
from orthoforge.files import new_file, require_place
from orthoforge.masks.classes import class_count
from orthoforge.models.conditions import condition_channels
from orthoforge.models.noise import NoiseField, place_noise
from orthoforge.models.styles import Style
from orthoforge.runs import Run
from orthoforge.trained_generator import TrainedGenerator
from orthoforge.trained_generator.told import place_of

Kind = Literal["onnx", "openvino", "torch"]
SUFFIXES: dict[Kind, str] = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt"}
_NEEDS: dict[Kind, tuple[str, ...]] = {"onnx": ("onnx",), "openvino": ("onnx", "openvino"), "torch": ()}
_INT8_NEEDS = ("onnxruntime",)


def export(
    run: str | Path | TrainedGenerator,
    out: str | Path,
    *,
    to: Kind = "onnx",
    style: str | None = None,
    seed: int | None = None,
    size: int | None = None,
    int8: str | Path | None = None,
    licence: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the generator of a run as one file for other programs. Returns ``out``.

    ``to`` is ``onnx`` (``.onnx``), ``openvino`` (``.xml``, with its weights in a ``.bin`` beside) or ``torch`` (TorchScript,
    ``.pt``). The file is a function from its inputs to an image (N, B, H, W) in [-1, 1], both float32. It holds neither a
    discriminator nor any network of ImageNet. What its inputs are and how they are made is in its metadata, as JSON under
    ``orthoforge``, with classes, pixel size, looks of all places, licence, attribution and the checksum of the weights.
    ``examples/run_exported.py`` runs an ONNX file with ONNX Runtime and NumPy alone.

    Inputs are ``condition``, of any size; of networks with styles ``code`` and ``colours``, too; and the noise of each layer. Roofs
    and ground of ``orthoforge-material`` are composed outside and are given as ``colours``. ``style`` fixes the look to that of a
    place. ``seed`` fixes noise and look; noise that is fixed has one ``size``, the side of the masks in pixels.

    ``int8`` are prepared tiles. The weights and maps of an ONNX file then have eight bits; their ranges are those that training
    tiles have. It is refused where the kernel distance to the tiles that were not trained on grows by more than the interval of
    the float network's.

    Raises:
        ConfigError: a suffix that does not fit, a style or size that cannot be, the extra ``export`` is missing, or int8 loses too
            much.
        CheckpointError: there is no such run, or its weights are damaged.
        OutputExistsError: the file exists and ``overwrite`` is false.

    Examples:
        >>> from orthoforge import export
        >>> export("orthoforge-s", "generator.onnx").name
        'generator.onnx'
    """
    out = Path(out)
    _require_possible(out, to, seed, size, int8)
    generator = run if isinstance(run, TrainedGenerator) else Run.open(run).generator("cpu")
    if licence is None:
        licence = "" if isinstance(run, TrainedGenerator) else licence_of(checkpoint_folder(Path(run)))
    if not licence:
        print("warning: no licence is known of these weights; the file says so. Give one with --licence.", file=sys.stderr)
    generator = generator.on_backend("torch").to("cpu")
    if style is not None:
        generator = generator.with_style(style)
    if size is not None and (size % generator.stride_px or size < generator.network.least_px):
        raise ConfigError(
            f"size is {size}; {generator.recipe.name} takes multiples of {generator.stride_px} px from "
            f"{generator.network.least_px} px on."
        )
    require_place(out)
    look = _look(generator, seed or 0) if seed is not None or style is not None else None
    graph = _graph(generator, look, seed, size)
    told = described(
        generator, graph, licence=licence or "unknown", size_px=size, seed=seed, style=style or "", look=look,
        precision="int8" if int8 is not None else "float32",
    )  # fmt: skip
    if to == "torch":
        with new_file(out, overwrite=overwrite) as partial:
            torch.jit.save(traced(graph), str(partial), _extra_files={f"{KEY}.json": as_json(told)})
        return out
    model = onnx_bytes(graph, any_size=size is None)
    if int8 is not None:
        model = quantised(model, generator, graph.noise, int8)
    _WRITERS[to](model, as_json(told), out, overwrite)
    return out


def _require_possible(out: Path, to: Kind, seed: int | None, size: int | None, int8: str | Path | None) -> None:
    if to not in SUFFIXES:
        raise ConfigError(f"no format {to!r}; there are {', '.join(SUFFIXES)}.")
    if out.suffix.lower() != SUFFIXES[to]:
        raise ConfigError(f"{out}: files for {to} end in {SUFFIXES[to]}. Name it so, or choose another --to.")
    if seed is not None and size is None:
        raise ConfigError("a seed fixes the noise, which is a map of one size: give --size too, or leave --seed out.")
    if int8 is not None and to != "onnx":
        raise ConfigError("int8 is for --to onnx, whose file OpenVINO reads as well.")
    needed = (*_NEEDS[to], *(_INT8_NEEDS if int8 is not None else ()))
    if missing := [name for name in needed if find_spec(name) is None]:
        raise ConfigError(f"--to {to} needs {' and '.join(missing)}. Install the extra: pip install 'orthoforge[export]'")


def _look(generator: TrainedGenerator, seed: int) -> Style | None:
    """The look that the seed chooses, as it does for an image."""
    network = generator.network
    if network.styles is None:
        return None
    place_noise(network, NoiseField(seed))
    return network.styles(1, place_of(network.styles, seed, len(generator.styles)) if network.refines else None)


def _graph(generator: TrainedGenerator, look: Style | None, seed: int | None, size: int | None) -> Graph:
    """The network, with what is fixed as constants."""
    network, of = generator.network, generator.saved
    make = partial(Graph, network, channels=condition_channels(class_count(of.classes)), bands=of.bands, side_px=size)
    fixed: dict[str, Tensor] = {} if look is None else {STYLE_CODE: look.code.clone()}
    if seed is not None:
        assert size is not None
        fixed |= {layer.name: layer.drawn((NoiseField(seed),), size, size) for layer in make().noise}
    return make(fixed=fixed)


def _write_onnx(model: bytes, told: str, out: Path, overwrite: bool) -> None:
    import onnx

    graph = onnx.load_from_string(model)
    onnx.helper.set_model_props(graph, {KEY: told})
    onnx.checker.check_model(graph)
    with new_file(out, overwrite=overwrite) as partial:
        partial.write_bytes(graph.SerializeToString())


def _write_openvino(model: bytes, told: str, out: Path, overwrite: bool) -> None:
    """Weights first: who finds the ``.xml`` finds them too."""
    import openvino

    graph = openvino.Core().read_model(model)
    graph.set_rt_info(told, [KEY])
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".openvino-") as folder:
        written = Path(folder) / out.name
        openvino.save_model(graph, written, compress_to_fp16=False)
        for path in (written.with_suffix(".bin"), written):
            with new_file(out.with_suffix(path.suffix), overwrite=overwrite) as partial:
                partial.write_bytes(path.read_bytes())


_WRITERS: dict[str, Callable[[bytes, str, Path, bool], None]] = {"onnx": _write_onnx, "openvino": _write_openvino}
