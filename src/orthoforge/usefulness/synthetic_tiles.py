"""The synthetic side of the augmentation experiment: tiles that a generator makes of training masks, or tiles that are ready."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NotRequired, TypedDict

import numpy as np

from orthoforge.checkpoints import names_generator
from orthoforge.errors import CheckpointError, ConfigError, DataError
from orthoforge.files import new_file
from orthoforge.geo.grid import other_scale
from orthoforge.masks.classes import plain_classes
from orthoforge.progress import Progress
from orthoforge.runs import Run, TileImages, tiles_on
from orthoforge.tiles import manifest
from orthoforge.tiles.manifest import TileRow
from orthoforge.tiles.store import TileStore
from orthoforge.tiles.subset import balanced_subset
from orthoforge.trained_generator import TrainedGenerator

# More are hardly drawn in a training of a few hundred steps, and each takes a second or so to make.
MOST_TILES = 500
_TURNED = "-turned"
_STREAM = 11
_SHIFT_SHARE = 0.25


class SourceFacts(TypedDict):
    """Where synthetic images come from; of a run the weights and what it was trained on, of tiles their fingerprint."""

    kind: Literal["run", "tiles"]
    source: str | None
    leaked_tiles: int | None
    sha256: NotRequired[str]
    recipe: NotRequired[str]
    step: NotRequired[int]
    style: NotRequired[str | None]
    trained_on_these: NotRequired[bool | None]
    fingerprint: NotRequired[str]
    n: NotRequired[int]
    overlapping_tiles: NotRequired[int]


@dataclass(frozen=True)
class Source:
    """Where synthetic images come from: a generator, or a store of tiles. ``facts`` go into the report."""

    generator: TrainedGenerator | None
    ready: TileStore | None
    facts: SourceFacts
    warnings: tuple[str, ...]

    @property
    def identity(self) -> str:
        """A checksum that changes when the images would."""
        if self.generator is None:
            return self.facts["fingerprint"]
        _, style = self.generator.own_style
        weights, material = self.generator.sha256, self.generator.material_sha256
        return weights + (f" in style {style}" if style else "") + (f" of material {material}" if material else "")


@dataclass(frozen=True)
class Pool:
    """Synthetic tiles, and which of them an arm may draw whose real tiles are ``subset``."""

    store: TileStore
    ids: Callable[[np.ndarray], np.ndarray]
    depends_on_subset: bool


def open_source(
    synthetic: Path | str | TrainedGenerator, store: TileStore, held_out: Sequence[int], *, device: str, allow_leaks: bool
) -> Source:
    """A run, one of its checkpoints, a generator, or a folder of tiles.

    Raises ``DataError`` when (without ``allow_leaks``) a held-out tile was trained on, or its mask is among those of the ready
    tiles; ``ConfigError`` when the masks are of another kind or, of a generator, of another resolution; ``CheckpointError``.
    """
    if not isinstance(synthetic, TrainedGenerator):
        path = Path(synthetic)
        if (path / manifest.STORE).is_file():
            return _ready(path, store, held_out, allow_leaks)
        if not names_generator(path):
            raise CheckpointError(
                f"{path}: neither a run (no weights/last) nor tiles (no {manifest.STORE}). Name a run of `orthoforge train`, or "
                f"cut a folder of synthetic images/ and masks/ into tiles with `orthoforge prepare {path} TILES` and name those."
            )
        run = Run.open(path)
        generator, ground = run.generator(device), run.ground_on(store, held_out)
    else:
        path, generator, ground = None, synthetic, None
    if generator.bands != store.bands:
        raise ConfigError(
            f"{path or 'the generator'}: makes images of {generator.bands} bands; those in {store.path} have {store.bands}."
        )
    if generator.classes != store.classes:
        raise ConfigError(f"{path or 'the generator'}: made for other masks than those in {store.path}: its classes differ.")
    if other_scale(store.gsd_m, generator.gsd_m):
        raise ConfigError(
            f"{path or 'the generator'}: was trained at {generator.gsd_m:.3g} m a pixel, the tiles of {store.path} have "
            f"{store.gsd_m:.3g} m; buildings would come out in the wrong size. Cut the scenes at its resolution: orthoforge "
            f"prepare SCENES TILES --gsd {generator.gsd_m:.3g}"
        )
    if ground and ground.tiles and not allow_leaks:
        raise DataError(
            f"{path}: the run was trained on {ground.tiles} of the {len(held_out)} held-out tiles (such as {ground.example}), so "
            "its images would carry them into training. Take a run that was trained without them, or pass --allow-leaks, which the "
            "report will say."
        )
    facts: SourceFacts = {
        "kind": "run", "source": str(path) if path else None, "sha256": generator.sha256, "recipe": generator.recipe.name,
        "step": generator.step, "style": generator.own_style[0] or None,
        "trained_on_these": ground.same_store if ground else None, "leaked_tiles": ground.tiles if ground else None,
    }  # fmt: skip
    warnings = []
    if ground and ground.tiles:
        warnings.append(f"The run was trained on {ground.tiles} of the held-out tiles; --allow-leaks was given.")
    if ground is None or ground.tiles is None:
        warnings.append("Whether the run was trained on ground of the test tiles is not known: its own tiles are not there.")
    if ground and ground.same_store:
        warnings.append(
            "The run was trained on all training tiles. At a fraction of them, its images carry what it learnt from the others too."
        )
    return Source(generator.showing(store.shown), None, facts, tuple(warnings))


def pool_of(source: Source, store: TileStore, train_ids: np.ndarray, folder: Path) -> Pool:
    """The pool of a source. What a generator has to make is written to ``folder``, as tiles; what is there is kept.

    For a subset of real tiles, a generator is given the masks of the training tiles outside it, and turned and shifted copies of
    the masks inside: together as many images as there are training tiles, or ``MOST_TILES`` of them, spread over places.
    """
    if source.ready is not None:
        every = np.arange(len(source.ready.rows))
        return Pool(source.ready, lambda subset: every, False)
    assert source.generator is not None
    places = len({store.rows[tile_id].place for tile_id in train_ids.tolist()})
    chosen = balanced_subset(store.rows, train_ids, tiles_per_place=-(-MOST_TILES // places), seed=0)
    made = _make(source.generator, store, chosen, folder)
    number = {(row.scene, row.window): made_id for made_id, row in enumerate(made.rows)}

    def ids(subset: np.ndarray) -> np.ndarray:
        member = set(subset.tolist())
        rows = [(store.rows[tile_id], tile_id in member) for tile_id in chosen.tolist()]
        return np.array([number[row.scene + _TURNED * within, row.window] for row, within in rows])

    return Pool(made, ids, True)


def turned_mask(mask: np.ndarray, tile_id: int) -> np.ndarray:
    """A copy of a square mask that is no copy to the eye: turned or mirrored, and shifted, mirrored at the edge."""
    rng = np.random.default_rng((_STREAM, tile_id))
    state = int(rng.integers(1, 8))
    turned = np.rot90(mask.T if state & 4 else mask, state & 3)
    reach = max(1, round(_SHIFT_SHARE * mask.shape[0]))
    row, col = rng.integers(0, 2 * reach, 2)
    padded = np.pad(turned, reach, mode="symmetric")
    return np.ascontiguousarray(padded[row : row + mask.shape[0], col : col + mask.shape[1]])


def _make(generator: TrainedGenerator, store: TileStore, tile_ids: np.ndarray, folder: Path) -> TileStore:
    """Two images a tile, scene by scene. A scene whose shards are there was finished; ``store.json`` comes last."""
    scenes: dict[str, list[int]] = {}
    for suffix in ("", _TURNED):
        for tile_id in tile_ids.tolist():
            # Masks that are held out must not come in here, whatever the caller did.
            assert store.rows[tile_id].split == "train", store.describe(tile_id)
            scenes.setdefault(store.rows[tile_id].scene + suffix, []).append(tile_id)
    made_by = TileImages(generator)
    missing = {scene for scene, ids in scenes.items() if not _is_finished(folder, scene, len(ids), store.size_px)}
    ready = sum(len(ids) for scene, ids in scenes.items() if scene not in missing)
    rows: list[TileRow] = []
    with Progress("synthetic").task("images", 2 * len(tile_ids), done=ready) as step:
        for scene, ids in scenes.items():
            paths = manifest.shard_paths(folder, scene)
            if scene in missing:
                masks = [store.tile(tile_id)[1] for tile_id in ids]
                if scene.endswith(_TURNED):
                    masks = [turned_mask(mask, tile_id) for mask, tile_id in zip(masks, ids, strict=True)]
                of_place = made_by.of_place(store.rows[ids[0]].place)
                images = []
                for mask, tile_id in zip(masks, ids, strict=True):
                    images.append(of_place(mask, seed=tile_id))
                    step()
                for path, arrays in zip(paths, (images, masks), strict=True):
                    with new_file(path, overwrite=True) as partial, open(partial, "wb") as file:
                        np.save(file, np.stack(arrays))
            shards = [np.load(path, mmap_mode="r") for path in paths]
            for index, tile_id in enumerate(ids):
                sha256 = manifest.tile_sha256(shards[0][index], shards[1][index])
                share = float((shards[1][index] > 0).mean())
                rows.append(replace(store.rows[tile_id], scene=scene, index=index, building_share=share, sha256=sha256))
    lines = "".join(json.dumps(row.to_json(), ensure_ascii=False) + "\n" for row in rows).encode()
    body = {
        "format": manifest.FORMAT, "size_px": store.size_px, "gsd_m": store.gsd_m, "classes": plain_classes(store.classes),
        "settings": {name: value for name, value in store.settings.items() if name != "bands"}
        | {"generator_sha256": generator.sha256, "masks_of": store.fingerprint},
        "fingerprint": manifest.manifest_sha256(lines),
    }  # fmt: skip
    for name, content in ((manifest.MANIFEST, lines), (manifest.STORE, json.dumps(body, indent=1).encode())):
        with new_file(folder / name, overwrite=True) as partial:
            partial.write_bytes(content)
    return TileStore.open(folder)


def _is_finished(folder: Path, scene: str, count: int, size_px: int) -> bool:
    paths, shapes = manifest.shard_paths(folder, scene), manifest.shard_shapes(count, size_px)
    return all(map(manifest.has_size, paths, shapes))


def _ready(path: Path, store: TileStore, held_out: Sequence[int], allow_leaks: bool) -> Source:
    ready = TileStore.open(path).showing()
    if ready.classes != store.classes:
        raise ConfigError(f"{path}: its masks are of another kind than those in {store.path}: their classes differ.")
    held = {_any_way_round(store.tile(tile_id)[1]): tile_id for tile_id in held_out}
    held.pop("", None)
    leaked = [(tile_id, held[key]) for tile_id in range(len(ready.rows)) if (key := _any_way_round(ready.tile(tile_id)[1])) in held]
    if leaked and not allow_leaks:
        raise DataError(
            f"{path}: {len(leaked)} of its masks are masks of held-out tiles of {store.path} ({ready.describe(leaked[0][0])} is "
            f"{store.describe(leaked[0][1])}). Leave them out, or pass --allow-leaks, which the report will say."
        )
    warnings = [f"{len(leaked)} synthetic tiles have masks of held-out tiles; --allow-leaks was given."] if leaked else []
    if other_scale(ready.gsd_m, store.gsd_m):
        warnings.append(
            f"Pixels of the synthetic tiles are {ready.gsd_m:.2f} m, of the real ones {store.gsd_m:.2f} m: buildings differ in "
            "scale."
        )
    there = tiles_on(ready.rows, store, held_out, by_name=False)
    if there:
        warnings.append(
            f"Synthetic tiles lie on the ground of {len(there)} of the {len(held_out)} held-out tiles (such as "
            f"{store.describe(there[0])}), by their coordinates. If anything in them was made from that ground, its buildings or a "
            "generator that was trained there, the scores measure memory: cut the synthetic tiles elsewhere."
        )
    warnings.append("Whoever made the synthetic tiles: that it was not trained on ground of the test tiles is not known here.")
    facts: SourceFacts = {
        "kind": "tiles", "source": str(path), "fingerprint": ready.fingerprint, "n": len(ready.rows), "leaked_tiles": len(leaked),
        "overlapping_tiles": len(there),
    }  # fmt: skip
    return Source(None, ready, facts, tuple(warnings))


def _any_way_round(mask: np.ndarray) -> str:
    """A checksum that is the same for a mask however it is turned or mirrored; '' for a mask of one value."""
    if mask.min() == mask.max():
        return ""
    faces = [np.rot90(side, turns) for side in (mask, mask.T) for turns in range(4)]
    return min(manifest.manifest_sha256(np.ascontiguousarray(face).tobytes()) for face in faces)
