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
import stat
import struct
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from orthoforge.errors import DataError, LockedError, OutputExistsError, ResourceError

PARTIAL = ".partial"
# What zipfile raises for archives that are damaged, encrypted or packed by a method that Python does not know.
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, NotImplementedError, RuntimeError)
_UNSENT = ".unsent"
_LONGEST_NAME = 255  # bytes, on every common file system
# What a disk says that knows no locks (NFS without lockd, some FUSE and SMB mounts), and one that forces no folder onto the medium.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
_NO_SYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextlib.contextmanager
def new_file(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on leaving the block it becomes ``path``, on an error it is removed.

    Raises ``OutputExistsError`` when ``path`` exists and ``overwrite`` is false, or is no file, ``LockedError`` when another
    process is writing it and ``ResourceError`` when the disk is full or the folder cannot be written.
    """
    path = Path(path)
    _require_kind(path, folder=False)
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
def replaced_file(path: Path, *, forced: bool = True) -> Iterator[Path]:
    """``new_file`` for who holds the lock of the folder and writes no more than the file: ``path`` is replaced, and nothing is
    looked for beside it. Of thousands of small files that is most of the time.

    One that is not ``forced`` onto the medium may be lost when the power fails. The caller forces it later, or notices."""
    partial = _beside(path, PARTIAL)
    with writable(path.parent):
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            if forced:
                sync(partial)
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def new_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty folder beside ``path``; on leaving the block it becomes ``path``, on an error it is removed.

    An empty folder may stand at ``path``. What else stands there is replaced whole, if ``overwrite``; a kill between the two
    renames leaves it as ``.NAME.former``, and the next writer puts it back. Raises what ``new_file`` raises.
    """
    path = Path(path)
    _require_kind(path, folder=True)
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
def lock(path: Path, *, wait: str = "") -> Iterator[None]:
    """Hold the write lock of ``path``. When another process holds it, ``LockedError``; or ``wait`` is said, and waited.

    The kernel drops the lock when its holder dies, however it dies, so a stale lock file is taken over. On a disk that has no
    locks, a file that names its holder's process stands for one.
    """
    path = Path(path)
    place = Path(os.path.abspath(path))  # "." has no name to put a suffix to
    with writable(path.parent):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError:  # of /proc, which says so of everything
            require_place(path.parent, folder=True)
            raise
        held = _acquired(path, lock_file(place), wait=wait)
    try:
        yield
    finally:
        # Unlinked while held. A waiter that opened the old inode sees that it has no name any more, and opens the new one.
        if not isinstance(held, SoftFileLock):
            with contextlib.suppress(OSError):
                os.unlink(held.lock_file)
        held.release()


def lock_file(path: Path) -> Path:
    """The file of ``path``'s lock. It is there while the lock is held, and after a kill until the next holder removes it."""
    return _beside(path, ".lock")


def mark_unsent(folder: Path) -> None:
    """What lies below ``folder`` is on its way to an object store: a file that is finished here is not finished there."""
    (folder / _UNSENT).touch()


def is_unsent(path: Path) -> bool:
    """Whether ``path`` lies in a folder that was marked so."""
    return any((parent / _UNSENT).exists() for parent in path.absolute().parents)


def _acquired(path: Path, lock_path: Path, *, wait: str) -> BaseFileLock:
    """The lock of ``path``, held."""
    held: BaseFileLock = FileLock(lock_path, timeout=0, fallback_to_soft=False)
    try:
        try:
            held.acquire()
        except Timeout:
            raise
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            lock_path.unlink(missing_ok=True)  # opened for nothing
            held = SoftFileLock(lock_path.with_suffix(".held"), timeout=0)
            held.acquire()
    except Timeout:
        if not Path(held.lock_file).exists():  # what looked like a lock was a folder that takes no files
            require_place(path)
        if not wait:
            raise LockedError(f"{path} is being written by another process. Wait for it, or choose another name.") from None
        print(wait, file=sys.stderr)
        held.acquire(timeout=-1)
    return held


def require_place(path: Path, *, folder: bool = False) -> None:
    """Raise before hours of work where, whatever ``overwrite`` says, nothing can be written: as the file ``path``, or with
    ``folder`` into the folder ``path``, which need not exist.

    ``OutputExistsError`` where a folder has a file's name or the other way round, ``ResourceError`` where the disk, or whoever owns
    it, takes no file there.
    """
    path = Path(path)
    _require_kind(path, folder=folder)
    home = path if folder else path.parent
    try:
        home = next(one for one in (home.absolute(), *home.absolute().parents) if os.path.lexists(one))
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        why = "takes no new file" if home.is_dir() else "is no folder"
        raise ResourceError(
            f"{path}: cannot be written ({error.strerror}): {home} {why}. Choose a folder you may write to."
        ) from error


def _require_kind(path: Path, *, folder: bool) -> None:
    """Raise ``OutputExistsError`` where something else than a file, or a folder, has the name."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            if folder and path.is_symlink():
                raise OutputExistsError(f"{path} is a link to nothing; a folder is written here. Choose another name.") from error
            return
        raise ResourceError(f"{path}: cannot be written ({error.strerror}). Choose another name.") from error
    if folder and not stat.S_ISDIR(mode):
        raise OutputExistsError(f"{path} is a file; a folder is written here. Choose another name.")
    if not folder and not stat.S_ISREG(mode):
        there = "a folder" if stat.S_ISDIR(mode) else "a device or a pipe"
        raise OutputExistsError(f"{path} is {there}; a file is written here. Choose another name.")


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


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what the system says of ``path`` inside the block, such as 'permission denied', into a ``DataError`` that names it."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}). Allow reading it, or leave it out.") from error


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
    """Force a file's or a folder's content to the disk, as far as the disk can be forced."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        sync_open(descriptor)
    finally:
        os.close(descriptor)


def sync_open(descriptor: int) -> None:
    """The same of what is open. Some network disks force no folder, and some mounts nothing at all."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def remove(path: Path) -> None:
    """Remove a file, a folder with all that it holds, or a link but not what it leads to; nothing where nothing is."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def require_end(path: Path) -> None:
    """Raise ``OSError`` for a device or a pipe: reading it might never end."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "it is a device or a pipe; copy it into a file", str(path))


def real_path(path: Path) -> Path:
    """``path.resolve()``, but of links that lead in a circle too, which are left as they are: whoever opens them says so."""
    return Path(os.path.realpath(path))


def no_such_file(path: Path) -> str:
    """What is said of a file that is not there: that it is a link without a target, or the most similar name in its folder."""
    if path.is_symlink():
        return f"{path}: is a link to {os.readlink(path)}, which is not there. Bring the file back, or remove the link."
    if not path.parent.is_dir():
        return f"{path}: no such file; there is no folder {path.parent}."
    names = [file.name for file in path.parent.iterdir() if file.is_file()]
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"{path}: no such file.{f' Did you mean {close[0]}?' if close else ''}"


def no_folder(path: Path) -> str:
    """``PATH: no such folder``, or what else is there."""
    return f"{path}: {'a file, and not a folder' if path.exists() else 'no such folder'}"


def is_file_name(name: str) -> bool:
    """Whether text from a file may become the name of one: a single part of a path, not a way to another folder."""
    return name not in ("", ".", "..") and not re.search(r"[/\\\0]", name)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file as 64 hex digits, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
