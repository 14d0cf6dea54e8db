"""Prepared tiles on disk: what the manifest says, and batches of crops out of memory maps.

A store is a folder with ``store.json`` (settings, counts), ``manifest.jsonl`` (a row a tile) and for every scene a shard of two
files, ``SCENE.images.npy`` (n, S, S, B), of B bands, and ``SCENE.masks.npy`` (n, S, S), uint8. Small scenes share shards, in which
the tiles of one scene follow those of another (``groups`` of ``store.json``). Tiles of split ``buffer`` lie between two splits and
belong to none; they stay in the manifest so that it describes the shards completely.
"""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np

from orthoforge.bands import RGB, shown_bands
from orthoforge.errors import ConfigError, DataError
from orthoforge.files import no_folder
from orthoforge.masks.classes import Classes, class_count
from orthoforge.tiles.forms import SettingsForm, StoreForm, store_body
from orthoforge.tiles.manifest import (
    FORMAT_OF_GROUPS,
    MANIFEST,
    STORE,
    TileRow,
    band_count,
    has_size,
    manifest_sha256,
    mapped,
    may_have_overflowed,
    read_rows,
    shard_paths,
    shard_shapes,
    tile_sha256,
)

_GOLDEN = 0x9E3779B97F4A7C15
# Shards that are mapped at once. A map holds no open file, but the kernel lets a process have some 65 000 of them.
_MOST_MAPPED = 8192
_SHOWN_DAMAGED = 3  # tiles named in a message
_ORDER, _CROP = 1, 2  # apart, so that the order of an epoch says nothing about its crops

Flips = Literal["none", "horizontal", "dihedral"]
Keys = Sequence[Sequence[int]] | np.ndarray


@dataclass(frozen=True)
class TileStore:
    """Prepared tiles, read-only. ``TileStore.open(path)`` opens the folder that ``prepare`` wrote.

    ``size_px`` is the side of a tile in pixels. ``gsd_m`` is its ground resolution in metres per pixel, or ``None`` where tiles
    differ by more than 1 % or have no CRS. ``classes`` is ``None`` for building masks, which hold 0 and 255; masks of classes hold
    class indices. ``rows`` has a row for each tile, as in ``manifest.jsonl``. ``shown`` are the bands that ``tile`` gives, by their
    number in the store from 0; all of them where it is ``None``.

    Examples:
        >>> from orthoforge import TileStore
        >>> store = TileStore.open("tiles")
        >>> first = store.ids("train")[0]
        >>> image, mask = store.tile(first)  # (S, S, B) and (S, S), uint8
        >>> image.shape, mask.shape
        ((96, 96, 3), (96, 96))
        >>> store.rows[first].place
        'austin'
    """

    path: Path
    size_px: int
    gsd_m: float | None
    classes: Classes | None
    fingerprint: str
    settings: SettingsForm = field(repr=False)
    rows: tuple[TileRow, ...] = field(repr=False)
    shown: tuple[int, ...] | None = None
    _groups: dict[str, list[str]] = field(default_factory=dict, repr=False)
    _shards: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, repr=False, compare=False)

    @staticmethod
    def open(path: str | Path) -> "TileStore":
        """Open the store in the folder ``path``; shards are mapped when first used.

        Raises ``DataError`` when there is no store, it is of a newer version, its manifest changed, or a shard is missing or of
        another size than the manifest says. Raises it too for a store of format 1 whose masks may be wrong, see
        ``may_have_overflowed``.
        """
        path = Path(path)
        body = _read_body(path)
        manifest = _read(path / MANIFEST)
        if manifest_sha256(manifest) != body["fingerprint"]:
            raise DataError(f"{path / MANIFEST}: missing or changed since it was written. Run orthoforge prepare --overwrite.")
        size, bands = body["size_px"], band_count(body["settings"].get("bands"))
        rows = read_rows(manifest, path / MANIFEST, size)
        if any(may_have_overflowed(body["format"], row.window, size) for row in rows):
            raise DataError(
                f"{path}: an earlier version of orthoforge cut it, which counted the areas of such large windows wrongly, so its "
                "masks and building shares may be wrong. Run the same orthoforge prepare again: it cuts the tiles anew."
            )
        classes, groups = Classes.of_plain(body["classes"]), body.get("groups", {})
        store = TileStore(
            path, size, body["gsd_m"], classes, body["fingerprint"], body["settings"], rows, _groups=groups
        )  # fmt: skip
        for shard, count in store._places.counts.items():
            for file, shape in zip(shard_paths(path, shard), shard_shapes(count, size, bands), strict=True):
                _require_size(file, shape)
        return store

    def __getstate__(self) -> dict[str, object]:
        """Without what is mapped: whoever gets a copy maps it anew."""
        return {**vars(self), "_shards": {}}

    @property
    def attribution(self) -> str:
        """Whom to name for the source images."""
        return self.settings["attribution"]

    @property
    def bands(self) -> int:
        """How many bands an image has on disk."""
        return band_count(self.settings.get("bands"))

    def showing(self, bands: Sequence[int] | None = None) -> "TileStore":
        """The same tiles as images of three bands: ``bands``, or the first three. ``ConfigError`` for bands that are not there."""
        shown = shown_bands(self.bands, bands)
        return self if (self.bands, shown) == (3, RGB) else replace(self, shown=shown)

    @property
    def looked_at(self) -> tuple[int, ...]:
        """The bands that ``showing`` chose, by their number in the store from 1."""
        return tuple(band + 1 for band in self.shown or RGB)

    @property
    def class_count(self) -> int | None:
        """How many classes; ``None`` for building masks."""
        return class_count(self.classes)

    def ids(self, split: str) -> np.ndarray:
        """Ids of the tiles of ``split`` ('train', 'val', 'test', 'buffer'), in manifest order."""
        return np.array([tile_id for tile_id, row in enumerate(self.rows) if row.split == split], np.int64)

    def tile(self, tile_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Image (S, S, B) and mask (S, S), uint8, as read-only views of the memory maps; of ``shown`` bands a copy."""
        row = self.rows[tile_id]
        shard, first = self._places.of_scenes[row.scene]
        image, mask = (pixels[first + row.index] for pixels in self._arrays(shard))
        return (image if self.shown is None else image[..., self.shown]), mask

    def _arrays(self, shard: str) -> tuple[np.ndarray, np.ndarray]:
        arrays = self._shards.get(shard)
        if arrays is None:
            if len(self._shards) >= _MOST_MAPPED:  # the oldest goes; the kernel unmaps it when nobody looks at its tiles any more
                self._shards.pop(next(iter(self._shards)), None)
            count = self._places.counts[shard]
            images, masks = map(mapped, shard_paths(self.path, shard), shard_shapes(count, self.size_px, self.bands))
            arrays = self._shards[shard] = images, masks
        return arrays

    @cached_property
    def _places(self) -> "_Places":
        return _places(Counter(row.scene for row in self.rows), self._groups)

    def describe(self, tile_id: int) -> str:
        """'austin7 at row 1000, column 0', for messages."""
        row = self.rows[tile_id]
        return f"{row.scene} at row {row.window.row}, column {row.window.col}"

    def mask_rgb(self, mask: np.ndarray) -> np.ndarray:
        """A mask or a batch of them (..., H, W) as a picture (..., H, W, 3): black and white, or the palette's colours."""
        if self.classes is None:
            return np.repeat(mask[..., None], 3, axis=-1)
        return self.classes.rgb(mask)

    def verify(self) -> list[str]:
        """Tiles whose pixels no longer fit their checksum, described. Reads everything."""
        whole = replace(self, shown=None)

        def fits(tile_id: int) -> bool:
            return tile_sha256(*whole.tile(tile_id)) == self.rows[tile_id].sha256

        with ThreadPoolExecutor() as pool:  # checksums let other threads run
            fitting = pool.map(fits, range(len(self.rows)))
            return [self.describe(tile_id) for tile_id, fit in enumerate(fitting) if not fit]

    def require_sound(self, damaged: Sequence[str] | None = None) -> None:
        """Raise ``DataError`` naming the tiles whose pixels no longer fit their checksum; ``damaged`` is what ``verify`` gave."""
        if damaged := self.verify() if damaged is None else damaged:
            more = f" and {len(damaged) - _SHOWN_DAMAGED} more" if len(damaged) > _SHOWN_DAMAGED else ""
            raise DataError(
                f"{self.path}: the pixels of {'; '.join(damaged[:_SHOWN_DAMAGED])}{more} are not those that were prepared: their "
                "checksums differ. The files were damaged or exchanged. Run the same orthoforge prepare again: it mends them."
            )


class _Places(NamedTuple):
    """In which shard a scene's tiles lie, and where the first of them; how many tiles each shard has."""

    of_scenes: dict[str, tuple[str, int]]
    counts: dict[str, int]


def _places(tiles: Counter[str], groups: dict[str, list[str]]) -> _Places:
    """Of scenes with so many tiles, some of which share shards."""
    places, counts = {scene: (scene, 0) for scene in tiles}, dict(tiles)
    for shard, scenes in groups.items():
        counts[shard] = 0
        for scene in scenes:
            places[scene] = shard, counts[shard]
            counts[shard] += counts.pop(scene, 0)
    return _Places(places, counts)


@dataclass(frozen=True)
class Batch:
    """Crops: ``image`` (N, C, C, B) and ``mask`` (N, C, C), uint8, and the tiles they come from.

    ``canvas`` (N, C, C, B) is cut out alike, where there are canvases.
    """

    image: np.ndarray
    mask: np.ndarray
    tile_ids: np.ndarray
    canvas: np.ndarray | None = None


class Canvases(Protocol):
    """Further images of tiles, ``count`` of each, which are cropped along with them."""

    @property
    def count(self) -> int:
        """How many a tile has."""

    def image(self, tile_id: int, number: int) -> np.ndarray:
        """(S, S, B) uint8."""


def epoch_order(tile_ids: np.ndarray, *, seed: int | Sequence[int], epoch: int) -> np.ndarray:
    """``tile_ids`` in an order that is a function of ``seed`` (one or more whole numbers) and ``epoch`` only."""
    tile_ids = np.asarray(tile_ids)
    keys = np.empty((len(tile_ids), np.size(seed) + 2), np.int64)
    keys[:, :-2], keys[:, -2], keys[:, -1] = seed, epoch, np.arange(len(tile_ids))
    return tile_ids[np.argsort(_hash(keys, _ORDER), kind="stable")]


def crop_batch(
    store: TileStore, tile_ids: np.ndarray, *, crop_px: int, flips: Flips, keys: Keys, canvases: Canvases | None = None
) -> Batch:
    """One random crop of each tile, image and mask alike, turned or mirrored as ``flips`` says.

    All that is random about a crop is a function of its key, one or more whole numbers such as (seed, epoch, position): the same
    crops come out in any process, and after resuming. Raises ``ConfigError`` when the crop is larger than the tiles.
    """
    assert len(keys) == len(tile_ids), (len(keys), len(tile_ids))
    room = _room(store, crop_px)
    state = _hash(np.asarray(keys, np.int64).reshape(len(tile_ids), -1), _CROP)
    rows, cols = _below(_draw(state, 1), room + 1), _below(_draw(state, 2), room + 1)
    turns = _below(_draw(state, 3), {"none": 1, "horizontal": 2, "dihedral": 8}[flips])
    numbers = _below(_draw(state, 4), canvases.count) if canvases else None
    return _cut_out(store, tile_ids, crop_px, rows, cols, turns, canvases, numbers)


def centre_batch(store: TileStore, tile_ids: np.ndarray, *, crop_px: int, canvases: Canvases | None = None) -> Batch:
    """The centre of each tile, for validation. ``ConfigError`` when the crop is larger than the tiles."""
    first = np.full(len(tile_ids), _room(store, crop_px) // 2)
    return _cut_out(store, tile_ids, crop_px, first, first, np.zeros_like(first), canvases)


def _read_body(path: Path) -> StoreForm:
    file = path / STORE
    if not file.is_file():
        if not path.is_dir():
            raise DataError(f"{no_folder(path)}. Tiles are made by orthoforge prepare.")
        raise DataError(f"{path}: no tile store (no {STORE}). Make one, or finish an interrupted one, with orthoforge prepare.")
    body = store_body(_read(file), file)
    version = body["format"]
    if version > FORMAT_OF_GROUPS:
        raise DataError(f"{file}: written by a newer orthoforge (format {version}, this one reads {FORMAT_OF_GROUPS}). Upgrade it.")
    return body


def _read(file: Path) -> bytes:
    """Its bytes; none where it is missing. ``DataError`` when it cannot be read."""
    try:
        return file.read_bytes() if file.is_file() else b""
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}). Mend its permissions, or copy the store anew.") from error


def _require_size(shard: Path, shape: tuple[int, ...]) -> None:
    if not shard.is_file():
        raise DataError(f"{shard}: missing, though the manifest lists its tiles. Run orthoforge prepare --overwrite.")
    if not has_size(shard, shape):
        raise DataError(
            f"{shard}: has {shard.stat().st_size} bytes, not those of its {shape[0]} tiles. Cut short or changed: run "
            "orthoforge prepare --overwrite."
        )


def _room(store: TileStore, crop_px: int) -> int:
    if not 1 <= crop_px <= store.size_px:
        raise ConfigError(
            f"crop_px is {crop_px}, the tiles in {store.path} are {store.size_px} px. Take a crop of 1 to {store.size_px} px, or "
            "prepare larger tiles with --size."
        )
    return store.size_px - crop_px


def _cut_out(
    store: TileStore, tile_ids: np.ndarray, crop_px: int, rows: np.ndarray, cols: np.ndarray, turns: np.ndarray,
    canvases: Canvases | None = None, numbers: np.ndarray | None = None,
) -> Batch:  # fmt: skip
    bands = store.bands if store.shown is None else len(store.shown)
    images = np.empty((len(tile_ids), crop_px, crop_px, bands), np.uint8)
    masks = np.empty((len(tile_ids), crop_px, crop_px), np.uint8)
    canvas = np.empty_like(images) if canvases else None
    numbers = np.zeros(len(tile_ids), np.int64) if numbers is None else numbers
    draws = zip(np.asarray(tile_ids).tolist(), rows.tolist(), cols.tolist(), turns.tolist(), numbers.tolist(), strict=True)
    for index, (tile_id, row, col, turn, number) in enumerate(draws):
        image, mask = store.tile(tile_id)
        window = slice(row, row + crop_px), slice(col, col + crop_px)
        _turn_into(images[index], image[window], turn)
        masks[index] = _turned(mask[window], turn)
        if canvas is not None and canvases is not None:
            _turn_into(canvas[index], canvases.image(tile_id, number)[window], turn)
    return Batch(images, masks, np.asarray(tile_ids), canvas)


def _turn_into(out: np.ndarray, image: np.ndarray, turn: int) -> None:
    if not turn:
        out[...] = image
        return
    for channel in range(image.shape[2]):  # a mirrored copy goes byte by byte; by channel it is four times faster than by pixel
        out[..., channel] = _turned(image[..., channel], turn)


def _turned(plane: np.ndarray, turn: int) -> np.ndarray:
    """One of the eight states of a square: mirrored left-right (1), up-down (2) and across the diagonal (4)."""
    plane = plane.T if turn & 4 else plane
    plane = plane[::-1] if turn & 2 else plane
    return plane[:, ::-1] if turn & 1 else plane


def _hash(keys: np.ndarray, stream: int) -> np.ndarray:
    """(N, k) whole numbers to (N,) of 64 random bits: splitmix64 (Steele, Lea, Flood 2014) over the columns."""
    state = np.full(len(keys), stream, np.uint64)
    for column in keys.astype(np.uint64).T:
        state = _draw(state ^ column, 1)
    return state


def _draw(state: np.ndarray, number: int) -> np.ndarray:
    """The draw ``number`` (1, 2, …) of splitmix64 from each state."""
    bits = state + np.uint64(_GOLDEN * number % 2**64)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def _below(bits: np.ndarray, limit: int) -> np.ndarray:
    """Whole numbers from 0 to ``limit`` − 1, from the upper 32 bits."""
    return ((bits >> np.uint64(32)) * np.uint64(limit)) >> np.uint64(32)
