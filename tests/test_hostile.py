"""The bench of hostile inputs counts what it says it counts: each fault, put in on purpose, is found as that fault."""

import ctypes
import os
import signal
import socket
import sys
import time
import urllib.request
import warnings
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify and capabilities are Linux's")
sys.path.append(str(Path(__file__).parents[1]))

from bench.hostile import log, table  # noqa: E402
from bench.hostile.bench import SHORT, Harness, all_inputs  # noqa: E402
from bench.hostile.case import Command, Input, draw  # noqa: E402
from bench.hostile.material import OSM_FILES, Material  # noqa: E402
from bench.hostile.mutations import BYTES, TEXT, TIFF_FIELDS, tiff_field  # noqa: E402
from bench.hostile.table import judge  # noqa: E402

from conftest import make_grid, make_mask, write_tiff  # noqa: E402
from orthoforge.geo.rasters import open_raster  # noqa: E402


@pytest.fixture(scope="module")
def harness(tmp_path_factory):
    harness = Harness(tmp_path_factory.mktemp("hostile"))
    yield harness
    harness.close()


def kinds(harness, tmp_path, task, *, command=None, **limits):
    command = command or Command(())
    outcome = harness.run(command, tmp_path, task=task, **limits)
    return judge(command, outcome, tmp_path), outcome


def fail(words, code=3):
    print(words, file=sys.stderr)
    return code


def unfinished():
    raise KeyError("town3")


def native_open(path):
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    assert libc.fopen(os.fsencode(path), b"rb")
    return 0


def native_connect(port):
    """As a C library does: no audit event of Python's."""
    libc = ctypes.CDLL(None)
    address = socket.AF_INET.to_bytes(2, sys.byteorder) + port.to_bytes(2, "big") + bytes([127, 0, 0, 1]) + bytes(8)
    return libc.connect(libc.socket(socket.AF_INET, socket.SOCK_STREAM, 0), address, len(address))


def ask_the_web():
    try:
        urllib.request.urlopen("http://orthoforge.invalid/crs", timeout=5)
    except OSError:
        return fail("error: town3")


@pytest.mark.parametrize(
    ("task", "names", "expected"),
    [
        (lambda: 0, "", "right result"),
        (lambda: fail("error: data/town3.tif: cut short."), "town3", "clear error"),
        (lambda: fail("error: cut short."), "town3", "unclear"),
        (lambda: fail(""), "", "unclear"),
        (lambda: fail("error: town\x1b[31m3"), "town", "unclear"),
        (unfinished, "", "traceback"),
        (lambda: bytearray(2**50) and 0, "", "memory"),
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), "", "crash"),
    ],
)
def test_an_outcome_is_counted_as_what_it_is(harness, tmp_path, task, names, expected):
    assert kinds(harness, tmp_path, task, command=Command((), names=names))[0] == (expected,)


@pytest.mark.parametrize(
    "task", [lambda: time.sleep(30), lambda: next(number for number in iter(int, 1) if number)], ids=["asleep", "busy"]
)
def test_what_does_not_end_is_a_hang_and_is_ended(harness, tmp_path, task):
    begun = time.monotonic()
    found, outcome = kinds(harness, tmp_path, task, seconds=0.6)
    assert found == ("hang",) and outcome.signal == signal.SIGKILL and time.monotonic() - begun < 10


def test_a_hog_of_memory_is_ended_and_counted(harness, tmp_path, monkeypatch):
    _, before = kinds(harness, tmp_path, lambda: 0)
    limit = before.peak_bytes + 60_000_000
    monkeypatch.setattr(table, "MEMORY", limit)

    def hog():
        held = []
        while True:
            held.append(b"x" * 10**7)

    found, outcome = kinds(harness, tmp_path, hog, memory=limit)
    assert found == ("memory",) and outcome.peak_bytes > limit


@pytest.mark.parametrize("kind", ["python", "native", "proxy"])
def test_a_connection_is_counted_whoever_makes_it(harness, tmp_path, kind):
    port = int(harness.around.url.rpartition(":")[2])
    tasks = {
        "python": lambda: socket.create_connection(("127.0.0.1", port)).close() or 0,
        "native": lambda: native_connect(port),
        "proxy": ask_the_web,
    }
    found, outcome = kinds(harness, tmp_path, tasks[kind])
    assert "connection" in found and outcome.connections >= 1
    assert kinds(harness, tmp_path, lambda: 0)[0] == ("right result",)  # and not with the next one


@pytest.mark.parametrize("kind", ["python", "native", "write", "escape"])
def test_a_file_outside_is_counted_whoever_opens_it(harness, tmp_path, kind):
    secret = harness.outside / "secret.txt"
    here = tmp_path / "here"
    here.mkdir()
    tasks = {
        "python": lambda: len(secret.read_bytes()) and 0,
        "native": lambda: native_open(secret),
        "write": lambda: (tmp_path / "beside").write_text("x") and 0,
        "escape": lambda: (here / ".." / "made").mkdir() or 0,
    }
    assert kinds(harness, here, tasks[kind])[0] == ("right result", "outside")
    assert kinds(harness, here, lambda: (here / "own").write_text("x") and 0)[0] == ("right result",)


def test_bytes_of_a_file_outside_are_found_in_what_was_written(harness, tmp_path):
    command = Command((), leak=b"marker", linked=True)
    assert kinds(harness, tmp_path, lambda: (tmp_path / "a").write_text("a mark") and 0, command=command)[0] == ("right result",)
    assert "outside" in kinds(harness, tmp_path, lambda: (tmp_path / "a").write_text("a marker") and 0, command=command)[0]


def test_success_without_its_output_or_where_it_is_wrong_is_no_right_result(harness, tmp_path):
    assert kinds(harness, tmp_path, lambda: 0, command=Command((), out="made.tif"))[0] == ("wrong",)
    assert kinds(harness, tmp_path, lambda: 0, command=Command((), refuse=True))[0] == ("wrong",)


def test_permissions_bind_even_root(harness, tmp_path):
    (tmp_path / "closed").write_text("x")
    (tmp_path / "closed").chmod(0)
    command = Command((), unprivileged=True)
    found, outcome = kinds(harness, tmp_path, lambda: len((tmp_path / "closed").read_text()), command=command)
    assert found == ("traceback",) and "PermissionError" in outcome.stderr


def test_real_commands_are_told_apart(harness, tmp_path):
    def build(here, material, around):
        mask = write_tiff(here / "town3.tif", make_mask(), make_grid())
        (here / "cut.tif").write_bytes(mask.read_bytes()[:300])
        return [
            Command(("footprints", "town3.tif", "--out", "houses.geojson"), out="houses.geojson"),
            Command(("footprints", "cut.tif", "--out", "none.geojson"), names="cut.tif", refuse=True),
            Command(("footprints", "cut.tif", "--out", "none.geojson"), names="another.tif"),
        ]

    found = list(harness.findings(Input("test/footprints", "footprints", build)))
    assert [finding.kinds for finding in found] == [("right result",), ("clear error",), ("unclear",)]
    assert [finding.is_fault for finding in found] == [False, False, True]
    text = table.table([finding.row for finding in found])
    assert text.splitlines()[1].split()[:5] == ["footprints", "1", "3", "1", "1"]
    assert "test/footprints" in found[2].line() and "cut.tif" in found[2].line()


def test_a_log_holds_the_latest_of_every_input_that_is_done(tmp_path):
    first, again = (table.Row("runs", "a", (kind,), 1.5, 10) for kind in ("hang", "clear error"))
    assert log.read(tmp_path / "log") == []
    for rows in ([first], [table.Row("runs", "b\udcff", ("memory", "outside"), 2, 20)] * 2, [again]):
        log.append(tmp_path / "log", rows)
    assert [(row.name, row.kinds[0], row.is_fault) for row in log.read(tmp_path / "log")] == [
        ("a", "clear error", False), ("b\udcff", "memory", True), ("b\udcff", "memory", True),
    ]  # fmt: skip


def test_an_input_that_cannot_be_made_is_said_to_be(harness):
    def build(here, material, around):
        raise ValueError("no such mutation")

    assert [finding.kinds for finding in harness.findings(Input("test/none", "footprints", build))] == [("unmade",)]


def test_inputs_are_many_and_of_every_area_and_have_one_name_each():
    every = all_inputs()
    assert len(every) >= 500
    short = all_inputs(short=True)
    assert SHORT <= len(short) < 2 * SHORT and {each.area for each in every} - {each.area for each in short} <= {
        "growing",
        "limits",
    }
    assert [each.name for each in all_inputs(only=["raster/field/masks/loop"])] == ["raster/field/masks/loop"]
    assert [each.name for each in every] == [each.name for each in all_inputs()]


@pytest.mark.parametrize("name", [*BYTES, *TEXT])
def test_a_mutation_changes_something_and_the_same_each_time(name):
    data = b'{"name": "town",\n "place": [1.5, 2.5, 11],\n "of": "houses"}\n' * 20
    mutate = (BYTES | TEXT)[name]
    changed = mutate(data, draw("a"))
    assert changed != data and changed == mutate(data, draw("a"))


def test_a_field_of_a_tiff_says_what_it_was_made_to_say(tmp_path):
    path = write_tiff(tmp_path / "m.tif", make_mask(), make_grid())
    path.write_bytes(tiff_field(path.read_bytes(), *TIFF_FIELDS["width-49000"]))
    with warnings.catch_warnings(action="ignore"), open_raster(path) as raster:
        assert raster.grid.width == 49_000
    assert Material(tmp_path).tiles == tmp_path / "tiles"


def test_the_module_that_writes_osm_files_is_where_the_material_looks_for_it():
    assert (OSM_FILES / "test_footprint_osm.py").is_file()
