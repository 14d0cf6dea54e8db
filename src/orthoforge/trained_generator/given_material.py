"""Tiles given to weights that refine material, in place of those that they learnt from. Nothing is trained."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from orthoforge.checkpoint_state import MATERIAL, STATE, CheckpointState
from orthoforge.checkpoints import SavedGenerator, require_state
from orthoforge.errors import ConfigError, DataError
from orthoforge.geo.grid import other_scale
from orthoforge.masks.classes import Classes
from orthoforge.material.library import Library
from orthoforge.material.packing import MOST_PX, MOST_TILES, pack
from orthoforge.models.generator import Generator
from orthoforge.models.remembering import remembered, style_of_tiles
from orthoforge.models.styles import LEAST_REFERENCE_PX
from orthoforge.tile_library import library_of_tiles
from orthoforge.tiles.store import TileStore
from orthoforge.tiles.subset import balanced_subset

MOST_OF_A_PLACE = 192
"""Tiles of a place that are taken: each costs a tenth of a second before the first image, and more are hardly seen."""


def with_tiles(saved: SavedGenerator, network: Generator, tiles: str | Path | TileStore) -> SavedGenerator:
    """``saved`` with training tiles of ``tiles`` as its library: ``MOST_OF_A_PLACE`` at most, spread over a place's scenes.
    ``network`` is a copy of its own, whose styles become theirs.

    What it raises is what ``TrainedGenerator.with_material`` raises.
    """
    _require_free(saved, network)
    store = tiles if isinstance(tiles, TileStore) else TileStore.open(Path(tiles))
    _require_fitting(saved, store)
    ids = balanced_subset(store.rows, store.ids("train"), tiles_per_place=MOST_OF_A_PLACE, seed=0)
    library = library_of_tiles(store, ids.tolist(), otherwise="Prepare tiles of masks that show buildings.")
    library = replace(library, classes=_as_the_network_has_them(library, store.classes, saved.classes))
    material = pack(library)
    given = replace(saved, network=network, material=material, state=_told(saved.state, library, store, material))
    assert given.library is not None
    _remember(network, given.library, saved.recipe.crop_px)
    return given


def _as_the_network_has_them(library: Library, own: Classes | None, known: Classes | None) -> np.ndarray | None:
    """The library's classes as those of the network, by their names; ``None`` where tiles or network know buildings alone.

    One that the network does not know becomes a number beyond its classes: no mask asks for such ground.
    """
    if library.classes is None or own is None or known is None:
        return None
    index_of = {name.lower(): index for index, name in enumerate(known.names)}
    becomes = np.full(256, known.count, np.uint8)
    becomes[: own.count] = [index_of.get(name.lower(), known.count) for name in own.names]
    return becomes[library.classes]


def _require_free(saved: SavedGenerator, network: Generator) -> None:
    """``ConfigError`` for a network that refines nothing, or was asked for a place that will be gone."""
    if saved.material is None or not network.refines:
        raise ConfigError(
            f"{saved.recipe.name} makes roofs and ground itself: it has no material that other tiles could stand in for. Take "
            "weights of orthoforge-material, or leave the tiles out."
        )
    assert network.styles is not None
    if network.styles.place is not None:
        raise ConfigError(
            f"this generator was asked for the style of {saved.styles[network.styles.place]}, a place of its own material. Give it "
            "other material first, then a style of that."
        )


def _require_fitting(saved: SavedGenerator, store: TileStore) -> None:
    """``DataError`` for tiles that the network cannot refine."""
    count, bands = len(store.ids("train")), store.bands if store.shown is None else len(store.shown)
    if bands != saved.bands:
        raise DataError(
            f"{store.path}: its tiles have {bands} bands, {saved.recipe.name} makes images of {saved.bands}. Prepare tiles of the "
            "same bands with --bands."
        )
    if other_scale(store.gsd_m, saved.gsd_m):
        raise DataError(
            f"{store.path}: its tiles have {store.gsd_m:.3g} m a pixel, {saved.recipe.name} was trained at {saved.gsd_m:.3g} m; "
            f"roofs would come out in the wrong size. Cut the scenes at its resolution: orthoforge prepare SCENES TILES "
            f"--gsd {saved.gsd_m:.3g}"
        )
    if not LEAST_REFERENCE_PX <= store.size_px <= MOST_PX:
        raise DataError(
            f"{store.path}: its tiles have {store.size_px} px; material has {LEAST_REFERENCE_PX} to {MOST_PX}. Prepare others with "
            "--size."
        )
    if not 1 <= count <= MOST_TILES:
        raise DataError(
            f"{store.path}: has {count} training tiles; material is of 1 to {MOST_TILES}. Prepare other tiles, or split them "
            "otherwise with --split."
        )
    store.require_sound()


def _told(state: CheckpointState, library: Library, store: TileStore, material: bytes) -> CheckpointState:
    """The state, with what is known of the tiles given."""
    given = {"fingerprint": store.fingerprint, "attribution": store.attribution}
    tiles = {**state.part("tiles"), "places": list(library.place_names), "material": given}
    checksums = {**state.part("checksums"), MATERIAL: hashlib.sha256(material).hexdigest()}
    told = {**state.recorded, "tiles": tiles, "checksums": checksums, "refinement": None}
    return require_state(json.dumps(told).encode(), Path(STATE))


def _remember(network: Generator, library: Library, crop_px: int) -> None:
    """Fill the style bank with the library's tiles, place by place. A style of a reference image stays."""
    bank, building = network.styles, network.building
    assert bank is not None and building is not None
    bank.room_for(len(library.place_names))
    for place in range(len(library.place_names)):
        chosen = remembered(library.of_place(place).tolist())
        masks = torch.from_numpy(library.masks[chosen])
        condition = -torch.ones(len(masks), building + 1, *masks.shape[1:])  # of its channels that of buildings alone is looked at
        condition[:, building][masks] = 1
        middle_px = min(crop_px, library.size_px)
        bank.keep(place, style_of_tiles(network, library.images[chosen], condition, middle_px=middle_px, seeds=chosen))
    if bank.fixed is not None:
        bank.fixed = bank.like(bank.fixed.code.to(bank.codes))
