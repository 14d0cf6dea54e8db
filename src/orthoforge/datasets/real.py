"""Real pairs for a PyTorch loader, out of prepared tiles."""

import math
from pathlib import Path
from typing import Literal

import numpy as np
from torch.utils.data import Dataset

from orthoforge.datasets.sample import Epoch, Meta, Sample, Transforms, position, require_sound, sample_of
from orthoforge.errors import ConfigError
from orthoforge.tiles.store import Flips, TileStore, crop_batch


class RealPairs(Dataset[Sample]):
    """The tiles of a split: ``len(pairs)``, and ``pairs[i]`` is a ``Sample`` of image, mask and meta.

    ``tiles`` is a folder that ``prepare`` made, or an open ``TileStore`` (``store.showing()`` for three of its bands). ``crop_px``
    takes a random part of each tile, ``flips`` turns it. ``length`` gives a data set more or fewer pairs than tiles; pair ``i``
    then shows tile ``i`` modulo their number. ``transforms(image, mask)`` returns both, changed.

    Everything random follows from ``seed``, the epoch (``set_epoch``) and the index: any number of workers gives the same pairs,
    forked or spawned. Raises ``DataError`` for a folder without tiles, ``ConfigError`` for a split that has none, and for
    impossible numbers.

    Example:
        >>> from orthoforge import RealPairs
        >>> pairs = RealPairs("tiles", crop_px=64)
        >>> image, mask, meta = pairs[0]
        >>> image.shape, image.dtype, mask.shape, mask.dtype
        (torch.Size([3, 64, 64]), torch.float32, torch.Size([64, 64]), torch.int64)
        >>> meta["synthetic"]
        False
    """

    def __init__(
        self,
        tiles: str | Path | TileStore,
        split: Literal["train", "val", "test"] = "train",
        *,
        crop_px: int | None = None,
        flips: Flips = "none",
        length: int | None = None,
        seed: int = 0,
        transforms: Transforms | None = None,
    ) -> None:
        require_sound(length, crop_px, seed)
        self.store = tiles if isinstance(tiles, TileStore) else TileStore.open(Path(tiles))
        self._ids = self.store.ids(split)
        if not len(self._ids):
            raise ConfigError(f"{self.store.path}: has no tiles in split {split!r}. Prepare them with another --split or --shares.")
        if crop_px is not None and crop_px > self.store.size_px:
            raise ConfigError(f"crop_px is {crop_px}, the tiles in {self.store.path} are {self.store.size_px} px.")
        self._crop_px, self._flips, self._seed, self._transforms = crop_px or self.store.size_px, flips, seed, transforms
        self._length = length or len(self._ids)
        self._epoch = Epoch()

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        index = position(index, len(self))
        tile_id = int(self._ids[index % len(self._ids)])
        row = self.store.rows[tile_id]
        key = (self._seed, int(self._epoch), index)
        batch = crop_batch(self.store, np.array([tile_id]), crop_px=self._crop_px, flips=self._flips, keys=[key])
        meta: Meta = {
            "name": row.scene, "place": row.place, "index": index, "row": row.window.row, "col": row.window.col,
            "gsd_m": math.nan if row.gsd_m is None else row.gsd_m, "synthetic": row.synthetic, "seed": -1, "style": "",
        }  # fmt: skip
        return sample_of(
            batch.image[0], batch.mask[0], meta, buildings=self.store.classes is None, transforms=self._transforms,
            rng=np.random.default_rng(key),
        )  # fmt: skip

    def set_epoch(self, epoch: int) -> None:
        """Other crops, turns and transforms from now on, in all workers. Call it before each pass over the loader."""
        self._epoch.set(epoch)
