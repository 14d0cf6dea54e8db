"""What one look at every image does not tell of a run: copies of training tiles, variety, and whether masks are followed."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from orthoforge.errors import ConfigError
from orthoforge.evaluation.image_sets import batches
from orthoforge.evaluation.look import Look
from orthoforge.evaluation.measure import Measured, in_order
from orthoforge.evaluation.subject import Subject
from orthoforge.measures.realism.diversity import MASKS, diversity
from orthoforge.measures.realism.features import BATCH
from orthoforge.measures.realism.memorisation import Neighbours, chosen_training_tiles, memorisation, nearest
from orthoforge.measures.segmenter.fidelity import image_fidelity, segmenter_tiles
from orthoforge.measures.segmenter.segmentation import SegmenterSettings, tile_sample, train_segmenter
from orthoforge.tiles.store import TileStore

# So many images that lie nearest to a training tile are named, and shown.
NEAREST = 5
# The segmenter looks at so many tiles at most, spread over the set: more change little and take minutes.
FIDELITY_TILES = 200


def copies(subject: Subject, store: TileStore, split: str, measured: Measured, look: Look, *, workers: int) -> dict[str, Any]:
    """Memorisation, with the nearest tiles; or why it was not measured."""
    training = subject.ground.training if subject.ground else store
    if training is None:
        return {"ratio": None, "why": "the tiles that the run was trained on are not where its args.yaml says"}
    training = training.showing(store.shown)
    if split == "train" and (subject.ground is None or subject.ground.same_store):
        return {"ratio": None, "why": "the scored tiles are the training tiles, so there is no yardstick"}
    every = training.ids("train")
    chosen = chosen_training_tiles(every).tolist()
    if not chosen:
        return {"ratio": None, "why": f"{training.path} has no training tiles"}

    def vectors_of(some: range) -> tuple[list[int], np.ndarray]:
        ids = chosen[some.start : some.stop]
        pixels = np.stack([training.tile(tile_id)[0] for tile_id in ids])
        return ids, look.vectors(pixels)

    searched = in_order(vectors_of, batches(len(chosen), BATCH), workers=workers)
    found: list[Neighbours] = nearest([measured.fake.array, measured.real.array], searched)
    words = {} if subject.ground else {"assumed": "that the images were made by something trained on split train of these tiles"}
    order = np.argsort(found[0].distances, kind="stable")[:NEAREST]
    shown = [
        {"image": subject.images.names[measured.fake.kept[index]], "number": int(measured.fake.kept[index]),
         "training_tile": int(found[0].tile_ids[index]), "distance": float(found[0].distances[index])}
        for index in order.tolist()
    ]  # fmt: skip
    figures = memorisation(*found, searched=len(chosen), training_tiles=len(every))
    return figures | words | {"training_fingerprint": training.fingerprint, "nearest": shown}


def variety(subject: Subject, store: TileStore, tile_ids: list[int], look: Look, *, seed: int) -> dict[str, Any]:
    """How far images of one mask with several seeds lie apart; or why it was not measured."""
    made = subject.made
    if made is None:
        return {"value": None, "why": "a folder has one image of each mask; several seeds need a run"}
    chosen = [tile_ids[index] for index in np.unique(np.linspace(0, len(tile_ids) - 1, MASKS).astype(int)).tolist()]
    return diversity(
        lambda number, some: made.of_tile(store, chosen[number], some),
        [store.tile(tile_id)[0] for tile_id in chosen],
        look.maps,
        first_seed=seed,
    )


def masks_followed(
    subject: Subject, store: TileStore, settings: SegmenterSettings, folder: Path, *, seed: int, device: str
) -> dict[str, Any]:
    """How well the run's images follow their masks, to a segmenter that is trained here and kept in ``folder``."""
    made = subject.made
    if made is None:
        raise ConfigError(f"{subject.path} is a folder of images: fidelity is measured of a run, which is given the tiles' masks.")
    training, scored = segmenter_tiles(store)
    shown = scored[np.unique(np.linspace(0, len(scored) - 1, min(FIDELITY_TILES, len(scored))).astype(int))]
    segmenter = train_segmenter(tile_sample(store, training, settings), settings, class_count=store.class_count, device=device)
    segmenter.save(folder, overwrite=True)
    followed = image_fidelity(segmenter, store, shown, lambda tile_id: made.of_tile(store, tile_id, seed), seed=seed)
    return followed | {"segmenter": asdict(settings) | {"n": len(training)}}
