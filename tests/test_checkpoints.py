"""A checkpoint comes back to the bit, or is refused; what was good stays good; a generator comes out of it."""

import contextlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from orthoforge import checkpoints, trained_generator
from orthoforge.checkpoints import MODEL, STATE, TRAIN, load_checkpoint, new_generator, newest_checkpoint, save_checkpoint
from orthoforge.config import Recipe, recipe_values
from orthoforge.errors import CheckpointError, DataError, ResourceError
from orthoforge.models.conditions import decode_image, encode_mask
from orthoforge.trained_generator import load_generator
from small_disk import small_disk

RECIPE = Recipe(name="small", generator="resunet6", generator_width=4, norm="instance", upsample="resize")


def state_of(recipe=RECIPE, step=1, classes=None):
    classes = {"names": classes, "colours": [[[i, 0, 0]] for i in range(len(classes))]} if classes else None
    tiles = {"fingerprint": "f", "size_px": 64, "gsd_m": 0.3, "classes": classes, "attribution": "© Survey"}
    return {"recipe": recipe_values(recipe), "progress": {"step": step, "best_ssim": 0.1 + 0.2}, "tiles": tiles}


def save_run(run, recipe=RECIPE, *, step=1, classes=None, name="last"):
    """A run folder with one checkpoint of a generator that has seen no training; returns the checkpoint's folder."""
    torch.manual_seed(step)
    network = new_generator(recipe, len(classes) if classes else None)
    train = {"discriminator.weight": torch.full((5,), float(step)), "optimizer_g.step": torch.tensor(float(step))}
    save_checkpoint(run / "weights" / name, model=network.state_dict(), train=train, state=state_of(recipe, step, classes))
    return run / "weights" / name


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_everything_comes_back_to_the_bit(tmp_path):
    model = {
        "a": torch.randn(3, 4).t(),  # not contiguous
        "b": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "c": torch.tensor(7, dtype=torch.int64),
    }
    train = {"d": torch.randn(5, dtype=torch.bfloat16), "e": torch.zeros(0)}
    save_checkpoint(tmp_path / "last", model=model, train=train, state=state_of(step=3))
    checkpoint = load_checkpoint(tmp_path / "last")
    for given, read in ((model, checkpoint.model), (train, checkpoint.train)):
        assert given.keys() == read.keys()
        assert all(torch.equal(given[name], read[name]) and given[name].dtype == read[name].dtype for name in given)
    assert {name: checkpoint.state[name] for name in state_of()} == state_of(step=3)
    assert contents(tmp_path).keys() == {f"last/{name}" for name in (MODEL, STATE, TRAIN)}


def test_the_former_last_becomes_previous_and_a_former_best_goes(tmp_path):
    for step in (1, 2, 3):
        save_run(tmp_path, step=step)
        save_run(tmp_path, step=step, name="best")
    steps = {p.name: load_checkpoint(p).state["progress"]["step"] for p in (tmp_path / "weights").iterdir()}
    assert steps == {"last": 3, "previous": 2, "best": 3}


def test_40_flipped_bits_are_all_refused_and_the_checkpoint_before_is_offered(tmp_path):
    save_run(tmp_path, step=1)
    last = save_run(tmp_path, step=2)
    draw = random.Random(0)
    refused = 0
    for number in range(40):
        path = last / (MODEL, TRAIN, STATE)[number % 3]
        sound = path.read_bytes()
        flipped = bytearray(sound)
        flipped[draw.randrange(len(sound))] ^= 1 << draw.randrange(8)
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError) as caught:
            load_checkpoint(last)
        refused += str(path) in str(caught.value) and f"{last.with_name('previous')} is used" in str(caught.value)
        path.write_bytes(sound)
    print(f"bit flips refused: {refused}/40")
    assert refused == 40
    assert load_checkpoint(last).state["progress"]["step"] == 2


def test_a_bit_that_changes_no_value_of_the_state_is_noticed_too(tmp_path):
    # JSON spells one value in several ways (1e-05 and 1E-05, \u03bb and \u03BB, 0.30000000000000004 and …05).
    recipe = Recipe(name="small", description="λ", learning_rate=1e-5, generator_width=4)
    path = save_run(tmp_path, recipe) / STATE
    sound = path.read_bytes()
    risky = [sound.index(text) + i for text in (b"1e-05", b"0.30000000000000004", b"\\u03bb") for i in range(len(text))]
    unnoticed = []
    for position in sorted({*risky, *range(0, len(sound), 5)}):
        for bit in (0, 5):  # the last digit, the case of a letter
            flipped = bytearray(sound)
            flipped[position] ^= 1 << bit
            path.write_bytes(flipped)
            with contextlib.suppress(CheckpointError):
                checkpoints.read_state(path.parent)
                unnoticed.append((position, bit))
    assert unnoticed == []


@pytest.mark.parametrize("name", [MODEL, TRAIN, STATE])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_a_file_cut_short_is_refused(name, kept, tmp_path):
    path = save_run(tmp_path) / name
    payload = path.read_bytes()
    path.write_bytes(payload[: int(len(payload) * kept)])
    with pytest.raises(CheckpointError, match=rf"{name}: its checksum does not fit: the file was cut short or changed"):
        load_checkpoint(path.parent)


def test_without_its_optimizer_part_it_cannot_go_on_but_gives_its_weights(tmp_path):
    last = save_run(tmp_path)
    (last / TRAIN).unlink()
    with pytest.raises(CheckpointError, match=r"train\.safetensors: missing, so training cannot go on.*--init-from"):
        load_checkpoint(last)
    weights = load_checkpoint(last, weights_only=True)
    assert weights.train == {}
    assert weights.model.keys() == new_generator(RECIPE, None).state_dict().keys()
    assert load_generator(tmp_path)(np.ones((8, 8), bool)).shape == (8, 8, 3)


def test_without_its_weights_it_is_refused_and_the_checkpoint_before_is_offered(tmp_path):
    save_run(tmp_path, step=1)
    last = save_run(tmp_path, step=2)
    (last / MODEL).unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors: missing.*previous is used"):
        load_generator(tmp_path)
    shutil.rmtree(last)  # as the message says
    assert load_generator(tmp_path).step == 1


def test_a_damaged_best_points_to_last(tmp_path):
    last, best = save_run(tmp_path), save_run(tmp_path, name="best")
    (best / MODEL).write_bytes(b"")
    with pytest.raises(CheckpointError, match=rf"{best / MODEL}: its checksum.* {last} is there too"):
        load_generator(best)


def test_a_newer_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "FORMAT", 2)
    last = save_run(tmp_path)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=r"written by a newer orthoforge \(format 2, this one reads 1\)"):
        load_checkpoint(last)


def test_a_folder_without_a_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        load_generator(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        newest_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["model.pth", "model.pt", "last.ckpt", "run.pkl"])
def test_pickled_weights_are_refused_with_the_reason_before_they_are_opened(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"cposix\nsystem\n(S'touch %s'\ntR." % bytes(tmp_path / "hit"))
    with pytest.raises(CheckpointError, match="pickled weights can run any code"):
        load_generator(path)
    assert not (tmp_path / "hit").exists()


# Forks a process that saves one checkpoint after another, kills it at a random moment, and reads what is there.
KILLER = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from orthoforge.checkpoints import load_checkpoint, newest_checkpoint, save_checkpoint

torch.set_num_threads(1)
run, kills, draw = Path(sys.argv[1]), int(sys.argv[2]), random.Random(0)
last, step, good, restored = run / "weights" / "last", 0, 0, 0
for _ in range(kills):
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        for number in range(step + 1, step + 10_000):
            tensors = {"weight": torch.full((50_000,), float(number))}
            save_checkpoint(last, model=tensors, train=tensors, state={"progress": {"step": number}})
            os.write(write, b"%d\\n" % number)
        os._exit(1)
    os.close(write)
    said = os.read(read, 100)
    time.sleep(draw.random() * 0.02)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while more := os.read(read, 4096):
        said += more
    os.close(read)
    announced = int(said.split()[-1])
    checkpoint = load_checkpoint(newest_checkpoint(run))
    step = checkpoint.state["progress"]["step"]
    whole = all(bool((t["weight"] == step).all()) for t in (checkpoint.model, checkpoint.train))
    good += whole and step in (announced, announced + 1)
    restored += newest_checkpoint(run).name == "previous"
print(good, kills, restored)
"""


def test_killed_50_times_while_saving_the_last_good_one_loads(tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-c", KILLER, str(tmp_path), "50"], capture_output=True, text=True, check=False, env=environment
    )
    assert result.returncode == 0, result.stderr
    good, kills, restored = map(int, result.stdout.split())
    print(f"killed while a checkpoint was written: {good}/{kills} load ({restored} times from `previous`)")
    assert good == kills == 50


def test_interrupted_between_the_two_renames(tmp_path, monkeypatch):
    save_run(tmp_path, step=1)
    save_run(tmp_path, step=2)
    rename = os.rename

    def rename_and_die(source, target):
        rename(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", rename_and_die)
    with pytest.raises(KeyboardInterrupt):
        save_run(tmp_path, step=3)
    monkeypatch.undo()
    assert newest_checkpoint(tmp_path).name == "previous"
    assert load_checkpoint(newest_checkpoint(tmp_path)).state["progress"]["step"] == 2
    save_run(tmp_path, step=4)
    assert load_checkpoint(newest_checkpoint(tmp_path)).state["progress"]["step"] == 4


def assert_refused_and_nothing_changed(run, message):
    before = contents(run)
    with pytest.raises(ResourceError, match=message):
        save_run(run, step=2)
    assert contents(run) == before
    assert [path.name for path in (run / "weights").iterdir()] == ["last"]
    assert load_generator(run).step == 1


def test_a_disk_that_is_too_small_is_refused_before_writing(tmp_path):
    with small_disk(tmp_path / "disk", 300_000) as disk:
        save_run(disk)
        filler = disk / "filler"
        filler.write_bytes(bytes(60_000))
        assert_refused_and_nothing_changed(disk, "a checkpoint needs about .* MB, the disk has .* MB left")
        filler.unlink()
        shutil.rmtree(disk / "weights")
        save_run(disk, step=2)
        assert load_generator(disk).step == 2


def test_a_disk_that_fills_up_while_writing(tmp_path, monkeypatch):
    with small_disk(tmp_path / "disk", 1_000_000) as disk:
        save_run(disk)

        def another_process_fills_the_disk(*_):
            (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free - 40_960))

        monkeypatch.setattr(checkpoints, "require_free_space", another_process_fills_the_disk)
        with pytest.raises(ResourceError, match=f"{disk / 'weights'}: no space left on the disk. Free some space"):
            save_run(disk, step=2)
        assert [path.name for path in (disk / "weights").iterdir()] == ["last"]
        assert load_generator(disk).step == 1


def test_a_write_that_fails_half_way(tmp_path):
    last = save_run(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((last / MODEL).stat().st_size // 2, hard))
    try:
        assert_refused_and_nothing_changed(tmp_path, "no space left on the disk")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_folder_that_cannot_be_written(tmp_path):
    with small_disk(tmp_path / "disk", 1_000_000, read_only=True) as disk, pytest.raises(ResourceError, match="cannot be written"):
        save_run(disk)


# The generator


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    save_run(folder)
    return folder


@pytest.fixture(scope="module")
def generator(run):
    return load_generator(run)


def some_mask(height, width):
    return np.random.default_rng(height * width).random((height, width)) > 0.6


def test_it_knows_what_it_is(run, generator):
    assert generator.recipe == RECIPE
    assert (generator.step, generator.gsd_m, generator.classes) == (1, 0.3, None)
    assert generator.attribution == "© Survey"
    assert generator.sha256 == json.loads((run / "weights/last" / STATE).read_text())["checksums"][MODEL]
    assert load_generator(run / "weights" / "last").sha256 == generator.sha256


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (3, 3), (7, 8), (8, 8), (37, 53), (64, 64)])
def test_a_mask_of_any_size_is_padded_and_the_image_cropped_back(size, generator):
    height, width = size
    mask = some_mask(height, width)
    grow = [(0, max(8, -(-side // 4) * 4) - side) for side in size]
    mode = "reflect" if all(after < side for (_, after), side in zip(grow, size, strict=True)) else "edge"
    padded = np.pad(mask.astype(np.uint8) * 255, grow, mode=mode)
    with torch.inference_mode():
        expected = decode_image(generator.network(encode_mask(torch.from_numpy(padded)[None], None)))[0].numpy()
    image = generator(mask)
    assert image.shape == (height, width, 3)
    assert image.dtype == np.uint8
    np.testing.assert_allclose(image.astype(int), expected[:height, :width], atol=1)


def test_a_size_that_fits_the_network_is_not_padded(generator):
    assert trained_generator._pad_to_stride(mask := some_mask(8, 12), 4) is mask


def test_bool_0_1_and_0_255_masks_give_the_same_image_each_time(generator):
    mask = some_mask(20, 30)
    image = generator(mask)
    assert image.std() > 0
    for same in (mask, mask.astype(np.uint8), mask * np.uint8(255), np.asfortranarray(mask)):
        np.testing.assert_array_equal(generator(same, seed=1), image)
    assert not np.array_equal(generator(~mask), image)


def test_generating_leaves_the_global_random_stream_alone(generator):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    generator(some_mask(8, 8), seed=5)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.array([[0, 1, 37]], np.uint8), r"holds 0 and 1, or 0 and 255; this one also has \[1, 37\]"),
        (np.zeros((4, 4, 1), np.uint8), r"shape \(height, width\); this one has \(4, 4, 1\)"),
        (np.zeros(4, np.uint8), r"this one has \(4,\)"),
        (np.zeros((0, 4), np.uint8), r"this one has \(0, 4\)"),
        (np.zeros((4, 4), np.float32), "bool or uint8; this one is float32"),
        (np.zeros((4, 4), np.int64), "this one is int64"),
    ],
)
def test_what_is_no_mask_is_refused_by_name(mask, message, generator):
    with pytest.raises(DataError, match=message):
        generator(mask)


def test_classes_are_indices(tmp_path):
    save_run(tmp_path, classes=["ground", "roof", "water"])
    generator = load_generator(tmp_path)
    assert generator.classes == {"names": ["ground", "roof", "water"], "colours": [[[0, 0, 0]], [[1, 0, 0]], [[2, 0, 0]]]}
    images = [generator(np.full((8, 8), index, np.uint8)) for index in range(3)]
    assert not np.array_equal(images[1], images[2])
    with pytest.raises(DataError, match=r"knows 3 classes \(0 to 2\); the mask has 3"):
        generator(np.full((8, 8), 3, np.uint8))


def swap_recipe(folder: Path, **changes):
    """Write the checkpoint anew, its checksums right, as another program would."""
    checkpoint = load_checkpoint(folder)
    state = {name: checkpoint.state[name] for name in ("progress", "tiles")}
    state = {**state, "recipe": checkpoint.state["recipe"] | changes.pop("recipe", {})}
    state["tiles"] = state["tiles"] | changes
    save_checkpoint(folder, model=checkpoint.model, train=checkpoint.train, state=state)


def test_weights_of_another_mask_are_named_by_their_channels(tmp_path):
    last = save_run(tmp_path)
    swap_recipe(last, classes={"names": list("abcde"), "colours": [[[0, 0, i]] for i in range(5)]})
    with pytest.raises(CheckpointError, match="generator expects 5 mask channels, file has 3"):
        load_generator(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generator_width": 8}, r"stem\.1\.weight is \(8, 3, 7, 7\) in the network and \(4, 3, 7, 7\) in the file"),
        ({"generator": "resunet9"}, r"is missing from the file; the recipes differ"),
        ({"norm": "batch"}, r"is (missing from|only in) the file; the recipes differ"),
        ({"generator": "resnet6"}, r"up2\.\d\.weight is \(8, 16, 3, 3\) in the network and \(8, 32, 3, 3\) in the file"),
        ({"colour": "red"}, "unknown `colour`. It was written by another version of orthoforge"),
    ],
)
def test_weights_that_do_not_fit_their_recipe(changes, message, tmp_path):
    last = save_run(tmp_path)
    swap_recipe(last, recipe=changes)
    with pytest.raises(CheckpointError, match=message):
        load_generator(tmp_path)
