"""Between pixels and networks: masks to conditions, bytes to [-1, 1] and back."""

import torch
import torch.nn.functional as F
from torch import Tensor

# A binary mask is repeated to as many channels as a picture has, as the seed did: parameter counts depend on it.
BINARY_CHANNELS = 3


def condition_channels(class_count: int | None) -> int:
    """Channels of the condition for a binary mask (``None``) or one of ``class_count`` classes."""
    return BINARY_CHANNELS if class_count is None else class_count


def encode_mask(mask: Tensor, class_count: int | None) -> Tensor:
    """Mask (N, H, W) uint8 to a condition (N, C, H, W) float in [-1, 1].

    Binary masks (0 and 255) are repeated; classes (0 … ``class_count`` − 1) become one channel each, 1 inside and −1 outside.
    """
    if class_count is None:
        return (mask.float() / 127.5 - 1).unsqueeze(1).repeat(1, BINARY_CHANNELS, 1, 1)
    return F.one_hot(mask.long(), class_count).permute(0, 3, 1, 2).float() * 2 - 1


def class_maps(condition: Tensor, class_count: int | None) -> Tensor:
    """Condition (N, C, H, W) to a map of each class, (N, classes, H, W) in [0, 1]: of a binary mask background and building."""
    maps = (condition + 1) / 2
    return maps if class_count is not None else torch.cat([1 - maps[:, :1], maps[:, :1]], dim=1)


def encode_image(image: Tensor) -> Tensor:
    """Image (N, H, W, B) uint8 to (N, B, H, W) float in [-1, 1]."""
    return image.permute(0, 3, 1, 2).float() / 127.5 - 1


def encode_canvas(canvas: Tensor) -> Tensor:
    """Canvas (N, H, W, B) uint8 to (N, B, H, W): what a last tanh makes that canvas of again."""
    return torch.atanh(encode_image(canvas).clamp(-0.98, 0.98))


def decode_image(image: Tensor) -> Tensor:
    """Image (N, B, H, W) float in [-1, 1] to (N, H, W, B) uint8, rounded."""
    return ((image.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
