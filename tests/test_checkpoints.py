"""A checkpoint comes back to the bit, or is refused; what was good stays good."""

import contextlib
import hashlib
import json
import os
import random
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from orthoforge import checkpoint_files, checkpoints
from orthoforge.checkpoint_files import load_checkpoint, save_checkpoint
from orthoforge.checkpoints import MODEL, STATE, TRAIN, checkpoint_folder, newest_checkpoint
from orthoforge.config import Recipe
from orthoforge.errors import CheckpointError, ResourceError
from orthoforge.networks import new_generator
from orthoforge.trained_generator import load_generator
from saved_runs import RECIPE, save_run, state_of
from small_disk import small_disk


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
    assert {name: checkpoint.state.recorded[name] for name in state_of()} == state_of(step=3)
    assert contents(tmp_path).keys() == {f"last/{name}" for name in (MODEL, STATE, TRAIN)}


def test_the_former_last_becomes_previous_and_a_former_best_goes(tmp_path):
    for step in (1, 2, 3):
        save_run(tmp_path, step=step)
        save_run(tmp_path, step=step, name="best")
    steps = {p.name: load_checkpoint(p).state.progress.step for p in (tmp_path / "weights").iterdir()}
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
    assert load_checkpoint(last).state.progress.step == 2


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
    monkeypatch.setattr(checkpoint_files, "FORMAT", 2)
    last = save_run(tmp_path)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=r"written by a newer orthoforge \(format 2, this one reads 1\)"):
        load_checkpoint(last)


def test_a_state_that_lacks_what_a_generator_needs_is_refused_and_one_from_before_styles_is_not(tmp_path):
    last = save_run(tmp_path)
    body = json.loads((last / STATE).read_bytes())
    del body["sha256"]
    assert "places" not in body["tiles"] and load_generator(tmp_path).styles == ()
    del body["tiles"]["gsd_m"]
    (last / STATE).write_bytes(checkpoints.state_bytes(body))
    with pytest.raises(
        CheckpointError, match=r"state\.json: does not describe a generator.*tiles\.gsd_m is missing.*`orthoforge train`"
    ):
        load_generator(tmp_path)


def test_a_resolution_that_cannot_be_is_refused(tmp_path):
    last = save_run(tmp_path)
    body = json.loads((last / STATE).read_bytes())
    del body["sha256"]
    body["tiles"]["gsd_m"] = 1e-300
    (last / STATE).write_bytes(checkpoints.state_bytes(body))
    with pytest.raises(CheckpointError, match=r"tiles\.gsd_m"):
        load_generator(tmp_path)


def test_weights_that_name_a_tensor_twice_are_refused(tmp_path):
    last = save_run(tmp_path)
    payload = (last / MODEL).read_bytes()
    length = int.from_bytes(payload[:8], "little")
    header = payload[8 : 8 + length].rstrip()
    twice = header[:-1] + b"," + header[1:]
    payload = len(twice).to_bytes(8, "little") + twice + payload[8 + length :]
    (last / MODEL).write_bytes(payload)
    body = json.loads((last / STATE).read_bytes())
    del body["sha256"]
    body["checksums"][MODEL] = hashlib.sha256(payload).hexdigest()
    (last / STATE).write_bytes(checkpoints.state_bytes(body))
    with pytest.raises(CheckpointError, match=r"model\.safetensors: names '.*' twice"):
        load_generator(tmp_path)


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
from orthoforge.checkpoints import newest_checkpoint
from orthoforge.checkpoint_files import load_checkpoint, save_checkpoint
from saved_runs import state_of

torch.set_num_threads(1)
run, kills, draw = Path(sys.argv[1]), int(sys.argv[2]), random.Random(0)
last, step, good, restored = run / "weights" / "last", 0, 0, 0
once = {"weight": torch.zeros(1)}
save_checkpoint(run / "once" / "last", model=once, train=once, state=state_of())  # so that no child has to import what saving needs
for _ in range(kills):
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        for number in range(step + 1, step + 10_000):
            tensors = {"weight": torch.full((5_000,), float(number))}
            save_checkpoint(last, model=tensors, train=tensors, state=state_of(step=number))
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
    step = checkpoint.state.progress.step
    whole = all(bool((t["weight"] == step).all()) for t in (checkpoint.model, checkpoint.train))
    good += whole and step in (announced, announced + 1)
    restored += newest_checkpoint(run).name == "previous"
print(good, kills, restored)
"""


def test_killed_50_times_while_saving_the_last_good_one_loads(warm_python, tmp_path):
    good, kills, restored = map(int, warm_python.run("-c", KILLER, tmp_path, 50).split())
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
    assert load_checkpoint(newest_checkpoint(tmp_path)).state.progress.step == 2
    save_run(tmp_path, step=4)
    assert load_checkpoint(newest_checkpoint(tmp_path)).state.progress.step == 4


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

        monkeypatch.setattr(checkpoint_files, "require_free_space", another_process_fills_the_disk)
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


def test_a_name_with_a_typo_gets_the_nearest_name_of_weights(tmp_path):
    with pytest.raises(CheckpointError, match=r"Did you mean orthoforge-material\? Is it a run"):
        checkpoint_folder(Path("orthoforge-materail"))
    with pytest.raises(CheckpointError) as told:
        checkpoint_folder(tmp_path / "run7")
    assert "Did you mean" not in str(told.value)
