import contextlib
import errno
import os
import re
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from orthoforge import files
from orthoforge.errors import LockedError, OutputExistsError, ResourceError
from orthoforge.files import (
    lock,
    new_file,
    new_folder,
    no_such_file,
    remove,
    require_free_space,
    require_place,
    sha256_of,
    writable,
)
from small_disk import small_disk

HOLD = """
    import sys, time
    from pathlib import Path
    from orthoforge.files import new_file
    with new_file(Path(sys.argv[1]), overwrite=True) as partial:
        partial.write_bytes(b"half")
        print("writing", flush=True)
        time.sleep(float(sys.argv[2]))
"""


def python(code, *arguments, **options):
    """A process of its own that runs ``code``."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def finished(process):
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.fixture
def writer(tmp_path):
    """Another process in the middle of writing ``out.tif``."""
    process = python(HOLD, tmp_path / "out.tif", 60)
    assert process.stdout.readline() == "writing\n"
    yield process
    process.kill()
    finished(process)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_complete_or_not_at_all(tmp_path):
    path = tmp_path / "deep/er/a.txt"
    with new_file(path) as partial:
        partial.write_text("all of it")
        assert not path.exists()
        assert partial.parent == path.parent
    assert path.read_text() == "all of it"
    assert names(path.parent) == ["a.txt"]


def test_an_error_leaves_the_old_file_and_clears_the_new_ones_side_files(tmp_path):
    path = tmp_path / "a [1]*.tif"
    path.write_text("old")

    def fail_half_way():
        with new_file(path, overwrite=True) as partial:
            partial.write_text("new")
            partial.with_name(partial.name + ".ovr.tmp").write_text("overview")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert names(tmp_path) == ["a [1]*.tif"]
    assert path.read_text() == "old"


def test_an_existing_file_is_refused_and_kept(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(OutputExistsError, match=r"a exists\. Pass --overwrite"), new_file(tmp_path / "a"):
        pytest.fail("the block must not run")
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_of_two_processes_on_one_path_the_second_is_refused(tmp_path, writer):
    with (
        pytest.raises(LockedError, match=r"out\.tif is being written by another process"),
        new_file(tmp_path / "out.tif", overwrite=True),
    ):
        pytest.fail("the block must not run")
    with new_file(tmp_path / "other.tif") as partial:  # another path in the same folder is free
        partial.write_bytes(b"x")
    assert writer.poll() is None


def test_of_eight_processes_at_once_each_writes_whole_or_is_refused(tmp_path):
    code = """
        import sys
        from pathlib import Path
        from orthoforge.errors import LockedError
        from orthoforge.files import new_file
        try:
            with new_file(Path(sys.argv[1]), overwrite=True) as partial, open(partial, "wb") as file:
                for _ in range(2000):
                    file.write(sys.argv[2].encode() * 500)
        except LockedError:
            sys.exit(5)
    """
    processes = [python(code, tmp_path / "out", letter) for letter in "abcdefgh"]
    codes = [finished(process)[0] for process in processes]
    assert set(codes) <= {0, 5}
    assert 0 in codes
    content = (tmp_path / "out").read_bytes()
    assert len(content) == 1_000_000
    assert len(set(content)) == 1
    assert names(tmp_path) == ["out"]


def test_a_writer_that_finished_meanwhile_is_not_overwritten(tmp_path, monkeypatch):
    path = tmp_path / "a"
    really_lock = files.lock

    def slow_lock(locked):
        path.write_text("theirs")  # between the caller's decision and our lock, somebody else was done
        return really_lock(locked)

    monkeypatch.setattr(files, "lock", slow_lock)
    with pytest.raises(OutputExistsError), new_file(path) as partial:
        partial.write_text("ours")
    assert path.read_text() == "theirs"


def test_sigkill_leaves_no_final_file_and_the_next_writer_clears_up(tmp_path, writer):
    writer.send_signal(signal.SIGKILL)
    finished(writer)
    left = names(tmp_path)
    assert "out.tif" not in left
    assert ".out.tif.partial" in left
    with new_file(tmp_path / "out.tif") as partial:  # the dead writer's lock does not hold
        assert not partial.exists()
        partial.write_bytes(b"whole")
    assert names(tmp_path) == ["out.tif"]


def test_a_stale_lock_file_is_taken_over(tmp_path):
    (tmp_path / ".out.tif.lock").write_text("pid 1")
    with lock(tmp_path / "out.tif"):
        pass
    assert names(tmp_path) == []


def test_sigterm_in_a_program_that_exits_on_it_clears_up(tmp_path):
    code = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n" + textwrap.dedent(HOLD)
    process = python(code, tmp_path / "out.tif", 60)
    assert process.stdout.readline() == "writing\n"
    process.terminate()
    assert finished(process)[0] == 0
    assert names(tmp_path) == []


FILL = """
    import sys
    from pathlib import Path
    import numpy as np
    from orthoforge.errors import OrthoforgeError
    from orthoforge.files import new_file
    from orthoforge.geo.grid import Grid
    from orthoforge.geo.cog import write_raster
    if sys.argv[2] == "limit":
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing beyond the limit then fails with EFBIG
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
    path = Path(sys.argv[1])
    try:
        if path.suffix:
            noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)
            write_raster(path, noise, Grid(900, 900), overwrite=True)
        else:
            with new_file(path, overwrite=True) as partial:
                partial.write_bytes(bytes(3_000_000))
    except OrthoforgeError as error:
        print(type(error).__name__, error)
"""


@pytest.mark.parametrize("name", ["out", "out.tif", "out.png"])
def test_no_room_for_a_file_leaves_the_old_one_and_no_pieces(tmp_path, name):
    (tmp_path / name).write_text("old")
    code, out, err = finished(python(FILL, tmp_path / name, "limit"))
    assert code == 0, err
    assert out.startswith("ResourceError")
    assert "no space left" in out or "could not be written" in out
    assert names(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "old"


@pytest.mark.parametrize("name", ["out", "out.tif", "out.png"])
def test_a_disk_that_is_full_leaves_the_old_file_and_no_pieces(tmp_path, name):
    with small_disk(tmp_path / "disk", 2**20) as disk:
        (disk / name).write_text("old")
        code, out, err = finished(python(FILL, disk / name, "disk"))
        assert code == 0, err
        assert out.startswith("ResourceError")
        assert names(disk) == [name]
        assert (disk / name).read_text() == "old"


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "no space left on the disk"),
        (errno.EDQUOT, "no space left"),
        (errno.EROFS, "cannot be written"),
        (errno.EACCES, "Choose a folder you may write to"),
    ],
)
def test_errors_of_the_disk_are_told_in_the_users_words(tmp_path, number, message):
    with pytest.raises(ResourceError, match=message), writable(tmp_path):
        raise OSError(number, os.strerror(number))


def test_other_errors_of_the_system_are_not_disguised(tmp_path):
    with pytest.raises(OSError, match="Too many open files"), writable(tmp_path):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResourceError, match="cannot be written"), new_file(tmp_path / "file/out.tif"):
        pytest.fail("the block must not run")


def test_free_space_is_asked_for_ahead_with_both_numbers(tmp_path):
    require_free_space(tmp_path / "not/yet/there", 1000, "a scene")
    with pytest.raises(ResourceError, match=r"a scene needs about 1000000000000 MB, the disk has \d+ MB left"):
        require_free_space(tmp_path / "not/yet/there", 10**18, "a scene")


def test_the_checksum_is_that_of_sha256sum(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_missing_file_is_named_with_the_one_that_is_there(tmp_path):
    (tmp_path / "mask.png").touch()
    (tmp_path / "maks").mkdir()
    assert no_such_file(tmp_path / "maks.png") == f"{tmp_path / 'maks.png'}: no such file. Did you mean mask.png?"
    assert no_such_file(tmp_path / "river.geojson") == f"{tmp_path / 'river.geojson'}: no such file."
    assert no_such_file(tmp_path / "data" / "mask.png").endswith(f"there is no folder {tmp_path / 'data'}.")


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks_has_files_that_stand_for_them(tmp_path, monkeypatch, number):
    def no_locks(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", no_locks)
    with new_file(tmp_path / "a") as partial:
        partial.write_text("whole")
        with pytest.raises(LockedError, match="a is being written by another process"), lock(tmp_path / "a"):
            pytest.fail("the block must not run")
    with lock(tmp_path / "a"):
        pass
    assert names(tmp_path) == ["a"]


def test_without_locks_the_mark_of_a_killed_writer_does_not_hold(tmp_path, monkeypatch):
    no_locks = """
        import errno, fcntl
        def no_locks(descriptor, operation):
            raise OSError(errno.ENOLCK, "No locks available")
        fcntl.flock = no_locks
    """
    process = python(textwrap.dedent(no_locks) + textwrap.dedent(HOLD), tmp_path / "out.tif", 60)
    assert process.stdout.readline() == "writing\n"
    process.kill()
    finished(process)

    def no_locks_here(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", no_locks_here)
    with new_file(tmp_path / "out.tif") as partial:
        partial.write_text("whole")
    assert names(tmp_path) == ["out.tif"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP])
def test_a_disk_that_forces_no_folder_to_the_disk_is_written_all_the_same(tmp_path, monkeypatch, number):
    really_sync = os.fsync

    def sync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        really_sync(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    with new_folder(tmp_path / "a") as partial:
        (partial / "b").write_text("whole")
    assert (tmp_path / "a/b").read_text() == "whole"


def test_a_file_that_does_not_reach_the_disk_is_no_file(tmp_path, monkeypatch):
    def broken(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output error"), new_file(tmp_path / "a") as partial:
        partial.write_text("lost")
    assert names(tmp_path) == []


def test_who_waits_for_a_lock_gets_it_at_the_end_of_its_holder(tmp_path):
    code = """
        import sys
        from pathlib import Path
        from orthoforge.files import lock
        with lock(Path(sys.argv[1]), wait="not yet"):
            print("mine", flush=True)
    """
    with lock(tmp_path / "a"):
        process = python(code, tmp_path / "a")
        assert process.stderr.readline() == "not yet\n"
        assert process.poll() is None
    code, out, err = finished(process)
    assert (code, out) == (0, "mine\n"), err
    assert names(tmp_path) == []


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_file_is_never_replaced_by_one(tmp_path, overwrite):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, there in (("folder", "a folder"), ("pipe", "a device or a pipe")):
        for write in (lambda path: new_file(path, overwrite=overwrite).__enter__(), require_place):
            with pytest.raises(OutputExistsError, match=f"{name} is {there}; a file is written here. Choose another name"):
                write(tmp_path / name)
    (tmp_path / "file").touch()
    for write in (lambda path: new_folder(path, overwrite=overwrite).__enter__(), lambda path: require_place(path, folder=True)):
        with pytest.raises(OutputExistsError, match="file is a file; a folder is written here"):
            write(tmp_path / "file")
    assert names(tmp_path) == ["file", "folder", "pipe"]


@pytest.mark.parametrize("folder", [False, True])
def test_where_nothing_can_be_written_is_said_with_the_place_that_is_why(tmp_path, folder):
    (tmp_path / "file").touch()
    for path, why in (
        (tmp_path / "file" / "deep" / "out", f"{tmp_path / 'file'} is no folder"),
        (Path("/proc/orthoforge"), "(No such file or directory): /proc takes no new file"),
        (tmp_path / ("x" * 300), "File name too long"),
    ):
        with pytest.raises(ResourceError, match=re.escape(why)):
            require_place(path, folder=folder)
    require_place(tmp_path / "new" / "out", folder=folder)
    assert not (tmp_path / "new").exists()
    read_only = pytest.raises(ResourceError, match=r"cannot be written \(Read-only file system\): .* takes no new file")
    with small_disk(tmp_path / "disk", 1_000_000, read_only=True) as disk, read_only:
        require_place(disk / "new" / "out", folder=folder)


def test_a_folder_that_takes_no_file_is_not_called_locked():
    for path in ("/proc/orthoforge", "/proc/orthoforge/deeper"):
        with pytest.raises(ResourceError, match="/proc takes no new file"), new_file(Path(path)):
            pytest.fail("the block must not run")


def test_the_folder_that_one_is_in_can_be_locked(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with lock(Path(".")), pytest.raises(LockedError), lock(tmp_path / "here"):
        pytest.fail("the block must not run")


def test_removing_a_link_leaves_what_it_leads_to(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").touch()
    for name in ("one", "two"):
        (tmp_path / name).symlink_to(tmp_path / ("folder" if name == "one" else "nowhere"))
        remove(tmp_path / name)
    remove(tmp_path / "nothing")
    assert names(tmp_path) == ["folder"]
    assert names(tmp_path / "folder") == ["mine"]
    remove(tmp_path / "folder")
    assert names(tmp_path) == []


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "a.json"
    with files.replaced_file(path) as partial:
        partial.write_text("first")
        assert not path.exists()
    with contextlib.suppress(KeyboardInterrupt), files.replaced_file(path) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "first"
    assert [one.name for one in path.parent.iterdir()] == ["a.json"]
