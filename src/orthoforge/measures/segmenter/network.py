"""The segmenter's network and loss, from MONAI. Import it where it is used: MONAI takes seconds to import."""

from typing import Any

import torch
from monai.losses import DiceCELoss
from monai.networks.blocks import ADN, BaseEncoder, Convolution
from monai.networks.nets import FLEXUNET_BACKBONE, FlexibleUNet
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from orthoforge.models.features.efficientnet import EfficientNetLite0
from orthoforge.models.features.folding import folded
from orthoforge.models.features.weights import read_weights

_NETWORK = "efficientnet-lite0"
# Which stages of the network end at a half, a quarter, … a thirty-second of the resolution, and their channels.
_STAGES = (("stem", "stage1"), ("stage2",), ("stage3",), ("stage4", "stage5"), ("stage6", "stage7"))
_CHANNELS = (16, 24, 40, 112, 320)


class LiteEncoder(nn.Module, BaseEncoder):
    """EfficientNet-Lite0 without its head, as MONAI's ``FlexibleUNet`` takes encoders. ``pretrained``: the package's weights."""

    def __init__(self, spatial_dims: int = 2, in_channels: int = 3, pretrained: bool = True) -> None:
        super().__init__()
        assert (spatial_dims, in_channels) == (2, 3), (spatial_dims, in_channels)
        network = EfficientNetLite0()
        if pretrained:
            tensors, _ = read_weights(_NETWORK, None, "", wanted=network.state_dict(), logits=True)
            network.load_state_dict(tensors)
        steps = network.steps()
        self.stages = nn.ModuleList(nn.Sequential(*(steps[name] for name in names)) for names in _STAGES)

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = [images]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]

    @classmethod
    def get_encoder_parameters(cls) -> list[dict[str, Any]]:
        return [{"spatial_dims": 2, "in_channels": 3, "pretrained": True}]

    @classmethod
    def num_channels_per_output(cls) -> list[tuple[int, ...]]:
        return [_CHANNELS]

    @classmethod
    def num_outputs(cls) -> list[int]:
        return [len(_CHANNELS)]

    @classmethod
    def get_encoder_names(cls) -> list[str]:
        return [_NETWORK]


FLEXUNET_BACKBONE.register_class(LiteEncoder)


class SegmenterNetwork(nn.Module):
    """Images (N, 3, H, W) in [-1, 1] to logits (N, 1 or K, H, W); sides are multiples of 32."""

    def __init__(self, class_count: int | None, *, width: int, pretrained: bool) -> None:
        super().__init__()
        decoder = (8 * width, 4 * width, 2 * width, width, width)
        outputs = class_count or 1
        self.unet = FlexibleUNet(3, outputs, _NETWORK, pretrained=pretrained, decoder_channels=decoder, is_pad=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.unet(images)

    def deepest(self, images: Tensor) -> Tensor:
        """The encoder's last output (N, 320, H/32, W/32)."""
        return self.unet.encoder(images)[-1]


def segmenter_network(class_count: int | None, *, width: int, pretrained: bool) -> SegmenterNetwork:
    """A network for building masks (``None``) or ``class_count`` classes, of ``width`` channels at full resolution."""
    return SegmenterNetwork(class_count, width=width, pretrained=pretrained)


def folded_segmenter(network: nn.Module) -> nn.Module:
    """A copy for looking only, with the same values to rounding: batch norms are part of the convolutions before them."""
    network = folded(network)
    for module in network.modules():
        if isinstance(module, Convolution) and isinstance(after := module.adn, ADN) and isinstance(after.N, nn.BatchNorm2d):
            assert isinstance(module.conv, nn.Conv2d)
            module.conv, after.N = fuse_conv_bn_eval(module.conv, after.N), nn.Identity()
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def segmenter_loss(class_count: int | None) -> nn.Module:
    """Dice plus cross entropy of logits (N, 1 or K, H, W) and targets (N, 1, H, W): 0 and 1, or class indices.

    Dice is that of the whole batch: of a crop without any building it would be nearly 1 whatever the network says.
    """
    if class_count is None:
        return DiceCELoss(sigmoid=True, batch=True)
    return DiceCELoss(softmax=True, to_onehot_y=True, batch=True)
