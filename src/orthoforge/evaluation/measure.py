"""One pass over the images and the real tiles, each of which is given to the networks once."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from orthoforge.errors import ConfigError
from orthoforge.evaluation.result import TileScores
from orthoforge.evaluation.subject import ImageSet
from orthoforge.measures.paired import mean_colours, pair_scores
from orthoforge.measures.pixels import detail_levels
from orthoforge.measures.realism.features import BATCH, LiteFeatures, ScoreNetwork, open_network, perceptual_distance
from orthoforge.measures.realism.lpips import Lpips, load_lpips
from orthoforge.measures.realism.realism import Seen, Vectors
from orthoforge.models.conditions import encode_image
from orthoforge.progress import Progress
from orthoforge.tiles.store import TileStore

# The floor's perceptual distance is a pass of the network for each tile; a mean over so many says enough.
FLOOR_PERCEPTUAL = 128
# Each holds some hundred megabytes of feature maps.
MOST_WORKERS = 8

T = TypeVar("T")
R = TypeVar("R")


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
    images: ImageSet, store: TileStore, tile_ids: Sequence[int], look: Look, *, workers: int = 1, seed: int = 0
) -> Measured:
    """Vectors and spectra of ``images`` and of the tiles ``tile_ids``, and pixel scores where an image shows a tile.

    Each image and each tile is read and looked at once, a few at a time. With ``workers`` above 1 as many threads do so side by
    side, each with one thread of PyTorch's own; results are the same for any number of them above 1, and come in the same order.
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
        parts = in_order(function, batches(count, BATCH), workers=workers)
        for part in Progress("scoring").over(parts, f"{what} images, batches of {BATCH}", -(-count // BATCH)):
            if part.fake_seen is not None:
                fake.take(part.fakes, part.fake_seen)
            if part.real_seen is not None:
                real.take(part.reals, part.real_seen)
            tiles += part.rows
    return Measured(fake, real, tiles, floor_from)


def in_order(function: Callable[[T], R], items: Iterable[T], *, workers: int) -> Iterator[R]:
    """``map``, by ``workers`` threads with one thread of PyTorch's own each, a few items ahead of who takes the results.

    Two such threads do more than one whose operations are shared between two threads: most operations are too small to share, and
    what lies between them is not shared at all. With one worker it is ``map``.
    """
    if workers == 1:
        yield from map(function, items)
        return
    threads = torch.get_num_threads()
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
            torch.set_num_threads(threads)  # the number is also the process's, for threads to come


def batches(count: int, size: int) -> Iterator[range]:
    """Numbers from 0 to ``count`` in groups of ``size``."""
    for begin in range(0, count, size):
        yield range(begin, min(begin + size, count))


def _open_lpips(folder: Path | None, store: TileStore, device: str) -> Lpips | None:
    if folder is None:
        return None
    lpips = load_lpips(folder, device=device)
    if store.size_px < lpips.least_px:
        raise ConfigError(f"{store.path}: its tiles have {store.size_px} px; LPIPS by {lpips.network} needs {lpips.least_px} px.")
    return lpips
