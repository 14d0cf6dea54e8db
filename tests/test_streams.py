"""The command line prints what can be printed; a terminal that is gone, full or narrow ends nothing."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from orthoforge import cli
from orthoforge.cli.streams import Stream, printable, undecodable_messages_dropped, words_on_loss
from orthoforge.files import lock, new_file, new_folder

COMMAND = [sys.executable, "-m", "orthoforge.cli"]


def run(*words, stdout=subprocess.PIPE, **environment):
    return subprocess.run(
        [*COMMAND, *words], stdout=stdout, stderr=subprocess.PIPE, env=os.environ | environment, timeout=60, check=False
    )


def test_a_full_disk_behind_stdout_is_said_in_one_line():
    with open("/dev/full", "w") as full:
        done = run("recipes", stdout=full)
    assert done.returncode == 7
    assert done.stderr.decode() == "error: what was to be printed could not be written (No space left on device)\n"


def test_a_reader_that_had_enough_gets_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    done = run("recipes", stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_ascii_terminal_shows_what_it_lacks_by_number():
    done = run("recipes", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert (done.returncode, done.stderr) == (0, b"") and b"\\u03bb 100" in done.stdout


def test_a_narrow_terminal_gets_help():
    assert run("--help", COLUMNS="5").returncode == 0


def test_a_name_cannot_steer_the_terminal(capsys):
    assert printable("a\x1b[2Jb\x9b\r\u202e\nü") == "a\\x1b[2Jb\\x9b\\r\\u202e\nü"
    assert cli.main(["check", "x\x1b[31m.tif"]) == 3
    said = capsys.readouterr()
    assert "\x1b" not in said.err + said.out and "x\\x1b[31m.tif" in said.err


@pytest.mark.parametrize(("is_terminal", "kept"), [(True, "\x1b[1m"), (False, "\\x1b[1m")])
def test_a_terminal_keeps_colours_and_nothing_else(is_terminal, kept, tmp_path):
    with open(tmp_path / "out", "w") as file:
        file.isatty = lambda: is_terminal
        stream = Stream(file)
        stream.write("\x1b[1mbold \x1b]0;title\x07 \udcff\n")
        stream.flush()
    assert (tmp_path / "out").read_text() == f"{kept}bold \\x1b]0;title\\x07 \\udcff\n"
    assert words_on_loss(stream.lost) == ""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(24, "Too many open files", "a.tif"), "a.tif: too many files are open. Allow more with `ulimit -n 1024`"),
        (OSError(36, "File name too long", "a.tif"), "a.tif: the name is too long for the disk"),
        (MemoryError(), "out of memory."),
        (PermissionError(13, "Permission denied", "tiles/store.json"), "tiles/store.json: cannot be read or written (Permission"),
        (RuntimeError("could not create a primitive"), "out of memory"),
        (RuntimeError("can't start new thread"), "out of memory"),
        (UnicodeEncodeError("utf-8", "town\udcff.tif", 4, 5, "surrogates not allowed"), "town\\udcff.tif: holds a file's name"),
    ],
)
def test_limits_of_the_machine_are_said_in_one_line(error, message, monkeypatch, capsys):
    def fails(argv):
        raise error

    monkeypatch.setattr(cli, "_run", fails)
    assert cli.main(["recipes"]) == 7
    assert capsys.readouterr().err.startswith(f"error: {message}")


def test_messages_of_gdal_that_are_no_text_are_no_tracebacks(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, *rest: told.append(kind))
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: told.append(unraisable.exc_type))
    former = sys.excepthook, sys.unraisablehook
    with undecodable_messages_dropped():
        for kind in (UnicodeDecodeError, ValueError):
            sys.excepthook(kind, None, None)
            sys.unraisablehook(SimpleNamespace(exc_type=kind))
    assert told == [ValueError, ValueError] and (sys.excepthook, sys.unraisablehook) == former


@pytest.mark.parametrize("name", ["x" * 251 + ".tif", "ü" * 125 + ".tif", "x" * 248])
def test_a_name_as_long_as_the_disk_takes_is_written(name, tmp_path):
    with new_file(tmp_path / name) as partial:
        partial.write_text("a")
        partial.with_name(f"{partial.name}.ovr.tmp").write_text("GDAL's")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with new_folder(tmp_path / f"d{name[:-1]}") as partial:
        (partial / "a").write_text("a")
    with lock(tmp_path / name):
        pass
    assert len(list(tmp_path.iterdir())) == 2
