"""One pass over the images and the real tiles, each of which is given to the networks once; and what it does not tell of a run:
whether it copies, how its images vary, whether they follow their masks."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from orthoforge.cluster import Here, Need, Team
from orthoforge.errors import ConfigError
from orthoforge.evaluation.result import (
    Assumed,
    Circumstances,
    DiversitySeen,
    FidelitySeen,
    MemorisationSeen,
    Nearest,
    NoDiversity,
    NoMemorisation,
    TileScores,
)
from orthoforge.evaluation.subject import ImageSet, Subject, batches
from orthoforge.measures.paired import mean_colours, pair_scores
from orthoforge.measures.pixels import detail_levels
from orthoforge.measures.realism.diversity import MASKS, diversity
from orthoforge.measures.realism.features import BATCH, LiteFeatures, ScoreNetwork, open_network, perceptual_distance
from orthoforge.measures.realism.lpips import Lpips, load_lpips
from orthoforge.measures.realism.memorisation import Neighbours, chosen_training_tiles, memorisation, nearest
from orthoforge.measures.realism.realism import Seen, Vectors
from orthoforge.measures.segmenter.fidelity import image_fidelity, segmenter_tiles
from orthoforge.measures.segmenter.segmentation import SegmenterSettings, tile_sample, train_segmenter
from orthoforge.models.conditions import encode_image
from orthoforge.progress import Progress
from orthoforge.tiles.store import TileStore

# So many images that lie nearest to a training tile are named, and shown.
NEAREST = 5
# The segmenter looks at so many tiles at most, spread over the set: more change little and take minutes.
FIDELITY_TILES = 200
# The floor's perceptual distance is a pass of the network for each tile; a mean over so many says enough.
FLOOR_PERCEPTUAL = 128
# Each holds some hundred megabytes of feature maps.
MOST_WORKERS = 8


@dataclass(frozen=True)
class Look:
    """Both networks' look at images (N, H, W, 3) uint8: the pixels in [-1, 1], maps for the perceptual distance, and vectors.

    ``shared`` says that ``eyes`` are ``lite``, so that one pass is enough.
    """

    lite: LiteFeatures
    eyes: ScoreNetwork
    shared: bool
    device: str
    lpips: Lpips | None = None
    """LPIPS itself, where its weights were given."""

    def __call__(self, pixels: np.ndarray) -> tuple[Tensor, list[Tensor], Tensor]:
        tensor = self.on_device(pixels)
        maps, vectors = self.lite(tensor)
        return tensor, maps, vectors if self.shared else self.eyes.embed(tensor)

    def maps(self, pixels: np.ndarray) -> list[Tensor]:
        """The maps alone, for the perceptual distance."""
        return self.lite(self.on_device(pixels))[0]

    def vectors(self, pixels: np.ndarray) -> np.ndarray:
        """The vectors alone (N, C) float32."""
        with torch.inference_mode():
            return self.eyes.embed(self.on_device(pixels)).float().cpu().numpy()

    def on_device(self, pixels: np.ndarray) -> Tensor:
        """Images (N, H, W, 3) uint8 as a tensor (N, 3, H, W) in [-1, 1]."""
        return encode_image(torch.from_numpy(pixels)).to(self.device)

    def circumstances(self) -> dict[str, dict[str, str]]:
        """Which network measures what, and with which weights."""
        named = {"sets of images": self.eyes.circumstances(), "perceptual distance": self.lite.circumstances()}
        return named | ({"LPIPS": self.lpips.circumstances()} if self.lpips else {})


@dataclass(frozen=True)
class Measured:
    """What one pass over the images leaves behind."""

    fake: Vectors
    real: Vectors
    tiles: list[TileScores]
    """A row a pair."""
    floor_from: str


@dataclass
class _Part:
    """What some images were seen to hold."""

    fakes: list[int] = field(default_factory=list)
    reals: list[int] = field(default_factory=list)
    fake_seen: Seen | None = None
    real_seen: Seen | None = None
    rows: list[TileScores] = field(default_factory=list)


def open_look(
    network: str | ScoreNetwork, store: TileStore, *, weights: Path | None = None, lpips: Path | None = None, device: str = "cpu"
) -> Look:
    """The packaged network, and ``network`` (a name for ``features.open_network``, or one of your own) for sets of images.

    Raises ``ConfigError`` for an unknown network, other weights, or tiles too small for LPIPS.
    """
    lite = LiteFeatures(device)
    own = lite.network() if network == "efficientnet-lite0" and weights is None else None
    eyes = own or (
        open_network(network, weights=weights, device=device, gsd_m=store.gsd_m) if isinstance(network, str) else network
    )
    return Look(lite, eyes, shared=own is not None, device=device, lpips=_open_lpips(lpips, store, device))


def measure(
    images: ImageSet,
    store: TileStore,
    tile_ids: Sequence[int],
    look: Look,
    *,
    team: Team | None = None,
    need: Need | None = None,
    seed: int = 0,
) -> Measured:
    """Vectors and spectra of ``images`` and of the tiles ``tile_ids``, and pixel scores where an image shows a tile.

    Each image and each tile is read and looked at once, a few at a time, by a ``team``, each of which takes what ``need`` says.
    Without one it is this thread. Results are the same for any number of workers that have as many threads of PyTorch's, and come
    in the same order.
    """
    number_of = {tile_id: number for number, tile_id in enumerate(tile_ids)}
    fake = Vectors(images.scenes, look.eyes.channels, seed)
    real = Vectors([store.rows[tile_id].scene for tile_id in tile_ids], look.eyes.channels, seed)
    pairs = [tile_id for tile_id in images.tile_ids if tile_id is not None]
    floor, floor_from = mean_colours(store, np.array(pairs)) if pairs else ({}, "")
    spread = np.linspace(0, len(pairs) - 1, min(len(pairs), FLOOR_PERCEPTUAL)).astype(int)
    floor_tiles = {pairs[index] for index in spread.tolist()}
    rest = sorted(number_of[tile_id] for tile_id in set(tile_ids) - set(pairs))

    def of_images(some: range) -> _Part:
        pixels = np.stack([images.read(number) for number in some])
        tensor, maps, vectors = look(pixels)
        part = _Part(fakes=list(some), fake_seen=fake.see(list(some), vectors, tensor))
        known = [(place, tile_id) for place, tile_id in enumerate(images.tile_ids[some.start : some.stop]) if tile_id is not None]
        if not known:
            return part
        at, ids = [place for place, _ in known], [tile_id for _, tile_id in known]
        reals, masks = (np.stack(arrays) for arrays in zip(*map(store.tile, ids), strict=True))
        real_tensor, real_maps, vectors = look(reals)
        part.reals = [number_of[tile_id] for tile_id in ids]
        part.real_seen = real.see(part.reals, vectors, real_tensor)
        apart = perceptual_distance([layer[at] for layer in maps], real_maps)
        flat = np.stack([floor[store.rows[tile_id].place][mask] for tile_id, mask in zip(ids, masks, strict=True)])
        rows = zip(ids, pair_scores(pixels[at], reals), pair_scores(flat, reals), apart.tolist(), strict=True)
        weighed = None if look.lpips is None else look.lpips(tensor[at], real_tensor).tolist()
        for index, (tile_id, scores, floor_scores, distance) in enumerate(rows):
            scores |= {"perceptual": distance} | ({} if weighed is None else {"lpips": weighed[index]})
            if tile_id in floor_tiles:
                one = slice(index, index + 1)
                flat_tensor, flat_maps, _ = look(flat[one])
                floor_scores["perceptual"] = float(perceptual_distance(flat_maps, [layer[one] for layer in real_maps]))
                if look.lpips is not None:
                    floor_scores["lpips"] = float(look.lpips(flat_tensor, real_tensor[one]))
            row = store.rows[tile_id]
            part.rows.append(
                {
                    "id": tile_id, "scene": row.scene, "place": row.place, "window": list(row.window),
                    "image": images.names[some[at[index]]], "generated": scores,
                    "mean_colours": floor_scores, "real": {"detail_levels": detail_levels(reals[index])},
                }
            )  # fmt: skip
        return part

    def of_tiles(some: range) -> _Part:
        numbers = rest[some.start : some.stop]
        tensor, _, vectors = look(np.stack([store.tile(tile_ids[number])[0] for number in numbers]))
        return _Part(reals=numbers, real_seen=real.see(numbers, vectors, tensor))

    tiles: list[TileScores] = []
    for what, count, function in (("generated", len(images), of_images), ("real", len(rest), of_tiles)):
        answers = (team or Here()).answers(function, batches(count, BATCH), need or Need())
        parts = (answer.result() for answer in answers)
        for part in Progress("scoring").over(parts, f"{what} images, batches of {BATCH}", -(-count // BATCH)):
            if part.fake_seen is not None:
                fake.take(part.fakes, part.fake_seen)
            if part.real_seen is not None:
                real.take(part.reals, part.real_seen)
            tiles += part.rows
    return Measured(fake, real, tiles, floor_from)


def copies(
    subject: Subject, store: TileStore, split: str, measured: Measured, look: Look, seen: Circumstances, *, team: Team, need: Need
) -> MemorisationSeen | NoMemorisation:
    """Memorisation, with the nearest tiles; or why it was not measured."""
    training = subject.ground.training if subject.ground else store
    if training is None:
        return {
            "ratio": None,
            "why": "the tiles that the run was trained on are not where its args.yaml says",
            "circumstances": seen,
        }
    training = training.showing(store.shown)
    if split == "train" and (subject.ground is None or subject.ground.same_store):
        return {"ratio": None, "why": "the scored tiles are the training tiles, so there is no yardstick", "circumstances": seen}
    every = training.ids("train")
    chosen = chosen_training_tiles(every).tolist()
    if not chosen:
        return {"ratio": None, "why": f"{training.path} has no training tiles", "circumstances": seen}

    def vectors_of(some: range) -> tuple[list[int], np.ndarray]:
        ids = chosen[some.start : some.stop]
        pixels = np.stack([training.tile(tile_id)[0] for tile_id in ids])
        return ids, look.vectors(pixels)

    answers = team.answers(vectors_of, batches(len(chosen), BATCH), need)
    shown_answers = Progress("memorisation").over(answers, f"training tiles, batches of {BATCH}", -(-len(chosen) // BATCH))
    searched = (answer.result() for answer in shown_answers)
    found: list[Neighbours] = nearest([measured.fake.array, measured.real.array], searched)
    order = np.argsort(found[0].distances, kind="stable")[:NEAREST]
    shown: list[Nearest] = [
        {"image": subject.images.names[measured.fake.kept[index]], "number": int(measured.fake.kept[index]),
         "training_tile": int(found[0].tile_ids[index]), "distance": float(found[0].distances[index])}
        for index in order.tolist()
    ]  # fmt: skip
    figures = memorisation(*found, searched=len(chosen), training_tiles=len(every))
    words: Assumed = {}
    if not subject.ground:
        words = {"assumed": "that the images were made by something trained on split train of these tiles"}
    return {**figures, **words, "training_fingerprint": training.fingerprint, "nearest": shown, "circumstances": seen}


def variety(
    subject: Subject, store: TileStore, tile_ids: list[int], look: Look, seen: Circumstances, *, seed: int
) -> DiversitySeen | NoDiversity:
    """How far images of one mask with several seeds lie apart; or why it was not measured."""
    made = subject.made
    if made is None:
        why = "a folder has one image of each mask; several seeds need a run"
        return {"value": None, "why": why, "circumstances": seen}
    chosen = [tile_ids[index] for index in np.unique(np.linspace(0, len(tile_ids) - 1, MASKS).astype(int)).tolist()]
    figures = diversity(
        lambda number, some: made.of_tile(store, chosen[number], some),
        [store.tile(tile_id)[0] for tile_id in chosen],
        look.maps,
        first_seed=seed,
    )
    return {**figures, "circumstances": seen}


def masks_followed(
    subject: Subject, store: TileStore, settings: SegmenterSettings, folder: Path, *, seed: int, device: str
) -> FidelitySeen:
    """How well the run's images follow their masks, to a segmenter that is trained here and kept in ``folder``."""
    made = subject.made
    if made is None:
        raise ConfigError(f"{subject.path} is a folder of images: fidelity is measured of a run, which is given the tiles' masks.")
    training, scored = segmenter_tiles(store)
    shown = scored[np.unique(np.linspace(0, len(scored) - 1, min(FIDELITY_TILES, len(scored))).astype(int))]
    segmenter = train_segmenter(tile_sample(store, training, settings), settings, class_count=store.class_count, device=device)
    segmenter.save(folder, overwrite=True)
    followed = image_fidelity(segmenter, store, shown, lambda tile_id: made.of_tile(store, tile_id, seed), seed=seed)
    return {**followed, "segmenter": asdict(settings) | {"n": len(training)}}


def _open_lpips(folder: Path | None, store: TileStore, device: str) -> Lpips | None:
    if folder is None:
        return None
    lpips = load_lpips(folder, device=device)
    if store.size_px < lpips.least_px:
        raise ConfigError(f"{store.path}: its tiles have {store.size_px} px; LPIPS by {lpips.network} needs {lpips.least_px} px.")
    return lpips
