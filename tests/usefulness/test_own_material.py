"""The plainest setting: a fraction's real tiles are the material, and the masks, of its synthetic images."""

import numpy as np
import pytest

from conftest import write_tiff
from made_runs import make_run
from material_runs import TOWN, refiner, tiles_of_towns
from orthoforge.errors import ConfigError, DataError
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.subset import training_on
from orthoforge.trained_generator import load_generator
from orthoforge.usefulness.own_material import own_tiles
from orthoforge.usefulness.synthetic_tiles import open_source, pool_of

BLUE, YELLOW = (60, 70, 120), (150, 140, 60)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Training tiles of heath: those of heath1 have blue ground, those of heath2 and heath3 yellow. heath9 tests."""
    images = {}
    for name, ground in (("heath1", BLUE), ("heath2", YELLOW), ("heath3", YELLOW), ("heath9", (0, 0, 0))):
        noise = np.random.default_rng(int(name[-1])).normal(0, 4, (*TOWN.shape, 1))
        images[name] = np.where(TOWN[..., None], (120, 120, 120), ground) + noise
    return tiles_of_towns(tmp_path_factory.mktemp("tiles"), images)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return refiner(tmp_path_factory.mktemp("run"))


def of_scene(store, scene):
    return np.array([i for i in store.ids("train").tolist() if store.rows[i].scene == scene])


def test_images_show_the_subset_and_nothing_else(store, run, tmp_path):
    generator = load_generator(run)
    for scene, is_blue in (("heath1", True), ("heath2", False)):
        made = own_tiles(generator, store, of_scene(store, scene)[:2], tmp_path, masks="turned", most=4, seed=0)
        images = np.stack([made.tile(i)[0] for i in range(len(made.rows))]).astype(int)
        assert len(images) == 4
        assert ((images[..., 2] > images[..., 0]).mean() > 0.5) == is_blue, "of the other ground nothing"
        masks = {made.tile(i)[1].tobytes() for i in range(len(made.rows))}
        assert len(masks) == 4, "each copy of a mask is turned and shifted otherwise"
        assert not masks & {store.tile(i)[1].tobytes() for i in range(len(store.rows))}


def test_the_refinement_is_that_of_the_generator(store, run, tmp_path):
    generator, ids = load_generator(run), of_scene(store, "heath1")[:1]
    bare = generator.with_refinement(0)
    made = own_tiles(bare, store, ids, tmp_path, masks="turned", most=1, seed=0)
    assert own_tiles(generator, store, ids, tmp_path, masks="turned", most=1, seed=0).path != made.path
    image, mask = made.tile(0)
    given = bare.with_material(training_on(store, ids))
    seeds = range(len(store.rows) * 4)
    assert any((given.told(mask, seed=seed).values == image).all() for seed in seeds), "the canvas as it is"


def test_images_are_made_anew_for_each_subset_and_seed_and_kept(store, run, tmp_path):
    generator, ids = load_generator(run), of_scene(store, "heath1")[:1]
    first = own_tiles(generator, store, ids, tmp_path, masks="turned", most=1, seed=0)
    shard = next(first.path.glob("*.images.npy"))
    written_at = shard.stat().st_mtime_ns
    again = own_tiles(generator, store, ids, tmp_path, masks="turned", most=1, seed=0)
    assert (again.fingerprint, shard.stat().st_mtime_ns) == (first.fingerprint, written_at)
    other = own_tiles(generator, store, ids, tmp_path, masks="turned", most=1, seed=1)
    assert other.fingerprint != first.fingerprint
    assert own_tiles(generator, store, ids, tmp_path / "b", masks="turned", most=1, seed=1).fingerprint == other.fingerprint


def test_forged_masks_are_of_the_subset_and_on_no_real_ground(store, run, tmp_path):
    made = own_tiles(load_generator(run), store, store.ids("train"), tmp_path, masks="forged", most=2, seed=0)
    masks = np.stack([made.tile(i)[1] for i in range(len(made.rows))])
    assert masks.shape == (2, 80, 80)
    assert set(np.unique(masks)) == {0, 255}
    assert not {mask.tobytes() for mask in masks} & {store.tile(i)[1].tobytes() for i in range(len(store.rows))}
    assert {row.place for row in made.rows} == {"heath"}
    with pytest.raises(DataError, match=r"of these 1 tiles: heath: .*at least 20 are needed.*--masks turned"):
        own_tiles(load_generator(run), store, store.ids("train")[:1], tmp_path, masks="forged", most=2, seed=0)


def test_masks_are_forged_of_tiles_that_lie_nowhere(run, tmp_path):
    for kind, pixels in (("images", np.repeat(TOWN.astype(np.uint8)[..., None] * 90, 3, -1)), ("gt", TOWN.astype(np.uint8) * 255)):
        for name in ("heath1", "heath2", "heath3"):
            write_tiff(tmp_path / "data" / kind / f"{name}.tif", pixels)
    nowhere = prepare(tmp_path / "data", tmp_path / "tiles", pixel_size=0.5, gsd=0.5, size=80, split="digits", workers=1)
    made = own_tiles(load_generator(run), nowhere, nowhere.ids("train"), tmp_path, masks="forged", most=1, seed=0)
    assert made.tile(0)[1].any()
    assert made.gsd_m == nowhere.gsd_m == 0.5


def test_masks_are_forged_of_scenes_that_are_called_by_numbers(run, tmp_path):
    for kind, pixels in (("images", np.repeat(TOWN.astype(np.uint8)[..., None] * 90, 3, -1)), ("gt", TOWN.astype(np.uint8) * 255)):
        for name in ("10", "21", "a1"):
            write_tiff(tmp_path / "data" / kind / f"{name}.tif", np.tile(pixels, (3, 3, 1)[: pixels.ndim]))
    store = prepare(tmp_path / "data", tmp_path / "tiles", pixel_size=0.5, gsd=0.5, size=80, split="digits", workers=1)
    made = own_tiles(load_generator(run), store, store.ids("train"), tmp_path, masks="forged", most=3, seed=0)
    assert {row.place for row in made.rows} == {row.place for row in store.rows}
    assert len({row.place for row in store.rows}) == 3


def test_of_a_subset_the_others_train_no_more_and_its_fingerprint_says_so(store):
    ids = of_scene(store, "heath2")
    part = training_on(store, ids)
    assert part.ids("train").tolist() == ids.tolist()
    assert not len(part.ids("test"))
    assert len({store.fingerprint, part.fingerprint, training_on(store, ids[:1]).fingerprint}) == 3


def test_the_report_says_that_the_weights_saw_other_places(store, run, tmp_path):
    source = open_source(run, store, [], device="cpu", allow_leaks=False, own_material=True)
    assert source.facts["weights_saw"] == ["place0", "place1"]
    assert source.facts["own_material"] is True
    assert any("no network changes them" in text for text in source.warnings)
    refined = open_source(run, store, [], device="cpu", allow_leaks=False, own_material=True, refinement=1.0)
    assert any("learnt to do so on other tiles: place0, place1" in text for text in refined.warnings)
    assert refined.identity != source.identity
    turned, plain = (
        open_source(run, store, [], device="cpu", allow_leaks=False, **options).identity for options in ({"own_material": True}, {})
    )
    assert turned == source.identity != plain
    assert pool_of(source, store, store.ids("train"), tmp_path).depends_on_subset


def test_what_cannot_be_own_material_is_refused(store, run, tmp_path):
    with pytest.raises(ConfigError, match="no material can be given to them"):
        open_source(store.path, store, [], device="cpu", allow_leaks=False, own_material=True)
    with pytest.raises(ConfigError, match=r"makes roofs and ground itself.*--own-material"):
        open_source(make_run(tmp_path / "run", store), store, [], device="cpu", allow_leaks=True, own_material=True)
    with pytest.raises(ConfigError, match="masks are forged for --own-material"):
        open_source(run, store, [], device="cpu", allow_leaks=False, masks="forged")
