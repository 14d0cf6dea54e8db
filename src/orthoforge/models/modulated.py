"""A generator whose every layer is steered by the mask beside it, by a style of the whole image, and by noise.

It keeps to three rules. Nothing is normalised over the image, only over the channels of one pixel: a scene can be generated window
by window without gathering statistics, and an empty mask is not blown up. Noise is a function of place. Widths grow as the maps
shrink, so that full resolution, where a processor spends its time, stays thin.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orthoforge.models.colours import Colours
from orthoforge.models.conditions import encode_canvas
from orthoforge.models.convolving import conv2d
from orthoforge.models.generator import Generator, Shown
from orthoforge.models.layers import ResizeConv2d, reflected
from orthoforge.models.modulating import SLOPE, modulated, modulated_plainly, noised
from orthoforge.models.narrowing import Narrowing, Part, Place, cut
from orthoforge.models.noise import NoiseField, draw, place_noise
from orthoforge.models.roofs import Buildings
from orthoforge.models.styles import CODE, Style, StyleBank, StyleEncoder

STRIDE = 16
MARGIN = 16
WIDTHS = (1, 2, 4, 8, 12)  # channels at full resolution, a half … a sixteenth, in widths of the network
BLOCKS = (0, 0, 2, 2, 2)  # residual blocks of the decoder at each resolution
# Stem and head see one pixel further, a step from or to the resolution 2^l one cell of the finer, the deepest convolution a cell of
# 16 px, a block two cells of its own; and a pixel's cell begins up to 15 px before it. So far mask and colours are seen.
REACH = 2 + 2 * (STRIDE - 1) + STRIDE + sum(2 * blocks * 2**level for level, blocks in enumerate(BLOCKS)) + STRIDE - 1
_MOST_HUE = 0.08  # ten of 255 levels
_QUIET_HEAD = 0.2  # of a head's usual initial weights: what refines a canvas begins near it


class ModulatedGenerator(Generator):
    """U-shaped: an encoder of the mask, and a decoder that it modulates at five resolutions.

    Modulation is that of SPADE (Park et al. 2019), of channels normalised at each pixel (Karras et al. 2018, section 4.2): scale
    and shift come from the encoder's features of the same place through a 1×1 convolution, and from a code of the whole image
    (Huang & Belongie 2017). Each layer adds noise of one channel, weighted by channel (Karras et al. 2019, section 3.2).

    Condition (N, C, H, W) in, image (N, B, H, W) in [-1, 1] out. ``style`` is one of the ``styles`` kept from training when none is
    asked for, and its colours are spread over buildings and ground, unless ``colours`` (N, B, H, W) says theirs. In training the
    code is that of ``reference`` (N, B, H', W') instead, and ``colours`` are the real ones. Only with ``colours`` can it be traced:
    which pixels are one building is found on the host. Of a ``part`` of the image (rows, columns) that alone is made, to within
    rounding.

    One that ``refines`` a canvas is always told it as ``colours`` (``conditions.encode_canvas``), and begins by giving it back. It
    may change the canvas's light as it likes, and its hues by ten levels at most: stains and coloured rims were seen. Where it does
    not see the mask (``sees_mask``), the canvas is all that it knows of buildings.
    """

    stride = STRIDE
    least_px = 2 * STRIDE
    reach = REACH
    peak_maps = 9.75
    peak_bytes = 140_000_000
    styles: StyleBank
    style_encoder: StyleEncoder
    colours: Colours

    def __init__(
        self, in_channels: int = 3, out_channels: int = 3, *, width: int = 16, refines: bool = False, sees_mask: bool = True
    ) -> None:
        super().__init__()
        self.width = width
        widths = [width * times for times in WIDTHS]
        self.style_encoder = StyleEncoder(out_channels)
        self.styles = StyleBank(places=1, bands=out_channels)
        self.colours = Colours()
        self.stem = _Convolution(in_channels, widths[0])
        self.colour_stem = _Convolution(out_channels, widths[0])
        self.down = nn.ModuleList(_Convolution(inside, outside, stride=2) for inside, outside in pairwise(widths))
        self.deepest = nn.Sequential(nn.Identity(), _Convolution(widths[-1], widths[-1]))  # checkpoints call it deepest.1
        decoder: list[nn.Module] = []
        for level in range(len(widths) - 1, 0, -1):
            decoder.append(Stage(widths[level], widths[level - 1], blocks=BLOCKS[level], level=level))
        self.decoder = nn.ModuleList(decoder)
        self.last_noise = Noise(widths[0], layer=0, stride=1)
        self.last = Modulation(widths[0], widths[0])
        self.head = _Convolution(widths[0], out_channels)
        self.colour_weight = nn.Parameter(torch.ones(out_channels, 1, 1))
        self.refines, self.sees_mask = refines, sees_mask
        if refines:
            with torch.no_grad():
                self.head.weight.mul_(_QUIET_HEAD)
                assert self.head.bias is not None
                nn.init.zeros_(self.head.bias)

    def forward(
        self,
        condition: Tensor,
        style: Style | None = None,
        *,
        reference: Tensor | None = None,
        colours: Tensor | None = None,
        part: Part | None = None,
    ) -> Tensor:
        height, width = condition.shape[2:]
        assert height % STRIDE == width % STRIDE == 0, f"{height}×{width} is no multiple of {STRIDE}"
        if reference is not None:
            code = self.style_encoder(reference)
        else:
            code, *kept = style or self.styles(len(condition))
            colours = self.colours(condition, *kept) if colours is None and not self.refines else colours
        assert colours is not None, "a reference comes with its colours, and what is refined with its canvas"
        condition = condition if self.sees_mask else torch.zeros_like(condition)
        # What is made nearest to the border is never shown: convolutions have to invent what lies beyond, and it would look it.
        told = F.pad(torch.cat([condition, colours], dim=1), (MARGIN,) * 4, mode="reflect")
        colours = told[:, condition.shape[1] :]
        seen = [F.leaky_relu(self._stems(told), SLOPE)]  # (N, W, H, W), and so much more on each side
        for halve in self.down:
            seen.append(F.leaky_relu(halve(seen[-1]), SLOPE))  # (N, 2W, H/2, W/2), … (N, 12W, H/16, W/16)
        rows, cols = (slice(side.start + MARGIN, side.stop + MARGIN) for side in part or (slice(0, height), slice(0, width)))
        narrow = Narrowing((rows, cols), BLOCKS)  # else two thirds of the finest map of a crop of 96 px would be made to be cut off
        x = narrow.whole(self.deepest(seen[-1]), len(BLOCKS) - 1)
        seen = [narrow.whole(maps, level) for level, maps in enumerate(seen)]
        for level, stage in zip(range(len(BLOCKS) - 1, 0, -1), self.decoder, strict=True):
            x = narrow.finer(stage(x, seen.pop(), code, narrow.place(level)), level - 1)
        x = self.last(self.last_noise(x, narrow.place(0)), seen.pop(), code)
        # A roof and the ground begin as their colours; what is learned is the rest.
        colours = narrow.whole(colours, 0)
        image = torch.tanh(self.head(x) + self.colour_weight * colours)
        image = near_hues(image, torch.tanh(colours)) if self.refines else image
        return cut(image, (rows, cols), narrow.place(0))

    def _stems(self, told: Tensor) -> Tensor:
        """What both stems make of condition and colours, side by side in ``told``, in one convolution."""
        assert self.stem.bias is not None and self.colour_stem.bias is not None
        weight = torch.cat([self.stem.weight, self.colour_stem.weight], dim=1)
        return self.stem.of(told, weight, self.stem.bias + self.colour_stem.bias)

    @property
    def follows_buildings(self) -> bool:
        return self.refines or self.colours.follows_buildings

    @property
    def building(self) -> int | None:
        return self.colours.building

    def around(self, part: slice) -> slice:
        return slice(max(0, part.start - REACH) // STRIDE * STRIDE, -(-(part.stop + REACH) // STRIDE) * STRIDE)

    def made(
        self, condition: Tensor, rows: slice, cols: slice, field: NoiseField, *, told: Tensor | None, place: int | None
    ) -> Tensor:
        style = self.styles(1, place)
        if self.refines:
            assert told is not None, "what is refined comes with its canvas"
            colours = encode_canvas(told)
        else:
            colours = self.colours(condition, style.roofs, style.ground, told)
        around = self.around(rows), self.around(cols)
        row, col = (side.start for side in around)
        # Copies, so that what lies further out is freed before the network takes its own memory.
        condition, colours = (cut(maps, around).clone() for maps in (condition, colours))
        place_noise(self, field.moved(row, col))
        part = slice(rows.start - row, rows.stop - row), slice(cols.start - col, cols.stop - col)
        return self(condition, style, colours=colours, part=part)

    def made_together(
        self, conditions: Tensor, fields: Sequence[NoiseField], *, told: Tensor | None, places: Sequence[int | None]
    ) -> Tensor:
        styles, colours = [], []
        for index, (field, place) in enumerate(zip(fields, places, strict=True)):
            place_noise(self, field)
            style = self.styles(1, place)
            own = None if told is None else told[index, None]
            if self.refines:
                assert own is not None, "what is refined comes with its canvas"
                colours.append(encode_canvas(own))
            else:
                colours.append(self.colours(conditions[index, None], style.roofs, style.ground, own))
            styles.append(style)
        place_noise(self, *fields)
        whole = slice(0, conditions.shape[2]), slice(0, conditions.shape[3])  # and nothing of what lies around it
        return self(conditions, Style(*map(torch.cat, zip(*styles, strict=True))), colours=torch.cat(colours), part=whole)

    def shown(self, condition: Tensor, real: Tensor, canvas: Tensor | None, buildings: Buildings | None = None) -> Shown:
        """Half of the images in the style of their own real ones, with their colours; the others in styles of the first half."""
        own = len(real) - len(real) // 2
        reference = torch.cat([real[:own], real[: len(real) - own]])
        colours = self.colours.seen(condition, real, own, buildings) if canvas is None else canvas
        return Shown(own, {"reference": reference, "colours": colours})


class Stage(nn.Module):
    """The decoder at one resolution: residual blocks, noise, and the step to the next."""

    def __init__(self, inside: int, outside: int, *, blocks: int, level: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ModulatedBlock(inside, level=level, number=number) for number in range(1, blocks + 1))
        self.noise = Noise(inside, layer=10 * level, stride=2**level)
        self.modulation = Modulation(inside, inside)
        self.step = ResizeConv2d(inside, outside, 3)

    def forward(self, x: Tensor, spatial: Tensor, code: Tensor, place: Place = (0, 0)) -> Tensor:
        for block in self.blocks:
            x = block(x, spatial, code, place)
        return self.step(self.modulation(self.noise(x, place), spatial, code))


class ModulatedBlock(nn.Module):
    """Two modulated 3×3 convolutions, added to their input."""

    def __init__(self, channels: int, *, level: int, number: int) -> None:
        super().__init__()
        self.modulations = nn.ModuleList(Modulation(channels, channels) for _ in range(2))
        self.convs = nn.ModuleList(_Convolution(channels, channels) for _ in range(2))
        self.noise = Noise(channels, layer=10 * level + number, stride=2**level)

    def forward(self, x: Tensor, spatial: Tensor, code: Tensor, place: Place = (0, 0)) -> Tensor:
        y = self.convs[0](self.modulations[0](x, spatial, code))
        y = self.convs[1](self.modulations[1](self.noise(y, place), spatial, code))
        return x + y


class Modulation(nn.Module):
    """Channels normalised at each pixel, scaled and shifted by what lies there in the mask and by the style, and a leaky ReLU."""

    def __init__(self, channels: int, spatial: int) -> None:
        super().__init__()
        self.by_mask = nn.Conv2d(spatial, 2 * channels, 1)
        self.by_style = nn.Linear(CODE, 2 * channels)

    def forward(self, x: Tensor, spatial: Tensor, code: Tensor) -> Tensor:
        by_style = self.by_style(code)
        if not (torch.is_grad_enabled() and x.requires_grad):
            return modulated_plainly(x, self.by_mask(spatial), by_style)
        # The convolution's bias goes with the style: two passes over its map less, forward and back.
        assert self.by_mask.bias is not None
        return modulated(x, F.conv2d(spatial, self.by_mask.weight), by_style + self.by_mask.bias)


class Noise(nn.Module):
    """Adds one map of noise, weighted by channel; weights begin at 0.3. Of torch's global generator in training, of place after.

    The map's first cell (row, column) lies at ``place`` of the one that the field is of.
    """

    def __init__(self, channels: int, *, layer: int, stride: int) -> None:
        super().__init__()
        self.layer, self.stride = layer, stride
        self.weight = nn.Parameter(torch.full((1, channels, 1, 1), 0.3))
        self.noise_fields: tuple[NoiseField, ...] = ()

    def forward(self, x: Tensor, place: Place = (0, 0)) -> Tensor:
        shape = torch.Size((len(x), 1, *x.shape[2:]))
        if self.noise_fields:
            row, col = (self.stride * at for at in place)
            fields = [field.moved(row, col) for field in self.noise_fields] if row or col else self.noise_fields
            drawn = torch.cat([field.uniform(self.layer, shape, self.stride, x.device) for field in fields])
        else:
            drawn = draw(torch.rand, shape, x.device)
        noise = (drawn - 0.5) * 12**0.5  # of variance 1
        return noised(x, self.weight, noise) if torch.is_grad_enabled() else x + self.weight * noise


def told_classes(network: Generator, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a network that was told buildings alone for one that is told classes: what they know is of the class building.

    Both then make the same image of the same buildings and colours, until training tells the other classes apart. Networks of other
    kinds, and where no class is building, get the tensors as they are.
    """
    if not isinstance(network, ModulatedGenerator) or network.building is None or "stem.weight" not in tensors:
        return dict(tensors)
    stem = torch.zeros_like(network.stem.weight)
    stem[:, network.building] = tensors["stem.weight"].float().sum(dim=1)  # a mask of buildings is told in channels that are alike
    return {**tensors, "stem.weight": stem}


def near_hues(image: Tensor, canvas: Tensor) -> Tensor:
    """``image`` (N, B, H, W), whose pixels, but for the mean of their bands, lie within ``_MOST_HUE`` of the canvas's."""
    apart = image - canvas
    light = apart.mean(dim=1, keepdim=True)
    hue = apart - light
    by = (hue.square().sum(dim=1, keepdim=True) + 1e-6).sqrt() / _MOST_HUE
    return (canvas + light + hue * (torch.tanh(by) / by)).clamp(-1, 1)


class _Convolution(nn.Conv2d):
    """3×3, padded by reflection."""

    def __init__(self, inside: int, outside: int, *, stride: int = 1) -> None:
        super().__init__(inside, outside, 3, stride=stride, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        return self.of(x, self.weight, self.bias)

    def of(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """``x`` convolved as this one does it, by other weights."""
        return conv2d(reflected(x, 1), weight, bias, self.stride[0])
