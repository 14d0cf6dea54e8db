"""Addresses of objects, as a user types them: ``s3://BUCKET/KEY``, ``gs://…``, ``az://CONTAINER/…``, ``https://HOST/…``."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from orthoforge.errors import ConfigError

SCHEMES = ("s3", "gs", "az", "https")
"""Those that are read. ``https`` is read only, and only as single files."""
# A ``Path`` of "s3://bucket/key" has one slash left. A letter and a colon are a drive of Windows.
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)
# The same stores under names that other programs give them, and what would read files of this machine or of anybody.
_OTHERS = ("http", "ftp", "ftps", "sftp", "file", "s3a", "s3n", "gcs", "abfs", "abfss", "wasb", "wasbs", "hdfs", "memory")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Address:
    """Where an object lies, or those whose keys begin with ``key`` and a slash."""

    scheme: str
    place: str
    """The bucket, container or host."""
    key: str
    """Without a slash at either end; empty for a whole bucket."""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.place}/{self.key}".rstrip("/")

    @property
    def name(self) -> str:
        """The last part: what its file is called on this machine."""
        return (self.key or self.place).rpartition("/")[2]

    @property
    def around(self) -> "Address":
        """What it lies in; a bucket lies in itself."""
        return Address(self.scheme, self.place, self.key.rpartition("/")[0])

    def below(self, name: str) -> "Address":
        """The address of ``name`` inside of it."""
        return Address(self.scheme, self.place, f"{self.key}/{name}".strip("/"))


def address_of(path: str | Path | None) -> Address | None:
    """The address that ``path`` is, or ``None`` for a path of this machine.

    Raises ``ConfigError`` for another scheme, for one that holds a name, a password or a query (a signed address is a credential),
    and for parts that lead elsewhere. The message repeats none of these.
    """
    found = _ADDRESS.fullmatch(str(path)) if path is not None else None
    if found is None or (scheme := found[1].lower()) not in (*SCHEMES, *_OTHERS):
        return None
    place, _, key = found[2].partition("/")
    allowed = ", ".join(f"{one}://" for one in SCHEMES)
    if scheme in _OTHERS:
        raise ConfigError(f"{scheme}:// is not read. Use {allowed} or a path of this machine.")
    if "@" in place or "?" in found[2] or "#" in found[2]:
        raise ConfigError(
            f"{scheme}://…: an address names a place and nothing else: no user, password, query or signature. Credentials belong "
            "in the environment (docs/stores.md)."
        )
    # As a browser shows it, "a%20b.tif"; the client writes it so again.
    key = unquote(key) if scheme == "https" else key
    parts = key.strip("/").split("/") if key.strip("/") else []
    if not place or _CONTROL.search(f"{place}{key}") or any(part in ("", ".", "..") or "\\" in part for part in parts):
        raise ConfigError(f"{scheme}://…: is no address of an object. It looks like {scheme}://PLACE/folder/name.tif.")
    return Address(scheme, place, "/".join(parts))
