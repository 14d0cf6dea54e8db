"""A generator out of a checkpoint, ready to turn masks into images."""

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from orthoforge.bands import RGB, shown_bands
from orthoforge.checkpoints import (
    MATERIAL,
    MODEL,
    bands_of,
    checkpoint_folder,
    new_generator,
    read_material,
    read_state,
    read_tensors,
    recipe_of,
)
from orthoforge.config import Recipe
from orthoforge.errors import CheckpointError, ConfigError, DataError, ResourceError
from orthoforge.geo.buildings import Buildings, Read
from orthoforge.geo.grid import Window
from orthoforge.masks.classes import Classes, class_count
from orthoforge.material.canvas import Composer
from orthoforge.material.chance import uniform
from orthoforge.material.packing import unpack
from orthoforge.models.conditions import decode_image, encode_canvas, encode_image, encode_mask
from orthoforge.models.generators import GENERATORS, generator_reach, generator_stride
from orthoforge.models.modulated import REACH, STRIDE, ModulatedGenerator
from orthoforge.models.noise import NoiseField, is_noisy, place_noise
from orthoforge.models.roofs import ROOF_LAYER, entries_of
from orthoforge.models.scene_norm import has_image_statistics, with_statistics_of
from orthoforge.models.styles import bank_of
from orthoforge.weights import require_fitting

# Peak of a forward pass by family, in float32 feature maps of full resolution and first-layer width, and bytes that any size takes
# (bench/generation.py).
_PEAK = {"resnet": (6.0, 0), "resunet": (9.5, 0), "unet": (2.5, 0), "modulated": (9.75, 140_000_000)}
_IN_AND_OUT_BYTES = 48  # a pixel: condition and image as float32, what is made of them, and bytes


_PLACE = 400  # the purpose of chance by which the seed chooses a place
LEAST_REFERENCE_PX = 32  # two cells of the style encoder's deepest map


class TrainedGenerator:
    """Turns masks into images: ``generator(mask) -> image``.

    ``recipe``, ``gsd_m`` (metres per pixel that it was trained at, ``None`` when mixed), ``classes`` (``None`` for building
    masks, else ``names`` and ``colours`` by index), ``bands`` (how many its images have), ``attribution`` of its training images,
    ``styles`` (the places whose look it can be asked for; empty where the network has none) and ``sha256`` of its weights say what
    it is. ``library`` holds the real roofs and ground that it refines (``None`` for one that makes everything itself);
    ``material`` is the same as bytes, ``material_sha256`` their checksum.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        recipe: Recipe,
        state: Mapping[str, Any],
        sha256: str,
        device: str,
        material: bytes | None = None,
    ) -> None:
        self.network = network.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.recipe, self.sha256, self.device = recipe, sha256, device
        self.gsd_m: float | None = state["tiles"]["gsd_m"]
        self.classes = Classes.of_plain(state["tiles"]["classes"])
        self.bands = bands_of(state)
        self.attribution: str = state["tiles"]["attribution"]
        self.styles: tuple[str, ...] = tuple(state["tiles"].get("places", ())) if bank_of(network) is not None else ()
        self.step: int = state["progress"]["step"]
        self.state = state  # whole, to go along when the generator is saved
        self.material = material
        self.material_sha256 = None if material is None else hashlib.sha256(material).hexdigest()
        self.library = None if material is None else unpack(material, f"material of {recipe.name}")
        self._shown: tuple[int, ...] | None = None

    def __repr__(self) -> str:
        at = f"{self.gsd_m:.3g} m" if self.gsd_m else "no one resolution"
        return f"TrainedGenerator({self.recipe.name}, step {self.step}, {at}, styles {list(self.styles)}, on {self.device})"

    def __call__(
        self,
        mask: np.ndarray,
        *,
        seed: int = 0,
        origin: tuple[int, int] = (0, 0),
        part: tuple[slice, slice] | None = None,
        told: np.ndarray | None = None,
    ) -> np.ndarray:
        """Image (H, W, B) uint8 for a mask (H, W) of any size: bool, or uint8 of 0/1, 0/255 or class indices.

        Padded by reflection to what the network takes, and cropped back. ``seed`` decides all that is random in the network, as a
        function of place: ``origin`` is where the mask's first (row, column) lies. The same mask, seed and origin give the same
        image on the same machine. ``part``, slices of rows and columns, is for less work: that part of the image alone, to within
        rounding. ``told`` is what the network is told of the mask's buildings, as ``teller`` does: for a window of a larger mask.
        Raises ``DataError`` for another shape, type or value, and for a part that holds no pixel or leaves some out.
        """
        values = self._mask_values(np.asarray(mask))
        rows, cols = _within(values.shape, part or (slice(None), slice(None)))
        around = self._around(rows), self._around(cols)
        if told is None:
            height, width = values.shape
            buildings = self.buildings_of(lambda window: values[window.slices], height, width, origin)
            told = None if buildings is None else self.teller(buildings, seed)(Window(0, 0, height, width))
        place_noise(self.network, NoiseField(seed, *origin))
        try:
            with torch.inference_mode():
                image = self._made(self._condition(values[None]), *around, NoiseField(seed, *origin), told)
                image = decode_image(image)[0]
        except torch.OutOfMemoryError as error:
            height, width = (len(range(side)[made]) for side, made in zip(values.shape, around, strict=True))
            raise ResourceError(
                f"generating {width}×{height} px needs more memory than {self.device} has left (about "
                f"{self.memory_bytes(height, width) / 1e9:.1f} GB). Close what else uses it, or generate on the CPU."
            ) from error
        row, col = (made.start for made in around)
        asked = image[rows.start - row : rows.stop - row, cols.start - col : cols.stop - col].cpu().numpy()
        return asked if self._shown is None else asked[..., self._shown]

    def showing(self, bands: Sequence[int] | None = None) -> "TrainedGenerator":
        """One that gives images of three bands: ``bands`` by their number from 0, or the first. ``ConfigError`` for others."""
        shown = shown_bands(self.bands, bands)
        if (self.bands, shown, self._shown) == (3, RGB, None):
            return self
        view = copy.copy(self)
        view._shown = shown
        return view

    def for_scene(
        self, windows: Sequence[np.ndarray], *, seed: int = 0, origins: Sequence[tuple[int, int]] = ((0, 0),)
    ) -> "TrainedGenerator":
        """This generator with the image statistics of a scene, gathered over ``windows`` of its mask, which are of one size.

        What it then makes of a pixel depends on the mask within ``reach_px`` and on nothing else, so a scene can be generated
        window by window. A generator without norms over the image is returned as it is.
        """
        if not has_image_statistics(self.network):
            return self
        scene = copy.copy(self)
        place_noise(self.network, *(NoiseField(seed, *origin) for origin in origins))
        scene.network = with_statistics_of(self.network, self._condition(np.stack([self._mask_values(mask) for mask in windows])))
        return scene

    def with_style(self, style: str | np.ndarray | None) -> "TrainedGenerator":
        """A copy that makes every image in one style: that of a place of ``styles``, or of a reference image (H, W, B) uint8.

        Of a place the seed chooses one of the looks that training saw there; with ``None`` one of any place's, as before. Raises
        ``ConfigError`` for another name or a network without styles, ``DataError`` for an array that is no image.
        """
        if not self.styles:
            raise ConfigError(f"the network of {self.recipe.name} has no styles; those of orthoforge-s and orthoforge-m do.")
        styled = copy.copy(self)
        shared = {id(tensor): tensor for tensor in (*self.network.parameters(), *self.network.buffers())}
        styled.network = copy.deepcopy(self.network, shared)  # modules of its own, with the same weights
        bank = bank_of(styled.network)
        assert bank is not None
        bank.place = bank.fixed = None
        if isinstance(style, np.ndarray):
            is_image = style.ndim == 3 and style.shape[2] == self.bands and style.dtype == np.uint8
            if not is_image or min(style.shape[:2]) < LEAST_REFERENCE_PX:
                raise DataError(
                    f"a reference image is uint8 of shape (height, width, {self.bands}), {LEAST_REFERENCE_PX} px or more; this one "
                    f"is {style.dtype} {style.shape}."
                )
            with torch.inference_mode():
                image = encode_image(torch.from_numpy(np.ascontiguousarray(style[None]))).to(self.device)
                bank.fixed = bank.like(styled.network.get_submodule("style_encoder")(image))
        elif style is not None:
            if style not in self.styles:
                raise ConfigError(f"no style {style!r} in this run; it knows {', '.join(self.styles)}.")
            bank.place = self.styles.index(style)
        return styled

    def to(self, device: str) -> "TrainedGenerator":
        """A copy on another device."""
        moved = copy.copy(self)
        moved.network, moved.device = copy.deepcopy(self.network).to(require_device(device)), device
        return moved

    def save_pretrained(self, folder: str | Path, **options: Any) -> Path:
        """Write it as a pretrained folder; options as in ``orthoforge.hub.save_pretrained``."""
        return import_module("orthoforge.hub").save_pretrained(self, folder, **options)

    @staticmethod
    def from_pretrained(source: str | Path, *, device: str = "cpu", revision: str | None = None) -> "TrainedGenerator":
        """The generator of a folder, a bundled name or ``owner/name`` on the Hugging Face hub."""
        return import_module("orthoforge.hub").from_pretrained(source, device=device, revision=revision)

    @property
    def stride_px(self) -> int:
        """What the sides of the network's input are padded to a multiple of."""
        return generator_stride(self.recipe.generator)

    @property
    def reach_px(self) -> int:
        """How many pixels beside an output pixel the network looks at, apart from statistics of the image.

        And apart from which pixels are one building, wherever that ends: see ``buildings_of``.
        """
        return generator_reach(self.recipe.generator)

    @property
    def is_noisy(self) -> bool:
        """Whether the seed changes the image."""
        return is_noisy(self.network)

    def buildings_of(self, read: Read, height: int, width: int, origin: tuple[int, int] = (0, 0)) -> Buildings | None:
        """The buildings of a mask of any size that ``read`` gives by windows; ``None`` where the network is told nothing of them.

        ``origin`` is where the mask's first (row, column) lies, as when it is generated.
        """
        if not isinstance(self.network, ModulatedGenerator) or not (self.library or self.network.colours.follows_buildings):
            return None
        at = self.network.colours.building if self.classes else None
        return Buildings(lambda window: read(window) > 0 if at is None else read(window) == at, height, width, origin=origin)

    def teller(self, buildings: Buildings, seed: int) -> Callable[[Window], np.ndarray]:
        """What the network is told of a window of the mask that has these buildings, by this seed.

        One with a library: its canvas, (h, w, B) uint8. Others: which colour of its palette each pixel's building has, (h, w) uint8
        from 1, 0 outside.
        """
        if self.library is not None:
            composer = Composer.of(self.library, buildings, seed=seed, place=self._place(seed))
            return lambda window: composer.canvas(window).image
        entries = entries_of(torch.from_numpy(buildings.numbers(seed, ROOF_LAYER))).numpy()
        return lambda window: entries[buildings.ids(window)]

    def _place(self, seed: int) -> int:
        """The place whose material and style an image gets: the one that was asked for, or one by the seed."""
        bank = bank_of(self.network)
        assert bank is not None
        if bank.fixed is not None:
            return bank.nearest_place(bank.fixed.code)
        return bank.place if bank.place is not None else int(uniform(seed, _PLACE) * len(self.styles))

    def _condition(self, masks: np.ndarray) -> Tensor:
        """(N, H, W) mask values to the network's input (N, C, H', W'), padded to its stride."""
        condition = encode_mask(torch.from_numpy(self._padded(masks)), class_count(self.classes))
        return condition.to(self.device, memory_format=torch.channels_last)

    def _padded(self, masks: np.ndarray) -> np.ndarray:
        return _pad_to_stride(masks, self.stride_px, GENERATORS[self.recipe.generator].least_px)

    def _around(self, part: slice) -> slice:
        """Which rows or columns of the condition are generated to make a part of them; the last may lie beyond its end."""
        if not isinstance(self.network, ModulatedGenerator):
            return slice(0, None)
        return slice(max(0, part.start - REACH) // STRIDE * STRIDE, -(-(part.stop + REACH) // STRIDE) * STRIDE)

    def _made(self, condition: Tensor, rows: slice, cols: slice, field: NoiseField, told: np.ndarray | None) -> Tensor:
        """The image (1, B, h, w) of these rows and columns of the condition."""
        if not isinstance(self.network, ModulatedGenerator):
            return self.network(condition)
        beside = None if told is None else torch.from_numpy(self._padded(told[None])).to(self.device)
        if self.library is not None:
            assert beside is not None
            style = self.network.styles(1, self._place(field.seed))
            colours = encode_canvas(beside)
        else:
            style = self.network.styles(1)
            colours = self.network.colours(condition, style.roofs, style.ground, beside)
        # Copies, so that what lies further out is freed before the network takes its own memory.
        condition, colours = (maps[..., rows, cols].clone() for maps in (condition, colours))
        place_noise(self.network, NoiseField(field.seed, field.row + rows.start, field.col + cols.start))
        return self.network(condition, style, colours=colours)

    def memory_bytes(self, height: int, width: int) -> int:
        """About how much memory an image of this size takes to generate in one piece."""
        maps, always = _PEAK[self.recipe.generator.rstrip("0123456789")]
        per_pixel = maps * 4 * self.recipe.generator_width + _IN_AND_OUT_BYTES
        return always + round(per_pixel * (height + 16) * (width + 16))

    def _mask_values(self, mask: np.ndarray) -> np.ndarray:
        if mask.ndim != 2 or 0 in mask.shape:
            raise DataError(f"a mask has shape (height, width); this one has {mask.shape}.")
        if mask.dtype != np.bool_ and mask.dtype != np.uint8:
            raise DataError(f"a mask is bool or uint8; this one is {mask.dtype}.")
        if self.classes is None:
            values = np.unique(mask)
            if not set(values.tolist()) <= {0, 1, 255}:
                raise DataError(f"a building mask holds 0 and 1, or 0 and 255; this one also has {values[-2:].tolist()}.")
            return np.where(mask > 0, np.uint8(255), np.uint8(0))
        count = self.classes.count
        if mask.max() >= count:
            raise DataError(f"this run knows {count} classes (0 to {count - 1}); the mask has {mask.max()}.")
        return mask.astype(np.uint8)


def load_generator(run: str | Path, *, device: str = "cpu") -> TrainedGenerator:
    """The generator of a run, ready to call.

    ``run`` is a run folder (its ``last`` weights are taken), one of its checkpoints, such as ``RUN/weights/best``, a pretrained
    folder, or the name of weights that come with the package. Only the recipe beside the weights decides the architecture.
    Raises ``CheckpointError`` when there is none, or when its bytes changed, and ``ConfigError`` for a device that is not there.
    """
    require_device(device)
    run = Path(run)
    if run.suffix in (".pt", ".pth", ".ckpt", ".pkl"):
        raise CheckpointError(f"{run}: pickled weights can run any code when opened and are not read; safetensors are.")
    folder = checkpoint_folder(run)
    state = read_state(folder)
    tensors = read_tensors(folder, MODEL, state)
    recipe = recipe_of(state, folder)
    classes = Classes.of_plain(state["tiles"]["classes"])
    places = state["tiles"].get("places", [])  # not in runs from before there were styles
    build = partial(new_generator, recipe, classes, max(1, len(places)), bands_of(state))
    with torch.device("meta"):
        require_fitting(build().state_dict(), tensors, f"{folder / MODEL}")
    network = build()
    network.load_state_dict(tensors)
    material = read_material(folder, state)
    if recipe.material and material is None:
        raise CheckpointError(f"{folder}: lacks {MATERIAL}, the roofs and the ground that {recipe.name} refines.")
    return TrainedGenerator(network, recipe=recipe, state=state, sha256=state["checksums"][MODEL], device=device, material=material)


def require_device(name: str) -> torch.device:
    """The device of that name. ``ConfigError`` when there is none here."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        known = name.partition(":")[0] in ("cpu", "cuda", "mps", "xpu")
        why = f" ({str(error).splitlines()[0].rstrip('.')})" if known else ""
        raise ConfigError(f"device {name!r} cannot be used here{why}. Choose cpu, or cuda where there is a GPU.") from error
    return device


def _within(shape: tuple[int, ...], part: tuple[slice, slice]) -> tuple[slice, slice]:
    """``part`` with all its numbers counted from the first row and column. ``DataError`` where it has gaps or holds nothing."""
    rows, cols = (slice(*given.indices(side)) for given, side in zip(part, shape, strict=True))
    if any(given.step != 1 or given.stop <= given.start for given in (rows, cols)):
        raise DataError(f"a part of a mask of {shape} is two slices with step 1 that hold a pixel; this one is {part}.")
    return rows, cols


def _pad_to_stride(masks: np.ndarray, stride: int, least: int) -> np.ndarray:
    """Grow (N, H, W, …) at the far edges to multiples of the stride, ``least`` px at least.

    By reflection; with edge pixels where there is too little to reflect.
    """
    sides = masks.shape[1:3]
    grow = [(0, max(least, -(-side // stride) * stride) - side) for side in sides]
    if not any(after for _, after in grow):
        return masks
    reflects = all(after < side for (_, after), side in zip(grow, sides, strict=True))
    return np.pad(masks, [(0, 0), *grow, *[(0, 0)] * (masks.ndim - 3)], mode="reflect" if reflects else "edge")
