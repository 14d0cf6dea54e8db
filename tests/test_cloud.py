"""The SkyPilot task, its script on machines that vanish, the copies in the bucket, and the Dockerfile's form."""

import importlib.util
import inspect
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from jsonschema import Draft202012Validator, ValidationError, validators

from conftest import make_dataset
from orthoforge.checkpoint_files import load_checkpoint, save_checkpoint
from orthoforge.checkpoints import newest_checkpoint
from orthoforge.config import load_recipe
from orthoforge.run_files import append_result, read_results
from orthoforge.serving.serve import serve
from orthoforge.training import train
from saved_runs import state_of
from warm_python import WarmPython

ROOT = Path(__file__).parents[1]
TASK = yaml.safe_load((ROOT / "cloud/skypilot.yaml").read_text(encoding="utf-8"))
SCHEMAS = json.loads((Path(__file__).parent / "data/skypilot-task-0.14.1.schema.json").read_text(encoding="utf-8"))
SMALL = [
    "--crop-px", "32", "--generator", "resnet6", "--generator-width", "2", "--discriminator-width", "2", "--batch-size", "4",
    "--epochs", "24", "--decay-epochs", "0", "--precision", "float32", "--panels-every", "100",
]  # fmt: skip
EPOCHS = 24


def load_keep():
    spec = importlib.util.spec_from_file_location("keep", ROOT / "cloud/keep.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


keep = load_keep()


# The task


def any_case(validator, values, instance, schema):
    """SkyPilot's own keyword."""
    if isinstance(instance, str) and instance.lower() not in [value.lower() for value in values]:
        yield ValidationError(f"{instance!r} is none of {values}")


def validate(task):
    validator = validators.extend(Draft202012Validator, {"case_insensitive_enum": any_case})
    validator(SCHEMAS["task"]).validate(task)
    validator(SCHEMAS["resources"]).validate(task["resources"])
    for mount in task["file_mounts"].values():
        validator(SCHEMAS["storage"]).validate(mount)


def test_the_task_fits_skypilots_schema():
    validate(TASK)
    recovery = TASK["resources"]["job_recovery"]  # further keys pass the schema, for plugins
    known = next(kind for kind in SCHEMAS["resources"]["properties"]["job_recovery"]["anyOf"] if kind["type"] == "object")
    assert recovery.keys() <= known["properties"].keys()
    assert recovery["recover_on_exit_codes"] == [keep.STOPPED]


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        ((), {"setpu": "true"}),
        (("resources",), {"use_spots": True}),
        (("resources",), {"job_recovery": {"recover_on_exit_codes": "143"}}),
        (("file_mounts", "${KEPT}"), {"mode": "MOUNTED"}),
        (("envs",), {"KEEP_EVERY_S": 600}),
    ],
)
def test_a_misspelt_task_is_refused(place, wrong):
    task = json.loads(json.dumps(TASK))
    part = task
    for key in place:
        part = part[key]
    part |= wrong
    with pytest.raises(ValidationError):
        validate(task)


def test_its_scripts_parse_and_use_what_it_declares():
    for script in (TASK["setup"], TASK["run"]):
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    mounts = json.dumps(TASK["file_mounts"])
    used = set(re.findall(r"\$\{?([A-Z_]+)", TASK["run"] + TASK["setup"] + mounts)) - {"HOME", "PATH"}
    assert used == set(TASK["envs"])


# Its script, with folders for buckets and a home for each machine


class Machine:
    """A home folder, and the task's ``run`` in it."""

    def __init__(self, python: WarmPython, home: Path, scenes: Path, kept: Path) -> None:
        programs = home / "orthoforge-env/bin"
        programs.mkdir(parents=True)
        (programs / "python").symlink_to(sys.executable)
        (programs / "orthoforge").write_text(f'#!/bin/sh\nexec {python.executable} -m orthoforge.cli "$@"\n')
        (programs / "orthoforge").chmod(0o755)
        self.home = home
        envs = {"SCENES": str(scenes), "KEPT": str(kept), "TILES": "halves", "PREPARE": "--grid 2 --size 40 --split digits"}
        envs |= {"RUN": "tried", "RECIPE": "tiny", "CHANGES": shlex.join(SMALL), "KEEP_EVERY_S": "0.1"}
        envs |= {"HOME": str(home), "PYTHONUNBUFFERED": "1"}
        environment = os.environ | TASK["envs"] | envs
        self.log = open(home / "log", "w+", encoding="utf-8")  # noqa: SIM115
        self.process = psutil.Popen(
            ["bash", "-c", TASK["run"]], cwd=ROOT, env=environment, stdout=self.log, stderr=subprocess.STDOUT
        )

    def until_kept_beyond(self, epochs: int) -> None:
        """Wait for a line of progress beyond ``epochs``, and a copy made since."""
        began = time.monotonic()
        copies = None
        while time.monotonic() - began < 240:
            text = self.text()
            assert self.process.poll() is None, text
            done = [int(n) for n in re.findall(rf"^epoch (\d+)/{EPOCHS}", text, flags=re.M)]
            if done and done[-1] > epochs:
                copies = text.count("kept as") if copies is None else copies
                if text.count("kept as") > copies:
                    return
            time.sleep(0.02)
        raise AssertionError(f"nothing was kept:\n{self.text()}")

    def vanish(self) -> None:
        """All of its processes at once, without a word."""
        everyone = [self.process, *self.process.children(recursive=True)]
        for process in everyone:
            process.kill()
        psutil.wait_procs(everyone)
        self.log.close()

    def wait(self) -> int:
        code = self.process.wait(timeout=240)
        self.log.close()
        return code

    def text(self) -> str:
        return (self.home / "log").read_text(encoding="utf-8")


def test_a_run_goes_on_on_another_machine(warm_python, tmp_path):
    scenes, kept = make_dataset(tmp_path / "scenes", ["town1", "town7"], 96), tmp_path / "kept"
    first = Machine(warm_python, tmp_path / "one", scenes, kept)
    first.until_kept_beyond(1)
    first.vanish()
    assert "holds no run yet; a new one begins" in first.text()

    second = Machine(warm_python, tmp_path / "two", scenes, kept)
    assert second.wait() == 0, second.text()
    assert "8 tiles (4 train" in first.text() and "8 tiles (4 train" not in second.text()  # prepared once, then brought back
    resumed_at = int(re.search(r"^resuming .* at epoch (\d+)", second.text(), flags=re.M)[1])
    assert 2 <= resumed_at < EPOCHS

    run = tmp_path / "brought"
    assert keep.get(kept / "runs/tried", run) is not None
    assert [row["epoch"] for row in read_results(run)] == list(range(1, EPOCHS + 1))
    assert (run / "results.png").is_file()
    # Undisturbed, it ends with the same bits.
    values = {name[2:].replace("-", "_"): yaml.safe_load(value) for name, value in zip(SMALL[::2], SMALL[1::2], strict=True)}
    recipe = load_recipe("tiny", **values)
    undisturbed = train(recipe, tmp_path / "two/orthoforge/tiles/halves", tmp_path / "undisturbed", quiet=True)
    one, other = (load_checkpoint(newest_checkpoint(path)).state for path in (run, undisturbed))
    assert one.progress.step == other.progress.step == EPOCHS
    assert one.checksums == other.checksums


STAND_IN = """
import os, pathlib, signal, sys, time
run, stops = pathlib.Path(sys.argv[1]), []
def save(text):
    partial = run / "weights" / ".last.partial"
    partial.mkdir(parents=True)
    for name in ("state.json", "model.safetensors", "train.safetensors"):
        (partial / name).write_text(text)
    if (run / "weights" / "last").exists():
        (run / "weights" / "last").rename(run / "weights" / "previous")
    partial.rename(run / "weights" / "last")
signal.signal(signal.SIGTERM, lambda *_: stops.append(1))
save("begun")
print("begun", flush=True)
while not stops:
    time.sleep(0.01)
time.sleep(0.2)
save(f"stopped {len(stops)} times")
"""


def test_stopped_it_passes_the_signal_on_once_and_keeps_what_was_saved(tmp_path):
    run, kept = tmp_path / "run", tmp_path / "kept"
    command = [sys.executable, str(ROOT / "cloud/keep.py"), "run", str(run), str(kept), "--every", "60", "--"]
    command += [sys.executable, "-c", STAND_IN, str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert any("begun" in line for line in process.stdout)
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(timeout=30) == keep.STOPPED
    assert keep.get(kept, tmp_path / "brought") is not None
    assert (tmp_path / "brought/weights/last/state.json").read_text() == "stopped 1 times"


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (3, 3), (-signal.SIGKILL, 137)])
def test_the_commands_exit_code_is_its_own(tmp_path, code, expected):
    end = f"os.kill(os.getpid(), {-code})" if code < 0 else f"sys.exit({code})"
    command = [sys.executable, "-c", f"import os, sys; {end}"]
    former = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert keep.run_and_keep(command, tmp_path / "run", tmp_path / "kept", 60) == expected
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    assert not list(tmp_path.glob("kept/*"))


# Copies in the bucket


def fill(folder, text):
    folder.mkdir(exist_ok=True)
    (folder / "text").write_text(text)
    (folder / ".hidden").mkdir(exist_ok=True)
    (folder / ".hidden/record").write_text(text)
    return folder


def copies(tmp_path, *texts):
    kept = tmp_path / "kept"
    return kept, [keep.put(fill(tmp_path / "folder", text), kept) for text in texts]


def brought(tmp_path, kept):
    target = tmp_path / f"brought{len(list(tmp_path.iterdir()))}"
    assert keep.get(kept, target) is not None
    assert (target / ".hidden/record").read_text() == (target / "text").read_text()
    assert not list(tmp_path.glob(".brought*"))
    return (target / "text").read_text()


def test_the_newest_copy_comes_back_and_two_are_kept(tmp_path):
    kept, _ = copies(tmp_path, "one", "two", "three")
    assert sorted(path.name for path in kept.iterdir()) == ["000002.sha256", "000002.tar", "000003.sha256", "000003.tar"]
    assert brought(tmp_path, kept) == "three"


def test_a_copy_that_was_cut_off_is_passed_over_and_cleared_away_later(tmp_path):
    kept, (_, newest) = copies(tmp_path, "one", "two")
    newest.with_suffix(".sha256").unlink()
    newest.write_bytes(newest.read_bytes()[:700])
    assert brought(tmp_path, kept) == "one"
    keep.put(fill(tmp_path / "folder", "three"), kept)
    keep.put(fill(tmp_path / "folder", "four"), kept)
    assert sorted(path.name for path in kept.glob("*.tar")) == ["000003.tar", "000004.tar"]


@pytest.mark.parametrize("at", [0, 600, -1])
def test_a_flipped_bit_is_noticed(tmp_path, at, capsys):
    kept, (oldest, newest) = copies(tmp_path, "one", "two")
    damaged = bytearray(newest.read_bytes())
    damaged[at] ^= 1
    newest.write_bytes(damaged)
    assert brought(tmp_path, kept) == "one"
    assert "000002.tar: does not fit its checksum" in capsys.readouterr().err
    # Rather than begin anew, and clear away what might be saved by hand:
    oldest.write_bytes(b"")
    with pytest.raises(keep.DamagedError, match="none of its copies"):
        keep.get(kept, tmp_path / "more")
    assert keep.main(["get", str(kept), str(tmp_path / "more")]) == 1


def test_nothing_kept_is_an_exit_code_of_its_own(tmp_path, capsys):
    assert keep.main(["get", str(tmp_path / "kept"), str(tmp_path / "folder")]) == keep.NOTHING_KEPT
    assert not (tmp_path / "folder").exists()


def test_a_bucket_that_cannot_be_written_does_not_stop_the_training(tmp_path, capsys):
    run = tmp_path / "run"
    save(run, 1)
    (tmp_path / "kept").write_text("a file")
    assert keep.put_run(run, tmp_path / "kept") is None
    assert "no copy made" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "run"]


def save(run, epoch):
    append_result(run, {name: float(epoch) for name in ("epoch", "step")})
    tensors, state = {"weight": torch.full((50,), float(epoch))}, {**state_of(), "epoch": epoch}
    if epoch % 3 == 1:
        save_checkpoint(run / "weights/best", model=tensors, train=tensors, state=state)
    save_checkpoint(run / "weights/last", model=tensors, train=tensors, state=state)


def test_a_copy_of_a_run_that_goes_on_is_of_one_piece(tmp_path):
    run, done = tmp_path / "run", threading.Event()
    run.mkdir()
    (run / ".run.lock").touch()
    save(run, 1)

    def go_on():
        for epoch in itertools.count(2):
            if done.is_set():
                return
            save(run, epoch)

    thread = threading.Thread(target=go_on)
    thread.start()
    seen = []
    try:
        began = time.monotonic()
        while len(seen) < 40 or (len(set(seen)) < 6 and time.monotonic() - began < 60):
            frozen = tmp_path / "frozen"
            keep.freeze(run, frozen)
            epoch = load_checkpoint(newest_checkpoint(frozen)).state.recorded["epoch"]
            assert load_checkpoint(frozen / "weights/best").state.recorded["epoch"] >= 1
            rows = [float(line.split(",")[0]) for line in (frozen / "results.csv").read_text().splitlines()[1:]]
            assert rows == list(range(1, len(rows) + 1)) and len(rows) >= epoch
            assert not list(frozen.rglob(".*"))
            seen.append(epoch)
    finally:
        done.set()
        thread.join()
    assert seen == sorted(seen) and len(set(seen)) >= 6


# The Dockerfile


def instructions(text):
    """(instruction, its text) of a Dockerfile, with continued lines joined and comments left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


DOCKERFILE = instructions((ROOT / "Dockerfile").read_text(encoding="utf-8"))


def having(name):
    return [text for instruction, text in DOCKERFILE if instruction == name]


def test_the_dockerfile_holds_instructions_that_docker_knows():
    assert DOCKERFILE[0][0] == "FROM"
    assert {name for name, _ in DOCKERFILE} <= {
        "FROM",
        "ARG",
        "ENV",
        "RUN",
        "COPY",
        "WORKDIR",
        "EXPOSE",
        "USER",
        "ENTRYPOINT",
        "CMD",
    }
    for command in having("RUN"):
        subprocess.run(["sh", "-n"], input=command, text=True, check=True)


def test_what_it_copies_is_there_and_reaches_the_builder():
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert ignore[0] == "*"  # nothing reaches it but what is named
    let_in = [pattern.removeprefix("!") for pattern in ignore if pattern.startswith("!")]
    copied = [source for text in having("COPY") for source in shlex.split(text)[:-1] if not source.startswith("--")]
    assert sorted(copied) == sorted(let_in)
    for source in copied:
        assert (ROOT / source).exists(), source
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    built_from = {"pyproject.toml", project["readme"], *project["license-files"], "src"}
    assert built_from <= set(copied)  # else the package cannot be built there


def test_every_install_is_constrained_or_without_dependencies():
    installs = [command for text in having("RUN") for command in text.split("&&") if "pip install" in command]
    assert len(installs) >= 2
    for command in installs:
        assert "-c constraints.txt" in command or "--no-deps" in command, command
        assert "--no-cache-dir" in command, command


def test_it_runs_the_console_script_as_nobody_in_particular():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (entry,) = map(json.loads, having("ENTRYPOINT"))
    assert entry[0] in project["scripts"]
    user = having("USER")[-1].split(":")[0]
    assert user not in ("root", "0")
    order = [name for name, _ in DOCKERFILE]
    assert order.index("USER") > max(index for index, name in enumerate(order) if name in ("RUN", "COPY"))
    python = re.fullmatch(r"python:(\d+\.\d+)-slim\S*", having("FROM")[0])[1]
    assert f"Programming Language :: Python :: {python}" in project["classifiers"]


def test_the_container_holds_what_the_server_needs_and_compose_and_unit_start_it():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (listing,) = [text for text in having("RUN") if "tomllib" in text]
    listed = subprocess.run(
        ["sh", "-c", listing.split(">")[0]], cwd=ROOT, capture_output=True, text=True, check=True,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    ).stdout.splitlines()  # fmt: skip
    assert listed == [*project["dependencies"], *project["optional-dependencies"]["serve"]]
    (service,) = yaml.safe_load((ROOT / "cloud" / "compose.yaml").read_text())["services"].values()
    unit = (ROOT / "cloud" / "orthoforge.service").read_text()
    (started,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    known = {f"--{name}" for name in inspect.signature(serve).parameters}
    for words in (service["command"], shlex.split(started)[1:]):
        assert words[0] == "serve" and {word for word in words if word.startswith("--")} <= known
    assert service["ports"] == ["127.0.0.1:8000:8000"] and having("EXPOSE") == ["8000"]
    deadline = inspect.signature(serve).parameters["deadline"].default
    assert float(service["stop_grace_period"].rstrip("s")) > deadline < float(re.search(r"TimeoutStopSec=(\d+)", unit)[1])
