"""Images of the weights' own places beside few real tiles: their roofs and masks, the tiles' histograms, and what is said of it."""

from types import SimpleNamespace

import numpy as np
import pytest

from conftest import make_dataset
from made_runs import make_run
from material_runs import TOWN, refiner, tiles_of_towns
from orthoforge.cli import main
from orthoforge.errors import ConfigError
from orthoforge.tiles.prepare import prepare
from orthoforge.trained_generator import load_generator
from orthoforge.usefulness import synthetic_tiles
from orthoforge.usefulness import utility as utility_module
from orthoforge.usefulness.other_places import tiles_of_other_places
from orthoforge.usefulness.synthetic_tiles import open_source, pool_of

DARK, BRIGHT = (20, 30, 90), (160, 170, 230)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Training tiles of heath: those of heath1 are dark, those of heath2 bright. heath7 and heath9 are held out."""
    noise = np.random.default_rng(0).normal(0, 4, (*TOWN.shape, 3))
    colours = {"heath1": DARK, "heath2": BRIGHT, "heath7": DARK, "heath9": DARK}
    return tiles_of_towns(tmp_path_factory.mktemp("tiles"), {name: colour + noise for name, colour in colours.items()})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return refiner(tmp_path_factory.mktemp("run"))


def of_scene(store, scene):
    return np.array([i for i in store.ids("train").tolist() if store.rows[i].scene == scene])


def test_images_have_the_histograms_of_the_subset_and_masks_of_the_library(store, run, tmp_path):
    generator = load_generator(run)
    for scene, colour in (("heath1", DARK), ("heath2", BRIGHT)):
        made = tiles_of_other_places(generator, store, of_scene(store, scene)[:2], tmp_path, most=6, seed=0)
        images, masks = zip(*(made.tile(i) for i in range(len(made.rows))), strict=True)
        assert len(images) == 6
        np.testing.assert_allclose(np.mean(images, axis=(0, 1, 2)), colour, atol=25)
        assert {row.place for row in made.rows} == {"place0", "place1"}
        assert len({mask.tobytes() for mask in masks}) == 6
        assert not {mask.tobytes() for mask in masks} & {store.tile(i)[1].tobytes() for i in range(len(store.rows))}
        assert all(row.split == "train" for row in made.rows)


def test_what_is_there_is_kept_and_another_seed_makes_others(store, run, tmp_path):
    generator, ids = load_generator(run), of_scene(store, "heath1")[:1]
    made = tiles_of_other_places(generator, store, ids, tmp_path, most=2, seed=0)
    stamp = (made.path / "store.json").stat().st_mtime_ns
    again = tiles_of_other_places(generator, store, ids, tmp_path, most=2, seed=0)
    assert (again.path, (again.path / "store.json").stat().st_mtime_ns) == (made.path, stamp)
    other = tiles_of_other_places(generator, store, ids, tmp_path, most=2, seed=1)
    assert other.path != made.path
    assert (other.tile(0)[1] != made.tile(0)[1]).any()


def test_the_source_says_what_its_images_show_and_depends_on_the_subset(store, run, tmp_path):
    options = {"device": "cpu", "allow_leaks": False}
    source = open_source(run, store, [], other_places=True, **options)
    plain = open_source(run, store, [], **options)
    assert source.identity != plain.identity
    assert source.facts["other_places"]
    assert source.facts["weights_saw"] == ["place0", "place1"]
    assert any("place0, place1, by masks from there, with the histograms" in text for text in source.warnings)
    assert source.generator.refinement == 1
    pool = pool_of(source, store, store.ids("train"), tmp_path)
    assert pool.depends_on_subset
    made, ids = pool.of(of_scene(store, "heath2"), 0)
    assert len(ids) == len(made.rows) == 128


def test_what_is_not_known_of_weights_is_not_said_of_a_run(store, run, tmp_path):
    said = open_source("orthoforge-material", tiles_of_03_m(tmp_path), [], device="cpu", allow_leaks=False).warnings
    assert any("Whether the weights learnt from ground of the test tiles is not known" in text for text in said)
    assert not any("run" in text for text in said)
    assert any("Whether the run learnt" in text for text in open_source(run, store, [], device="cpu", allow_leaks=False).warnings)


def tiles_of_03_m(folder):
    make_dataset(folder / "data", [f"a{number}" for number in range(4)], 64)
    return prepare(folder / "data", folder / "tiles", gsd=0.3, size=64, split="digits", workers=1)


def test_the_time_left_counts_the_images_that_are_still_to_be_made(store, run, tmp_path, monkeypatch, capsys):
    """A set of images takes 600 s here, a training 60 s, on a clock of its own."""
    now = [0.0]

    def made(generator, tiles, subset, folder, *, most, seed):
        if (subset.tobytes(), seed) not in there:
            there.add((subset.tobytes(), seed))
            now[0] += 600
        return store

    def train(sample, settings, **_):
        now[0] += 60
        return lambda images: np.zeros(images.shape[:3], np.uint8)

    there = set()
    monkeypatch.setattr(utility_module, "time", SimpleNamespace(monotonic=lambda: now[0], process_time=lambda: 0.0))
    monkeypatch.setattr(synthetic_tiles, "tiles_of_other_places", made)
    words = {"other_places": True, "ratios": (1,), "fractions": (0.5, 1.0), "seeds": 1, "steps": 1, "train": train}
    utility_module.utility(run, store.path, tmp_path / "out", **words)
    left = [line.split("; ")[1] for line in capsys.readouterr().out.splitlines() if " left" in line]
    assert left[0] == "about 13 min left, and the making of 2 sets of images on top"  # 13 trainings
    assert left[3] == "about 10 min left, and the making of 2 sets of images on top"
    assert left[4] == "about 19 min left"  # 9 trainings and the other set
    assert left[6] == "about 17 min left" and left[-1] == "about 0 s left"
    first = next((tmp_path / "out" / "arms").glob("synthetic-first_1_0.json"))
    first.unlink()
    utility_module.utility(run, store.path, tmp_path / "out", **words)
    assert "about 0 s left" in capsys.readouterr().out  # its images are there


def test_what_cannot_be_is_refused(store, run, tmp_path):
    options = {"device": "cpu", "allow_leaks": False}
    with pytest.raises(ConfigError, match=r"--own-material takes .* Choose one"):
        open_source(run, store, [], own_material=True, other_places=True, **options)
    with pytest.raises(ConfigError, match="tiles are ready-made"):
        open_source(store.path, store, [], other_places=True, **options)
    with pytest.raises(ConfigError, match=r"none that --other-places could use.* orthoforge-material"):
        open_source(make_run(tmp_path / "run", store), store, [], other_places=True, **options)


def test_the_command_takes_them(store, run, tmp_path, capsys):
    words = ["utility", str(run), "--data", str(store.path), "--out", str(tmp_path / "out"), "--other-places", "--ratios", "1"]
    assert main([*words, "--fractions", "1", "--seeds", "1", "--steps", "1"]) == 0
    page = (tmp_path / "out" / "utility.html").read_text("utf-8")
    assert "with the histograms of the fraction" in page
    assert "real + synthetic 1:1" in capsys.readouterr().out
