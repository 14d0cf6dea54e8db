"""Training a generator with styles: whose style each image gets, what is compared, what is remembered of the training tiles."""

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from harness import assert_same_run, begun, make_tiles, rows, small_s, tiny
from safetensors.torch import load_file
from scipy.ndimage import label

from conftest import make_dataset, make_grid, make_image, make_mask, write_tiff
from orthoforge.checkpoint_files import load_checkpoint, save_checkpoint
from orthoforge.masks.classes import building_value
from orthoforge.models.colours import Colours
from orthoforge.models.conditions import encode_image
from orthoforge.models.modulated import Noise
from orthoforge.models.roofs import COLOURS, LEAST_PX
from orthoforge.models.styles import CODE, KEPT, bank_of
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import Batch, TileStore, centre_batch, crop_batch
from orthoforge.trained_generator import load_generator
from orthoforge.training import loop, train
from orthoforge.training.batches import epoch_batches, steps_an_epoch, to_tensors
from orthoforge.training.state import STYLE_BANKS
from orthoforge.training.step import read_figures, train_step
from orthoforge.training.styles import remember_styles
from orthoforge.training.training import Training
from orthoforge.training.validation import validate


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    """Places arden (8 tiles to train on), brennau (4) and cleve, which validates alone; another of brennau validates too."""
    names = ("arden1", "arden2", "brennau1", "brennau7", "cleve7")
    return make_tiles(tmp_path_factory.mktemp("styles"), names, size=40)


@pytest.fixture(scope="module")
def store(tiles):
    return TileStore.open(tiles)


@pytest.fixture(scope="module")
def finished(tiles, tmp_path_factory):
    """A finished run of ``small_s()``."""
    return train(small_s(), tiles, tmp_path_factory.mktemp("runs") / "finished", quiet=True)


def batch_of(store, count):
    ids = store.ids("train")[:count]
    return crop_batch(store, ids, crop_px=32, flips="none", keys=[(0, i) for i in range(count)])


def stepped(recipe, store, batch):
    """The losses of a step from the same beginning, and what the generator was called with, by name."""
    recipe = replace(recipe, best_by="ssim")  # no step asks, and its network takes a while to read
    training, seen = begun(recipe, store), []

    def note(module, inputs, named):
        seen.append({"condition": inputs[0], **named})

    training.state.generator.register_forward_pre_hook(note, with_kwargs=True)
    train_step(training, batch)
    assert len(seen) == 1
    return read_figures(training), seen[0]


def roofs_of(told, condition):
    """Colours of roofs in what is told (3, H, W), rounded."""
    return {tuple(colour) for colour in (100 * told[:, condition[0] > 0].T).round().int().unique(dim=0).tolist()}


# A step


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_half_of_the_images_have_their_own_style_and_the_others_those_of_the_first(count, store):
    batch = batch_of(store, count)
    losses, given = stepped(small_s(), store, batch)
    condition, real = to_tensors(batch, store, torch.device("cpu"))
    order = {1: [0], 2: [0, 0], 3: [0, 1, 0], 5: [0, 1, 2, 0, 1]}[count]
    assert torch.equal(given["condition"], condition)
    assert torch.equal(given["reference"], real[order])
    own = count - count // 2
    told = given["colours"]
    on_roofs = condition[:, :1] > 0
    expected = Colours().seen(condition, real, own)
    torch.testing.assert_close((told * on_roofs)[:own], (expected * on_roofs)[:own], atol=1e-6, rtol=0)
    for number in range(own, count):
        known = roofs_of(told[number - own], condition[number - own]) | {(0, 0, 0)}
        assert roofs_of(told[number], condition[number]) <= known, "of the first, spread anew"
    for number, lender in enumerate(order):
        ground = (told[number] * ~on_roofs[number]).flatten(1)
        least, most = (real[lender].flatten(1).min(dim=1).values, real[lender].flatten(1).max(dim=1).values)
        assert ground.any() and (ground.min(dim=1).values >= least.clamp(max=0)).all()
        assert (ground.max(dim=1).values <= most.clamp(min=0)).all()
    assert losses.keys() == {"loss_d", "loss_g", "loss_g_gan", "loss_g_colour", "loss_g_perceptual"}
    assert all(math.isfinite(value) for value in losses.values())


@pytest.mark.parametrize("count", [4, 5])
def test_images_in_a_borrowed_style_are_judged_and_not_compared(count, store):
    recipe = small_s(lambda_l1=1.0)
    batch, own = batch_of(store, count), count - count // 2
    compared = {"loss_g_l1", "loss_g_colour", "loss_g_perceptual"}
    losses, _ = stepped(recipe, store, batch)
    for changed, differ in (([own, count - 1], {"loss_d", "loss_g_gan", "loss_g"}), ([0, own - 1], {*losses})):
        image = batch.image.copy()
        image[changed] = 255 - image[changed]
        others, _ = stepped(recipe, store, Batch(image, batch.mask, batch.tile_ids))
        assert {name for name in losses if others[name] != losses[name]} == differ
    assert compared <= losses.keys()


def test_the_code_teaches_the_encoder_and_the_noise_its_weights(store):
    training = begun(small_s(), store)
    state = training.state
    before = {name: weight.clone() for name, weight in state.generator.named_parameters()}
    train_step(training, batch_of(store, 4))
    still = {name for name, weight in state.generator.named_parameters() if torch.equal(weight, before[name])}
    assert not still, "every weight learns"
    noise = [module.weight for module in state.generator.modules() if isinstance(module, Noise)]
    assert all((weight != 0.3).any() for weight in noise)
    assert not [name for name in state.train_tensors() if "stage" in name], "the features are in no checkpoint"


def test_colour_alone_trains(store):
    recipe = tiny(gan_loss="none", lambda_l1=0.0, lambda_colour=2.0)
    training, batch = begun(recipe, store), batch_of(store, 3)
    condition, real = to_tensors(batch, store, training.fabric.device)
    with torch.no_grad():
        cells = [
            image.unfold(2, 16, 16).unfold(3, 16, 16).mean(dim=(4, 5)) for image in (training.state.generator(condition), real)
        ]
    expected = 2 * (cells[0] - cells[1]).abs().mean().item()
    train_step(training, batch)
    losses = read_figures(training)
    assert losses == {"loss_g": pytest.approx(expected, rel=1e-4), "loss_g_colour": pytest.approx(expected, rel=1e-4)}


# Which tiles


@pytest.mark.parametrize(("balance", "arden"), [("none", 16), ("places", 12), ("building", 12)])
def test_places_come_equally_often_where_the_recipe_says_so(balance, arden, store):
    recipe = small_s(balance=balance, crops_per_tile=2)
    state = SimpleNamespace(progress=SimpleNamespace(epoch=0, step_in_epoch=0, rollbacks=0))
    training = Training(SimpleNamespace(world_size=1, global_rank=0), recipe, store, state, Path("run"))
    batches = list(epoch_batches(training))
    assert len(batches) == steps_an_epoch(training) == 5
    shown = Counter(store.rows[tile_id].place for batch in batches for tile_id in batch.tile_ids.tolist())
    assert shown == {"arden": arden, "brennau": 24 - arden}
    crops = {image.tobytes() for batch in batches for image in batch.image}
    assert len(crops) == 24, "a tile that comes again is cut and turned anew"


# The bank


def encoded(network, store, ids, crop_px=32):
    images = centre_batch(store, np.array(ids), crop_px=crop_px).image
    with torch.inference_mode():
        return torch.cat([network.style_encoder.eval()(encode_image(torch.from_numpy(image[None]))) for image in images])


def test_the_bank_holds_the_codes_that_the_saved_encoder_has_of_the_training_tiles(finished, store):
    generator = load_generator(finished)
    assert generator.styles == ("arden", "brennau"), "not cleve, which was not trained on"
    codes = bank_of(generator.network).codes
    assert codes.shape == (2, KEPT, CODE)
    for place, kept in zip(generator.styles, codes, strict=True):
        ids = [tile_id for tile_id in store.ids("train").tolist() if store.rows[tile_id].place == place]
        expected = encoded(generator.network, store, ids)
        assert len(ids) == {"arden": 8, "brennau": 4}[place]
        assert len(expected.unique(dim=0)) == len(ids)
        torch.testing.assert_close(kept, expected.repeat(KEPT // len(ids), 1), atol=1e-6, rtol=0)
    others = load_file(finished / "weights/last/train.safetensors")
    assert torch.equal(others["generator.styles.codes"], codes), "both generators remember the same"
    for kind in ("roofs", "ground"):
        assert torch.equal(others[f"generator.styles.{kind}"], getattr(bank_of(generator.network), kind))
    assert not torch.equal(others["generator.style_encoder.to_code.weight"], generator.network.style_encoder.to_code.weight)


def colours_of_roofs(store, tile_id):
    """Those of a tile's buildings (count, 3) in [-1, 1], each labelled and looked at on its own; specks have none."""
    image, mask = store.tile(tile_id)
    labels, count = label(mask == building_value(store.classes))
    colours = []
    for building in (labels == number for number in range(1, count + 1)):
        if building.sum() >= LEAST_PX:
            colours.append(image[building].mean(axis=0) / 127.5 - 1)
    return np.array(colours).reshape(-1, 3)


def assert_colours_of_roofs(palette, store, ids, at):
    """A palette's colours are those of a tile's roofs, all of them; of one without, of the one before that has some, or after.

    Where none has any, its mean colour.
    """
    every = (colours_of_roofs(store, ids[i]) for i in (*range(at, -1, -1), *range(at, len(ids))))
    lenders = [colours for colours in every if len(colours)]
    colours = lenders[0] if lenders else store.tile(ids[at])[0].mean(axis=(0, 1))[None] / 127.5 - 1
    apart = np.abs(palette.numpy()[:, None] - colours).max(axis=2)
    assert apart.min(axis=1).max() < 1e-5
    assert set(apart.argmin(axis=1)) == set(range(len(colours)))


def test_the_bank_holds_colours_of_the_training_tiles_roofs(finished, store):
    generator = load_generator(finished)
    palettes = bank_of(generator.network).roofs
    assert palettes.shape == (2, KEPT, COLOURS, 3) and palettes.abs().max() <= 1
    for place, kept in zip(generator.styles, palettes, strict=True):
        ids = [tile_id for tile_id in store.ids("train").tolist() if store.rows[tile_id].place == place]
        assert torch.equal(kept, kept[: len(ids)].repeat(KEPT // len(ids), 1, 1))
        for at, palette in enumerate(kept[: len(ids)]):
            assert_colours_of_roofs(palette, store, ids, at)


@pytest.mark.parametrize(("size", "palette"), [(38, False), (41, False), (41, True)])
def test_palettes_of_tiles_of_any_side_and_without_buildings(size, palette, tmp_path):
    mask = make_mask(82)
    mask[:, :41] = 0  # two tiles of four are empty
    for seed, name in enumerate(("arden1", "arden7")):
        write_tiff(tmp_path / f"data/images/{name}.tif", make_image(mask, seed=seed), make_grid(82))
        names = {"ground": [0, 0, 9], "building": [9, 0, 0], "water": [0, 9, 0]}
        painted = np.array([*names.values()], np.uint8)[(mask > 0).astype(int)] if palette else mask
        write_tiff(tmp_path / f"data/masks/{name}.tif", painted, make_grid(82))
    options = {}
    if palette:
        (tmp_path / "palette.json").write_text(json.dumps(names))
        options["palette"] = tmp_path / "palette.json"
    store = prepare(tmp_path / "data", tmp_path / "tiles", grid=2, size=size, split="digits", workers=1, **options)
    recipe = small_s(ema_decay=0.0)
    state = begun(recipe, store).state
    torch.manual_seed(0)
    remember_styles(state.generator, state.output_generator, recipe, store)
    palettes, ids = state.generator.styles.roofs[0].clone(), store.ids("train").tolist()
    assert len(ids) == 4
    for at, kept in enumerate(palettes[:4]):
        assert_colours_of_roofs(kept, store, ids, at)
    assert sum(not len(colours_of_roofs(store, tile_id)) for tile_id in ids) == 2
    remember_styles(state.generator, state.output_generator, recipe, store)
    assert torch.equal(state.generator.styles.roofs[0], palettes), "whatever torch drew"
    assert not state.generator.colours.noise_fields, "and in training it draws again"


def test_best_remembers_the_styles_of_its_own_epoch(finished, store):
    generator = load_generator(finished / "weights" / "best")
    first = [tile_id for tile_id in store.ids("train").tolist() if store.rows[tile_id].place == "arden"][:1]
    torch.testing.assert_close(bank_of(generator.network).codes[0, :1], encoded(generator.network, store, first), atol=1e-6, rtol=0)


def test_of_more_tiles_than_the_bank_holds_those_are_kept_that_are_spread_over_them(tmp_path):
    data = make_dataset(tmp_path / "data", ("arden1", "arden7"), 144)
    store = prepare(data, tmp_path / "tiles", grid=9, size=32, split="digits", workers=1)
    recipe = small_s(ema_decay=0.0)
    state = begun(recipe, store).state
    remember_styles(state.generator, state.output_generator, recipe, store)
    assert state.generator.style_encoder.training, "codes are blurred again in the next epoch"
    ids = store.ids("train").tolist()
    assert len(ids) == 81
    expected, codes = encoded(state.generator, store, ids), state.generator.styles.codes[0]
    at = [int((expected - code).abs().sum(dim=1).argmin()) for code in codes]
    torch.testing.assert_close(codes, expected[at], atol=1e-6, rtol=0)
    assert at == sorted(set(at)) and (at[0], at[-1]) == (0, 80), "one after another, the first and the last among them"
    assert set(np.diff(at).tolist()) == {1, 2}


def test_validation_shows_each_place_in_a_style_of_its_own(store):
    training = begun(small_s(ema_decay=0.0), store)
    state = training.state
    state.generator.styles.codes[1] = 1.0
    seen = []
    state.generator.styles.roofs[1], state.generator.styles.ground[1] = 0.5, -0.5
    state.generator.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[1]))
    validate(training)
    places = [store.rows[tile_id].place for tile_id in store.ids("val").tolist()]
    assert Counter(places) == {"brennau": 4, "cleve": 4}
    assert all(torch.equal(style.roofs, style.code[:, :1, None].expand(-1, COLOURS, 3) / 2) for style in seen)
    assert all(torch.equal(style.ground[:, 0, 0, 0], -style.roofs[:, 0, 0]) for style in seen)
    codes = torch.cat([style.code[:, 0] for style in seen]).tolist()
    assert [code for place, code in zip(places, codes, strict=True) if place == "brennau"] == [1.0] * 4
    assert {code for place, code in zip(places, codes, strict=True) if place == "cleve"} == {0.0, 1.0}, "of any place"


# Stopped, continued, begun from another


def test_interrupted_between_and_within_epochs_it_ends_with_the_same_bits(finished, tiles, tmp_path, monkeypatch):
    recipe, run, inner, left = small_s(), tmp_path / "run", loop.train_step, [2]
    train(recipe, tiles, run, stop_after=1, quiet=True)

    def train_step(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return inner(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", train_step)
        patch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", -1)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tiles, run, resume=True, quiet=True)
    progress = json.loads((run / "weights/last/state.json").read_text())["progress"]
    assert (progress["epoch"], progress["step_in_epoch"]) == (1, 2), "of 3"
    train(recipe, tiles, run, resume=True, quiet=True)
    assert_same_run(run, finished)
    model, others = (load_file(run / "weights/last" / f"{name}.safetensors") for name in ("model", "train"))
    assert all(model[name].any() for name in STYLE_BANKS)
    kept = {name.partition(".heads.")[0] for name in others if name.startswith("discriminator.across")}
    assert len(kept) == 4 + 3
    norms = [name for name in others if name.startswith("discriminator.heads") and name.endswith(("._u", "._v"))]
    assert len(norms) == 2 * 3 * 4, "what the power iteration of each spectral norm has found so far"


def test_weights_of_another_places_run_are_taken_over_and_its_styles_are_not(finished, tmp_path, monkeypatch, capsys):
    tiles = make_tiles(tmp_path, ("dorn1", "dorn7", "emden1", "falk1"), size=64)
    recipe, started = small_s(crop_px=48, epochs=1, decay_epochs=0), []
    inner = loop.train_step

    def train_step(training, batch):
        state = training.state
        if not started:
            started.extend(dict(network.state_dict()) for network in (state.generator, state.averaged.module, state.discriminator))
            started[:] = [{name: tensor.clone() for name, tensor in tensors.items()} for tensors in started]
        return inner(training, batch)

    monkeypatch.setattr(loop, "train_step", train_step)
    run = train(recipe, tiles, tmp_path / "run", init_from=finished)
    assert f"carried over from {finished}/weights/last: generator and discriminator" in capsys.readouterr().out
    before = load_checkpoint(finished / "weights/last")
    for tensors in started[:2]:
        assert all(torch.equal(tensors[name], tensor) for name, tensor in before.model.items() if name not in STYLE_BANKS)
        assert not any(tensors[name].any() for name in STYLE_BANKS)
    assert all(torch.equal(tensor, before.train[f"discriminator.{name}"]) for name, tensor in started[2].items())
    generator = load_generator(run)
    assert generator.styles == ("dorn", "emden", "falk")
    assert bank_of(generator.network).codes.any(dim=2).all()
    assert bank_of(generator.network).roofs.any(dim=3).all() and bank_of(generator.network).ground.any(dim=2).all()


def test_a_run_from_before_there_were_styles_goes_on(store, tiles, tmp_path):
    recipe = tiny(epochs=2, decay_epochs=0)
    one = train(recipe, tiles, tmp_path / "one", quiet=True)
    run = train(recipe, tiles, tmp_path / "run", stop_after=1, quiet=True)
    last = load_checkpoint(run / "weights/last")
    values = {name: last.state.part(name) for name in ("progress", "rng", "versions")}
    later = ("balance", "lambda_colour", "roof_colours", "ground_colours")
    values["recipe"] = {name: value for name, value in last.state.recipe.items() if name not in later}
    values["tiles"] = {name: value for name, value in last.state.part("tiles").items() if name != "places"}
    assert len(values["recipe"]) + len(later) == len(last.state.recipe) and values["tiles"] != last.state.part("tiles")
    save_checkpoint(run / "weights/last", model=last.model, train=last.train, state=values)
    train(recipe, tiles, run, resume=True, quiet=True)
    assert rows(run) == rows(one)
    assert load_generator(run).styles == ()


# Classes


def test_six_classes_train_and_generate(tmp_path):
    colours = np.array([[40 * i, 255 - 40 * i, 7] for i in range(6)], np.uint8)
    names = ["ground", "building", "road", "tree", "water", "car"]
    (tmp_path / "palette.json").write_text(json.dumps(dict(zip(names, colours.tolist(), strict=True))))
    for seed, name in enumerate(("arden1", "brennau2", "arden7")):
        labels = np.random.default_rng(seed).integers(0, 6, (8, 8)).repeat(10, 0).repeat(10, 1)
        write_tiff(tmp_path / f"data/images/{name}.tif", make_image(labels == 1, seed=seed), make_grid(80))
        write_tiff(tmp_path / f"data/masks/{name}.tif", colours[labels], make_grid(80))
    prepare(tmp_path / "data", tmp_path / "tiles", grid=2, size=40, split="digits", palette=tmp_path / "palette.json", workers=1)
    run = train(small_s(epochs=1, decay_epochs=0), tmp_path / "tiles", tmp_path / "run", quiet=True)
    generator = load_generator(run)
    assert list(generator.classes.names) == names
    assert generator.network.stem.in_channels == 6
    assert generator.network.colours.building == 1
    labels = np.random.default_rng(9).integers(0, 6, (50, 70), dtype=np.uint8)
    image, other = (generator.with_style(place)(labels) for place in ("arden", "brennau"))
    assert image.shape == other.shape == (50, 70, 3)
    assert not np.array_equal(image, other)
    assert not np.array_equal(generator.with_style("arden")(5 - labels), image)
