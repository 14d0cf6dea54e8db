"""The perceptual loss: how far apart two images are for a network that learned to recognise what ImageNet shows."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orthoforge.bands import band_views
from orthoforge.errors import ConfigError
from orthoforge.models.features.efficientnet import EfficientNetLite0
from orthoforge.models.features.layers import PERCEPTUAL_LAYERS, require_layers
from orthoforge.models.features.vgg import VGG19
from orthoforge.models.features.weights import read_weights

__all__ = ["PERCEPTUAL_LAYERS", "FeatureNetwork", "load_features", "perceptual_l1"]

_NETWORKS: dict[str, type[VGG19] | type[EfficientNetLite0]] = {"vgg19": VGG19, "efficientnet-lite0": EfficientNetLite0}
# Mean and deviation by which images in [0, 1] were normalised when the public weights were trained.
_SEEN_IN_TRAINING = {
    "vgg19": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "efficientnet-lite0": ((127 / 255,) * 3, (128 / 255,) * 3),  # the Lite networks saw (value - 127) / 128 of 8 bits
}


class FeatureNetwork(nn.Module):
    """Images (N, B, H, W) in [-1, 1] to the outputs of ``layers`` of ``network``, in that order.

    Of other than three bands it looks at several threes, ``bands.band_views``, and its channels are those of all of them.

    Made by ``load_features``. Its parameters take no gradient, and it stays in evaluation mode whatever it becomes part of;
    gradients pass through it to the images. Nothing beyond the deepest of ``layers`` is kept or computed.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        network: str,
        layers: Sequence[str],
        steps: Mapping[str, nn.Module],
        *,
        normalize: bool,
        weights_sha256: str,
        bands: int = 3,
    ) -> None:
        super().__init__()
        self.network = network
        self.layers = tuple(layers)
        self.normalize = normalize
        self.weights_sha256 = weights_sha256
        self.bands, self.views = bands, band_views(bands)
        names = list(steps)
        self.steps = nn.ModuleDict({name: steps[name] for name in names[: 1 + max(map(names.index, layers))]})
        for name, following in itertools.pairwise(self.steps):
            if name in layers and isinstance(activation := self.steps[following], nn.ReLU):
                activation.inplace = False  # it would write over what is asked for
        self.smallest_px = 2 ** sum(isinstance(step, nn.MaxPool2d) for step in self.steps.values())
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in _SEEN_IN_TRAINING[network])
        # (x + 1) / 2 lies in [0, 1], and (… - mean) / std is what the network saw.
        self.register_buffer("scale", 0.5 / std, persistent=False)
        self.register_buffer("shift", (0.5 - mean) / std, persistent=False)
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> "FeatureNetwork":
        """Stay in evaluation mode, whatever ``mode``."""
        return super().train(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, C, H', W') of each layer; ``logits`` are (N, 1000). ``ConfigError`` when the images are too small for the layers."""
        if min(images.shape[2:]) < self.smallest_px:
            raise ConfigError(
                f"images of {images.shape[3]}×{images.shape[2]} px are too small for {self.network}'s {', '.join(self.layers)}; "
                f"{self.smallest_px} px are needed. Train on larger crops, or compare lower layers."
            )
        if self.bands != 3:
            images = torch.cat([images[:, view] for view in self.views])  # (V·N, 3, H, W)
        x = images * self.scale + self.shift if self.normalize else images
        outputs = {}
        for name, step in self.steps.items():
            x = step(x)
            if name in self.layers:
                outputs[name] = torch.cat(x.chunk(len(self.views)), dim=1) if len(self.views) > 1 else x
        return [outputs[layer] for layer in self.layers]

    @property
    def channels(self) -> list[int]:
        """Channels of each layer."""
        with torch.no_grad():
            looked_at = torch.zeros(1, self.bands, 64, 64, device=self.scale.device)
            return [output.shape[1] for output in self(looked_at)]

    def embed(self, images: Tensor) -> list[Tensor]:
        """(N, C) of each layer: its mean over the places of an image."""
        return [output.mean(dim=(2, 3)) if output.dim() == 4 else output for output in self(images)]


def perceptual_l1(features: FeatureNetwork, fake: Tensor, real: Tensor) -> Tensor:
    """``feature_l1`` of two images. ``real`` gets no gradient."""
    with torch.no_grad():
        wanted = features(real)
    return feature_l1(features(fake), wanted)


def feature_l1(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Sum over the layers of the mean absolute difference between the features of both images, each layer with weight 1.

    Johnson et al. 2016 (eq. 2) with absolute in place of squared differences, as Wang et al. 2018 (pix2pixHD) have it. The seed
    compared one layer, ``relu5_4``, of images that were not normalised.
    """
    # In float32: under autocast features come in bf16, whose mean would have three digits.
    return torch.stack([F.l1_loss(seen.float(), target.float()) for seen, target in zip(fake, real, strict=True)]).sum()


def load_features(
    network: str, layers: Sequence[str], *, weights: Path | None = None, sha256: str = "", normalize: bool = True, bands: int = 3
) -> FeatureNetwork:
    """``layers`` of ``network`` (both as in ``PERCEPTUAL_LAYERS``) with ImageNet weights, for images of so many ``bands``, on the
    CPU, channels last.

    ``weights`` is a state dict in PyTorch's format or safetensors. Left out, VGG19's is looked for where torch hub keeps files, and
    EfficientNet-Lite0's is the installed one; nothing is downloaded. The file may lack the classifier unless ``logits`` are asked
    for. ``sha256`` is the file's, all 64 digits or at least the first 8; left out, the published file's. With ``normalize`` images
    are scaled as the network saw them in its training; otherwise it sees them in [-1, 1].

    Raises ``ConfigError`` when a layer is unknown, or the file is not there or another one, ``CheckpointError`` when the file is
    damaged or its tensors do not fit.
    """
    require_layers(network, layers)
    with torch.device("meta"):  # initial weights would take seconds, and 600 MB
        module = _NETWORKS[network]()
    tensors, digest = read_weights(network, weights, sha256, wanted=module.state_dict(), logits="logits" in layers)
    module.load_state_dict(tensors, strict=False, assign=True)  # without a classifier, its parameters stay on meta and are dropped
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return FeatureNetwork(network, layers, module.steps(), normalize=normalize, weights_sha256=digest, bands=bands)
