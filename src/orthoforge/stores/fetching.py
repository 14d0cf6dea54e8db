"""Objects to files of this machine: whole, or not at all."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from orthoforge.errors import DataError
from orthoforge.files import new_file, require_free_space
from orthoforge.progress import Progress
from orthoforge.stores.addresses import Address
from orthoforge.stores.client import Object, client_of, in_our_words, objects
from orthoforge.stores.record import Record

_AT_ONCE = 8


def fetch(address: Address, path: Path, record: Record) -> int:
    """Bring the object to ``path``, or all below it into the folder ``path``; returns how many came.

    A file that is there already, of the version that the store has, is kept. Raises ``DataError`` where there is no such object or
    it changes meanwhile, ``ResourceError`` where the store or the disk cannot be used.
    """
    client = client_of(address)
    found = objects(client, address)
    _clear(path, {one.name for one in found})
    lacking = [one for one in found if not _is_here(one, path / one.name, record)]
    require_free_space(path.parent, sum(one.size for one in lacking), f"bringing {address} here")

    def bring(one: Object) -> None:
        target = path / one.name
        target.parent.mkdir(parents=True, exist_ok=True)
        where = address.below(one.name)
        with new_file(target, overwrite=True) as partial, in_our_words(where):
            with open(partial, "wb") as file:
                for piece in client.get(where.key).stream():
                    file.write(piece)
            if (size := partial.stat().st_size) != one.size:
                raise DataError(
                    f"{where}: has {size} bytes, not the {one.size} that its store lists. Is it being written? Try again."
                )
        os.utime(target, (one.modified, one.modified))
        record.add(one.name, one.size, one.version)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in Progress().over(pool.map(bring, lacking), f"objects of {address}", len(lacking)):
            pass
    return len(lacking)


def _clear(path: Path, names: set[str]) -> None:
    """Remove what an earlier call brought and the store has no more."""
    if path.is_file() and "" not in names:
        path.unlink()
    elif path.is_dir() and "" in names:
        shutil.rmtree(path)
    for file in path.rglob("*"):
        if file.is_file() and file.relative_to(path).as_posix() not in names:
            file.unlink()


def _is_here(one: Object, path: Path, record: Record) -> bool:
    return path.is_file() and path.stat().st_size == one.size and record.holds(one.name, one.size, one.version)
