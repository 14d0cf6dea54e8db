"""The style of a reference image: its code, and where its mask is known the colours of its own roofs and ground."""

import numpy as np
import torch

from orthoforge.errors import ConfigError, DataError
from orthoforge.models.conditions import encode_image, encode_mask, mask_values
from orthoforge.models.generator import Generator
from orthoforge.models.remembering import style_of_tiles
from orthoforge.models.styles import LEAST_REFERENCE_PX, Style


def style_of_image(network: Generator, image: np.ndarray, mask: np.ndarray | None, *, bands: int, class_count: int | None) -> Style:
    """The style of an image (H, W, B) uint8, one for all that is made in it.

    ``mask`` (H, W) says where its buildings are: then roofs and ground have the colours that they have in the image. Without it
    they have those of the look in the bank whose code is nearest. Raises ``DataError`` for an array that is no image, or a mask of
    another size, type or value, ``ConfigError`` for a mask with a network that is told no colours.
    """
    is_image = image.ndim == 3 and image.shape[2] == bands and image.dtype == np.uint8
    if not is_image or min(image.shape[:2]) < LEAST_REFERENCE_PX:
        raise DataError(
            f"a reference image is uint8 of shape (height, width, {bands}), {LEAST_REFERENCE_PX} px or more; this one "
            f"is {image.dtype} {image.shape}."
        )
    bank, encoder = network.styles, network.style_encoder
    assert bank is not None and encoder is not None
    whole = np.ascontiguousarray(image[None])
    with torch.inference_mode():
        code = encoder(encode_image(torch.from_numpy(whole)).to(bank.codes.device))
    if mask is None:
        return bank.like(code)
    if network.refines or network.colours is None or network.building is None:
        raise ConfigError(
            "a mask of the reference image says which of its colours are roofs, and this network is told none. Leave the mask out; "
            "to a generator with material give tiles of the image (with_material)."
        )
    values = mask_values(np.asarray(mask), class_count)
    if values.shape != image.shape[:2]:
        raise DataError(
            f"the mask of a reference image is {values.shape}, the image {image.shape[:2]}. Bring it to the same pixels."
        )
    condition = encode_mask(torch.from_numpy(np.ascontiguousarray(values[None])), class_count)
    # Which of many roofs are kept is a function of place alone: the same image is the same style each time.
    own = style_of_tiles(network, whole, condition, middle_px=min(image.shape[:2]), seeds=[0])
    return Style(code, own.roofs.to(bank.roofs), own.ground.to(bank.ground))
