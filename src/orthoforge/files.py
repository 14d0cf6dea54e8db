"""Writing files so that a final name always holds a finished file.

Everything is written under a temporary name in the same folder and renamed when complete. A process that is killed leaves at most
a ``*.partial``, which the next writer of that name clears away.
"""

import contextlib
import difflib
import errno
import glob
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from orthoforge.errors import LockedError, OutputExistsError, ResourceError

PARTIAL = ".partial"
_LONGEST_NAME = 255  # bytes, on every common file system


@contextlib.contextmanager
def new_file(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on leaving the block it becomes ``path``, on an error it is removed.

    Raises ``OutputExistsError`` when ``path`` exists and ``overwrite`` is false, ``LockedError`` when another process is writing it
    and ``ResourceError`` when the disk is full or the folder cannot be written.
    """
    path = Path(path)
    # GDAL picks nothing from the name, so the suffix may be anything; the dot hides it from a glob for rasters.
    partial = _beside(path, PARTIAL)
    with writable(path.parent), lock(path):
        if path.exists() and not overwrite:  # asked under the lock: the writer before may have just finished
            raise OutputExistsError(f"{path} exists. Pass --overwrite to replace it, or choose another name.")
        try:
            partial.unlink(missing_ok=True)
            yield partial
            sync(partial)
            os.replace(partial, path)
        finally:
            # GDAL writes side files such as .msk and .ovr.tmp. Escaped: a name may hold brackets.
            for leftover in path.parent.glob(f"{glob.escape(partial.name)}*"):
                leftover.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty folder beside ``path``; on leaving the block it becomes ``path``, on an error it is removed.

    An empty folder may stand at ``path``. What else stands there is replaced whole, if ``overwrite``; a kill between the two
    renames leaves it as ``.NAME.former``, and the next writer puts it back. Raises what ``new_file`` raises.
    """
    path = Path(path)
    partial, former = (_beside(path, suffix) for suffix in (PARTIAL, ".former"))
    with writable(path.parent), lock(path):
        if former.exists() and not path.exists():
            os.rename(former, path)
        if path.exists() and not overwrite and not (path.is_dir() and not any(path.iterdir())):
            raise OutputExistsError(f"{path} exists. Pass --overwrite to replace it, or choose another name.")
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            yield partial
            for file in partial.iterdir():
                sync(file)
            sync(partial)
            if path.exists():
                shutil.rmtree(former, ignore_errors=True)
                os.rename(path, former)
            os.rename(partial, path)
            sync(path.parent)
        finally:
            for leftover in (partial, former) if path.exists() else (partial,):
                shutil.rmtree(leftover, ignore_errors=True)


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the write lock of ``path``; ``LockedError`` when another process holds it.

    The kernel drops the lock when its holder dies, however it dies, so a stale lock file is taken over.
    """
    path = Path(path)
    with writable(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock_path = _beside(path, ".lock")
        file_lock = FileLock(lock_path, timeout=0)
        try:
            file_lock.acquire()
        except Timeout:
            raise LockedError(f"{path} is being written by another process. Wait for it, or choose another name.") from None
    try:
        yield
    finally:
        # Unlinked while held: a waiter that opened the old inode would lock a file nobody sees, but nobody waits here (timeout 0).
        with contextlib.suppress(OSError):
            lock_path.unlink()
        file_lock.release()


@contextlib.contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Turn 'disk full', 'read-only' and 'permission denied' inside the block into a ``ResourceError`` that names ``folder``."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise ResourceError(f"{folder}: no space left on the disk. Free some space and run the same command again.") from error
        if error.errno == errno.ENAMETOOLONG:
            raise ResourceError(f"{error.filename}: the name is too long for the disk. Choose a shorter one.") from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
            raise ResourceError(f"{folder}: cannot be written ({error.strerror}). Choose a folder you may write to.") from error
        raise


def _beside(path: Path, suffix: str) -> Path:
    """A hidden name beside ``path``, not longer than file systems take: GDAL adds a suffix of its own to it."""
    name = f".{path.name}{suffix}"
    if len(os.fsencode(name)) > _LONGEST_NAME - len(".ovr.tmp"):
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32]}{suffix}"
    return path.with_name(name)


def require_free_space(folder: Path, needed_bytes: int, what: str) -> None:
    """Raise ``ResourceError`` with both numbers when the disk of ``folder`` has less than ``needed_bytes`` left."""
    existing = next(parent for parent in (Path(folder).absolute(), *Path(folder).absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < needed_bytes:
        raise ResourceError(
            f"{folder}: {what} needs about {needed_bytes / 1e6:.0f} MB, the disk has {free / 1e6:.0f} MB left. "
            "Free some space or choose another disk."
        )


def sync(path: Path) -> None:
    """Force a file's or a folder's content to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def no_such_file(path: Path) -> str:
    """What is said of a file that is not there, with the most similar name that its folder holds."""
    if not path.parent.is_dir():
        return f"{path}: no such file; there is no folder {path.parent}."
    names = [file.name for file in path.parent.iterdir() if file.is_file()]
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"{path}: no such file.{f' Did you mean {close[0]}?' if close else ''}"


def is_file_name(name: str) -> bool:
    """Whether text from a file may become the name of one: a single part of a path, not a way to another folder."""
    return name not in ("", ".", "..") and not re.search(r"[/\\\0]", name)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file as 64 hex digits, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
