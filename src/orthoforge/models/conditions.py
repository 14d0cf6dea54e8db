"""Between pixels and networks: masks to conditions, bytes to [-1, 1] and back; what a mask may hold, and its sides."""

import numpy as np
import torch
from torch import Tensor

from orthoforge.errors import DataError

# A binary mask is repeated to as many channels as a picture has, as the seed did: parameter counts depend on it.
BINARY_CHANNELS = 3


def condition_channels(class_count: int | None) -> int:
    """Channels of the condition for a binary mask (``None``) or one of ``class_count`` classes."""
    return BINARY_CHANNELS if class_count is None else class_count


def mask_values(mask: np.ndarray, class_count: int | None) -> np.ndarray:
    """Values (H, W) uint8 of a mask: 0 and 255 of buildings (``class_count`` is ``None``), or indices of classes.

    ``DataError`` for another shape, type or value.
    """
    if mask.ndim != 2 or 0 in mask.shape:
        raise DataError(f"a mask has shape (height, width); this one has {mask.shape}.")
    if mask.dtype.kind not in "bui":
        raise DataError(f"a mask is bool or holds whole numbers; this one is {mask.dtype}.")
    if class_count is None:
        values = np.unique(mask)
        if not set(values.tolist()) <= {0, 1, 255}:
            raise DataError(f"a building mask holds 0 and 1, or 0 and 255; this one also has {values[-2:].tolist()}.")
        return np.where(mask > 0, np.uint8(255), np.uint8(0))
    for found in (mask.min(), mask.max()):
        if not 0 <= found < class_count:
            raise DataError(f"this run knows {class_count} classes (0 to {class_count - 1}); the mask has {found}.")
    return mask.astype(np.uint8)


def pad_to_stride(masks: np.ndarray, stride: int, least: int) -> np.ndarray:
    """Grow (N, H, W, …) at the far edges to multiples of the stride, ``least`` px at least.

    By reflection; with edge pixels where there is too little to reflect.
    """
    sides = masks.shape[1:3]
    grow = [(0, max(least, -(-side // stride) * stride) - side) for side in sides]
    if not any(after for _, after in grow):
        return masks
    reflects = all(after < side for (_, after), side in zip(grow, sides, strict=True))
    return np.pad(masks, [(0, 0), *grow, *[(0, 0)] * (masks.ndim - 3)], mode="reflect" if reflects else "edge")


def encode_mask(mask: Tensor, class_count: int | None) -> Tensor:
    """Mask (N, H, W) uint8 to a condition (N, C, H, W) float in [-1, 1].

    Binary masks (0 and 255) are repeated; classes (0 … ``class_count`` − 1) become one channel each, 1 inside and −1 outside.
    """
    if class_count is None:
        return (mask.float() / 127.5 - 1).unsqueeze(1).repeat(1, BINARY_CHANNELS, 1, 1)
    return (mask[..., None] == torch.arange(class_count, device=mask.device)).permute(0, 3, 1, 2).float() * 2 - 1


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
