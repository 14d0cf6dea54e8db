"""Addresses of a command as files of this machine, for as long as it works."""

import hashlib
import os
import shutil
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, overload

from orthoforge.errors import ConfigError, OrthoforgeError, OutputExistsError
from orthoforge.files import lock, mark_unsent
from orthoforge.stores.addresses import Address, address_of
from orthoforge.stores.fetching import fetch
from orthoforge.stores.record import Record
from orthoforge.stores.sending import holds_others, send

_CACHE = "ORTHOFORGE_CACHE"
_RECEIVED, _SENT = "received.jsonl", "sent.jsonl"


@dataclass(frozen=True)
class Staged:
    """An address and where it lies here. Its folder is removed when the command has ended well."""

    address: Address
    folder: Path

    @property
    def path(self) -> Path:
        """In a folder without anything else, under the name that it has in the store."""
        return self.folder / "files" / self.address.name


class Stores:
    """Files of a command that lie in object stores; a context manager.

    What is read is brought here first, and what is made is sent when the block ends well. Then nothing is left here. After an error
    or a kill both stay: the same command, with the same addresses, goes on. Paths of this machine are handed back as they are.

    with Stores() as stores:
        generate("runs/mine", stores.read("s3://bucket/masks"), stores.write("s3://bucket/images"))
    """

    def __init__(self) -> None:
        self._read: list[Staged] = []
        self._written: list[Staged] = []
        self._held = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        with self._held:
            if isinstance(error, OrthoforgeError):
                error.args = (self.shown(str(error)),)
            if error is not None:
                return
            for one in self._written:
                # What lies beside a file, such as a STAC item, goes along.
                made = one.path.parent if one.address.key else one.path
                sent = send(made, one.address.around, Record(one.folder / _SENT), last=one.address.name)
                print(f"{one.address}: {sent} objects were sent", file=sys.stderr)
            for one in (*self._read, *self._written):
                shutil.rmtree(one.folder, ignore_errors=True)

    @overload
    def read(self, path: str | Path) -> Path: ...
    @overload
    def read(self, path: None) -> None: ...
    @overload
    def read(self, path: Path | None) -> Path | None: ...
    def read(self, path: str | Path | None) -> Path | None:
        """Where the object, or all below it, lies here; it is brought now.

        Raises ``ConfigError`` for an address that is none, ``DataError`` where there is no such object, ``ResourceError`` where the
        store or the disk cannot be used.
        """
        address = address_of(path)
        if address is None:
            return None if path is None else Path(path)
        known = next((one for one in self._read if one.address == address), None)
        if known is not None:
            return known.path
        staged = self._place(address, "read")
        print(f"{address}: bringing it here", file=sys.stderr)
        fetch(address, staged.path, Record(staged.folder / _RECEIVED))
        self._read.append(staged)
        return staged.path

    @overload
    def write(self, path: str | Path, *, overwrite: bool = False) -> Path: ...
    @overload
    def write(self, path: None, *, overwrite: bool = False) -> None: ...
    @overload
    def write(self, path: Path | None, *, overwrite: bool = False) -> Path | None: ...
    def write(self, path: str | Path | None, *, overwrite: bool = False) -> Path | None:
        """Where to write what is sent to the address when the block ends well.

        Raises ``OutputExistsError`` where something is there that this command did not send, and ``overwrite`` is false.
        """
        address = address_of(path)
        if address is None:
            return None if path is None else Path(path)
        if address.scheme == "https":
            raise ConfigError(f"{address}: nothing can be written there. Write to s3://, gs:// or az://, or to this machine.")
        staged = self._place(address, "write")
        mark_unsent(staged.folder)
        if not overwrite and holds_others(address, Record(staged.folder / _SENT)):
            raise OutputExistsError(f"{address} exists. Pass --overwrite to replace it, or choose another name.")
        self._written.append(staged)
        return staged.path

    def shown(self, text: object) -> str:
        """``text`` with addresses in place of where they lie here."""
        words = str(text)
        for one in (*self._read, *self._written):
            words = words.replace(str(one.path), str(one.address))
        return words

    def _place(self, address: Address, what: str) -> Staged:
        """A folder of this address alone, locked."""
        folder = cache() / hashlib.sha256(f"{what} {address}".encode()).hexdigest()[:24]
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._held.enter_context(lock(folder))
        (folder / "files").mkdir(parents=True, exist_ok=True)
        return Staged(address, folder)


def cache() -> Path:
    """Where objects lie meanwhile: ``ORTHOFORGE_CACHE``, or the user's cache."""
    home = os.environ.get(_CACHE) or os.path.join(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "orthoforge")
    return Path(home) / "stores"
