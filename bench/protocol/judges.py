"""Who judges: segmenters that learned from real tiles only, trained once a set of tiles and kept.

* ``eye`` learned from the training tiles. Its encoder's pooled features are the second judge of realism: a recipe may be trained
  against features of EfficientNet-Lite0 as it is published, which the first judge looks through.
* ``halves``: one learned from the validation tiles and looks at the test tiles, the other the other way round. So every held-out
  tile is looked at for its buildings by a network that saw neither it nor anything that a generator learned from. They have few
  tiles to learn from; ``eye`` looks for buildings as well, with more practice, but in places that the generators know, too.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.protocol.tiles import held_out, quarters
from orthoforge.measures.segmenter.segmentation import DESCRIPTION, Segmenter, SegmenterSettings, tile_sample, train_segmenter
from orthoforge.tiles.store import TileStore


@dataclass(frozen=True)
class Judges:
    """``halves``: ids of tiles, and who looks at them. ``scale``: mean and deviation of what ``eye`` sees in training tiles."""

    eye: Segmenter
    scale: tuple[np.ndarray, np.ndarray]
    halves: tuple[tuple[np.ndarray, Segmenter], tuple[np.ndarray, Segmenter]]

    def features(self, images: np.ndarray) -> np.ndarray:
        """What ``eye`` sees in images (N, H, W, 3) uint8: (N, 320), each channel scaled by the training tiles, all of one length.

        Its deepest layer has no bound: unscaled, the cube in the kernel distance turns a few outliers into millions. Of length √C
        a vector's kernel with itself is 8, and no image weighs more than another.
        """
        mean, deviation = self.scale
        scaled = (self.eye.features(images) - mean) / deviation
        return scaled / np.linalg.norm(scaled, axis=1, keepdims=True) * np.sqrt(scaled.shape[1])


def judges_of(store: TileStore, folder: Path, *, steps: int, device: str) -> Judges:
    """The judges of these tiles, read from below ``folder``, or trained and kept there."""
    folder = folder / f"{store.fingerprint[:12]}-{steps}-steps"
    by_split = {split: _segmenter(store, store.ids(split), folder / split, steps, device) for split in ("train", "val", "test")}
    scored = held_out(store)
    val, test = (np.intersect1d(scored, store.ids(split)) for split in ("val", "test"))
    eye = by_split["train"]
    known = eye.features(quarters(np.stack([store.tile(tile_id)[0] for tile_id in store.ids("train").tolist()])))
    return Judges(eye, (known.mean(axis=0), known.std(axis=0) + 1e-6), ((val, by_split["test"]), (test, by_split["val"])))


def _segmenter(store: TileStore, tile_ids: np.ndarray, folder: Path, steps: int, device: str) -> Segmenter:
    if (folder / DESCRIPTION).is_file():  # written last
        return Segmenter.load(folder, device=device)
    print(f"training a segmenter on {len(tile_ids)} real tiles: {folder}", flush=True)
    settings = SegmenterSettings(steps=steps)
    segmenter = train_segmenter(tile_sample(store, tile_ids, settings), settings, class_count=store.class_count, device=device)
    segmenter.save(folder, overwrite=True)
    return segmenter
