"""Files of LPIPS' published format, with random weights."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from orthoforge.measures.realism import lpips


def write_lpips(folder: Path, network: str) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, str]]:
    """Write both files; returns what they hold, and the SHA-256 of each by name."""
    torch.manual_seed(0)
    kind, features = lpips.KINDS[network], lpips._alexnet() if network == "alexnet" else lpips._vgg16()
    linear = {f"lin{n}.model.1.weight": torch.rand(1, c, 1, 1) for n, c in enumerate(kind.channels)}
    tensors = {f"features.{name}": tensor for name, tensor in features.state_dict().items()}
    tensors |= {"classifier.6.weight": torch.zeros(1000, 4)}  # is there in the file, and nobody looks at it
    torch.save(linear, folder / kind.linear_file)
    torch.save(tensors, folder / kind.network_file)
    files = (kind.linear_file, kind.network_file)
    return linear, tensors, {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files}
