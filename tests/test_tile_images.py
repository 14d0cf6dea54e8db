"""A tile's image is made in the style of its own place, with noise of its own, by every command that judges."""

import json
from dataclasses import replace

import numpy as np
import pytest

from conftest import make_dataset, make_mask
from made_runs import make_run
from orthoforge.comparison.compare import compare
from orthoforge.comparison.pictures import remembering
from orthoforge.errors import OutputExistsError
from orthoforge.evaluation.evaluate import evaluate
from orthoforge.measures.paired import tile_scores
from orthoforge.measures.pixels import detail_levels
from orthoforge.runs import SEEDS_APART, TileImages, tile_seed
from orthoforge.tiles.prepare import prepare
from orthoforge.trained_generator import load_generator
from orthoforge.usefulness.synthetic_tiles import open_source, pool_of
from orthoforge.usefulness.utility import utility


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """Tiles of three places, the last of which did not train, and a run that has styles of the others."""
    root = tmp_path_factory.mktemp("town")
    data = make_dataset(root / "data", ("aba1", "oro2", "aba7", "aba9", "oro9", "uma9"), 80)
    store = prepare(data, root / "tiles", grid=2, size=40, split="digits", workers=1)
    run = make_run(root / "run", store, generator="modulated")
    return store, run


@pytest.fixture(scope="module")
def report(town, tmp_path_factory):
    store, run = town
    out = tmp_path_factory.mktemp("report")
    evaluate(run, store.path, out / "report", seed=3)
    return json.loads((out / "report" / "report.json").read_text())


def made(generator, store, tile_id, seed):
    row = store.rows[tile_id]
    generator = generator.with_style(row.place) if row.place != "uma" else generator
    return generator(store.tile(tile_id)[1], seed=seed + 1_000_000 * tile_id)


def test_each_tile_has_its_places_style_and_its_own_noise(town):
    store, run = town
    generator = load_generator(run)
    assert generator.styles == ("aba", "oro")
    images = TileImages(generator)
    assert images.of_place("aba") is images.of_place("aba")
    assert images.of_place("uma") is generator
    for tile_id in store.ids("test").tolist():
        found = images.of_tile(store, tile_id, 3)
        assert np.array_equal(found, made(generator, store, tile_id, 3))
        assert np.array_equal(found, TileImages(load_generator(run)).of_tile(store, tile_id, 3))
        assert not np.array_equal(found, images.of_tile(store, tile_id, 4))


def test_two_tiles_of_one_mask_are_two_images(town):
    store, run = town
    first, second = store.ids("test")[:2].tolist()
    mask = store.tile(first)[1]
    twins = replace(store, _groups={}, _shards={"aba9": (np.zeros((4, 40, 40, 3), np.uint8), np.stack([mask] * 4))})
    images = TileImages(load_generator(run))
    assert not np.array_equal(images.of_tile(twins, first, 0), images.of_tile(twins, second, 0))
    seeds = {tile_seed(seed, tile_id) for seed in range(10) for tile_id in range(100)}
    assert len(seeds) == 1000 and max(seeds) < 100 * SEEDS_APART


def test_a_report_is_of_these_images(town, report):
    store, run = town
    generator = load_generator(run)
    for row in report["tiles"]:
        assert row["generated"]["detail_levels"] == pytest.approx(detail_levels(made(generator, store, row["id"], 3)))
    levels = []
    for tile_id in store.ids("test").tolist():  # diversity looks at all of so few
        images = [made(generator, store, tile_id, seed).astype(int) for seed in (3, 4, 5, 6)]
        levels += [np.abs(images[a] - images[b]).mean() for a in range(4) for b in range(a)]
    assert report["diversity"]["levels"] == pytest.approx(np.mean(levels))
    assert report["diversity"]["seeds"] == [3, 4, 5, 6]


def test_a_report_says_which_tiles_had_no_style_of_their_own(report):
    assert report["checkpoint"]["styles"] == {"places": ["aba", "oro"], "tiles_in_own": 8}
    assert any("4 of 12 tiles are of places whose style the run does not know" in text for text in report["warnings"])


def test_runs_are_compared_by_these_images(town, tmp_path):
    store, run = town
    compare([run], tmp_path / "page.html", seed=3)
    generator, body = load_generator(run), json.loads((tmp_path / "page.json").read_text())
    images = [made(generator, store, tile_id, 3) for tile_id in store.ids("test").tolist()]
    scores = [tile_scores(image, store.tile(tile_id)[0]) for image, tile_id in zip(images, store.ids("test").tolist(), strict=True)]
    found = body["runs"][0]["scores"]["means"]["psnr"]["mean"]
    assert found == pytest.approx(np.mean([score["psnr"] for score in scores]))


def test_a_comparison_draws_what_would_be_the_same_once(town, tmp_path):
    store, run = town
    mask = make_mask(32)
    draw = remembering(load_generator(run), 0)
    first = draw(mask, "aba", number=1)
    assert draw(mask, "aba", number=1) is first
    for other in (draw(mask, "oro", number=1), draw(mask, "aba", number=2), draw(mask, "aba", number=1, origin=(0, 32))):
        assert not np.array_equal(other, first)
    draw = remembering(load_generator(make_run(tmp_path / "calm", store)), 0)
    assert draw(mask, "aba", number=1) is draw(mask, "oro", number=2)


def test_synthetic_tiles_have_the_style_of_their_masks_place(town, tmp_path):
    store, run = town
    held_out = np.concatenate([store.ids("val"), store.ids("test")]).tolist()
    source = open_source(run, store, held_out, device="cpu", allow_leaks=False)
    pool = pool_of(source, store, store.ids("train"), tmp_path / "made")
    generator, ids = load_generator(run), iter(store.ids("train").tolist() * 2)
    made, _ = pool.of(store.ids("train"), 0)
    for made_id, row in enumerate(made.rows):
        image, mask = made.tile(made_id)
        assert np.array_equal(image, generator.with_style(row.place)(mask, seed=next(ids)))
    assert {row.place for row in made.rows} == {"aba", "oro"}


def test_a_generator_that_was_given_a_style_keeps_it_at_every_place(town):
    store, run = town
    styled = load_generator(run).with_style("oro")
    for tile_id in store.ids("test").tolist():
        expected = styled(store.tile(tile_id)[1], seed=tile_seed(3, tile_id))
        assert np.array_equal(TileImages(styled).of_tile(store, tile_id, 3), expected)


def test_utility_shares_no_images_between_styles_of_one_network(town, tmp_path):
    store, run = town
    plain = load_generator(run)
    looks = [np.full((40, 40, 3), level, np.uint8) for level in (20, 230)]
    generators = [plain, plain.with_style("aba"), plain.with_style("oro"), *map(plain.with_style, looks)]
    sources = [open_source(one, store, [], device="cpu", allow_leaks=False) for one in generators]
    assert len({source.identity for source in sources}) == 5
    assert sources[0].identity == plain.sha256  # as it was before there were styles
    assert [source.facts["style"] for source in sources] == [None, "aba", "oro", "reference image", "reference image"]

    def no_training(sample, settings, **_):
        return lambda images: np.zeros(images.shape[:-1], np.uint8)

    options = {"ratios": (1,), "fractions": (1.0,), "seeds": 1, "steps": 1, "train": no_training}
    utility(generators[1], store.path, tmp_path / "out", **options)
    folder = tmp_path / "out" / "synthetic"
    before = {path.name: path.read_bytes() for path in folder.rglob("*.npy")}
    assert before
    with pytest.raises(OutputExistsError, match=r"an experiment with other settings \(synthetic\)"):
        utility(generators[2], store.path, tmp_path / "out", **options)
    utility(generators[2], store.path, tmp_path / "out", overwrite=True, **options)
    after = {path.name: path.read_bytes() for path in folder.rglob("*.npy")}
    assert after.keys() == before.keys()
    assert any(after[name] != before[name] for name in before)
