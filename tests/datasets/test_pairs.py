"""A loader gets the same pairs whatever its workers, and each pair is what the run makes of that mask."""

import doctest
import math
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import orthoforge
from conftest import make_dataset, make_grid, make_mask, write_tiff
from made_runs import make_run
from orthoforge import RealPairs, SyntheticPairs
from orthoforge.datasets import synthetic
from orthoforge.errors import ConfigError, DataError, GridError, OutputExistsError
from orthoforge.generation import generate
from orthoforge.geo.rasters import open_raster, read_image, read_mask, read_tags
from orthoforge.growing import grow
from orthoforge.masks.classes import Classes
from orthoforge.masks.palette import write_palette
from orthoforge.tiles.prepare import prepare
from orthoforge.trained_generator import load_generator

SCENES = [f"town{number}" for number in range(1, 11)]


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """A data set, its tiles of 32 px, and a run with noise and styles on them."""
    root = tmp_path_factory.mktemp("town")
    data = make_dataset(root / "data", SCENES, 64, crs=None)
    store = prepare(data, root / "tiles", grid=2, size=32, split="digits")
    return data, store, make_run(root / "run", store, generator="modulated", generator_width=4)


@pytest.fixture(scope="module")
def generator(town):
    return load_generator(town[2])


def same(one, other):
    assert one.meta == other.meta or (math.isnan(one.meta["gsd_m"]) and one.meta | {"gsd_m": 0} == other.meta | {"gsd_m": 0})
    return torch.equal(one.image, other.image) and torch.equal(one.mask, other.mask)


def flipped(image, mask):
    """A transform that draws from all three generators of random numbers."""
    if torch.rand(()) + random.random() + np.random.random() < 1.5:
        return image.flip(-1), mask.flip(-1)
    return image, mask


def test_a_tile_is_a_pair(town):
    _, store, _ = town
    pairs = RealPairs(str(store.path))
    ids = store.ids("train")
    assert len(pairs) == len(ids) == len(list(pairs))
    for index in (0, 5, -1):
        image, mask, meta = pairs[index]
        tile, labels = store.tile(int(ids[index]))
        assert (image.dtype, mask.dtype) == (torch.float32, torch.int64)
        np.testing.assert_array_equal((image * 255).round().byte().numpy(), np.moveaxis(tile, -1, 0))
        np.testing.assert_array_equal(mask.numpy(), labels // 255)
        assert meta["name"] == store.rows[int(ids[index])].scene and not meta["synthetic"]
    with pytest.raises(IndexError):
        pairs[len(pairs)]


def test_an_image_is_what_the_run_makes_of_its_mask(town, generator):
    _, _, run = town
    masks = np.stack([make_mask(32, seed=seed) for seed in range(3)])
    pairs = SyntheticPairs(str(run), masks, length=7)
    assert len(pairs) == 7
    seeds = set()
    for index in range(7):
        image, mask, meta = pairs[index]
        np.testing.assert_array_equal(mask.numpy(), masks[index % 3] // 255)
        made = generator(masks[index % 3], seed=meta["seed"])
        np.testing.assert_array_equal((image * 255).round().byte().numpy(), np.moveaxis(made, -1, 0))
        assert meta["synthetic"] and meta["index"] == index
        seeds.add(meta["seed"])
    assert len(seeds) == 7


@pytest.mark.parametrize("kind", ["int64", "bool", "tensor", "list"])
def test_masks_in_memory_may_have_any_whole_type(generator, kind):
    masks = np.stack([make_mask(32, seed=seed) for seed in range(2)])
    other = {
        "int64": (masks // 255).astype(np.int64), "bool": masks > 0, "tensor": torch.from_numpy(masks // 255).long(),
        "list": [torch.from_numpy(mask) for mask in masks],
    }[kind]  # fmt: skip
    assert same(SyntheticPairs(generator, other)[1], SyntheticPairs(generator, masks)[1])


def test_masks_in_files_are_cut_by_index(town, generator, tmp_path):
    data, _, _ = town
    pairs = SyntheticPairs(generator, str(data / "masks"), crop_px=32, length=30)
    assert same(pairs[4], SyntheticPairs(generator, data, crop_px=32)[4])  # a data set's masks
    windows = set()
    for index in range(0, 30, 7):
        image, mask, meta = pairs[index]
        assert meta["name"] == SCENES[index % 10]
        with open_raster(data / "masks" / f"{meta['name']}.tif") as raster:
            whole = read_mask(raster)
        part = whole[meta["row"] : meta["row"] + 32, meta["col"] : meta["col"] + 32]
        np.testing.assert_array_equal(mask.numpy(), part // 255)
        made = generator(part, seed=meta["seed"], origin=(meta["row"], meta["col"]))
        np.testing.assert_array_equal((image * 255).round().byte().numpy(), np.moveaxis(made, -1, 0))
        windows.add((meta["row"], meta["col"]))
    assert len(windows) > 1


def test_masks_of_tiles_are_those_that_train(town, generator):
    _, store, _ = town
    pairs = SyntheticPairs(generator, store.path)
    assert len(pairs) == len(store.ids("train"))
    np.testing.assert_array_equal(pairs[3].mask.numpy(), store.tile(int(store.ids("train")[3]))[1] // 255)
    assert pairs[3].meta["place"] == "town"


def test_forged_masks_are_new_ones(town, generator):
    data, _, _ = town
    pairs = SyntheticPairs(generator, data, forge="transform", crop_px=32, length=40)
    masks = [pairs[index].mask.numpy() for index in (0, 1, 10, 39)]
    assert len({mask.tobytes() for mask in masks}) == 4
    assert same(pairs[39], SyntheticPairs(generator, data, forge="transform", crop_px=32, length=40)[39])
    with pytest.raises(ConfigError, match="whole scenes"):
        SyntheticPairs(generator, town[1], forge="streets")
    with pytest.raises(ConfigError, match="arrays have no place"):
        SyntheticPairs(generator, np.zeros((1, 32, 32), np.uint8), forge="streets")


def test_a_style_is_that_of_all_images_or_of_each_name(town, generator):
    data, _, _ = town
    masks = data / "masks"
    of_place = generator.with_style("town")
    for style in ("town", "by-name"):
        image, _, meta = SyntheticPairs(generator, masks, style=style)[0]
        with open_raster(masks / "town1.tif") as raster:
            made = of_place(read_mask(raster), seed=meta["seed"])
        np.testing.assert_array_equal((image * 255).round().byte().numpy(), np.moveaxis(made, -1, 0))
        assert meta["style"] == "town"
    with pytest.raises(ConfigError, match="no style 'moon'"):
        SyntheticPairs(generator, masks, style="moon")


def test_a_grown_data_set_gives_its_synthetic_pairs(town, tmp_path):
    data, _, run = town
    made = grow(run, data, tmp_path / "more", ratio=0.4, least_agreement=0)
    pairs = SyntheticPairs.grown(str(made.path))
    names = [row["name"] for row in made.rows if row["accepted"]]
    assert [sample.meta["name"] for sample in pairs] == names
    with open_raster(made.path / "images" / f"{names[1]}.tif") as raster:
        np.testing.assert_array_equal((pairs[1].image * 255).round().byte().numpy(), np.moveaxis(read_image(raster), -1, 0))
    with open_raster(made.path / "masks" / f"{names[1]}.tif") as raster:
        np.testing.assert_array_equal(pairs[1].mask.numpy(), read_mask(raster) // 255)
    part = SyntheticPairs.grown(made.path, crop_px=16, length=9)[8]
    assert part.image.shape == (3, 16, 16) and part.mask.shape == (16, 16)
    with pytest.raises(DataError, match="grow finished"):
        SyntheticPairs.grown(data)
    settings = (made.path / "grown.json").read_text()
    (made.path / "grown.json").write_text(settings.replace('"images"', '"../elsewhere"'))
    with pytest.raises(DataError, match="damaged"):
        SyntheticPairs.grown(made.path)


@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_a_folder_of_generated_pairs_is_read(town, generator, tmp_path, suffix):
    data, _, run = town
    out = tmp_path / "made"
    generate(run, data / "masks", out, variants=2, style="each", keep_mask=True, labels=["yolo", "coco"], format=suffix)
    pairs = SyntheticPairs.generated(str(out))
    names = [f"{scene}_v{variant}" for scene in SCENES for variant in (1, 2)]
    assert [sample.meta["name"] for sample in pairs] == names
    for index in (0, 3):
        image, mask, meta = pairs[index]
        path = out / "images" / f"{names[index]}.{suffix}"
        with open_raster(path) as raster:
            np.testing.assert_array_equal((image * 255).round().byte().numpy(), np.moveaxis(read_image(raster), -1, 0))
        with open_raster(data / "masks" / f"{SCENES[index // 2]}.tif") as raster:
            np.testing.assert_array_equal(mask.numpy(), read_mask(raster) // 255)
        assert (str(meta["seed"]), meta["style"]) == (read_tags(path)["SEED"], "town")
        assert meta["place"] == "town" and meta["synthetic"] and meta["index"] == index  # by the mask's name: not town1_v
    part = SyntheticPairs.generated(out, crop_px=16, length=25, transforms=flipped)
    assert part[24].image.shape == (3, 16, 16) and part[24].mask.shape == (16, 16)
    alone = list(DataLoader(part, batch_size=5))
    for one, other in zip(alone, DataLoader(part, batch_size=5, num_workers=2, multiprocessing_context="fork"), strict=True):
        assert torch.equal(one.image, other.image) and torch.equal(one.mask, other.mask)


def test_generated_class_masks_say_their_classes_themselves(town, tmp_path):
    _, store, _ = town
    classes = Classes(("Land", "Building", "Water"), (((0, 0, 0),), ((1, 0, 0),), ((2, 0, 0),)), ((40,), (80,), (120,)))
    run = make_run(tmp_path / "run", store, classes=classes)
    labels = {name: np.random.default_rng(seed).integers(0, 3, (32, 32), np.uint8) for seed, name in enumerate(["a1", "a2"])}
    for name, of_mask in labels.items():
        write_tiff(tmp_path / f"new/{name}.tif", 40 + 40 * of_mask, make_grid(32, crs=None))
    generate(run, tmp_path / "new", tmp_path / "made", keep_mask=True)
    pairs = SyntheticPairs.generated(tmp_path / "made")
    for sample, of_mask in zip(pairs, labels.values(), strict=True):
        np.testing.assert_array_equal(sample.mask.numpy(), of_mask)
    palette = tmp_path / "made/palette.json"
    write_palette(palette, Classes(("Sea",), (((9, 9, 9),),)), overwrite=True)
    for file in (tmp_path / "made").glob("*/a*"):
        file.unlink()
    with pytest.raises(OutputExistsError, match="not the palette of this run"):
        generate(run, tmp_path / "new", tmp_path / "made", keep_mask=True)
    generate(run, tmp_path / "new", tmp_path / "made", keep_mask=True, overwrite=True)
    np.testing.assert_array_equal(SyntheticPairs.generated(tmp_path / "made")[1].mask.numpy(), labels["a2"])


def test_folders_of_other_pairs_are_refused_with_the_way_to_read_them(town, tmp_path):
    data, _, run = town
    with pytest.raises(DataError, match="none of its images is synthetic"):
        SyntheticPairs.generated(data)
    with pytest.raises(DataError, match="images/ and masks/"):
        SyntheticPairs.generated(tmp_path)
    made = grow(run, data, tmp_path / "more", ratio=0.1, least_agreement=0)
    with pytest.raises(DataError, match=r"SyntheticPairs\.grown"):
        SyntheticPairs.generated(made.path)
    generate(run, data / "masks/town1.tif", tmp_path / "made", keep_mask=True)
    with pytest.raises(DataError, match=r"SyntheticPairs\.generated"):
        SyntheticPairs.grown(tmp_path / "made")
    (tmp_path / "made/masks/town1.tif").unlink()
    with pytest.raises(DataError, match=r"images/ and masks/|has no partner"):
        SyntheticPairs.generated(tmp_path / "made")


def test_classes_are_indices(town, tmp_path):
    _, store, _ = town
    classes = Classes(("Land", "Building", "Water"), (((0, 0, 0),), ((1, 0, 0),), ((2, 0, 0),)))
    run = make_run(tmp_path / "run", store, classes=classes)
    masks = np.random.default_rng(0).integers(0, 3, (2, 32, 32))
    pairs = SyntheticPairs(run, masks)
    np.testing.assert_array_equal(pairs[1].mask.numpy(), masks[1])
    with pytest.raises(ConfigError, match="was trained on Land, Building, Water"):
        SyntheticPairs(run, store)
    with pytest.raises(DataError, match="the mask has -1"):
        SyntheticPairs(run, masks - 1)[0]


def test_a_loader_gives_the_same_pairs_whatever_its_workers(town, generator):
    data, store, _ = town
    made = SyntheticPairs(generator, data / "masks", crop_px=32, length=6, transforms=flipped)
    pairs = RealPairs(store, crop_px=32, transforms=flipped, length=3) + made

    def batches(**options):
        for epoch in range(2):
            for part in pairs.datasets:
                part.set_epoch(epoch)
            yield from DataLoader(pairs, batch_size=2, **options)

    alone = list(batches())
    threads = torch.get_num_threads()
    with_workers = list(batches(num_workers=2, multiprocessing_context="fork"))
    assert torch.get_num_threads() == threads
    for one, other in zip(alone, with_workers, strict=True):
        assert torch.equal(one.image, other.image) and torch.equal(one.mask, other.mask)
        assert one.meta["seed"].tolist() == other.meta["seed"].tolist() and one.meta["name"] == other.meta["name"]
    assert not torch.equal(alone[3].image, alone[8].image)  # the next epoch shows other images of the same masks


def test_a_segmenter_learns_the_same_with_workers_as_without(town, generator):
    def trained(workers):
        pairs = SyntheticPairs(generator, town[0] / "masks", crop_px=32, length=8, transforms=flipped)
        torch.manual_seed(0)
        model = torch.nn.Conv2d(3, 2, 3, padding=1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        options = {"multiprocessing_context": "fork"} if workers else {}
        for epoch in range(2):
            pairs.set_epoch(epoch)
            for image, mask, _ in DataLoader(pairs, batch_size=2, shuffle=True, num_workers=workers, **options):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(image), mask).backward()
                optimizer.step()
        return model.weight.detach()

    alone = trained(0)
    assert torch.equal(trained(2), alone)
    torch.manual_seed(0)
    assert not torch.equal(torch.nn.Conv2d(3, 2, 3, padding=1).weight, alone)


def test_a_spawned_worker_gives_them_too(town, generator):
    pairs = RealPairs(town[1], crop_px=32, length=2) + SyntheticPairs(generator, town[0] / "masks", crop_px=32, length=2)
    (spawned,) = DataLoader(pairs, batch_size=4, num_workers=1, multiprocessing_context="spawn")
    (alone,) = DataLoader(pairs, batch_size=4)
    assert torch.equal(spawned.image, alone.image) and torch.equal(spawned.mask, alone.mask)


def test_workers_that_live_on_hear_of_the_epoch(town):
    pairs = RealPairs(town[1], crop_px=16, length=8)
    loader = DataLoader(pairs, batch_size=8, num_workers=1, persistent_workers=True, multiprocessing_context="fork")
    found = []
    for epoch in (0, 1, 0):
        pairs.set_epoch(epoch)
        found += [batch.image for batch in loader]
    assert torch.equal(found[0], found[2]) and not torch.equal(found[0], found[1])


def test_transforms_leave_chance_as_it_was(town):
    pairs = RealPairs(town[1], transforms=flipped)
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)
    expected = torch.rand(3), random.random(), np.random.random()
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)
    assert len({pairs[index].image[:, :, 0].sum().item() for index in range(8)}) > 1
    found = torch.rand(3), random.random(), np.random.random()
    assert torch.equal(found[0], expected[0]) and found[1:] == expected[1:]


def test_a_forked_worker_on_a_gpu_is_told_what_to_do(generator, monkeypatch):
    pairs = SyntheticPairs(generator, np.zeros((1, 32, 32), np.uint8))
    monkeypatch.setattr(generator, "device", "cuda")
    monkeypatch.setattr(synthetic.os, "getpid", lambda: -1)
    with pytest.raises(ConfigError, match="spawn"):
        pairs[0]


def test_masks_of_another_resolution_are_refused_or_resampled(town, tmp_path):
    store = prepare(make_dataset(tmp_path / "data", SCENES), tmp_path / "tiles", grid=2, size=32, split="digits")
    run = make_run(tmp_path / "run", store)
    mask = write_tiff(tmp_path / "town.tif", make_mask(64), make_grid(64, gsd_m=0.6))
    with pytest.raises(GridError, match="--resample"):
        SyntheticPairs(run, [mask])[0]
    image, _, meta = SyntheticPairs(run, [str(mask)], resample=True)[0]
    assert image.shape == (3, 128, 128) and meta["gsd_m"] == pytest.approx(0.3, rel=1e-2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "length is 0"),
        ({"crop_px": 0}, "crop_px is 0"),
        ({"crop_px": 100}, "crop"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_impossible_numbers_are_refused(town, generator, options, message):
    with pytest.raises(ConfigError, match=message):
        RealPairs(town[1], **options)
    with pytest.raises(ConfigError, match=message):
        SyntheticPairs(generator, town[0], **options)[0]


def test_a_split_without_tiles_is_named(tmp_path):
    store = prepare(make_dataset(tmp_path / "data", ["a1"], 32, crs=None), tmp_path / "tiles", grid=1, size=32, split="digits")
    with pytest.raises(ConfigError, match="no tiles in split 'test'"):
        RealPairs(store, "test")


def test_a_batch_of_masks_becomes_a_batch_of_images(generator):
    masks = np.stack([make_mask(32, seed=seed) for seed in range(3)])
    images = generator(torch.from_numpy(masks // 255).long(), seed=5)
    assert images.shape == (3, 32, 32, 3)
    for image, mask in zip(images, masks, strict=True):
        np.testing.assert_array_equal(image, generator(mask, seed=5))
    own = generator(masks, seed=[5, 6, 7], style="town")
    np.testing.assert_array_equal(own[2], generator.with_style("town")(masks[2], seed=7))
    with pytest.raises(DataError, match="one seed"):
        generator(masks, seed=[1, 2])
    with pytest.raises(ConfigError, match="no style 'moon'"):
        generator(masks[0], style="moon")


@pytest.mark.parametrize("name", ["RealPairs", "SyntheticPairs"])
def test_the_example_of_its_docstring_runs(tmp_path, monkeypatch, name):
    store = prepare(make_dataset(tmp_path / "data", SCENES, 64, crs=None), tmp_path / "tiles", grid=1, size=64, split="digits")
    make_run(tmp_path / "runs/mine", store)
    monkeypatch.chdir(tmp_path)
    (test,) = doctest.DocTestFinder(recurse=False).find(getattr(orthoforge, name), name, module=False, globs={})
    assert len(test.examples) > 3
    assert doctest.DocTestRunner().run(test).failed == 0
