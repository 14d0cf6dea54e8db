"""Commands on a Ray cluster: the same files as here, whoever is killed; what goes wrong is said in the same words."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from conftest import make_dataset, make_grid, make_mask, make_pair, write_tiff
from made_runs import make_run
from orthoforge import cli
from orthoforge.cluster import Here, Need, on_ray, tasks, team_on, there
from orthoforge.errors import DataError, LockedError, ResourceError
from orthoforge.evaluation.evaluate import evaluate
from orthoforge.files import lock
from orthoforge.generation import generate
from orthoforge.growing import grow
from orthoforge.tiles import shards, survey
from orthoforge.tiles.prepare import prepare

ray = pytest.importorskip("ray", reason="the extra ray is not installed")
NAMES = [f"austin{number}" for number in range(1, 11)]
CUT = {"grid": 2, "size": 40, "split": "digits"}


@pytest.fixture(scope="module")
def cluster():
    """A Ray of this machine with two processors, to which this process is connected; its address."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in on_ray._QUIET.items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        started = ray.init(
            address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error",
            object_store_memory=100_000_000,
        )  # fmt: skip
        yield started.address_info["address"]
        ray.shutdown()


@pytest.fixture(scope="module", autouse=True)
def _several_shards():
    """Scenes are small here; none is cut before workers are asked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "_MEAN_SCENES", 2)
        patch.setattr(survey, "_AHEAD_BYTES", 0)
        yield


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """Pairs, their tiles in several shards, of one scene and of more, and a run on them."""
    root = tmp_path_factory.mktemp("town")
    data = make_dataset(root / "data", NAMES, 96)
    store = prepare(data, root / "tiles", workers=1, **CUT)
    return data, store, make_run(root / "run", store)


@pytest.fixture
def one_worker_dies(monkeypatch, tmp_path):
    """The first worker that renames a finished file dies instead; the file with its process's number."""
    died = tmp_path / "died"

    def outcomes(sent, items, at):
        from orthoforge import files

        def die(*_):
            try:
                descriptor = os.open(died, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            except FileExistsError:
                return replace(*_)
            os.write(descriptor, str(os.getpid()).encode())
            os.kill(os.getpid(), signal.SIGKILL)
            return None

        replace, files.os.replace = os.replace, die
        try:
            yield from tasks.outcomes(sent, items, at)  # in a worker: its own
        finally:
            files.os.replace = replace

    monkeypatch.setattr(tasks, "outcomes", outcomes)
    return died


def test_who_heard_sigterm_before_hears_it_after():
    code = """
        import signal
        from orthoforge.cluster import on_ray

        signal.signal(signal.SIGTERM, lambda *_: print("heard"))
        with on_ray.OnRay():
            pass
        signal.raise_signal(signal.SIGTERM)
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, "heard\n"), ended.stderr


def test_a_ray_that_does_not_start_is_said_in_a_sentence(monkeypatch):
    def init(address, **_):
        raise ConnectionError("none here") if address == "auto" else Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    with (
        pytest.raises(ResourceError, match=r"no Ray cluster answers.* Ray says: The current node timed out"),
        team_on("ray", here=Here()),
    ):
        pass


def results(team, work, items):
    return [answer.result() for answer in team.answers(work, items)]


def content(folder):
    """Every file, but STAC items, which have a time, and records, which say when sources were last changed."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.parent.name != "stac"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def images(folder):
    return {name: file for name, file in content(folder).items() if not name.endswith(".json") or "annotations" in name}


def test_tiles_are_the_same(cluster, town, tmp_path, capsys):
    data, store, _ = town
    made = prepare(data, tmp_path / "tiles", on="ray", **CUT)
    assert content(made.path) == content(store.path)
    assert f"{made.path}: {len(store.rows)} tiles" in capsys.readouterr().out


@pytest.mark.parametrize("room_scenes", [4, 20])
def test_small_scenes_that_were_cut_with_their_headers_are_not_opened_again(cluster, town, tmp_path, monkeypatch, room_scenes):
    data, store, _ = town
    monkeypatch.setattr(survey, "_AHEAD_BYTES", room_scenes * 4 * 40 * 40 * 4 + 1000)
    asked = []

    def answers(team, work, items, need):
        asked.append([one.name for one in items])
        return [SimpleNamespace(result=partial(work, item)) for item in items]

    monkeypatch.setattr(on_ray.OnRay, "answers", answers)
    made = prepare(data, tmp_path / "tiles", on="ray", workers=1, **CUT)
    assert content(made.path) == content(store.path)
    _looked_at, far = asked
    assert bool(far) == (room_scenes < len(NAMES)) and len(far) < len(list((made.path / ".records").rglob("*.json"))) - 1


def test_a_bad_scene_among_good_ones_is_told_as_here(cluster, tmp_path, capsys):
    data = make_dataset(tmp_path / "data", NAMES[:4], 96)
    make_pair(data, "austin9", 96)
    write_tiff(data / "masks" / "austin9.tif", make_mask(90), make_grid(90))
    said = []
    for on in ([], ["--on", "ray"]):
        words = ["prepare", str(data), str(tmp_path / f"tiles{len(on)}"), "--grid", "2", "--size", "40", *on]
        code = cli.main(words)
        refused = capsys.readouterr()
        skipped = cli.main([*words, "--skip-bad"]), capsys.readouterr()
        said.append((code, refused.err, skipped[0], skipped[1].err, content(tmp_path / f"tiles{len(on)}")))
    assert said[0] == said[1]
    assert said[0][0] == 3 and "austin9" in said[0][1] and said[0][2] == 0


def test_a_data_set_grows_by_the_same_pairs(cluster, town, tmp_path):
    data, _, run = town
    asked = {"ratio": 0.6, "least_agreement": 0}  # the segmenter takes its time; see test_grow.py
    here = grow(run, data, tmp_path / "here", **asked)
    there = grow(run, data, tmp_path / "there", on="ray", **asked)
    assert [row["name"] for row in there.rows] == [row["name"] for row in here.rows]
    assert (there.added, there.rejected, there.rows) == (here.added, here.rejected, here.rows)
    found = {name: file for name, file in content(there.path).items() if name not in ("README.md", "grown.json")}
    assert found == {name: file for name, file in content(here.path).items() if name in found}
    assert len(found) == len(content(here.path)) - 2


def test_scores_are_the_same(cluster, town, tmp_path):
    _, store, run = town
    here = evaluate(run, store.path, tmp_path / "run-here")
    assert evaluate(run, store.path, tmp_path / "run-there", on="ray") == here
    report = "report.json"
    assert (tmp_path / "run-there" / report).read_bytes() == (tmp_path / "run-here" / report).read_bytes()


def test_a_worker_has_the_commands_folder_and_threads_and_what_it_says_comes_back(cluster, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def told(number):
        import warnings

        import torch

        print("said", number)
        print("murmured", number, file=sys.stderr)
        warnings.warn(f"beware of {number}", UserWarning, stacklevel=1)
        if number == 2:
            raise FileNotFoundError(2, "no such file", "two.tif")
        return os.getcwd(), torch.get_num_threads()

    with team_on("ray", here=Here()) as team:
        first, second = team.answers(told, [1, 2], Need(threads=3, memory_bytes=1e6))
        with pytest.warns(UserWarning, match="beware of 1"):
            assert first.result() == (str(tmp_path), 3)
        with pytest.warns(UserWarning, match="beware of 2"), pytest.raises(FileNotFoundError) as caught:
            second.result()
    assert caught.value.filename == "two.tif" and "in told" in caught.value.__notes__[0]
    assert capsys.readouterr() == ("said 1\nsaid 2\n", "murmured 1\nmurmured 2\n")


def test_images_masks_and_labels_are_the_same_though_a_worker_dies(cluster, town, tmp_path, one_worker_dies, capsys):
    data, _, run = town
    (tmp_path / "masks").mkdir()
    for name in NAMES[:4]:
        os.link(data / "masks" / f"{name}.tif", tmp_path / "masks" / f"{name}.tif")
    write_tiff(tmp_path / "masks" / "bad.tif", np.full((64, 64), 7, np.uint8), make_grid(64))
    write_tiff(tmp_path / "masks" / "empty.tif", np.zeros((64, 64), np.uint8))  # warned of, and of unknown pixel size
    write_tiff(tmp_path / "masks" / "unplaced.tif", make_mask(64))
    asked = {"seed": 3, "keep_mask": True, "labels": ["coco", "yolo", "instances"]}
    said = []
    for out, on in ((tmp_path / "here", None), (tmp_path / "there", "ray"), (tmp_path / "there", "ray")):
        with pytest.raises(DataError) as caught:
            generate(run, [tmp_path / "masks"], out, on=on, **asked)
        said.append((str(caught.value).replace(str(out), "OUT"), capsys.readouterr().err.replace(out.name, "OUT")))
    assert int(one_worker_dies.read_text()) != os.getpid()
    assert images(tmp_path / "there") == images(tmp_path / "here")
    assert "bad.tif" in (tmp_path / "there" / "failures.txt").read_text()
    assert said[0][0] == said[1][0] == said[2][0]
    told = [line for line in said[1][1].splitlines() if "(raylet)" not in line]  # what Ray says of a worker that died
    assert sorted(line for line in told if line) == sorted(said[0][1].splitlines())
    assert sum(line.startswith("note: empty.tif does not say") for line in told) == 1


def test_a_command_that_was_killed_goes_on_and_nothing_is_lost_or_doubled(cluster, town, tmp_path, capsys):
    data, store, _ = town
    code = f"""
        import os, signal, sys
        from orthoforge.cluster import on_ray
        from orthoforge.tiles import shards, survey
        from orthoforge.tiles.prepare import prepare
        shards._MEAN_SCENES, survey._AHEAD_BYTES = 2, 0
        taken, take = [], on_ray._Told.result
        def die(answer):
            taken.append(answer)
            if len(taken) == 4:  # shards were made
                os.kill(os.getpid(), signal.SIGKILL)
            return take(answer)
        on_ray._Told.result = die
        prepare({str(data)!r}, {str(tmp_path / "tiles")!r}, on="ray", grid=2, size=40, split="digits")
    """
    environment = os.environ | {"RAY_ADDRESS": cluster, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=environment, capture_output=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list((tmp_path / "tiles" / ".records").rglob("*.json"))) >= 3
    assert not (tmp_path / "tiles" / "store.json").exists()
    made = prepare(data, tmp_path / "tiles", on="ray", **CUT)
    assert "kept from an earlier run" in capsys.readouterr().out
    whole, found = content(store.path), content(made.path)
    assert found.keys() == whole.keys()
    assert {name: file for name, file in found.items() if not name.startswith(".records")} == {
        name: file
        for name, file in whole.items()
        if not name.startswith(".records")  # these know links to the sources
    }


def test_an_interruption_stops_at_once(cluster, tmp_path):
    def slow(path):
        path.touch()
        time.sleep(30)

    items = [tmp_path / str(number) for number in range(10)]
    begun = time.monotonic()
    threading.Thread(target=_interrupt_when, args=(items[0],)).start()
    with pytest.raises(KeyboardInterrupt), team_on("ray", here=Here()) as team:
        results(team, slow, items)
    assert time.monotonic() - begun < 20
    assert len(list(tmp_path.iterdir())) <= 4, "few are begun ahead"


def _interrupt_when(path):
    while not path.exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)


def test_a_task_that_kills_every_worker_is_given_up(cluster, monkeypatch):
    monkeypatch.setattr(tasks, "MOST_DEATHS", 1)
    with team_on("ray", here=Here()) as team, pytest.raises(ResourceError, match="lost a task 1 times"):
        results(team, lambda number: os.kill(os.getpid(), signal.SIGKILL), [0])


def task_of(number):
    return ray.get_runtime_context().get_task_id(), os.getpid(), number


def test_short_items_share_tasks_and_all_workers_have_some(cluster):
    with team_on("ray", here=Here()) as team:
        found = results(team, task_of, range(200))
    assert [number for *_, number in found] == list(range(200))
    of_tasks = Counter(task for task, *_ in found)
    assert len(of_tasks) < 50 and max(of_tasks.values()) > 8
    assert len({process for _, process, _ in found}) == 2


def test_items_that_take_longer_than_thought_do_not_keep_their_task_to_themselves(cluster, monkeypatch):
    def slow_at_last(number):
        time.sleep(0.6 if number >= 24 else 0)
        return task_of(number)

    with team_on("ray", here=Here()) as team:
        found = results(team, slow_at_last, range(40))
    slow = Counter(task for task, _, number in found if number >= 24)
    assert max(slow.values()) <= 2, "a task ends when a second is over"
    assert len({process for _, process, number in found if number >= 24}) == 2


def test_one_that_fails_or_kills_its_workers_is_named_alone_and_nothing_is_done_twice(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "MOST_DEATHS", 2)

    def noted(number):
        with open(tmp_path / "log", "a") as log:
            log.write(f"{number}\n")
        if number == 50:
            raise DataError("the fiftieth")
        if number == 60:
            time.sleep(0.3)  # what was finished before is heard
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    with team_on("ray", here=Here()) as team:
        answers = list(team.answers(noted, range(100)))
    for number, answer in enumerate(answers):
        if number not in (50, 60):
            assert answer.result() == number
    with pytest.raises(DataError, match="the fiftieth"):
        answers[50].result()
    with pytest.raises(ResourceError, match="lost a task 2 times"):
        answers[60].result()
    done = Counter(map(int, (tmp_path / "log").read_text().split()))
    assert done == {number: 2 if number == 60 else 1 for number in range(100)}


def test_a_worker_waits_for_one_whose_command_was_killed(tmp_path, monkeypatch):
    at, path = there.Circumstances(str(tmp_path), 0), tmp_path / "scene"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORTHOFORGE_PROGRESS_SECONDS", "60")

    def write(item):
        with lock(path):
            return item

    with lock(path):
        monkeypatch.setattr(there, "PATIENCE_S", 0.0)
        assert isinstance(there.done(lambda: write, 1, at).error, LockedError)
        monkeypatch.setattr(there, "PATIENCE_S", 30.0)
        held = threading.Event()
        waiting = threading.Thread(target=lambda: held.set() if there.done(lambda: write, 1, at).result == 1 else None)
        waiting.start()
        time.sleep(0.05)
        assert not held.is_set()
    waiting.join(10)
    assert held.is_set()
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone").rmdir()
    found = there.done(lambda: write, 1, there.Circumstances(str(tmp_path / "gone"), 0))
    assert isinstance(found.error, ResourceError) and "there is no folder" in str(found.error)


def test_what_cannot_be_is_said(town, tmp_path, monkeypatch, capsys):
    data, _, _ = town
    words = ["prepare", str(data), str(tmp_path / "tiles"), "--size", "40", "--on"]
    assert cli.main([*words, "dask"]) == 2
    assert "--on dask: it is ray, or ray://HOST:PORT" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    assert cli.main([*words, "ray"]) == 2
    assert "pip install 'orthoforge[ray]'" in capsys.readouterr().err
    assert not (tmp_path / "tiles" / "store.json").exists()
