"""A pretrained folder comes back as it was, or is refused; it takes a run's place in the commands; a wheel carries it."""

import contextlib
import dataclasses
import functools
import json
import random
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from conftest import make_dataset, make_grid, make_mask, write_tiff
from made_runs import make_run
from orthoforge import pretrained
from orthoforge.checkpoint_files import save_checkpoint
from orthoforge.checkpoints import CONFIG, MODEL, STATE, state_bytes
from orthoforge.cli import main
from orthoforge.config import Recipe
from orthoforge.errors import CheckpointError, ConfigError, DataError, OutputExistsError, ResourceError
from orthoforge.geo.rasters import open_raster
from orthoforge.growing import grow
from orthoforge.hub import CardFacts, publish, save_pretrained
from orthoforge.hub.remote import FILES
from orthoforge.networks import new_generator
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import load_generator
from orthoforge.usefulness.synthetic_tiles import open_source
from small_disk import small_disk
from test_checkpoints import RECIPE, contents, save_run, state_of

ROOT = Path(__file__).parents[2]
MASK = np.kron(np.eye(4, dtype=bool), np.ones((9, 9), dtype=bool))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with a generator that has seen no training."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    save_run(folder, step=7)
    return folder


def bundle(parent, run, name="town-s"):
    """A folder as it comes with the package: the directory that holds it takes the package's place."""
    save_pretrained(run, parent / name)
    return parent / name


@pytest.fixture
def bundled(tmp_path, run, monkeypatch):
    """Weights named town-s in the package, and an empty working directory."""
    (tmp_path / "package").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setattr(pretrained, "_HERE", tmp_path / "package")
    monkeypatch.chdir(tmp_path / "here")
    return bundle(tmp_path / "package", run)


def test_in_full_precision_everything_comes_back_to_the_bit(tmp_path, run):
    was, back = load_generator(run), load_generator(save_pretrained(run, tmp_path / "town", half=False))
    tensors = was.network.state_dict(), back.network.state_dict()
    assert tensors[0].keys() == tensors[1].keys()
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
    assert np.array_equal(was(MASK, seed=3), back(MASK, seed=3))
    assert (back.recipe, back.gsd_m, back.classes, back.attribution, back.step) == (RECIPE, 0.3, None, "© Survey", 7)


def test_in_half_precision_it_is_half_as_large_and_nearly_the_same(tmp_path, run):
    half, full = (save_pretrained(run, tmp_path / f"{half}-town", half=half) for half in (True, False))
    assert (half / MODEL).stat().st_size < 0.6 * (full / MODEL).stat().st_size
    was, back = load_generator(run), load_generator(half)
    assert {tensor.dtype for tensor in back.network.state_dict().values()} == {torch.float32}
    for name, tensor in was.network.state_dict().items():
        assert torch.allclose(tensor, back.network.state_dict()[name], rtol=2**-11, atol=2**-24)
    difference = was(MASK).astype(int) - back(MASK)
    assert np.abs(difference).max() <= 2


def test_what_float16_cannot_hold_stays_float32_and_counters_stay_whole(tmp_path):
    recipe = Recipe(name="counted", generator="resnet6", generator_width=2, norm="batch")
    save_run(tmp_path / "run", recipe)
    generator = load_generator(tmp_path / "run")
    variances = next(module for module in generator.network.modules() if isinstance(module, torch.nn.BatchNorm2d))
    variances.running_var.fill_(1e6)
    variances.num_batches_tracked.fill_(2**40 + 1)
    stored = load_file(generator.save_pretrained(tmp_path / "town") / MODEL)
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16, torch.float32, torch.int64}
    back = load_generator(tmp_path / "town").network.state_dict()
    assert sum(bool((tensor == 1e6).all()) for tensor in back.values()) == 1
    assert 2**40 + 1 in [int(tensor) for tensor in back.values() if tensor.dtype == torch.int64]


def test_a_generator_is_saved_as_its_run_is(tmp_path, run):
    load_generator(run).save_pretrained(tmp_path / "town")
    save_pretrained(run, tmp_path / "other" / "town")
    first, second = (json.loads((tmp_path / place / CONFIG).read_bytes()) for place in ("town", "other/town"))
    assert first == second
    # Saved again, in full: nothing was lost but what half precision takes.
    again = load_generator(tmp_path / "town").save_pretrained(tmp_path / "again", half=False)
    assert np.array_equal(load_generator(again)(MASK), load_generator(tmp_path / "town")(MASK))


def test_what_the_state_says_of_the_tiles_goes_along_whole(tmp_path, run):
    folder = Path(shutil.copytree(run, tmp_path / "run")) / "weights" / "last"
    body = json.loads((folder / STATE).read_bytes())
    body["tiles"]["later"] = {"a": [1, 2]}
    (folder / STATE).write_bytes(state_bytes({name: value for name, value in body.items() if name != "sha256"}))
    town = load_generator(tmp_path / "run").save_pretrained(tmp_path / "town")
    assert json.loads((town / CONFIG).read_bytes())["tiles"] == body["tiles"]


def test_classes_come_back(tmp_path):
    save_run(tmp_path / "run", classes=["ground", "roof", "water"])
    back = load_generator(save_pretrained(tmp_path / "run", tmp_path / "town"))
    assert back.classes.names == ("ground", "roof", "water")
    assert back(np.full((8, 8), 2, np.uint8)).shape == (8, 8, 3)


def test_a_generator_of_one_scene_is_not_saved(tmp_path, run):
    scene = load_generator(run).for_scene([MASK])
    with pytest.raises(ConfigError, match=r"does not come back from its folder.*for_scene"):
        scene.save_pretrained(tmp_path / "town")
    assert list(tmp_path.iterdir()) == []


def test_styles_come_back_and_a_generator_of_one_style_is_not_saved(tmp_path):
    recipe = Recipe(name="styled", generator="modulated", generator_width=4)
    state = state_of(recipe)
    state["tiles"]["places"] = ["arden", "brennau"]
    network = new_generator(recipe, None, 2)
    codes = network.get_submodule("styles").codes
    torch.nn.init.uniform_(codes, -1, 1)
    codes[1] = codes[1, torch.arange(64) % 3]  # a place of three tiles
    save_checkpoint(tmp_path / "run" / "weights" / "last", model=network.state_dict(), train={}, state=state)
    was, back = load_generator(tmp_path / "run"), load_generator(save_pretrained(tmp_path / "run", tmp_path / "town"))
    assert back.styles == ("arden", "brennau")
    assert "| styles | arden (64 looks), brennau (3 looks) |" in (tmp_path / "town" / "README.md").read_text()
    kept = "| kept of training tiles | of each look, colours of its roofs and a thumbnail of its ground, 16 × 16 cells of 16 px, "
    assert kept in (tmp_path / "town" / "README.md").read_text()
    assert 'generator.with_style("arden")(mask)' in (tmp_path / "town" / "README.md").read_text()
    first, second = (generator.with_style("brennau")(MASK, seed=5).astype(int) for generator in (was, back))
    assert np.abs(first - second).max() <= 2
    with pytest.raises(ConfigError, match=r"made for one style.*with_style\(None\)"):
        was.with_style("arden").save_pretrained(tmp_path / "arden")
    assert load_generator(was.with_style("arden").with_style(None).save_pretrained(tmp_path / "all")).styles == was.styles


def test_no_path_of_this_machine_is_given_away(tmp_path):
    recipe = dataclasses.replace(RECIPE, perceptual_weights="/home/somebody/secret-place/vgg.pth")
    save_run(tmp_path / "secret-run", recipe)
    (tmp_path / "secret-run" / "args.yaml").write_text("run: {data: /secret-place/tiles, init_from: /secret-place/runs/first}\n")
    folder = save_pretrained(tmp_path / "secret-run", tmp_path / "town")
    everything = b"".join((folder / name).read_bytes() for name in FILES)
    assert b"secret" not in everything and str(tmp_path).encode() not in everything
    assert json.loads((folder / "stac-item.json").read_bytes())["properties"]["mlm:pretrained_source"] == "first"


# Damage


def test_80_flipped_bits_are_all_noticed(tmp_path, run):
    folder = save_pretrained(run, tmp_path / "town")
    draw = random.Random(0)
    unnoticed = []
    for number in range(80):
        path = folder / (CONFIG, MODEL)[number % 2]
        sound = path.read_bytes()
        flipped = bytearray(sound)
        position = draw.randrange(len(sound))
        flipped[position] ^= 1 << draw.randrange(8)
        path.write_bytes(flipped)
        with contextlib.suppress(CheckpointError):
            load_generator(folder)
            unnoticed.append((path.name, position))
        path.write_bytes(sound)
    print(f"bit flips noticed: {80 - len(unnoticed)}/80")
    assert unnoticed == []
    assert load_generator(folder).step == 7


def test_a_bit_that_changes_no_value_of_the_config_is_noticed_too(tmp_path, run):
    folder = save_pretrained(run, tmp_path / "town")
    sound = (folder / CONFIG).read_bytes()
    unnoticed = []
    for position in range(0, len(sound), 11):
        for bit in (0, 5):  # the last digit, the case of a letter
            flipped = bytearray(sound)
            flipped[position] ^= 1 << bit
            (folder / CONFIG).write_bytes(flipped)
            with contextlib.suppress(CheckpointError):
                load_generator(folder)
                unnoticed.append((position, bit))
    assert unnoticed == []


@pytest.mark.parametrize("name", [CONFIG, MODEL])
def test_a_file_cut_short_or_missing_is_refused(name, tmp_path, run):
    folder = save_pretrained(run, tmp_path / "town")
    payload = (folder / name).read_bytes()
    (folder / name).write_bytes(payload[:-9])
    with pytest.raises(CheckpointError, match=f"{name}: its checksum does not fit.*Get the folder again"):
        load_generator(folder)
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=r"missing|no checkpoint here"):
        load_generator(folder)


def test_a_newer_format_is_refused(tmp_path, run):
    folder = save_pretrained(run, tmp_path / "town")
    values = json.loads((folder / CONFIG).read_bytes())
    del values["sha256"]
    (folder / CONFIG).write_bytes(state_bytes(values | {"format": 2}))
    with pytest.raises(CheckpointError, match=r"config\.json: written by a newer orthoforge \(format 2, this one reads 1\)"):
        load_generator(folder)


def damaged(folder, place, *value):
    """Writes the value of ``place`` anew into config.json, or leaves it out, with a checksum that fits."""
    body = json.loads((folder / CONFIG).read_text())
    del body["sha256"]
    *outer, key = place
    part = functools.reduce(dict.__getitem__, outer, body)
    part.pop(key, None)  # places need not be there
    part.update((key, one) for one in value)
    (folder / CONFIG).write_bytes(state_bytes(body))


@pytest.mark.parametrize(
    "place",
    [
        ("format",), ("recipe",), ("progress",), ("tiles",), ("checksums",), ("tiles", "gsd_m"), ("tiles", "classes"),
        ("tiles", "attribution"), ("tiles", "fingerprint"), ("progress", "step"), ("checksums", MODEL),
    ],
    ids=".".join,
)  # fmt: skip
def test_a_config_that_lacks_a_part_is_refused_though_its_checksum_fits(place, tmp_path, run):
    folder = save_pretrained(run, tmp_path / "town")
    damaged(folder, place)
    words = rf"config\.json: does not describe a generator.*: {re.escape('.'.join(place))} is missing\..*`orthoforge publish`"
    with pytest.raises(CheckpointError, match=words):
        load_generator(folder)


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        (("format",), "1", r"format: .* \(is '1'\)"),
        (("recipe",), None, r"recipe: .* \(is None\)"),
        (("tiles", "classes"), ["a"], r"tiles\.classes: .* \(is \['a'\]\)"),
        (("tiles", "classes"), {"names": ["a"]}, r"tiles\.classes\.colours is missing"),
        (("tiles", "classes"), {"names": [], "colours": []}, r"tiles\.classes\.names: .*at least 1 item"),
        (("tiles", "classes"), {"names": ["a"], "colours": [[[1, 2]]]}, r"tiles\.classes\.colours\.0\.0\.2 is missing"),
        (("tiles", "places"), 3, r"tiles\.places: .* \(is 3\)"),
        (("tiles", "places"), [1] * 1000, r"tiles\.places\.2: .* \(is 1\); and 997 more\. Other software"),
        (("tiles", "gsd_m"), "0.3", r"tiles\.gsd_m: .* \(is '0\.3'\)"),
        (("tiles", "attribution"), 7, r"tiles\.attribution: .* \(is 7\)"),
        (("progress", "step"), "last", r"progress\.step: .* \(is 'last'\)"),
        (("checksums", MODEL), None, r"checksums\.model\.safetensors: .* \(is None\)"),
    ],
)
def test_a_value_that_cannot_be_is_named_though_the_checksum_fits(place, value, named, tmp_path, run):
    folder = save_pretrained(run, tmp_path / "town")
    damaged(folder, place, value)
    with pytest.raises(CheckpointError, match=rf"config\.json: does not describe a generator.*: .*{named}"):
        load_generator(folder)


def test_a_field_of_another_version_is_named(tmp_path, run):
    folder = save_pretrained(run, tmp_path / "town")
    values = json.loads((folder / CONFIG).read_bytes())
    del values["sha256"]
    (folder / CONFIG).write_bytes(state_bytes(values | {"recipe": values["recipe"] | {"hats": 3}}))
    with pytest.raises(CheckpointError, match=r"config\.json: unknown `hats`.*another version"):
        load_generator(folder)


def test_a_folder_of_other_software_is_told_apart(tmp_path):
    (tmp_path / CONFIG).write_text('{"architectures": ["BertModel"], "model_type": "bert"}')
    (tmp_path / MODEL).write_bytes(b"")
    with pytest.raises(CheckpointError, match="not written by orthoforge"):
        load_generator(tmp_path)


# Writing


def test_what_is_there_is_replaced_only_when_asked_to(tmp_path, run):
    save_run(tmp_path / "later", step=8)
    folder = save_pretrained(run, tmp_path / "town")
    with pytest.raises(OutputExistsError, match=r"town exists.*--overwrite"):
        save_pretrained(tmp_path / "later", folder)
    assert load_generator(folder).step == 7
    save_pretrained(tmp_path / "later", folder, overwrite=True)
    assert load_generator(folder).step == 8
    assert sorted(contents(folder)) == sorted(FILES)
    assert {path.name for path in tmp_path.iterdir()} == {"later", "town"}


def test_a_folder_with_other_things_is_never_replaced(tmp_path, run):
    folder = tmp_path / "pictures"
    (folder / "holiday").mkdir(parents=True)
    with pytest.raises(OutputExistsError, match=r"holds other things \(holiday\), which would be lost"):
        save_pretrained(run, folder, overwrite=True)
    with pytest.raises(OutputExistsError, match="holds other things"):
        save_pretrained(run, run, overwrite=True)
    (tmp_path / "empty").mkdir()
    assert load_generator(save_pretrained(run, tmp_path / "empty")).step == 7


@pytest.mark.parametrize("name", ["x", "-town", "town/", "straße"])
def test_a_name_that_catalogues_do_not_take_is_refused(name, tmp_path, run):
    with pytest.raises(ConfigError, match="cannot be a model's name"):
        save_pretrained(run, tmp_path / "town", name=name)
    assert not (tmp_path / "town").exists()


# Forks a process that publishes over and over, kills it at a random moment, and looks at what is there.
KILLER = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from orthoforge.hub import save_pretrained
from orthoforge.hub.remote import FILES
from orthoforge.trained_generator import load_generator

torch.set_num_threads(1)
run, out, kills, draw = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), random.Random(0)
generator = load_generator(run)
whole = absent = 0
for number in range(kills):
    folder = out / f"town-{number}"
    pid = os.fork()
    if not pid:
        generator.save_pretrained(folder)
        os._exit(0)
    time.sleep(draw.random() * 0.06)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    if folder.exists():
        load_generator(folder)
        whole += sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    else:
        absent += 1
        generator.save_pretrained(folder)  # what the killed one left behind is in nobody's way
print(whole, absent, len(list(out.glob(".*.partial"))))
"""


def test_killed_15_times_while_writing_nothing_half_is_there(warm_python, tmp_path, run):
    whole, absent, leftovers = map(int, warm_python.run("-c", KILLER, run, tmp_path, 15).split())
    print(f"killed while a pretrained folder was written: {whole} whole, {absent} absent, of 15")
    assert (whole + absent, leftovers) == (15, 0)
    assert absent > 0


def test_a_disk_that_is_too_small_leaves_nothing(tmp_path, run):
    with small_disk(tmp_path / "disk", 40_960) as disk:
        with pytest.raises(ResourceError, match=r"a pretrained folder needs about .* MB"):
            save_pretrained(run, disk / "town", half=False)
        assert list(disk.iterdir()) == []


# Names


def test_bundled_weights_need_nothing_but_their_name(bundled, capsys):
    assert pretrained.bundled_names() == ["town-s"]
    assert load_generator("town-s").step == load_generator("town-s").step == 7
    mask = write_tiff(Path("mask.tif"), make_mask(40), make_grid(40))
    assert main(["generate", "town-s", str(mask), "--out", "image.tif"]) == 0
    with open_raster(Path("image.tif")) as raster:
        assert raster.grid == make_grid(40)
        assert raster.tags()["MODEL_SHA256"] == load_generator(bundled).sha256


def test_what_is_here_comes_before_bundled_weights(bundled):
    save_run(Path("town-s"), step=9)
    assert load_generator("town-s").step == load_generator("town-s").step == 9
    shutil.rmtree("town-s")
    assert load_generator("town-s").step == 7


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_what_hides_bundled_weights_without_being_any_is_said(make, bundled, capsys):
    make(Path("town-s"))
    words = r"town-s: no checkpoint here.*hides the weights that come with orthoforge: rename it, or work in another folder"
    with pytest.raises(CheckpointError, match=words):
        load_generator("town-s")
    Path("other").mkdir()
    with pytest.raises(CheckpointError, match=r"other: no checkpoint here \(looked for weights/last\)\. Is it a run .*\?$"):
        load_generator("other")


def test_names_are_names_and_not_paths(bundled, tmp_path):
    bundle(tmp_path, bundled, "outside")
    for name in ("../outside", "", ".", "town-s/", "TOWN-S"):
        assert pretrained.bundled_folder(name) is None
    with pytest.raises(CheckpointError, match=r"town-x: no checkpoint here.*Weights that come with orthoforge: town-s"):
        load_generator("town-x")


def test_a_revision_is_one_of_the_hub(bundled):
    with pytest.raises(ConfigError, match=r"town-s is not taken from the Hugging Face hub.*no revision v1"):
        load_generator("town-s", revision="v1")


def test_a_device_that_is_not_there_is_said_first(tmp_path):
    with pytest.raises(ConfigError, match="device"):
        load_generator("owner/name", device="abacus")


# In place of a run


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """Tiles, and a pretrained folder of a run that was trained on them."""
    folder = tmp_path_factory.mktemp("town")
    make_dataset(folder / "data", [f"town{n}" for n in range(10)], 64)
    prepare(folder / "data", folder / "tiles", size=48, split="digits")
    make_run(folder / "run", TileStore.open(folder / "tiles"))
    save_pretrained(folder / "run", folder / "town-s")
    return folder


def test_evaluate_knows_the_tiles_that_it_was_trained_on(town, tmp_path, capsys):
    words = ["evaluate", town / "town-s", "--data", town / "tiles", "--out", tmp_path / "scores", "--split", "val"]
    assert main([str(word) for word in words]) == 0
    report = json.loads((tmp_path / "scores" / "report.json").read_text(encoding="utf-8"))
    assert load_generator(town / "town-s").sha256 in json.dumps(report)
    words[words.index("val")] = "train"
    words[words.index(tmp_path / "scores")] = tmp_path / "others"
    assert main([str(word) for word in words]) != 0
    assert "trained on" in capsys.readouterr().err


def test_compare_takes_it_beside_its_run(town, tmp_path):
    words = ["compare", town / "run", town / "town-s", "--out", tmp_path / "page.html", "--data", town / "tiles", "--split", "val"]
    assert main([str(word) for word in words]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "town-s" in page and "No pictures" not in page and "Unfinished: 0" not in page


def test_utility_takes_it_and_knows_its_tiles(town):
    store = TileStore.open(town / "tiles")
    source = open_source(town / "town-s", store, store.ids("test"), device="cpu", allow_leaks=False)
    assert source.facts["sha256"] == load_generator(town / "town-s").sha256
    assert source.facts["trained_on_these"] is True
    with pytest.raises(DataError, match="town-s: was trained on 7 of the 7 held-out tiles"):
        open_source(town / "town-s", store, store.ids("train"), device="cpu", allow_leaks=False)


def test_grow_needs_to_be_told_what_the_tiles_would_have_said(town, tmp_path):
    with pytest.raises(ConfigError, match=r"town-s came without its training tiles.*--split digits or inria"):
        grow(town / "town-s", town / "data", tmp_path / "larger")
    with pytest.raises(ConfigError, match=r"town-s came without its training tiles.*--tiles TILES.*leave --least-agreement out"):
        grow(town / "town-s", town / "data", tmp_path / "larger", split="digits", least_agreement=0.5)
    with pytest.raises(DataError, match=r"Pairs of masks alone are made by orthoforge generate RUN .*--keep-mask"):
        grow(town / "town-s", town / "data" / "masks", tmp_path / "larger", split="digits")
    assert list(tmp_path.iterdir()) == []
    grown = grow(town / "town-s", town / "data", tmp_path / "larger", split="digits", ratio=0.3)
    assert grown.added == grown.wanted > 0
    assert ["no segmenter looked at the images" in note for note in grown.notes] == [True]


def test_grow_takes_tiles_for_weights_that_came_without(town, tmp_path):
    store = TileStore.open(town / "tiles")
    grown = grow(town / "town-s", town / "data", tmp_path / "larger", tiles=town / "tiles", least_agreement=0, ratio=0.3)
    trained = {row.scene for row in store.rows if row.split == "train"}
    assert {row["mask"]["scene"] for row in grown.rows} <= trained and grown.added == grown.wanted > 0
    other = prepare(town / "data", tmp_path / "other", grid=1, size=32, split="digits")
    with pytest.raises(ConfigError, match=r"these are not the tiles that .*run was trained on"):
        grow(town / "run", town / "data", tmp_path / "more", tiles=other.path)
    again = grow(town / "run", town / "data", tmp_path / "again", tiles=str(town / "tiles"), least_agreement=0, ratio=0.3)
    assert [row["name"] for row in again.rows] == [row["name"] for row in grown.rows]


def test_another_training_starts_from_it(town, tmp_path, capsys):
    words = ["train", "tiny", "--data", town / "tiles", "--out", tmp_path / "next", "--init-from", town / "town-s", "--epochs", 1]
    small = ["--decay-epochs", 0, "--crop-px", 32, "--generator", "resnet6", "--generator-width", 2, "--norm", "instance"]
    words += [*small, "--discriminator-width", 4, "--batch-size", 4, "--crops-per-tile", 1, "--upsample", "transposed"]
    assert main([str(word) for word in words]) == 0
    out = capsys.readouterr().out
    assert "town-s: generator" in out and "not carried over: discriminator" in out


# Publishing


def test_publish_prints_where_it_is(run, tmp_path, capsys):
    facts = tmp_path / "facts.yaml"
    facts.write_text("license: CC0-1.0\nsummary: A town of squares.\n")
    words = ["publish", run, "--out", tmp_path / "folder", "--name", "squares-s", "--card", facts]
    assert main([str(word) for word in words]) == 0
    assert capsys.readouterr() == (f"{tmp_path / 'folder'}\n", "")
    assert json.loads((tmp_path / "folder" / CONFIG).read_bytes())["dtype"] == "float16"
    assert "# squares-s" in (tmp_path / "folder" / "README.md").read_text()
    assert main([str(word) for word in words]) == 4
    assert main([str(word) for word in [*words, "--overwrite", "--full-precision"]]) == 0
    assert json.loads((tmp_path / "folder" / CONFIG).read_bytes())["dtype"] == "float32"


@pytest.mark.parametrize("facts", ["", "summary: A town of squares.\n"])
def test_publish_says_when_no_licence_was_given_and_how_to_give_one(facts, run, tmp_path, capsys):
    (tmp_path / "facts.yaml").write_text(facts)
    card = ["--card", str(tmp_path / "facts.yaml")] if facts else []
    assert main(["publish", str(run), "--out", str(tmp_path / "folder"), *card]) == 0
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "no licence was given" in said
    assert "license: unknown" in (tmp_path / "folder" / "README.md").read_text()
    [line] = re.findall(r"such as `(.+)`", said)
    (tmp_path / "facts.yaml").write_text(facts + line)
    assert main(["publish", str(run), "--out", str(tmp_path / "other"), "--card", str(tmp_path / "facts.yaml")]) == 0
    assert capsys.readouterr().err == ""


def test_publish_refuses_before_it_writes(run, tmp_path):
    with pytest.raises(ConfigError, match="OWNER/NAME"):
        publish(run, tmp_path / "town", push="nobody")
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        publish(tmp_path / "nowhere", tmp_path / "town")
    with pytest.raises(ConfigError, match="need `scored_on`"):
        publish(run, tmp_path / "town", card=CardFacts(scores=({"measure": "IoU"},)))
    assert list(tmp_path.iterdir()) == []


def test_what_refines_nothing_is_published_without_a_refinement(run, tmp_path):
    with pytest.raises(ConfigError, match="refines no canvas"):
        publish(run, tmp_path / "town-s", refinement=0.5)
    assert not (tmp_path / "town-s").exists()


def test_the_wheel_holds_bundled_weights_and_templates(tmp_path, run):
    project = tmp_path / "project"
    project.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project)
    shutil.copytree(ROOT / "src", project / "src", ignore=shutil.ignore_patterns("__pycache__"))
    bundle(project / "src" / "orthoforge" / "pretrained", run)
    (project / ".gitignore").write_text("*.safetensors\n*.tif\n")  # as some people have it in their own, for all projects
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"orthoforge/pretrained/town-s/{name}" for name in FILES} <= set(names)
    assert {"orthoforge/hub/card.md", "orthoforge/geo/example.tif"} <= set(names)
    assert len(names) == len(set(names))
