"""Synthetic pairs for a PyTorch loader: made when they are asked for, or read from the files of ``grow`` or ``generate``."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from orthoforge.datasets.generated import open_generated
from orthoforge.datasets.grown import open_grown
from orthoforge.datasets.masks import Forge, ForgedMasks, Masks, MaskSource, mask_source
from orthoforge.datasets.sample import Epoch, Meta, Sample, Transforms, position, require_sound, sample_of
from orthoforge.datasets.written import WrittenPairs
from orthoforge.errors import ConfigError
from orthoforge.generation.chosen_styles import BY_NAME, styled
from orthoforge.geo.pixel_sizes import PixelSizes
from orthoforge.trained_generator import TrainedGenerator, load_generator


class PairSource(Protocol):
    """Pairs by number: image (H, W, B) and mask (H, W), uint8, and where they come from."""

    def __len__(self) -> int: ...

    def pair(self, number: int, crop_px: int | None, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, Meta]: ...


class SyntheticPairs(Dataset[Sample]):
    """Synthetic pairs: ``len(pairs)``, and ``pairs[i]`` is a ``Sample`` of image, mask and meta.

    ``SyntheticPairs.generated`` and ``SyntheticPairs.grown`` read those that ``generate`` and ``grow`` wrote to files.

    Made on the fly by ``generator``, a run, a pretrained folder or name, or a ``TrainedGenerator``, of ``masks``:

    * an array (N, H, W) of 0 and 1, 0 and 255 or class indices, a tensor, or a list of arrays;
    * a folder of masks, a data set whose masks are taken, or a list of files. **All** of its masks are taken: take those of
      scenes that train alone, or tiles;
    * prepared tiles, a folder or a ``TileStore``, whose training split is taken.

    With ``forge`` (``transform``, ``recombine``, ``streets``) each pair has a new mask, forged from those of the files. ``crop_px``
    takes a random part of each mask, and is the side of forged ones; masks of several sizes need it to be put into a batch.
    ``length`` gives a data set more or fewer pairs than masks; pair ``i`` then has mask ``i`` modulo their number, and another
    image. ``style`` is the look of all images: a place of ``generator.styles``, a reference image's file, or ``"by-name"`` for the
    place that a mask is named by; any place's, pair by pair, when left out. ``device`` is where a generator is loaded that is named
    here; one that is given stays where it is. ``resample`` brings masks of another resolution to the
    run's. ``pixel_size`` is that of masks without coordinates: metres or a table, by default ``pixel_size.csv`` beside them, else
    the run's. ``transforms(image, mask)`` returns both, changed.

    Everything random follows from ``seed``, the epoch (``set_epoch``) and the index: any number of workers gives the same pairs,
    forked or spawned. On a CPU each image is therefore made by one thread, and workers make several at a time. On a GPU let the
    main process make them, or spawn workers, each of which takes memory there.

    Raises ``CheckpointError``, ``DataError`` for masks that cannot be read, ``GridError`` for those of another resolution, and
    ``ConfigError`` for impossible settings.

    Example:
        >>> from torch.utils.data import DataLoader
        >>> from orthoforge import RealPairs, SyntheticPairs
        >>> pairs = RealPairs("tiles", crop_px=64) + SyntheticPairs("runs/mine", "tiles", crop_px=64)
        >>> for image, mask, meta in DataLoader(pairs, batch_size=4, shuffle=True):
        ...     pass  # loss = criterion(model(image), mask)
        >>> image.shape[1:], mask.shape[1:]
        (torch.Size([3, 64, 64]), torch.Size([64, 64]))
    """

    def __init__(
        self,
        generator: str | Path | TrainedGenerator,
        masks: Masks,
        *,
        forge: Forge | None = None,
        length: int | None = None,
        crop_px: int | None = None,
        style: str | Path | None = None,
        resample: bool = False,
        threshold: int | None = None,
        pixel_size: PixelSizes | float | str | Path | None = None,
        seed: int = 0,
        transforms: Transforms | None = None,
        device: str = "cpu",
    ) -> None:
        require_sound(length, crop_px, seed)
        opened = generator if isinstance(generator, TrainedGenerator) else load_generator(generator, device=device)
        source = mask_source(masks, opened, forge=forge, resample=resample, threshold=threshold, pixel_size=pixel_size, seed=seed)
        self._begin(_MadePairs.of(opened, source, style), opened.classes is None, length, crop_px, seed, transforms)

    @classmethod
    def grown(
        cls,
        folder: str | Path,
        *,
        palette: str | Path | None = None,
        length: int | None = None,
        crop_px: int | None = None,
        seed: int = 0,
        transforms: Transforms | None = None,
    ) -> "SyntheticPairs":
        """The synthetic pairs of a data set that ``grow`` made, without its real ones.

        ``palette`` says what masks of classes hold: that of the folder, ``palette.json``, when left out.

        ``DataError`` for a folder that ``grow`` has not finished.

        Examples:
            >>> from orthoforge import SyntheticPairs, grow
            >>> grown = grow("runs/mine", "my-data", "grown-pairs", ratio=0.1, least_agreement=0)
            grown-pairs: 12 real pairs and 1 synthetic, 1 wanted.
            >>> image, mask, meta = SyntheticPairs.grown("grown-pairs")[0]
            >>> image.shape[1:] == mask.shape
            True
        """
        require_sound(length, crop_px, seed)
        return cls._written(open_grown(folder, palette), length, crop_px, seed, transforms)

    @classmethod
    def generated(
        cls,
        folder: str | Path,
        *,
        palette: str | Path | None = None,
        threshold: int | None = None,
        length: int | None = None,
        crop_px: int | None = None,
        seed: int = 0,
        transforms: Transforms | None = None,
    ) -> "SyntheticPairs":
        """The pairs of a folder that ``generate`` made with ``keep_mask``: ``images/`` and ``masks/``.

        Images without the tag of a synthetic one are left out. ``palette`` says what masks of classes hold: that of the folder,
        ``palette.json``, which ``generate`` writes, when left out. ``threshold`` is for masks of levels that lay in ``masks/``
        before.

        ``DataError`` for another folder, and for one in which an image or a mask lacks its partner.

        Examples:
            >>> from orthoforge import SyntheticPairs, generate
            >>> _ = generate("runs/mine", "new-masks", "pairs-of-files", keep_mask=True)
            >>> pairs = SyntheticPairs.generated("pairs-of-files", crop_px=64)
            >>> image, mask, meta = pairs[0]
            >>> len(pairs), image.shape, mask.shape, meta["name"]
            (2, torch.Size([3, 64, 64]), torch.Size([64, 64]), 'austin1001')
        """
        require_sound(length, crop_px, seed)
        return cls._written(open_generated(folder, palette, threshold), length, crop_px, seed, transforms)

    @classmethod
    def _written(
        cls, source: WrittenPairs, length: int | None, crop_px: int | None, seed: int, transforms: Transforms | None
    ) -> "SyntheticPairs":
        pairs = cls.__new__(cls)
        pairs._begin(source, source.classes is None, length, crop_px, seed, transforms)
        return pairs

    def _begin(
        self, source: PairSource, buildings: bool, length: int | None, crop_px: int | None, seed: int, transforms: Transforms | None
    ) -> None:
        self._source, self._buildings, self._crop_px, self._seed, self._transforms = source, buildings, crop_px, seed, transforms
        self._length = length or len(source)
        self._epoch = Epoch()

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        index = position(index, len(self))
        rng = np.random.default_rng((self._seed, int(self._epoch), index))
        image, mask, meta = self._source.pair(index, self._crop_px, rng)
        meta["index"] = index
        return sample_of(image, mask, meta, buildings=self._buildings, transforms=self._transforms, rng=rng)

    def set_epoch(self, epoch: int) -> None:
        """Other images, crops and transforms of the same masks from now on, in all workers. Call it before each pass."""
        self._epoch.set(epoch)


class _MadePairs:
    """Pairs that a generator makes of masks."""

    def __init__(self, masks: MaskSource, looks: dict[str, TrainedGenerator], *, by_name: bool) -> None:
        self._masks, self._looks, self._by_name = masks, looks, by_name
        self._process = os.getpid()

    @staticmethod
    def of(generator: TrainedGenerator, masks: MaskSource, style: str | Path | None) -> "_MadePairs":
        if style == BY_NAME:
            if not generator.styles:
                generator.with_style(BY_NAME)  # says that there are none
            return _MadePairs(masks, {place: generator.with_style(place) for place in generator.styles}, by_name=True)
        look, told = styled(generator, style)
        return _MadePairs(masks, {told.name: look}, by_name=False)

    def __len__(self) -> int:
        return len(self._masks)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _process=os.getpid())

    def pair(self, number: int, crop_px: int | None, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, Meta]:
        """The image of a mask, and the mask as the generator was given it."""
        drawn = self._masks.draw(number if isinstance(self._masks, ForgedMasks) else number % len(self), crop_px, rng)
        style = drawn.place if self._by_name else next(iter(self._looks))
        if style not in self._looks:
            raise ConfigError(f"{drawn.name}: is not named by a place of this run, which knows {', '.join(self._looks)}.")
        generator, seed = self._looks[style], int(rng.integers(2**31))
        on_cpu = torch.device(generator.device).type == "cpu"
        if not on_cpu and os.getpid() != self._process:
            raise ConfigError(
                f"a forked worker cannot use {generator.device}. Pass num_workers=0, or multiprocessing_context='spawn', to the "
                "DataLoader."
            )
        with _one_thread() if on_cpu else contextlib.nullcontext():
            image = generator(drawn.mask, seed=seed, origin=(drawn.row, drawn.col))
        meta: Meta = {
            "name": drawn.name, "place": drawn.place, "index": number, "row": drawn.row, "col": drawn.col, "gsd_m": drawn.gsd_m,
            "synthetic": True, "seed": seed, "style": style,
        }  # fmt: skip
        return image, drawn.mask, meta


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Sums of a network are rounded otherwise by other numbers of threads, and workers have one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
