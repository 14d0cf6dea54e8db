"""Named networks that turn images into the vectors that realism and memorisation are measured in, and a perceptual distance.

A figure means something only beside the network, its layer, its weights and the resizing; ``ScoreNetwork`` carries them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orthoforge.errors import CheckpointError, ConfigError
from orthoforge.files import sha256_of
from orthoforge.measures.realism.geoembed import CHANNELS as GEOEMBED_CHANNELS
from orthoforge.measures.realism.geoembed import SIDE_M, SIDE_PX, embedded, load_geoembed
from orthoforge.measures.realism.inception import CHANNELS as INCEPTION_CHANNELS
from orthoforge.measures.realism.inception import InceptionV3
from orthoforge.models.features.folding import folded
from orthoforge.models.features.weights import read_tensors
from orthoforge.models.perceptual import load_features

# More take longer an image: what the first layers make of them does not stay in the cache.
BATCH = 4
# The classifier's input, as Inception's in the usual distances. It is the mean of a ReLU6; layers without a bound have outliers
# whose cube in the kernel distance drowns everything else (docs/decisions/scores.md).
LITE_LAYER = "head"
# One layer of each resolution, from a half to a thirty-second: what Zhang et al. 2018 take of other networks.
PERCEPTUAL_LAYERS = ("stem", "stage2", "stage3", "stage5", "stage7")
INCEPTION_FILE = "pt_inception-2015-12-05-6726825d.pth"
INCEPTION_SHA256 = "6726825d"
INCEPTION_PX = 299


@dataclass(frozen=True)
class ScoreNetwork:
    """A network that sets of images are looked at through, with what must be said beside every figure that comes out of it.

    ``embed`` takes images (N, 3, H, W), float32 in [-1, 1], and returns vectors (N, ``channels``). Any network can be one.

    Examples:
        >>> import torch
        >>> from orthoforge import ScoreNetwork
        >>> mean_colour = ScoreNetwork("mean colour", "none", "", "none", 3, lambda images: images.mean((2, 3)))
        >>> mean_colour.embed(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 3])
    """

    name: str
    layer: str
    weights_sha256: str
    resizing: str
    channels: int
    embed: Callable[[Tensor], Tensor]

    def circumstances(self) -> dict[str, str]:
        """For a report, plain."""
        return {"network": self.name, "layer": self.layer, "weights_sha256": self.weights_sha256, "resizing": self.resizing}


class LiteFeatures:
    """EfficientNet-Lite0's layers for the perceptual distance, and its vector for sets of images, in one pass."""

    layers = PERCEPTUAL_LAYERS

    def __init__(self, device: str = "cpu") -> None:
        features = load_features("efficientnet-lite0", (*PERCEPTUAL_LAYERS, LITE_LAYER))
        self.weights_sha256 = features.weights_sha256
        self._features = folded(features).to(device)

    def __call__(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Maps of ``PERCEPTUAL_LAYERS``, and vectors (N, 1280), of images (N, 3, H, W) in [-1, 1]."""
        with torch.inference_mode():
            *maps, last = self._features(images.contiguous(memory_format=torch.channels_last))
            return maps, last.mean(dim=(2, 3))

    def network(self) -> ScoreNetwork:
        """Its vectors alone."""
        return ScoreNetwork(
            "efficientnet-lite0",
            f"{LITE_LAYER}, mean over places",
            self.weights_sha256,
            "none",
            1280,
            lambda images: self(images)[1],
        )

    def circumstances(self) -> dict[str, str]:
        """Of the perceptual distance, plain."""
        layers = ", ".join(self.layers)
        return {"network": "efficientnet-lite0", "layer": layers, "weights_sha256": self.weights_sha256, "resizing": "none"}


def perceptual_distance(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """Distance (N,) of images by their maps of some layers, each (N, C, H, W): 0 when equal, at most 4.

    Zhang et al. 2018, eq. 1 without learnt weights: vectors of each place are scaled to length 1, squared differences summed over
    channels, averaged over places, then over layers. Their LPIPS weighs channels by what people saw; figures do not compare.
    """
    terms = []
    for a, b in zip(first, second, strict=True):
        a, b = (maps / (torch.linalg.vector_norm(maps, dim=1, keepdim=True) + 1e-10) for maps in (a, b))
        terms.append(a.sub_(b).square_().sum(dim=1).mean(dim=(1, 2)))
    return torch.stack(terms).mean(dim=0)


def open_network(
    name: str, *, weights: Path | None = None, sha256: str = "", device: str = "cpu", gsd_m: float | None = None
) -> ScoreNetwork:
    """A network by name: ``efficientnet-lite0`` (installed), ``geoembed`` (of the package of that name, where it is installed) or
    ``inception-v3`` (a file that you have). Nothing is downloaded.

    ``weights`` is the file of ``inception-v3``, looked for where torch hub keeps files when left out, or of ``geoembed``.
    ``sha256`` is for weights of your own for ``inception-v3``. ``gsd_m`` (metres a pixel of the images) is for ``geoembed``, which
    looks at pieces of one size on the ground. Raises ``ConfigError`` for an unknown name, a file that is not there or another one,
    ``CheckpointError`` for one that is damaged or does not fit.
    """
    if name not in NETWORKS:
        *some, last = NETWORKS
        raise ConfigError(f"unknown feature network `{name}`; there are {', '.join(some)} and {last}.")
    return NETWORKS[name](weights, sha256, device, gsd_m)


def clean_resize(images: Tensor, side_px: int) -> Tensor:
    """Images (N, C, H, W) in [-1, 1] at ``side_px``, as Parmar et al. 2022 (clean-fid) resize.

    Bicubic with antialiasing, on the values themselves without rounding, clipped to what 8 bits can hold.
    """
    if images.shape[2:] == (side_px, side_px):
        return images
    return F.interpolate(images, size=(side_px, side_px), mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)


def _open_lite(weights: Path | None, sha256: str, device: str, _gsd_m: float | None) -> ScoreNetwork:
    if weights is not None or sha256:
        raise ConfigError("the weights of efficientnet-lite0 are the installed ones. Leave --weights out, or name inception-v3.")
    return LiteFeatures(device).network()


def _open_geoembed(weights: Path | None, sha256: str, device: str, gsd_m: float | None) -> ScoreNetwork:
    if sha256:
        raise ConfigError("the weights of geoembed are the published ones; leave sha256 out.")
    network, digest = load_geoembed(weights)
    network.to(device)
    scale = "pixels taken for the network's own" if gsd_m is None else f"at {gsd_m:.3g} m a pixel"
    resizing = f"pieces of some {SIDE_M:.0f} m ({scale}) at {SIDE_PX} px, bilinear with antialiasing"
    layer = "output, mean over pieces, of length √256"
    return ScoreNetwork("geoembed", layer, digest, resizing, GEOEMBED_CHANNELS, lambda images: embedded(network, images, gsd_m))


def _open_inception(weights: Path | None, sha256: str, device: str, _gsd_m: float | None) -> ScoreNetwork:
    path = Path(weights) if weights else Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE
    digest = _require_sha256(path, sha256 or INCEPTION_SHA256)
    with torch.device("meta"):
        module = InceptionV3()
    module.load_state_dict(_fitting(path, module.state_dict()), strict=False, assign=True)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):  # some writers leave this counter out; nothing here reads it
            layer.num_batches_tracked = torch.zeros((), dtype=torch.long)
    module.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def embed(images: Tensor) -> Tensor:
        with torch.inference_mode():
            return module(clean_resize(images, INCEPTION_PX).contiguous(memory_format=torch.channels_last))

    resizing = f"{INCEPTION_PX} px, bicubic with antialiasing, unrounded (as clean-fid)"
    return ScoreNetwork("inception-v3", "mean before the classifier", digest, resizing, INCEPTION_CHANNELS, embed)


# A name, and what opens it: (weights, their SHA-256, device, metres a pixel of the images).
NETWORKS: dict[str, Callable[[Path | None, str, str, float | None], ScoreNetwork]] = {
    "efficientnet-lite0": _open_lite,
    "geoembed": _open_geoembed,
    "inception-v3": _open_inception,
}


def _require_sha256(path: Path, expected: str) -> str:
    """The file's SHA-256, once it begins with ``expected``."""
    where = (
        f"Fetch `{INCEPTION_FILE}` (96 MB, the weights of pytorch-fid) and name it with --weights, or put it there. "
        "The default network, efficientnet-lite0, needs no file."
    )
    if not path.is_file():
        raise ConfigError(f"{path}: the weights of inception-v3 are not there. {where}")
    digest = sha256_of(path)
    if not digest.startswith(expected.lower()):
        raise ConfigError(
            f"{path} ({path.stat().st_size / 1e6:.1f} MB): its SHA-256 is {digest} and does not begin with {expected}. "
            f"It is another file, or was cut short on its way, and its figures would compare with nobody's. {where}"
        )
    return digest


def _fitting(path: Path, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file, all that are ``wanted`` and none that is not."""
    state = read_tensors(path)
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}
    for name in [*wanted, *state]:
        if name in counters:
            continue
        if name not in state or name not in wanted:
            whose = "missing" if name not in state else "unknown to inception-v3"
            raise CheckpointError(f"{path}: {name} is {whose}; these are another network's weights.")
        if state[name].shape != wanted[name].shape:
            raise CheckpointError(f"{path}: {name} is {tuple(state[name].shape)}, not {tuple(wanted[name].shape)}.")
        if not torch.isfinite(state[name]).all():
            raise CheckpointError(f"{path}: {name} holds NaN or Inf.")
    return {name: tensor.float() for name, tensor in state.items() if name not in counters}
