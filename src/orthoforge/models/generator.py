"""What every generator says of itself and how it is asked, so that nobody outside this room needs to know which one it is."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from orthoforge.models.colours import Colours
from orthoforge.models.noise import NoiseField, place_noise
from orthoforge.models.roofs import Buildings
from orthoforge.models.styles import StyleBank, StyleEncoder

_IN_AND_OUT_BYTES = 48  # a pixel: condition and image as float32, what is made of them, and bytes


class Shown(NamedTuple):
    """What a generator is shown of a batch in training: beside the condition ``told``, by the names that ``forward`` has for it.

    The first ``own`` images are to be those of the batch; the others are like none of them.
    """

    own: int
    told: dict[str, Tensor]


class Generator(nn.Module):
    """A network from masks to images: condition (N, C, H, W) in [-1, 1] to image (N, B, H, W) in [-1, 1].

    One that is a function of the condition alone needs no more than what is here and a ``forward``. ``styles``, ``style_encoder``
    and ``colours`` are ``None`` in it.
    """

    stride: int
    """What the sides of the condition must be multiples of, in pixels."""
    least_px: int
    """What they must be at least."""
    reach: int
    """How many pixels beside an output pixel it looks at, norms aside."""
    width: int
    """Channels at full resolution."""
    peak_maps: float
    """Peak of a forward pass, in float32 feature maps of full resolution and first-layer width (bench/generation.py)."""
    peak_bytes = 0
    """And what any size takes."""
    refines = False
    """Whether it is told a canvas (``conditions.encode_canvas``), of which it makes a picture."""
    styles: StyleBank | None
    style_encoder: StyleEncoder | None
    colours: Colours | None

    def __init__(self) -> None:
        super().__init__()
        self.styles = self.style_encoder = self.colours = None

    @property
    def follows_buildings(self) -> bool:
        """Whether it has to be told which pixels of a mask are one building."""
        return False

    @property
    def building(self) -> int | None:
        """The condition's channel of buildings, for one that follows them; ``None`` where no class is building."""
        return None

    def around(self, part: slice) -> slice:
        """The rows or columns of a condition that ``made`` looks at for a part of them; the last may lie beyond its end.

        All of them, where what is made of a pixel depends on the border or on the whole image.
        """
        return slice(0, None)

    def made(
        self, condition: Tensor, rows: slice, cols: slice, field: NoiseField, *, told: Tensor | None, place: int | None
    ) -> Tensor:
        """The image (1, B, h, w) of these ``rows`` and ``cols`` of a condition (1, C, H, W).

        ``field`` begins at the condition's first pixel. ``told`` is of one that follows buildings: which entry of its palette
        each pixel's has, (1, H, W) uint8, or the canvas (1, H, W, B) uint8 that it refines. ``place`` is whose style it has; with
        ``None`` that of the bank.
        """
        image: Tensor = self(condition)
        return image[..., rows, cols]

    def made_together(
        self, conditions: Tensor, fields: Sequence[NoiseField], *, told: Tensor | None, places: Sequence[int | None]
    ) -> Tensor:
        """Images (N, B, H, W) of whole conditions (N, C, H, W) in one pass, each that of its own (``made``) to within rounding.

        A field and a place for each; ``told`` as ``made`` has it, of all.
        """
        place_noise(self, *fields)
        return self(conditions)

    def shown(self, condition: Tensor, real: Tensor, canvas: Tensor | None, buildings: Buildings | None = None) -> Shown:
        """What it is shown in training of a batch with real images (N, B, H, W), and encoded canvases where it refines them.

        ``buildings`` are those of the masks, for one that follows them and refines no canvas; else it looks for them itself.
        """
        return Shown(len(real), {})

    def memory_bytes(self, height: int, width: int) -> int:
        """About how much memory an image of this size takes to generate in one piece."""
        per_pixel = self.peak_maps * 4 * self.width + _IN_AND_OUT_BYTES
        return self.peak_bytes + round(per_pixel * (height + 16) * (width + 16))
