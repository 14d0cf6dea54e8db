"""One scene to its two shards, so that a run which was killed goes on where it stopped.

Small scenes are cut while their files are open for their headers: opening a file takes longer than reading some hundred pixels.

Beside the shards stands a record in a hidden folder: which settings and which source files, as they were, the shards come from.
It is written last and removed first, so a record always speaks of finished shards.
"""

import contextlib
import json
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, NamedTuple, get_args

import numpy as np
import rasterio

from orthoforge.bands import require_band_numbers
from orthoforge.errors import ConfigError, DataError, ResourceError
from orthoforge.files import replaced_file, sync, writable
from orthoforge.geo import stamps
from orthoforge.geo.grid import Grid, Window, grid_of_pair, require_same_grid
from orthoforge.geo.pixel_sizes import PixelSizes
from orthoforge.geo.rasters import Raster, open_raster, read_image, reading_many
from orthoforge.geo.stamps import Stamp
from orthoforge.masks.classes import Classes, plain_classes
from orthoforge.masks.coding import Coding
from orthoforge.masks.layer_mask import LayerMask
from orthoforge.masks.layered import LayeredMask, MapFiles, layered
from orthoforge.masks.reader import MaskReader, RasterMask
from orthoforge.scenes.place_names import PlaceNames
from orthoforge.scenes.sources import Pair
from orthoforge.tiles import manifest
from orthoforge.tiles.cutting import (
    LEAST_DATA,
    SAME_GSD,
    Cut,
    Read,
    cut_by_gsd,
    cut_by_number,
    cut_images,
    cut_masks,
    data_shares,
)
from orthoforge.tiles.manifest import TileRow
from orthoforge.tiles.splits import Method

RECORDS = ".records"
_LEAST_BESIDE_PX = 2**18  # of a row of windows
# Both files of a small scene together, and the tiles of all that are held in memory before they are written.
_SMALL_BYTES, _AHEAD_BYTES = 2**20, 2**26
# In the place of a checksum.
_CHANGED = "changed while it was read"
# A disk forces many files at once in little more time than one. Of two thousand, 16 threads took a third of what one did.
_FORCING_THREADS = 16
_LATER = ("bands", "pixel_sizes", "coding", "layers", "places")


@dataclass(frozen=True)
class Settings:
    """What the tiles depend on beside the scenes. All but split, seed, attribution and places decides the pixels of a shard."""

    grid: int | None
    gsd: float | None
    size: int
    min_building: float
    threshold: int | None
    classes: Classes | None
    split: Method
    seed: int
    attribution: str
    bands: tuple[int, ...] | None = None
    """Of the scenes' images, by their number from 1; ``None`` for images of three bands."""
    pixel_sizes: PixelSizes = PixelSizes()  # noqa: RUF009 (immutable)
    """Of scenes without coordinates."""
    coding: Coding | None = None
    """How masks of classes say what is building, where tiles of buildings are made of them."""
    layers: MapFiles | None = None
    """Map layers that are painted under the masks' buildings: the tiles' masks then have the classes of their style."""
    places: PlaceNames = PlaceNames()  # noqa: RUF009 (immutable)
    """Of scenes whose names do not say theirs."""

    def __post_init__(self) -> None:
        if self.grid is not None and self.gsd is not None:
            raise ConfigError("--grid cuts a scene into a number of tiles, --gsd into tiles of one ground size. Pass one of them.")
        if self.grid is not None and self.grid < 1:
            raise ConfigError(f"grid is {self.grid}; it is the number of tiles along a scene's shorter side, 1 or more.")
        if self.gsd is not None and not 0 < self.gsd < float("inf"):
            raise ConfigError(f"gsd is {self.gsd}; it is the ground size of a tile's pixel in metres, above 0.")
        if self.size < 1:
            raise ConfigError(f"size is {self.size}; it is the side of a tile in pixels, 1 or more.")
        if not 0 <= self.min_building <= 1:
            raise ConfigError(f"min_building is {self.min_building}; it is a share from 0 to 1 (0.25 for 25 %).")
        if self.split not in get_args(Method):
            raise ConfigError(f"split is {self.split!r}; known are {', '.join(get_args(Method))}.")
        if self.threshold is not None and self.classes and not self.layers:
            raise ConfigError("--threshold is for masks of buildings, --palette for masks of classes. Pass one of them.")
        require_band_numbers(self.bands)

    def shard_shapes(self, count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of the arrays of so many tiles' images and masks."""
        return manifest.shard_shapes(count, self.size, manifest.band_count(self.bands))

    @property
    def plain(self) -> dict[str, object]:
        """As plain values. Later fields only where they were chosen: a store without is the same as before there was a choice."""
        values = {one.name: getattr(self, one.name) for one in fields(self)} | {
            "classes": plain_classes(self.classes), "pixel_sizes": self.pixel_sizes.plain or None,
            "coding": self.coding.plain() if self.coding else None, "layers": self._layer_sums,
            "places": self.places.plain or None,
        }  # fmt: skip
        return {name: value for name, value in values.items() if name not in _LATER or value is not None}

    @cached_property
    def _layer_sums(self) -> dict[str, object] | None:
        return self.layers.plain if self.layers else None

    @property
    def reader(self) -> MaskReader:
        """What reads the scenes' masks: of buildings alone where layers are painted under them."""
        return MaskReader(None if self.layers else self.classes, self.threshold, self.pixel_sizes, self.coding)

    @cached_property
    def pixels(self) -> dict[str, object]:
        """What a scene's shards depend on, the libraries that resize and read included."""
        others = ("split", "seed", "attribution", "places")
        own = {name: value for name, value in self.plain.items() if name not in others}
        return {"format": manifest.FORMAT, "versions": versions()} | json.loads(json.dumps(own))


@dataclass(frozen=True)
class Scene:
    """A pair whose headers were read; ``cut`` is ``None`` when it is smaller than one tile.

    ``synthetic`` says that a generator made the image; ``made_from`` are the scenes whose masks it was made from, where known.
    ``ready`` are the tiles of one that was cut at once.
    """

    pair: Pair
    grid: Grid
    cut: Cut | None
    synthetic: bool = False
    made_from: tuple[str, ...] = ()
    ready: "Ready | None" = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """As the pair is called."""
        return self.pair.name


@dataclass(frozen=True)
class SceneTiles:
    """The rows of a scene, and how many tiles lack data: ``empty`` ones, which are left out, and ``partly`` empty ones; and how its
    ``sources`` were (``stamp``)."""

    rows: list[TileRow]
    empty: int = 0
    partly: int = 0
    sources: list[Stamp] | None = None


class Ready(NamedTuple):
    """A scene's tiles before they are written: images (S, S, B), masks (S, S), and what is told of them."""

    images: list[np.ndarray]
    masks: list[np.ndarray]
    told: SceneTiles


class Ahead:
    """Which scenes are cut while they are surveyed: small ones without a record, as long as ``room_bytes`` hold their tiles."""

    def __init__(self, tiles: Path, room_bytes: int | None = None) -> None:
        self._tiles, self._lock = tiles, threading.Lock()
        self._room_bytes = _AHEAD_BYTES if room_bytes is None else room_bytes

    def takes(self, pair: Pair) -> bool:
        """Whether a pair is small, and nothing says that it was finished before."""
        try:
            small = sum(file.stat().st_size for file in (pair.image, pair.mask)) <= _SMALL_BYTES
        except OSError:  # whoever opens it says so
            return False
        return small and not is_recorded(self._tiles, pair)

    def has_room(self, cut: Cut, settings: Settings) -> bool:
        """Whether the scene and its tiles are small enough; their room is then taken."""
        needed = sum(map(math.prod, settings.shard_shapes(cut.rows * cut.cols)))
        if cut.rows * cut.height * cut.cols * cut.width > _SMALL_BYTES:
            return False
        with self._lock:
            if needed > self._room_bytes:
                return False
            self._room_bytes -= needed
        return True


def survey_scene(pair: Pair, settings: Settings, ahead: Ahead | None = None) -> Scene:
    """Read both headers and plan the cut; of a scene that ``ahead`` takes, cut it. ``DataError`` when the pair does not fit."""
    sources = stamp(pair) if ahead and ahead.takes(pair) else None  # before opening, as in ``cut_scene``
    with reading_many(), open_raster(pair.image) as image, open_raster(pair.mask) as mask:
        require_same_grid(pair.name, image.grid, mask.grid)
        grid = grid_of_pair(image.grid, mask.grid)
        synthetic = image.tags().get("SYNTHETIC") == "YES"
        grid = settings.pixel_sizes.applied(grid, pair.image)
        made_from = tuple(filter(None, mask.tags().get("SOURCE_SCENES", "").split(", "))) if synthetic else ()
        if settings.gsd is not None:
            cut = cut_by_gsd(pair.name, grid, settings.gsd, settings.size)
        else:
            assert settings.grid is not None
            cut = cut_by_number(grid, settings.grid)
        scene = Scene(pair, grid, cut, synthetic, made_from)
        if cut is None or sources is None or ahead is None or not ahead.has_room(cut, settings):
            return scene
        images: list[np.ndarray] = []
        masks: list[np.ndarray] = []
        told = _cut(scene, image, settings.reader.on(mask, grid), settings, images.append, masks.append)
        return replace(scene, ready=Ready(images, masks, replace(told, sources=sources)))


def cut_scene(scene: Scene, *, tiles: Path, settings: Settings) -> SceneTiles:
    """Write a scene's shards and its record; the rows have no split yet.

    Tiles whose image has data on less than ``LEAST_DATA`` of their ground are left out. Shards of a scene that was ``ready`` are
    not forced onto the medium, see ``force``.
    """
    assert scene.cut
    pair, ready = scene.pair, scene.ready
    record = tiles / RECORDS / f"{pair.name}.json"
    record.unlink(missing_ok=True)  # it speaks of the shards that are replaced now
    image_path, mask_path = manifest.shard_paths(tiles, pair.name)
    with (
        replaced_file(image_path, forced=ready is None) as image_partial,
        replaced_file(mask_path, forced=ready is None) as mask_partial,
        open(image_partial, "wb") as image_shard,
        open(mask_partial, "wb") as mask_shard,
    ):
        if ready:
            told, sources = ready.told, ready.told.sources
            _write_headers(image_shard, mask_shard, len(told.rows), settings)
            for image_of_tile, mask_of_tile in zip(ready.images, ready.masks, strict=True):
                image_shard.write(image_of_tile.data)
                mask_shard.write(mask_of_tile.data)
        else:
            _write_headers(image_shard, mask_shard, 0, settings)
            with (
                _stamped_meanwhile(scene) as stamped,
                reading_many(),
                open_raster(pair.image) as image,
                _opened_mask(scene, settings) as mask,
            ):
                told = _cut(scene, image, mask, settings, _to(image_shard), _to(mask_shard))
                sources = stamped()
            _write_headers(image_shard, mask_shard, len(told.rows), settings)
    if not told.rows:
        image_path.unlink()
        mask_path.unlink()
    rows = [row.to_json() for row in told.rows]
    content = {"made_by": settings.pixels, "sources": sources, "empty": told.empty, "partly": told.partly, "rows": rows}
    write_json(record, content, spread=False, forced=ready is None)
    return replace(told, sources=sources)


def _to(shard: IO[bytes]) -> Callable[[np.ndarray], object]:
    """Writes the bytes of an array."""
    return lambda pixels: shard.write(pixels.data)


def _cut(
    scene: Scene,
    image: Raster,
    mask: RasterMask | LayeredMask | LayerMask,
    settings: Settings,
    keep_image: Callable[[np.ndarray], object],
    keep_mask: Callable[[np.ndarray], object],
) -> SceneTiles:
    """Hand a scene's tiles over, row by row of windows, apart from those that are left out."""
    assert scene.cut
    cut, size = scene.cut, settings.size
    rows: list[TileRow] = []
    empty = partly = 0
    gsd_m = _tile_gsd_m(scene.grid.pixel_m(), cut, settings)
    with _second_thread(cut) as beside:
        pixels = _speaking_of_the_whole(partial(read_image, image, bands=settings.bands))
        labels = _speaking_of_the_whole(mask.labels)
        for row in range(cut.rows):
            masks_beside = beside(cut_masks, labels, cut, row, size, settings.classes)
            images = cut_images(pixels, cut, row, size)
            masks, shares = masks_beside()
            data = _data_shares(image, cut, row)
            empty += int(np.count_nonzero(data < LEAST_DATA))
            kept = (shares >= settings.min_building) & (data >= LEAST_DATA)
            partly += int(np.count_nonzero(data[kept] < 1))
            for col in np.flatnonzero(kept).tolist():
                keep_image(images[col])
                keep_mask(masks[col])
                sums = float(shares[col]), manifest.tile_sha256(images[col], masks[col])
                rows.append(_row(scene, gsd_m, len(rows), cut.window(row, col), size, *sums))
    return SceneTiles(rows, empty, partly)


def force(tiles: Path, scenes: Iterable[Scene]) -> None:
    """Force the shards of those scenes onto the medium that were ``ready``.

    Where the power fails before, the next run finds by their checksums which are whole.
    """
    ready = [scene.name for scene in scenes if scene.ready and scene.ready.told.rows]
    shards = [shard for name in ready for shard in manifest.shard_paths(tiles, name)]
    with writable(tiles), ThreadPoolExecutor(_FORCING_THREADS) as pool:
        for _ in pool.map(sync, shards):
            pass


@contextlib.contextmanager
def _stamped_meanwhile(scene: Scene) -> Iterator[Callable[[], list[Stamp]]]:
    """Gives the stamp of a scene's files, which are read for it while the block reads pixels.

    The stamp of files that changed between the block's beginning and the call fits no file.
    """
    assert scene.cut
    before = _state(scene.pair)
    with _second_thread(scene.cut) as beside:
        later = beside(stamp, scene.pair)

        def stamped() -> list[Stamp]:
            found = later()
            return found if _state(scene.pair) == before else [[[*entry, _CHANGED] for entry in one] for one in before]

        yield stamped


def _state(pair: Pair) -> list[Stamp]:
    return [stamps.state(pair.image), stamps.state(pair.mask)]


@contextlib.contextmanager
def _second_thread(cut: Cut) -> Iterator[Callable[..., Callable[[], Any]]]:
    """Calls a function beside the others, and gives what returns its result. Of a small scene a thread costs more than it saves."""
    if cut.height * cut.width * cut.cols < _LEAST_BESIDE_PX:
        yield lambda function, *arguments: partial(function, *arguments)
        return
    with ThreadPoolExecutor(1) as pool:
        yield lambda function, *arguments: pool.submit(function, *arguments).result


@contextlib.contextmanager
def _opened_mask(scene: Scene, settings: Settings) -> Iterator[RasterMask | LayeredMask | LayerMask]:
    """The scene's mask: as it is, on top of map layers, or the map's alone where it has none."""
    layers, pair = settings.layers, scene.pair
    if layers is not None and not pair.has_mask:
        yield layers.load(scene.grid).on(scene.grid)
        return
    with settings.reader.open(pair.mask) as mask:
        yield mask if layers is None else layered(mask, layers, grid=scene.grid)


def _data_shares(image: Raster, cut: Cut, row: int) -> np.ndarray:
    """The share of pixels with data of each tile of a row: all of them where the file does not say which have none."""
    if image.read_valid(Window(row * cut.height, 0, 1, 1)) is None:
        return np.ones(cut.cols)

    def valid(window: Window) -> np.ndarray:
        found = image.read_valid(window)
        return np.ones((window.height, window.width), bool) if found is None else found

    return data_shares(valid, cut, row)


def _speaking_of_the_whole(read: Callable[[Window | None], np.ndarray]) -> Read:
    """``read``, but an error counts pixels of the whole file instead of those of a strip."""

    def read_window(window: Window) -> np.ndarray:
        try:
            return read(window)
        except DataError:
            with contextlib.suppress(ResourceError):
                read(None)
            raise

    return read_window


def _write_headers(image_shard: Any, mask_shard: Any, count: int, settings: Settings) -> None:
    """Begin both files. Plain writes, no memory map: on a full disk a map dies of a signal, a write raises."""
    for shard, shape in zip((image_shard, mask_shard), settings.shard_shapes(count), strict=True):
        shard.seek(0)
        shard.write(manifest.shard_header(shape))


def _row(scene: Scene, gsd_m: float | None, index: int, window: Window, size_px: int, share: float, sha256: str) -> TileRow:
    grid = scene.grid.window(window).resized(size_px, size_px)
    return TileRow(scene.pair.name, scene.pair.place, index, window, grid, gsd_m, "", share, sha256, scene.synthetic)


def _tile_gsd_m(pixel_m: tuple[float, float] | None, cut: Cut, settings: Settings) -> float | None:
    """Metres per pixel of a scene's tiles, the mean of both axes; ``None`` where the scene's are unknown.

    Where ``--gsd`` was asked for and reached, it is that number: the 0.3 m of a UTM zone are 0.299971 m on the ellipsoid, and
    footprints drawn at one of them are not those drawn at the other.
    """
    if pixel_m is None:
        return None
    width_m, height_m = pixel_m
    gsd_m = (width_m * cut.width + height_m * cut.height) / 2 / settings.size
    return settings.gsd if settings.gsd and abs(gsd_m / settings.gsd - 1) <= SAME_GSD else gsd_m


def finished_rows(tiles: Path, scene: Scene, settings: Settings) -> SceneTiles | None:
    """Those of a scene whose shards were finished before, from the same source and settings; else ``None``."""
    record = read_json(tiles / RECORDS / f"{scene.pair.name}.json")
    if record.get("made_by") != settings.pixels or not unchanged(scene.pair, record.get("sources")):
        return None
    try:
        rows = [TileRow.from_json(json.dumps(row), settings.size) for row in record["rows"]]
        found = SceneTiles(rows, int(record["empty"]), int(record["partly"]), record["sources"])
    except (ValueError, LookupError, TypeError):  # damaged
        return None
    if [(row.scene, row.index) for row in rows] != [(scene.pair.name, index) for index in range(len(rows))]:
        return None
    if rows and (row := _damaged(tiles, rows, settings)):
        print(f"{scene.pair.name}: its tile at row {row.window.row}, column {row.window.col} is missing or damaged; cut anew.")
        return None
    return found


def _damaged(tiles: Path, rows: list[TileRow], settings: Settings) -> TileRow | None:
    """The first of a scene's tiles whose pixels are not there or do not fit their checksum."""
    paths, shapes = manifest.shard_paths(tiles, rows[0].scene), settings.shard_shapes(len(rows))
    if not all(map(manifest.has_size, paths, shapes)):
        return rows[0]
    images, masks = map(manifest.mapped, paths, shapes)
    sums = (manifest.tile_sha256(image, mask) for image, mask in zip(images, masks, strict=True))
    return next((row for row, checksum in zip(rows, sums, strict=True) if checksum != row.sha256), None)


def stamp(pair: Pair) -> list[Stamp]:
    """How both files are, with what lies beside them, see ``stamps.stamp``. Reads them."""
    return [stamps.stamp(pair.image), stamps.stamp(pair.mask)]


def unchanged(pair: Pair, recorded: object) -> bool:
    """Whether both files are as a ``stamp`` says."""
    files = (pair.image, pair.mask)
    return isinstance(recorded, list) and len(recorded) == len(files) and all(map(stamps.unchanged, files, recorded))


def is_recorded(tiles: Path, pair: Pair) -> bool:
    """Whether there is a record that speaks of a scene's shards."""
    return (tiles / RECORDS / f"{pair.name}.json").exists()


def recorded_stamp(tiles: Path, pair: Pair) -> list[Stamp]:
    """The stamp in a scene's record, where there is one, else a new one."""
    return read_json(tiles / RECORDS / f"{pair.name}.json").get("sources") or stamp(pair)


@cache
def versions() -> dict[str, str]:
    """Versions of the libraries that read and resize: another one may round a pixel differently."""
    names = ("torch", "rasterio", "numpy")
    return {name: version(name) for name in names} | {"gdal": rasterio.__gdal_version__}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's content; empty when it is missing or damaged, for then its work is done again."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, body: Mapping[str, object], *, spread: bool = True, forced: bool = True) -> None:
    """Write ``body`` in one go, replacing what was there; the lock of the folder is held. ``spread`` over lines takes ten times as
    long."""
    with replaced_file(path, forced=forced) as partial_path:
        partial_path.write_text(json.dumps(body, indent=1 if spread else None, ensure_ascii=False) + "\n", "utf-8")
