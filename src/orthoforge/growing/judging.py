"""Which images show their masks: a segmenter that learned from the run's own training tiles looks for the buildings again.

Its IoU on real images of other ground is the measure: an image of which it recognises much less than of real ones is rejected. What
it learned from is what the generator learned from, so images of training masks are judged kindly. It finds the failures, not the
finest.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orthoforge.errors import CheckpointError, DataError
from orthoforge.geo.rasters import open_raster, read_image
from orthoforge.growing.scale import Scale
from orthoforge.masks.reader import MaskReader
from orthoforge.measures.segmenter.fidelity import LEAST_SCORED, LEAST_TRAINING, WORTH_MEASURING_IOU
from orthoforge.measures.segmenter.mask_scores import mask_scores, pooled_scores
from orthoforge.measures.segmenter.segmentation import Segmenter, SegmenterSettings, tile_sample, train_segmenter
from orthoforge.tiles.cutting import Cut, cut_images, cut_masks
from orthoforge.tiles.store import TileStore

# Real tiles that the threshold is taken from; more change its second digit.
_MOST_REAL = 64


@dataclass(frozen=True)
class Judge:
    """Says how far an image and its mask agree. ``real_iou`` is what it finds in real images, ``notes`` what to know of it.

    It looks at three ``bands`` of an image, by their number from 1.
    """

    segmenter: Segmenter
    size_px: int
    real_iou: float
    notes: tuple[str, ...]
    bands: tuple[int, ...]

    def agreement(self, image: Path, mask: Path, scale: Scale, reader: MaskReader) -> float | None:
        """IoU of the mask and of what is recognised in the image, cut into tiles as the run's were.

        ``None`` for a mask without buildings, in which there is nothing to recognise.
        """
        scores = []
        for pixels, labels in self._tiles(image, mask, scale, reader):
            scores.append(mask_scores(self.segmenter(pixels), labels, class_count=self.segmenter.class_count))
        pooled = pooled_scores(scores)
        if self.segmenter.class_count is None and not pooled["hit"] + pooled["missed"]:
            return None
        return float(pooled["iou"])

    def _tiles(self, image: Path, mask: Path, scale: Scale, reader: MaskReader) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Images (n, S, S, 3) and masks (n, S, S), a row of tiles at a time."""
        with open_raster(image) as raster:
            side = max(1, min(round(self.size_px * scale.px), raster.grid.height, raster.grid.width))
            size_px = max(1, round(side / scale.px))
            cut = Cut(side, side, raster.grid.height // side, raster.grid.width // side)
            for row in range(cut.rows):
                images = cut_images(lambda window: read_image(raster, window, bands=self.bands), cut, row, size_px)
                masks, _ = cut_masks(lambda window: reader.labels(mask, window), cut, row, size_px, reader.classes)
                yield images, masks


def judge_of(store: TileStore, folder: Path, settings: SegmenterSettings, device: str) -> Judge:
    """A judge that learned from the training tiles of ``store``; kept in ``folder``, and taken from there the next time.

    Raises ``DataError`` when there are too few real tiles to learn from, or to measure it on.
    """
    store = store.showing()
    training, other = _real_tiles(store)
    try:
        segmenter = Segmenter.load(folder, device=device)
    except CheckpointError:
        print(
            f"training the segmenter that judges images, {settings.steps} steps on {len(training)} real training tiles", flush=True
        )
        sample = tile_sample(store, training, settings)
        segmenter = train_segmenter(sample, settings, class_count=store.class_count, device=device)
        segmenter.save(folder, overwrite=True)
    looked_at = other[np.unique(np.linspace(0, len(other) - 1, min(len(other), _MOST_REAL)).astype(int))]
    scores = []
    for tile_id in looked_at.tolist():
        image, mask = store.tile(tile_id)
        scores.append(mask_scores(segmenter(image[None])[0], mask, class_count=store.class_count))
    real_iou = float(pooled_scores(scores)["iou"])
    notes = []
    if real_iou < WORTH_MEASURING_IOU:
        notes.append(
            f"The segmenter's IoU on real images is {real_iou:.2f}: too weak an eye to judge others by. It needs more tiles."
        )
    return Judge(segmenter, store.size_px, real_iou, tuple(notes), store.looked_at)


def _real_tiles(store: TileStore) -> tuple[np.ndarray, np.ndarray]:
    """Real tiles to learn from, and others to be measured on: validation tiles, or every fifth training scene without them."""
    training = np.array([tile_id for tile_id in store.ids("train").tolist() if not store.rows[tile_id].synthetic], np.int64)
    other = store.ids("val")
    if len(other) < LEAST_SCORED:
        scenes = sorted({store.rows[tile_id].scene for tile_id in training.tolist()})
        held_out = set(scenes[::5]) if len(scenes) > 1 else set()
        is_other = np.array([store.rows[tile_id].scene in held_out for tile_id in training.tolist()], bool)
        training, other = training[~is_other], training[is_other]
    if len(training) < LEAST_TRAINING or len(other) < LEAST_SCORED:
        raise DataError(
            f"{store.path}: {len(training)} training tiles and {len(other)} of other ground are too few for the segmenter that "
            f"judges images; it needs {LEAST_TRAINING} and {LEAST_SCORED}. Pass --least-agreement 0 to take every image unseen."
        )
    return training, other
