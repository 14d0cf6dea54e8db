"""LPIPS itself, from files that the user has: a perceptual distance whose channels weigh what they weighed to people.

Zhang et al. 2018, eq. 1, version 0.1 of their weights: images are scaled, five layers of AlexNet or VGG16 are taken, the vectors of
each place scaled to length 1, squared differences weighed by channel and summed, averaged over places, and summed over layers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from orthoforge.errors import CheckpointError, ConfigError
from orthoforge.files import sha256_of
from orthoforge.models.features.weights import read_tensors

# Mean and deviation of their training images, on values in [-1, 1].
_MEAN, _DEVIATION = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_ABOVE_ZERO = 1e-10  # of a vector's length


@dataclass(frozen=True)
class _Kind:
    """A network that LPIPS was published for: its files with their SHA-256, its layers' channels, the least side of an image."""

    linear_file: str
    linear_sha256: str
    network_file: str
    network_sha256: str
    channels: tuple[int, ...]
    least_px: int


KINDS = {
    "alexnet": _Kind(
        "alex.pth", "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
        "alexnet-owt-7be5be79.pth", "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        (64, 192, 384, 256, 256), 31,
    ),
    "vgg16": _Kind(
        "vgg.pth", "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
        "vgg16-397923af.pth", "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        (64, 128, 256, 512, 512), 16,
    ),
}  # fmt: skip


class Lpips:
    """``lpips(fake, real)``: distances (N,) of images (N, 3, H, W) in [-1, 1], 0 when equal. Made by ``load_lpips``.

    ``network`` is ``alexnet`` or ``vgg16``, ``weights_sha256`` that of both files.
    """

    def __init__(
        self, network: str, slices: Sequence[nn.Module], weights: Sequence[Tensor], sha256: Mapping[str, str], device: str
    ):
        self.network, self.weights_sha256, self.least_px = network, dict(sha256), KINDS[network].least_px
        self._slices = [part.to(device).eval().requires_grad_(False) for part in slices]
        self._weights = [weight.to(device) for weight in weights]  # (C,) each
        self._mean, self._deviation = (torch.tensor(values, device=device).view(3, 1, 1) for values in (_MEAN, _DEVIATION))

    def __call__(self, fake: Tensor, real: Tensor) -> Tensor:
        distance = torch.zeros(len(fake), device=fake.device)
        with torch.inference_mode():
            x = (torch.cat([fake, real]) - self._mean) / self._deviation
            for part, weight in zip(self._slices, self._weights, strict=True):
                x = part(x)
                unit = x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + _ABOVE_ZERO)
                squares = (unit[: len(fake)] - unit[len(fake) :]).square()  # (N, C, H', W')
                distance = distance + torch.einsum("nchw,c->nhw", squares, weight).mean(dim=(1, 2))
        return distance

    def circumstances(self) -> dict[str, str]:
        """For a report, plain."""
        return {
            "network": f"LPIPS 0.1, {self.network}", "layer": "five layers, weighed by channel", "resizing": "none",
            "weights_sha256": ", ".join(self.weights_sha256.values()),
        }  # fmt: skip


def load_lpips(folder: Path, *, sha256: Mapping[str, str] | None = None, device: str = "cpu") -> Lpips:
    """LPIPS from the two files in ``folder``: ``alex.pth`` and ``alexnet-owt-7be5be79.pth``, or ``vgg.pth`` and
    ``vgg16-397923af.pth``. With all four it is AlexNet's, which its authors recommend for comparing images.

    ``sha256`` is, by file name, for weights of your own. Raises ``ConfigError`` when a file is not there or another one,
    ``CheckpointError`` for one that is damaged or does not fit.
    """
    folder, expected = Path(folder), sha256 or {}
    network = _network_of(folder)
    kind = KINDS[network]
    found = {}
    for name, published in ((kind.linear_file, kind.linear_sha256), (kind.network_file, kind.network_sha256)):
        found[name] = sha256_of(folder / name)
        if not found[name].startswith(expected.get(name, published).lower()):
            raise ConfigError(
                f"{folder / name} ({(folder / name).stat().st_size / 1e6:.3g} MB): its SHA-256 is {found[name]} and not the "
                f"published file's, {published}. It is another file, or was cut short on its way; fetch it again."
            )
    linear, tensors = read_tensors(folder / kind.linear_file), read_tensors(folder / kind.network_file)
    names = [f"lin{number}.model.1.weight" for number in range(len(kind.channels))]
    _require(folder / kind.linear_file, linear, {n: (1, c, 1, 1) for n, c in zip(names, kind.channels, strict=True)})
    features = _alexnet() if network == "alexnet" else _vgg16()
    wanted = {f"features.{name}": tuple(tensor.shape) for name, tensor in features.state_dict().items()}
    convolutions = {name: tensor for name, tensor in tensors.items() if not name.startswith("classifier.")}
    _require(folder / kind.network_file, convolutions, wanted)
    features.load_state_dict({name.removeprefix("features."): tensor.float() for name, tensor in convolutions.items()})
    return Lpips(network, _slices(features, network), [linear[name].float().flatten() for name in names], found, device)


def _network_of(folder: Path) -> str:
    for network, kind in KINDS.items():
        if (folder / kind.linear_file).is_file() and (folder / kind.network_file).is_file():
            return network
    pairs = " or ".join(f"`{kind.linear_file}` and `{kind.network_file}`" for kind in KINDS.values())
    raise ConfigError(
        f"{folder}: LPIPS needs {pairs} there. The first of a pair comes with the lpips package (lpips/weights/v0.1), the second "
        "is torchvision's file of the network. Without --lpips a perceptual distance without learnt weights is computed."
    )


def _require(path: Path, tensors: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]]) -> None:
    for name in [*wanted, *tensors]:
        if name not in tensors or name not in wanted:
            whose = "missing" if name not in tensors else "unknown here"
            raise CheckpointError(f"{path}: {name} is {whose}; these are another network's weights.")
        if tuple(tensors[name].shape) != wanted[name]:
            raise CheckpointError(f"{path}: {name} is {tuple(tensors[name].shape)}, not {wanted[name]}.")
        if not torch.isfinite(tensors[name]).all():
            raise CheckpointError(f"{path}: {name} holds NaN or Inf.")


def _alexnet() -> nn.Sequential:
    """Krizhevsky 2014's convolutions, numbered as torchvision's."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
    )  # fmt: skip


def _vgg16() -> nn.Sequential:
    """The convolutions of Simonyan & Zisserman 2015, configuration D, numbered as torchvision's."""
    steps: list[nn.Module] = []
    inside = 3
    for block, (outside, convolutions) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))):
        steps += [nn.MaxPool2d(2)] if block else []
        for _ in range(convolutions):
            steps += [nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU()]
            inside = outside
    return nn.Sequential(*steps)


def _slices(features: nn.Sequential, network: str) -> list[nn.Sequential]:
    """The network in five parts; each ends with a layer that is compared: the last ReLU before a pooling, of AlexNet every ReLU."""
    steps = list(features)
    ends = [
        index + 1
        for index, step in enumerate(steps)
        if isinstance(step, nn.ReLU) and (network == "alexnet" or isinstance([*steps, nn.MaxPool2d(2)][index + 1], nn.MaxPool2d))
    ]
    return [nn.Sequential(*steps[begin:end]) for begin, end in zip([0, *ends], ends, strict=False)]
