"""The client of a store, obstore, and what it says when it fails, without what is secret."""

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from orthoforge.errors import ConfigError, DataError, OrthoforgeError, ResourceError
from orthoforge.files import is_file_name
from orthoforge.stores.addresses import Address

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import AzureStore, ClientConfig, GCSStore, HTTPStore, RetryConfig, S3Store

    Store = S3Store | GCSStore | AzureStore | HTTPStore

_VARIABLES = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION", "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY", "https": "none; the address must be open to all",
}  # fmt: skip
_ALLOWING = {"s3": "AWS_ALLOW_HTTP", "gs": "GOOGLE_ALLOW_HTTP", "az": "AZURE_ALLOW_HTTP"}
_TRIES, _TRYING_S = 3, 60
# Of a request as a whole, and of one on which nothing comes any more.
_TIMEOUT, _SILENCE, _CONNECTING = "2h", "60s", "15s"
_SECRET = re.compile("KEY|SECRET|TOKEN|PASSW|CREDENTIAL|SAS|CONNECTION_STRING|SIGNATURE", re.IGNORECASE)
_SHORTEST_SECRET = 6
_MOST_WORDS = 300
_REFUSED = ("PermissionDeniedError", "UnauthenticatedError")


@dataclass(frozen=True)
class Object:
    """What a store says of an object. ``name`` is its place below the address that was asked for; empty for that itself."""

    name: str
    size: int
    version: str
    """Changes with its content."""
    modified: float
    """Seconds of the epoch."""


def client_of(address: Address) -> "Store":
    """The client of a store, which takes credentials and endpoint from the environment. ``ConfigError`` without obstore."""
    try:
        from obstore.store import AzureStore, GCSStore, HTTPStore, S3Store
    except ImportError:
        raise ConfigError(f"{address}: needs the package obstore. Install the extra: pip install 'orthoforge[stores]'") from None
    retries: RetryConfig = {"max_retries": _TRIES, "retry_timeout": timedelta(seconds=_TRYING_S)}
    # A store of one's own, such as MinIO, may speak HTTP; the environment says so in the words of the client.
    plain = os.environ.get(_ALLOWING.get(address.scheme, ""), "").lower() in ("true", "1")
    options: ClientConfig = {"timeout": _TIMEOUT, "read_timeout": _SILENCE, "connect_timeout": _CONNECTING, "allow_http": plain}
    kinds: dict[str, type[S3Store | GCSStore | AzureStore]] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
    with in_our_words(address):
        if address.scheme == "https":
            return HTTPStore(f"https://{address.place}", client_options=options, retry_config=retries)
        return kinds[address.scheme](address.place, client_options=options, retry_config=retries)


@contextlib.contextmanager
def in_our_words(address: Address) -> Iterator[None]:
    """Turn what the client raises into ``DataError`` or ``ResourceError``, without what the environment holds of credentials."""
    try:
        yield
    except OrthoforgeError:
        raise
    except FileNotFoundError:
        raise DataError(f"{address}: no such object.") from None
    except Exception as error:  # it has errors of several kinds
        if type(error).__name__ in _REFUSED:
            raise ResourceError(
                f"{address}: the store refuses access. Credentials come from the environment: {_VARIABLES[address.scheme]}."
            ) from None
        raise ResourceError(f"{address}: the store cannot be used ({_told(error)}).") from None


def objects(client: "Store", address: Address) -> list[Object]:
    """The object, or all below it, by name. ``DataError`` where there is none, or one whose name is none for a file."""
    single = _single(client, address)
    if single is not None:
        return [single]
    found, listed = [], _listed(client, address)
    for meta in listed:
        name = _below(meta, address)
        if not name and meta["size"] == 0:  # what some programs put in place of a folder
            continue
        if not all(is_file_name(part) for part in name.split("/")):
            raise DataError(f"{address}: holds an object whose name cannot be one of a file: {name[:200]!r}. Give it another name.")
        if not (meta["size"] == 0 and any(other["path"].startswith(f"{meta['path']}/") for other in listed)):
            found.append(_object(name, meta))
    if not found:
        raise DataError(f"{address}: no such object, and none below it.")
    return found


def names(client: "Store", address: Address) -> list[str]:
    """Names as ``objects`` gives them, also those that are none for a file; none where there is no such object."""
    if _single(client, address) is not None:
        return [""]
    return [_below(meta, address) for meta in _listed(client, address)]


def _listed(client: "Store", address: Address) -> "list[ObjectMeta]":
    """What the store tells of all objects below the address, by name."""
    if address.scheme == "https":
        return []
    with in_our_words(address):
        return sorted(client.list(address.key or None).collect(), key=lambda one: one["path"])


def _below(meta: "ObjectMeta", address: Address) -> str:
    return meta["path"][len(address.key) :].strip("/")


def _single(client: "Store", address: Address) -> Object | None:
    """The object of that very name."""
    if not address.key:
        return None
    try:
        with in_our_words(address):
            return _object("", client.head(address.key))
    except DataError:
        return None


def _object(name: str, meta: "ObjectMeta") -> Object:
    modified = meta["last_modified"].timestamp()
    return Object(name, meta["size"], meta["e_tag"] or meta["version"] or str(modified), modified)


def _told(error: Exception) -> str:
    """What an error says, on one line and without a value of the environment that may be secret."""
    words = " ".join(str(error).partition("Debug source")[0].split()) or type(error).__name__
    for name, value in os.environ.items():
        if _SECRET.search(name) and len(value) >= _SHORTEST_SECRET:
            words = words.replace(value, "…")
    return words[:_MOST_WORDS]
