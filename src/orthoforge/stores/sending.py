"""Files of this machine to objects: each appears under its name when it is whole."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from orthoforge.errors import ResourceError
from orthoforge.files import sha256_of
from orthoforge.progress import Progress
from orthoforge.stores.addresses import Address
from orthoforge.stores.client import client_of, in_our_words, names
from orthoforge.stores.record import Record

_AT_ONCE = 4
# A folder of tiles is one when this file is there, so it goes last.
_LAST = ("store.json",)
_UNDER_WAY = ""  # in place of a checksum: a kill may come between the object and its line


def holds_others(address: Address, record: Record) -> bool:
    """Whether there is such an object, or one below it, that was not sent by ``record``."""
    found = names(client_of(address), address)
    # Files go to where the address itself lies, except into a whole bucket.
    return any(not record.knows(f"{address.name}/{name}".rstrip("/") if address.key else name) for name in found)


def send(folder: Path, address: Address, record: Record, *, last: str) -> int:
    """Send all files of the folder below the address; returns how many were sent. What is called ``last`` goes at the end.

    A store shows an object when all of it has arrived: S3 and Google at the end of an upload in parts, Azure when blocks are
    committed. Those that an earlier call sent, by ``record``, are left out. Raises ``ResourceError`` where the store fails.
    """
    client = client_of(address)
    files = {one.relative_to(folder).as_posix(): one for one in _files(folder)}
    checksums = {name: sha256_of(file) for name, file in files.items()}
    lacking = [name for name, file in files.items() if not record.holds(name, file.stat().st_size, checksums[name])]

    def put(name: str) -> None:
        where, size = address.below(name), files[name].stat().st_size
        record.add(name, size, _UNDER_WAY)
        with in_our_words(where):
            client.put(where.key, files[name])
            arrived = client.head(where.key)["size"]
        if arrived != size:
            raise ResourceError(f"{where}: has {arrived} bytes, not the {size} that were sent. Run it again.")
        record.add(name, size, checksums[name])

    ends = {name for name in lacking if name == last or name.rpartition("/")[2] in _LAST}
    with Progress().task(f"objects of {address}", len(lacking)) as step:
        for group in ([name for name in lacking if name not in ends], sorted(ends)):
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                for _ in pool.map(put, group):
                    step()
    return len(lacking)


def _files(folder: Path) -> list[Path]:
    """What was made: without hidden files and folders, which are for the next run on this machine."""
    return [
        one for one in sorted(folder.rglob("*"))
        if one.is_file() and not any(part.startswith(".") for part in one.relative_to(folder).parts)
    ]  # fmt: skip
