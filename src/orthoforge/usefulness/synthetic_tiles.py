"""The synthetic side of the augmentation experiment: tiles that a generator makes of training masks, or tiles that are ready."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NotRequired, TypedDict

import numpy as np

from orthoforge.checkpoints import meant, names_generator
from orthoforge.errors import CheckpointError, ConfigError, DataError
from orthoforge.geo.grid import other_scale
from orthoforge.masks.turned import turned_mask
from orthoforge.runs import Run, tiles_on
from orthoforge.tiles import manifest
from orthoforge.tiles.store import TileStore
from orthoforge.tiles.subset import balanced_subset
from orthoforge.trained_generator import TrainedGenerator
from orthoforge.usefulness.made_tiles import Wanted, make_tiles
from orthoforge.usefulness.other_places import tiles_of_other_places
from orthoforge.usefulness.own_material import Masks, own_tiles

# More are hardly drawn in a training of a few hundred steps, and each takes a second or so to make.
MOST_TILES = 500
_TURNED = "-turned"


class SourceFacts(TypedDict):
    """Where synthetic images come from; of a run the weights and what it was trained on, of tiles their fingerprint.

    ``own_material``: of the roofs and ground of the fraction's real tiles, by ``masks`` made of theirs; ``other_places``: of the
    generator's own, in their histograms. ``weights_saw`` are the places that the weights learnt from. ``refinement``: of a
    generator with material, where it is not 1.
    """

    kind: Literal["run", "tiles"]
    source: str | None
    leaked_tiles: int | None
    sha256: NotRequired[str]
    recipe: NotRequired[str]
    step: NotRequired[int]
    style: NotRequired[str | None]
    trained_on_these: NotRequired[bool | None]
    fingerprint: NotRequired[str]
    own_material: NotRequired[bool]
    other_places: NotRequired[bool]
    masks: NotRequired[Masks]
    refinement: NotRequired[float]
    weights_saw: NotRequired[list[str]]
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
        refined = f", refinement {self.generator.refinement:g}" if self.generator.refinement < 1 else ""
        if self.facts.get("own_material"):
            return f"{weights} of own material, masks {self.facts['masks']}{refined}"
        if self.facts.get("other_places"):
            return f"{weights} of other places{refined}"
        return weights + (f" in style {style}" if style else "") + (f" of material {material}" if material else "") + refined


@dataclass(frozen=True)
class Pool:
    """Synthetic tiles. ``of(subset, seed)`` is a store, and the ids in it that an arm may draw whose real tiles are ``subset``.

    ``makes_anew``: the images of each subset and seed are made when they are first asked for, which takes its time.
    """

    of: Callable[[np.ndarray, int], tuple[TileStore, np.ndarray]]
    depends_on_subset: bool
    makes_anew: bool = False


def open_source(
    synthetic: Path | str | TrainedGenerator,
    store: TileStore,
    held_out: Sequence[int],
    *,
    device: str,
    allow_leaks: bool,
    own_material: bool = False,
    other_places: bool = False,
    masks: Masks = "turned",
    refinement: float | None = None,
) -> Source:
    """A run, one of its checkpoints, a generator, or a folder of tiles.

    With ``own_material`` the generator will be given the tiles of each fraction in place of its own material (``own_tiles``), with
    ``other_places`` their histograms alone (``tiles_of_other_places``).
    ``refinement`` is that of a generator with material; by default 0 with ``own_material``, else its own.
    Raises ``DataError`` when (without ``allow_leaks``) a held-out tile was trained on, or its mask is among those of the ready
    tiles; ``ConfigError`` when the masks are of another kind or, of a generator, of another resolution, or when it has no material
    and one of these is asked for; ``CheckpointError``.
    """
    if not isinstance(synthetic, TrainedGenerator):
        path = Path(synthetic)
        if (path / manifest.STORE).is_file():
            if own_material or other_places:
                raise ConfigError(
                    f"{path}: tiles are ready-made, so no material can be given to them. Name a generator with material."
                )
            return _ready(path, store, held_out, allow_leaks)
        if not names_generator(path):
            raise CheckpointError(
                f"{path}: neither a run (no weights/last) nor tiles (no {manifest.STORE}). {meant(path)}Name a run of "
                "`orthoforge train`, or cut a folder of synthetic images/ and masks/ into tiles with "
                f"`orthoforge prepare {path} TILES` and name those."
            )
        run = Run.open(path)
        who = "the weights" if run.is_pretrained else "the run"
        generator, ground = run.generator(device), run.ground_on(store, held_out)
    else:
        path, who, generator, ground = None, "the generator", synthetic, None
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
            f"{path}: was trained on {ground.tiles} of the {len(held_out)} held-out tiles (such as {ground.example}), so its "
            "images would carry them into training. Take one that was trained without them, or pass --allow-leaks, which the "
            "report will say."
        )
    if own_material and other_places:
        raise ConfigError(
            "--own-material takes roofs and ground of the real tiles, --other-places those of the weights. Choose one."
        )
    if (own_material or other_places) and generator.library is None:
        option = "--own-material" if own_material else "--other-places"
        raise ConfigError(
            f"{path or 'the generator'}: {generator.recipe.name} makes roofs and ground itself, so it has none that {option} could "
            f"use. Name weights of orthoforge-material, or leave out {option}."
        )
    if masks == "forged" and (not own_material or store.classes is not None):
        raise ConfigError("masks are forged for --own-material, of masks that know buildings alone. Leave --masks out.")
    if refinement is not None or own_material:
        generator = generator.with_refinement(refinement or 0.0)
    facts: SourceFacts = {
        "kind": "run", "source": str(path) if path else None, "sha256": generator.sha256, "recipe": generator.recipe.name,
        "step": generator.step, "style": generator.own_style[0] or None,
        "trained_on_these": ground.same_store if ground else None, "leaked_tiles": ground.tiles if ground else None,
    }  # fmt: skip
    warnings = []
    if generator.refinement < 1:
        facts["refinement"] = generator.refinement
    if own_material:
        facts["own_material"], facts["masks"], facts["weights_saw"] = True, masks, list(generator.styles)
        by = f"the network that refines them learnt to do so on other tiles: {', '.join(generator.styles)}"
        warnings.append(
            "Synthetic images show roofs and ground of the fraction's own real tiles, and nothing else; "
            f"{by if generator.refinement else 'no network changes them'}."
        )
    if other_places:
        facts["other_places"], facts["weights_saw"] = True, list(generator.styles)
        warnings.append(
            f"Synthetic images show roofs and ground of {', '.join(generator.styles)}, by masks from there, with the histograms of "
            "the fraction's own real tiles. Who has labelled tiles of other places can match their histograms without a generator."
        )
    if ground and ground.tiles:
        warnings.append(f"{who.capitalize()} learnt from {ground.tiles} of the held-out tiles; --allow-leaks was given.")
    if ground is None or ground.tiles is None:
        warnings.append(
            f"Whether {who} learnt from ground of the test tiles is not known: the tiles of that training are not there."
        )
    if ground and ground.same_store and not (own_material or other_places):
        warnings.append(
            f"{who.capitalize()} learnt from all training tiles. At a fraction of them, images carry what came from the others too."
        )
    return Source(generator.showing(store.shown), None, facts, tuple(warnings))


def pool_of(source: Source, store: TileStore, train_ids: np.ndarray, folder: Path) -> Pool:
    """The pool of a source. What a generator has to make is written to ``folder``, as tiles; what is there is kept.

    For a subset of real tiles, a generator is given the masks of the training tiles outside it, and turned and shifted copies of
    the masks inside: together as many images as there are training tiles, or ``MOST_TILES`` of them, spread over places. One that
    composes of own material has the subset alone, of which it makes images anew for each subset and seed (``own_tiles``); so does
    one that gives the subset's histograms to images of other places (``tiles_of_other_places``).
    """
    if source.ready is not None:
        ready, every = source.ready, np.arange(len(source.ready.rows))
        return Pool(lambda subset, seed: (ready, every), False)
    generator = source.generator
    assert generator is not None
    if source.facts.get("own_material"):
        masks = source.facts["masks"]

        def own(subset: np.ndarray, seed: int) -> tuple[TileStore, np.ndarray]:
            made = own_tiles(generator, store, subset, folder, masks=masks, most=MOST_TILES, seed=seed)
            return made, np.arange(len(made.rows))

        return Pool(own, True, makes_anew=True)
    if source.facts.get("other_places"):

        def others(subset: np.ndarray, seed: int) -> tuple[TileStore, np.ndarray]:
            made = tiles_of_other_places(generator, store, subset, folder, most=MOST_TILES, seed=seed)
            return made, np.arange(len(made.rows))

        return Pool(others, True, makes_anew=True)
    places = len({store.rows[tile_id].place for tile_id in train_ids.tolist()})
    chosen = balanced_subset(store.rows, train_ids, tiles_per_place=-(-MOST_TILES // places), seed=0)
    made = make_tiles(generator, store, _twice(store, chosen), folder)
    number = {(row.scene, row.window): made_id for made_id, row in enumerate(made.rows)}

    def of(subset: np.ndarray, seed: int) -> tuple[TileStore, np.ndarray]:
        member = set(subset.tolist())
        rows = [(store.rows[tile_id], tile_id in member) for tile_id in chosen.tolist()]
        return made, np.array([number[row.scene + _TURNED * within, row.window] for row, within in rows])

    return Pool(of, True)


def _twice(store: TileStore, tile_ids: np.ndarray) -> list[Wanted]:
    """Each tile's mask, and a turned copy of it."""
    rows = [(tile_id, store.rows[tile_id]) for tile_id in tile_ids.tolist()]
    plain = [Wanted(row.scene, row, partial(_mask, store, tile_id), tile_id) for tile_id, row in rows]
    turned = [Wanted(row.scene + _TURNED, row, partial(_turned, store, tile_id), tile_id) for tile_id, row in rows]
    return plain + turned


def _mask(store: TileStore, tile_id: int) -> np.ndarray:
    return store.tile(tile_id)[1]


def _turned(store: TileStore, tile_id: int) -> np.ndarray:
    return turned_mask(store.tile(tile_id)[1], tile_id)


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
