"""Tensors of a file into a network, after a look at each: its name, shape and type, and whether its values can be computed with."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from orthoforge.errors import CheckpointError

_NEVER_BELOW_0 = ("running_var", "exp_avg_sq", "step", "count")  # variances, and how often something was done
_HALVES = (torch.float16, torch.bfloat16)  # what pretrained folders are written in, and float32 takes without loss


def load_weights(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copy ``tensors`` into ``network``. ``CheckpointError`` as ``require_fitting`` raises it; the network is unchanged then."""
    require_fitting(network.state_dict(), tensors, source)
    network.load_state_dict(dict(tensors))


def require_fitting(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], source: str) -> None:
    """``CheckpointError`` with the first tensor that is missing, left over, of another shape or type, or not finite.

    ``own`` is the state dict that they are for. One on the meta device takes no memory, whatever a file says of its size.
    """
    if "colour_weight" in own and "styles.codes" in tensors and "colour_weight" not in tensors:
        raise CheckpointError(f"{source}: is of a version of orthoforge that told the ground no colours. Train it again.")
    for name in [*own, *tensors]:
        if name not in tensors or name not in own:
            raise CheckpointError(
                f"{source}: {name} is {'missing from' if name in own else 'only in'} the file; the recipes differ."
            )
    convolutions = [name for name, tensor in own.items() if tensor.dim() == 4 and name.endswith(".weight")]
    sees_mask = next((name for name in convolutions if not name.startswith("style_encoder.")), "")
    for name, tensor in own.items():
        if name == sees_mask and tensor.dim() == tensors[name].dim() and tensor.shape[1] != tensors[name].shape[1]:
            what = f"{name} is {tuple(tensor.shape)} in the network and {tuple(tensors[name].shape)} in the file"
            raise CheckpointError(
                f"{source}: generator expects {tensor.shape[1]} mask channels, file has {tensors[name].shape[1]} ({what})."
            )
        require_like(name, tensor, tensors[name], source)


def require_like(name: str, own: Tensor, tensor: Tensor, source: str) -> None:
    """``CheckpointError`` when a ``tensor`` of a file cannot take the place of ``own``."""
    if own.shape != tensor.shape:
        raise CheckpointError(f"{source}: {name} is {tuple(own.shape)} in the network and {tuple(tensor.shape)} in the file.")
    if tensor.dtype != own.dtype and not (own.dtype == torch.float32 and tensor.dtype in _HALVES):
        raise CheckpointError(f"{source}: {name} is {_kind(own)} in the network and {_kind(tensor)} in the file.")
    if not bool(torch.isfinite(tensor).all()):
        raise CheckpointError(f"{source}: {name} holds NaN or Inf. Take another checkpoint, or train it again.")
    if name.endswith(_NEVER_BELOW_0) and bool((tensor < 0).any()):
        raise CheckpointError(f"{source}: {name} is below 0. Take another checkpoint, or train it again.")


def require_each_once(payload: bytes, path: Path) -> None:
    """``CheckpointError`` for a header that names a tensor twice: which of them is meant, every reader decides for itself."""
    length = int.from_bytes(payload[:8], "little")
    names: list[str] = json.loads(payload[8 : 8 + length], object_pairs_hook=lambda pairs: [name for name, _ in pairs])
    if len(set(names)) < len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise CheckpointError(f"{path}: names {twice!r} twice. Other software wrote or changed it; take another checkpoint.")


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
