"""A trained generator at work: masks to images."""

import copy
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from orthoforge import hub
from orthoforge.backends import BackendName, names
from orthoforge.backends.elsewhere import computed_by_torch
from orthoforge.bands import RGB, shown_bands
from orthoforge.checkpoints import SavedGenerator, checkpoint_folder, is_pickled, read_generator
from orthoforge.devices import chosen_device
from orthoforge.errors import ConfigError, DataError, ResourceError, is_out_of_memory
from orthoforge.geo.buildings import Buildings, Read
from orthoforge.geo.grid import Window
from orthoforge.hub.remote import download, is_repository_name
from orthoforge.masks.classes import class_count
from orthoforge.material.canvas import VERSION as CANVASES
from orthoforge.material.looks import Looks, recoloured
from orthoforge.material.sun import require_azimuth
from orthoforge.models.conditions import decode_image, encode_mask, mask_values, pad_to_stride
from orthoforge.models.generator import Generator
from orthoforge.models.noise import NoiseField, is_noisy, place_noise
from orthoforge.models.scene_norm import has_image_statistics, with_statistics_of
from orthoforge.pretrained import bundled_folder
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import told as telling
from orthoforge.trained_generator.backend import chosen_backend, on_backend
from orthoforge.trained_generator.given_histograms import looks_of
from orthoforge.trained_generator.given_material import with_tiles
from orthoforge.trained_generator.reference_style import style_of_image


class TrainedGenerator:
    """Turns masks into images: ``generator(mask) -> image``. ``load_generator`` makes one.

    A mask is (H, W) of any size: bool, or uint8 of 0/1, 0/255 or class indices. An image is (H, W, B) uint8.

    What it is: ``recipe``; ``gsd_m``, the metres per pixel that it was trained at (``None`` when mixed); ``classes`` (``None`` for
    building masks); ``bands``, how many its images have; ``attribution`` of its training images; ``styles``, the places whose look
    it can be asked for (empty where the network has none); ``sha256`` of its weights. ``library`` holds the real roofs and the real
    ground that it refines (``None`` where it makes everything itself); ``material`` is the same as bytes, and ``material_sha256``
    their checksum. ``refinement`` is how much of its network's changes a canvas gets (``with_refinement``), ``sun`` where the sun
    stands in it (``with_sun``; ``None`` where it does in the material). ``looks`` are the histograms that its images get
    (``with_histograms``). ``saved`` is what it was read from. ``backend`` is what computes its network.

    Examples:
        >>> import numpy as np
        >>> from orthoforge import load_generator
        >>> generator = load_generator("orthoforge-s")
        >>> mask = np.zeros((64, 96), bool)
        >>> mask[20:40, 30:60] = True  # a house of 6 m × 9 m at 0.3 m
        >>> image = generator(mask, seed=1)
        >>> image.shape, image.dtype.name
        ((64, 96, 3), 'uint8')
        >>> styled = generator.with_style("banepa_core")
        >>> bool((styled(mask, seed=1) == styled(mask, seed=2)).all())  # another seed, another image
        False
    """

    def __init__(self, saved: SavedGenerator, *, device: str) -> None:
        self.network = saved.network.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.saved, self.device = saved, device
        self.recipe, self.sha256 = saved.recipe, saved.sha256
        self.gsd_m, self.bands, self.attribution = saved.gsd_m, saved.bands, saved.attribution
        self.classes, self.styles, self.step = saved.classes, saved.styles, saved.step
        self.material, self.material_sha256, self.library = saved.material, saved.material_sha256, saved.library
        self.refinement = saved.refinement
        self.sun: float | None = None
        self.backend: BackendName = "torch"
        self.looks: Looks | None = None
        self._shown: tuple[int, ...] | None = None

    def __repr__(self) -> str:
        at = f"{self.gsd_m:.3g} m" if self.gsd_m else "no one resolution"
        return f"TrainedGenerator({self.recipe.name}, step {self.step}, {at}, styles {list(self.styles)}, on {self.device})"

    def __call__(
        self,
        mask: np.ndarray | Tensor,
        *,
        seed: int | Sequence[int] = 0,
        style: str | np.ndarray | None = None,
        origin: tuple[int, int] = (0, 0),
        part: tuple[slice, slice] | None = None,
        told: np.ndarray | None = None,
    ) -> np.ndarray:
        """The image (H, W, B) uint8 of a mask (H, W) of any size: bool, or whole numbers of 0/1, 0/255 or class indices.

        A batch of masks (N, H, W) gives images (N, H, W, B), each of which is that of its mask alone. ``seed`` is then one for all,
        or one for each. ``style`` is the look of these images, as in ``with_style``; by default that of the generator.

        The mask is padded by reflection to what the network takes, and the image is cropped back. ``seed`` decides all that is
        random, as a function of place. ``origin`` is the (row, column) at which the mask begins. The same mask, seed and origin
        give the same image on the same machine.

        ``part``, slices of rows and columns, asks for that part of the image alone, to within rounding; it is less work. ``told``
        is what the network is told of the buildings (``Told.values``), for a window of a larger mask.

        Raises:
            DataError: another shape, type or value, a part that holds no pixel or leaves some out, or as many seeds as there are no
                masks.
            ConfigError: a style that it does not have.
            ResourceError: memory is too small.
        """
        masks = np.asarray(mask.cpu() if isinstance(mask, Tensor) else mask)
        generator = self if style is None else self.with_style(style)
        seeds = np.asarray(seed)
        if seeds.ndim and seeds.shape != masks.shape[:-2]:
            raise DataError(f"masks {masks.shape} take one seed, or one each; there are {len(seeds)}.")
        if masks.ndim != 3 or not len(masks) or masks.shape[2] == 1:  # the last of (H, W, 1), which would be taken for H masks
            return generator._image(masks, int(seeds), origin, part, told)
        assert told is None, "what is told is of one mask"
        one_each = np.broadcast_to(seeds, len(masks)).tolist()
        return np.stack([generator._image(one, of_one, origin, part, None) for one, of_one in zip(masks, one_each, strict=True)])

    def _image(
        self, mask: np.ndarray, seed: int, origin: tuple[int, int], part: tuple[slice, slice] | None, told: np.ndarray | None
    ) -> np.ndarray:
        """Image (H, W, B) of one mask (H, W)."""
        values = mask_values(mask, self._class_count)
        rows, cols = _part_within(values.shape, part or (slice(None), slice(None)))
        told = self._told_of(values, seed, origin) if told is None else told
        if self._is_bare:
            assert told is not None
            return self._as_shown(told[rows, cols], seed)
        field = NoiseField(seed, *origin)
        place_noise(self.network, field)
        try:
            with torch.inference_mode():
                beside = None if told is None else torch.from_numpy(self._padded(told[None])).to(self.device)
                place = None if self.library is None else self._place(seed)
                image = self.network.made(self._condition(values[None]), rows, cols, field, told=beside, place=place)
                asked = decode_image(image)[0].cpu().numpy()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            height, width = (len(range(side)[self.network.around(of)]) for side, of in zip(values.shape, (rows, cols), strict=True))
            raise ResourceError(
                f"generating {width}×{height} px needs more memory than {self.device} has left (about "
                f"{self.memory_bytes(height, width) / 1e9:.1f} GB). Close what else uses it, or generate on the CPU."
            ) from error
        if self.refinement < 1:
            assert told is not None
            asked = telling.refined(told[rows, cols], asked, self.refinement)
        return self._as_shown(asked, seed)

    def together(
        self,
        masks: Sequence[np.ndarray],
        *,
        seeds: Sequence[int],
        origins: Sequence[tuple[int, int]],
        told: Sequence[np.ndarray | None] | None = None,
    ) -> list[np.ndarray]:
        """Images of several masks (H, W) of one size in one forward pass: what a call for each gives, to within rounding.

        A seed and an origin for each, as in a call, and ``told`` where that is known already. Raises what a call raises; memory is
        that of all of them.
        """
        values = np.stack([mask_values(mask, self._class_count) for mask in masks])
        height, width = values.shape[1:]
        if told is None:
            told = [self._told_of(one, seed, origin) for one, seed, origin in zip(values, seeds, origins, strict=True)]
        known = [one for one in told if one is not None]
        if self._is_bare:
            return [self._as_shown(one, seed) for one, seed in zip(known, seeds, strict=True)]
        fields = [NoiseField(seed, *origin) for seed, origin in zip(seeds, origins, strict=True)]
        places = [None if self.library is None else self._place(seed) for seed in seeds]
        try:
            with torch.inference_mode():
                beside = torch.from_numpy(self._padded(np.stack(known))).to(self.device) if known else None
                images = decode_image(self.network.made_together(self._condition(values), fields, told=beside, places=places))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise ResourceError(
                f"generating {len(masks)} images of {width}×{height} px at once needs more memory than {self.device} has left."
            ) from error
        asked = list(images[:, :height, :width].cpu().numpy())
        if self.refinement < 1:
            asked = [telling.refined(canvas, image, self.refinement) for canvas, image in zip(known, asked, strict=True)]
        return [self._as_shown(image, seed) for image, seed in zip(asked, seeds, strict=True)]

    def told(
        self, mask: np.ndarray, *, seed: int = 0, origin: tuple[int, int] = (0, 0), kept: telling.Composers | None = None
    ) -> telling.Told | None:
        """What the network is told of a whole mask (H, W); ``None`` where it is told nothing of buildings.

        ``kept`` are composers of masks that were alike, where images are made of one drawing after each of its changes.
        """
        values = mask_values(mask, self._class_count)
        height, width = values.shape

        def read(window: Window) -> np.ndarray:
            return values[window.slices]

        buildings = self.buildings_of(read, height, width, origin)
        if buildings is None:
            return None
        if kept is None or self.library is None:
            return self.teller(buildings, seed, read)(Window(0, 0, height, width))
        return kept.told(self.library, buildings, seed, self._place(seed), read if self.classes else None, self.sun)

    def _told_of(self, values: np.ndarray, seed: int, origin: tuple[int, int]) -> np.ndarray | None:
        """The values of that."""
        told = self.told(values, seed=seed, origin=origin)
        return None if told is None else told.values

    def showing(self, bands: Sequence[int] | None = None) -> "TrainedGenerator":
        """A generator whose images have three bands: ``bands`` by their number from 0, or the first three. ``ConfigError`` for
        others.
        """
        shown = shown_bands(self.bands, bands)
        if (self.bands, shown, self._shown) == (3, RGB, None):
            return self
        view = copy.copy(self)
        view._shown = shown
        return view

    def for_scene(
        self, windows: Sequence[np.ndarray], *, seed: int = 0, origins: Sequence[tuple[int, int]] = ((0, 0),)
    ) -> "TrainedGenerator":
        """This generator with the image statistics of a scene. They are gathered over ``windows`` of its mask, which have one size.

        What it then makes of a pixel depends only on the mask within ``reach_px``. So a scene can be generated window by window. A
        generator without norms over the image is returned as it is.
        """
        if not has_image_statistics(self.network):
            return self
        scene = copy.copy(self)
        place_noise(self.network, *(NoiseField(seed, *origin) for origin in origins))
        values = np.stack([mask_values(mask, self._class_count) for mask in windows])
        plain = with_statistics_of(computed_by_torch(self.network), self._condition(values))
        scene.network = on_backend(self.saved, plain, self.backend)
        return scene

    def with_style(self, style: str | np.ndarray | None, *, mask: np.ndarray | None = None) -> "TrainedGenerator":
        """A copy that makes every image in one style: that of a place of ``styles``, or of a reference image (H, W, B) uint8.

        For a place, the seed chooses one of the looks that training saw there. With ``None`` the seed chooses a look of any place,
        as without a style. ``mask`` (H, W) is that of a reference image: roofs and ground then have the image's own colours, and
        not those of the look nearest to it. What a segmenter finds in the image will do where there is no label.

        Raises:
            ConfigError: another name, a network without styles, or a mask that says nothing.
            DataError: an array that is no image, or no mask of it.
        """
        if not self.styles:
            raise ConfigError(f"the network of {self.recipe.name} has no styles; those of orthoforge-s and orthoforge-m do.")
        styled = copy.copy(self)
        styled.network = self._own_network()
        bank = styled.network.styles
        assert bank is not None
        bank.place = bank.fixed = None
        if isinstance(style, np.ndarray):
            bank.fixed = style_of_image(styled.network, style, mask, bands=self.bands, class_count=self._class_count)
        elif mask is not None:
            raise ConfigError("a mask belongs to a reference image; the style of a place has roofs and ground of its own.")
        elif style is not None:
            if style not in self.styles:
                raise ConfigError(f"no style {style!r} in this run; it knows {', '.join(self.styles)}.")
            bank.place = self.styles.index(style)
        return styled

    def with_material(self, tiles: str | Path | TileStore) -> "TrainedGenerator":
        """A copy that composes its images of the roofs and the ground of other tiles, without training. Its ``styles`` are their
        places.

        ``tiles`` were made by ``prepare``. Their training split is taken, so that the others stay unseen. The looks of a place are
        those that the network's own encoder sees in them. Its network never saw such ground, and changes nothing until it is asked
        to (``with_refinement``).

        Raises:
            ConfigError: a network that makes everything itself, or a generator that was given the style of a place before.
            DataError: tiles of other bands or of another resolution, without a class called building, or damaged.
        """
        given = TrainedGenerator(with_tiles(self.saved, self._own_network(), tiles), device=self.device)
        given._shown, given.backend, given.looks, given.sun = self._shown, self.backend, self.looks, self.sun
        return given

    def with_refinement(self, share: float) -> "TrainedGenerator":
        """A copy whose network changes its canvases by this share of what it would: 1 as it was trained, 0 not at all.

        With 0 the image is the canvas, and no network is computed. Segmenters may learn better from that, where the network saw
        other ground than the material's (docs/decisions/material.md).

        Raises:
            ConfigError: a network that refines no canvas, or a share outside 0 to 1.
        """
        view = copy.copy(self)
        view.saved = self.saved.with_refinement(share)
        view.refinement = view.saved.refinement
        return view

    def with_histograms(self, tiles: str | Path | TileStore) -> "TrainedGenerator":
        """A copy whose images have the histograms of other tiles, band by band: its own roofs and ground in the colours of a place.

        ``tiles`` were made by ``prepare``; masks are not looked at. The seed draws the training tile whose histograms an image
        gets. One table changes all of an image, so scenes stay without seams (``material.looks.Looks``).

        Raises:
            ConfigError: a network that has no material of its own, whose histograms could be matched.
            DataError: tiles of other bands, none for training, or damaged ones.
        """
        if self.library is None:
            raise ConfigError(
                f"{self.recipe.name} has no material, so its histograms are not known before its images are made. Take weights of "
                "orthoforge-material, or leave the histograms out."
            )
        view = copy.copy(self)
        view.looks = looks_of(tiles if isinstance(tiles, TileStore) else TileStore.open(Path(tiles)), bands=self.bands)
        return view

    def with_sun(self, azimuth: float | None) -> "TrainedGenerator":
        """A copy whose images are lit by a sun at this azimuth, in degrees clockwise from north; with ``None``, where it stood when
        the material was photographed.

        Roofs are turned before they are chosen, ground by right angles and a mirror, and shadows fall away from the sun. Where no
        sun is seen in the material of a place, its shadows alone do.

        Raises:
            ConfigError: a network that composes nothing, or an azimuth outside 0 to 360.
        """
        if self.library is None and azimuth is not None:
            raise ConfigError(
                f"{self.recipe.name} has no material to light from another side; orthoforge-material has. Leave the sun out."
            )
        view = copy.copy(self)
        view.sun = None if azimuth is None else require_azimuth(azimuth)
        return view

    def composing(
        self,
        *,
        material_from: str | Path | TileStore | None = None,
        refinement: float | None = None,
        histograms_from: str | Path | TileStore | None = None,
        sun: float | None = None,
    ) -> "TrainedGenerator":
        """With all that was asked of its canvases, in the order in which it has to be: ``with_material``, ``with_refinement``,
        ``with_histograms``, ``with_sun``. Raises what they raise.
        """
        given = self if material_from is None else self.with_material(material_from)
        given = given if refinement is None else given.with_refinement(refinement)
        given = given if histograms_from is None else given.with_histograms(histograms_from)
        return given if sun is None else given.with_sun(sun)

    def to(self, device: str) -> "TrainedGenerator":
        """A copy on another device. On another than the processor PyTorch computes it."""
        moved = copy.copy(self)
        moved.device = chosen_device(device)
        moved.network = copy.deepcopy(self.network).to(moved.device)
        if moved.device != "cpu":
            moved.network, moved.backend = computed_by_torch(moved.network), "torch"
        moved.saved = replace(self.saved, network=moved.network)
        return moved

    def on_backend(self, name: str) -> "TrainedGenerator":
        """A copy whose network another engine computes: ``torch``, ``onnx`` or ``openvino``. Its images are the same to a level.

        ``auto`` is the fastest of them whose images are, by a measurement that is remembered for these weights on this machine.
        Where the extra ``export`` is missing, or the device is no processor, PyTorch computes, and stderr says so.

        Raises:
            ConfigError: another name.
        """
        moved = copy.copy(self)
        plain = computed_by_torch(self.network)
        moved.backend, why_not = chosen_backend(name, self.saved, plain, self.device)
        if why_not:
            print(f"note: {why_not}; PyTorch computes.", file=sys.stderr)
        moved.network = on_backend(self.saved, plain, moved.backend)
        return moved

    @property
    def backend_words(self) -> str:
        """What computes its network, with the version: 'openvino 2026.4.1'."""
        return names.version_of(self.backend)

    def save_pretrained(self, folder: str | Path, **options: Any) -> Path:
        """Write the generator as a pretrained folder, with its refinement. ``options`` are those of
        ``orthoforge.hub.save_pretrained``."""
        return hub.save_pretrained(replace(self.saved, network=self.network), folder, **options)

    @staticmethod
    def from_pretrained(source: str | Path, *, device: str = "cpu", revision: str | None = None) -> "TrainedGenerator":
        """Another name of ``load_generator``, which other libraries use."""
        return load_generator(source, device=device, revision=revision)

    @property
    def canvases_by(self) -> dict[str, object]:
        """What decides its canvases and what becomes of them, beside mask, seed and style; empty where it composes none."""
        if self.library is None:
            return {}
        by: dict[str, object] = {"material": self.material_sha256, "canvases": CANVASES, "refinement": self.refinement}
        looks = {"histograms": self.looks.identity} if self.looks else {}
        return {**by, **looks} if self.sun is None else {**by, **looks, "sun": self.sun}

    @property
    def own_style(self) -> tuple[str, str]:
        """Name and identity of the style that ``with_style`` gave. Both are empty where the seed chooses."""
        bank = self.network.styles if self.styles else None
        if bank is None:
            return "", ""
        if bank.fixed is not None:
            told = bank.fixed[:1] if bank.has_colours_of(bank.fixed) else bank.fixed
            return "reference image", hashlib.sha256(b"".join(part.cpu().numpy().tobytes() for part in told)).hexdigest()
        place = "" if bank.place is None else self.styles[bank.place]
        return place, place

    def place_of(self, seed: int) -> str | None:
        """The place of ``styles`` whose look an image with this seed has. ``None`` without styles, and for a reference image's."""
        bank = self.network.styles if self.styles else None
        if bank is None or bank.fixed is not None:
            return None
        if bank.place is None and self.library is None:
            return self.styles[bank.place_by_seed(seed)]
        return self.styles[self._place(seed)]

    @property
    def stride_px(self) -> int:
        """The sides of the network's input are padded to a multiple of this."""
        return self.network.stride

    @property
    def reach_px(self) -> int:
        """How many pixels beyond an output pixel the network looks; 0 where it refines nothing and is not asked.

        Statistics of the image are not counted. Which pixels are one building is not counted either, wherever the building ends:
        see ``buildings_of``. What a canvas needs around a window it reads itself.
        """
        return 0 if self._is_bare else self.network.reach

    @property
    def is_noisy(self) -> bool:
        """Whether the seed changes the image."""
        return is_noisy(self.network)

    def buildings_of(self, read: Read, height: int, width: int, origin: tuple[int, int] = (0, 0)) -> Buildings | None:
        """The buildings of a mask of any size, which ``read`` gives by windows. ``None`` where the network is told nothing of
        buildings.

        ``origin`` is the (row, column) at which the mask begins, as when its image is generated.
        """
        return telling.buildings_of(self.network, read, height, width, classes=self.classes is not None, origin=origin)

    def teller(self, buildings: Buildings, seed: int, read: Read) -> telling.Teller:
        """What the network is told of a window of the mask that has these buildings, with this seed. ``read`` gives the mask by
        windows, as for ``buildings_of``.

        A generator with a library is told its canvas, (h, w, B) uint8. Others are told which colour of the palette the building of
        each pixel has: (h, w) uint8 from 1, 0 outside.
        """
        if self.library is None:
            return telling.roof_teller(buildings, seed)
        return telling.canvas_teller(self.library, buildings, seed, self._place(seed), read if self.classes else None, self.sun)

    def memory_bytes(self, height: int, width: int) -> int:
        """About how many bytes of memory it takes to generate an image of this size in one piece."""
        return self.network.memory_bytes(height, width)

    @property
    def _is_bare(self) -> bool:
        """Whether its images are the canvases as they are composed."""
        return self.library is not None and self.refinement == 0

    def _as_shown(self, image: np.ndarray, seed: int) -> np.ndarray:
        if self.looks is not None:
            assert self.library is not None
            image = recoloured(image, self.looks.table(self.library.histograms(self._place(seed)), seed))
        return image if self._shown is None else image[..., self._shown]

    @property
    def _class_count(self) -> int | None:
        return class_count(self.classes)

    def _own_network(self) -> Generator:
        """A network with modules of its own and the same weights."""
        shared = {id(tensor): tensor for tensor in (*self.network.parameters(), *self.network.buffers())}
        return copy.deepcopy(self.network, shared)

    def _place(self, seed: int) -> int:
        assert self.network.styles is not None
        return telling.place_of(self.network.styles, seed, len(self.styles))

    def _condition(self, masks: np.ndarray) -> Tensor:
        """(N, H, W) mask values to the network's input (N, C, H', W'), padded to its stride."""
        condition = encode_mask(torch.from_numpy(self._padded(masks)), self._class_count)
        return condition.to(self.device, memory_format=torch.channels_last)

    def _padded(self, masks: np.ndarray) -> np.ndarray:
        return pad_to_stride(masks, self.network.stride, self.network.least_px)


def load_generator(source: str | Path, *, device: str = "cpu", revision: str | None = None) -> TrainedGenerator:
    """A trained generator, ready to call.

    ``source`` is one of these: a run folder (its ``last`` weights are taken), one of its checkpoints such as ``RUN/weights/best``,
    a published folder, or the name of weights that come with the package. If nothing of that name is here, it is a repository
    ``owner/name`` of the Hugging Face hub; a ``Path`` is never looked for there. ``revision`` is a branch, tag or commit of the
    repository.

    Raises:
        CheckpointError: there is none, or its bytes changed.
        ConfigError: a device that is not there, a revision of a folder, or the extra ``hub`` is not installed.
        ResourceError: the hub cannot be reached.

    Examples:
        >>> from orthoforge import load_generator
        >>> generator = load_generator("orthoforge-s")
        >>> generator.styles, generator.is_noisy
        (('banepa_core',), True)
    """
    device = chosen_device(device)
    path = Path(source)
    is_here = path.exists() or bundled_folder(str(source)) is not None or is_pickled(path)
    if isinstance(source, str) and not is_here and is_repository_name(source):
        path = download(source, revision)
    elif revision is not None:
        raise ConfigError(f"{source} is not taken from the Hugging Face hub, so there is no revision {revision} of it.")
    return TrainedGenerator(read_generator(checkpoint_folder(path)), device=device)


def _part_within(shape: tuple[int, ...], part: tuple[slice, slice]) -> tuple[slice, slice]:
    """``part`` with all its numbers counted from the first row and column. ``DataError`` where it has gaps or holds nothing."""
    rows, cols = (slice(*given.indices(side)) for given, side in zip(part, shape, strict=True))
    if any(given.step != 1 or given.stop <= given.start for given in (rows, cols)):
        raise DataError(f"a part of a mask of {shape} is two slices with step 1 that hold a pixel; this one is {part}.")
    return rows, cols
