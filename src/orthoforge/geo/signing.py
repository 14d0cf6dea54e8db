"""Content credentials (C2PA 2.2, https://spec.c2pa.org) for an image: a signed statement that a trained model made it.

The manifest goes into a file of its own beside the image, ``NAME.c2pa``, bound to every byte of it by a hash. Embedded in a TIFF
it would be one more page, without a picture: GDAL reads such a file as before and a Cloud Optimized GeoTIFF stays one, but Pillow
stumbles over the page and tifffile complains of it. Beside it, the image's file, its checksum and its layout stay what they are.
"""

import importlib
import io
import json
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

from orthoforge.errors import ConfigError, DataError
from orthoforge.files import new_file
from orthoforge.geo.rasters import require_memory

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
MEDIA_TYPES = {".tif": "image/tiff", ".tiff": "image/tiff", ".png": "image/png"}
# A thumbnail would decode the whole scene. Beyond so many MB the library keeps copies on the disk, two of three.
_SETTINGS = {"core": {"backing_store_memory_threshold_in_mb": 16}, "builder": {"thumbnail": {"enabled": False}}}
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


def sign(path: Path, *, certificate: Path, private_key: Path, overwrite: bool = False) -> Path:
    """Write the signed manifest of the image ``path`` (``.tif`` or ``.png``) beside it, as ``NAME.c2pa``, and return its path.

    ``certificate`` is a chain in PEM, the signer's own first; ``private_key`` its key in PEM, without a password (ECDSA on P-256,
    P-384 or P-521, Ed25519, or RSA). Nothing is asked of a network, so the signature bears no trusted time. Raises ``ConfigError``
    when the extra ``sign`` is not installed or the certificate is not one for signing, ``DataError`` for an image that is missing
    or has another suffix, ``ResourceError`` for one larger than the memory (the library holds the whole file), and what
    ``new_file`` raises.
    """
    c2pa = _c2pa()
    path = Path(path)
    media_type = MEDIA_TYPES.get(path.suffix.lower())
    if media_type is None or not path.is_file():
        raise DataError(f"{path}: {'no such file' if media_type else 'only .tif and .png are signed'}.")
    require_memory(path.stat().st_size, f"{path}: signing")
    chain, key = (_read_pem(file) for file in (certificate, private_key))
    algorithm = _algorithm(Path(private_key), key)
    with new_file(path.with_suffix(".c2pa"), overwrite=overwrite) as partial:
        try:
            builder = c2pa.Builder(_manifest(path, media_type), c2pa.Context.from_dict(_SETTINGS))
            builder.set_no_embed()
            signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(algorithm, chain, key, None))
            with open(path, "rb") as source, open(path, "rb") as again:
                partial.write_bytes(builder.sign(signer, media_type, source, _Unchanged(again)))
        except c2pa.C2paError as error:
            raise ConfigError(
                f"{path}: could not be signed with {certificate}: {error}. C2PA wants the certificate of an end entity for digital "
                "signatures, followed by those of its issuers, and the key that belongs to it."
            ) from error
    return path.with_suffix(".c2pa")


def require_signer(certificate: Path, private_key: Path) -> None:
    """Raise ``ConfigError`` when nothing could be signed with these, before there is anything to sign."""
    _c2pa()
    _read_pem(certificate)
    _algorithm(Path(private_key), _read_pem(private_key))


class _Unchanged(io.RawIOBase):
    """A file for the library to write its signed copy to, which without an embedded manifest is the same bytes again."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._file.readinto(buffer)  # type: ignore[attr-defined]

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def write(self, data: Any) -> int:
        assert self._file.read(len(data)) == bytes(data), "the library changed the image"
        return len(data)


def _manifest(path: Path, media_type: str) -> str:
    made = {"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE}
    manifest = {
        "claim_generator_info": [{"name": "orthoforge", "version": version("orthoforge")}],
        "format": media_type,
        "title": path.name,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [made]}}],
    }
    return json.dumps(manifest)


def _c2pa() -> ModuleType:
    try:
        return importlib.import_module("c2pa")
    except ImportError as error:
        raise ConfigError('signing needs the package c2pa-python. Install it with: pip install "orthoforge[sign]"') from error


def _read_pem(path: Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}).") from error


def _algorithm(path: Path, key: bytes) -> str:
    """The signature algorithm that fits the private key (C2PA 2.2, 13.2.1)."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        loaded = load_pem_private_key(key, password=None)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path}: is not a private key in PEM without a password ({error}).") from error
    if isinstance(loaded, rsa.RSAPrivateKey):
        return "ps256"
    if isinstance(loaded, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(loaded, ec.EllipticCurvePrivateKey) and loaded.curve.name in _CURVES:
        return _CURVES[loaded.curve.name]
    raise ConfigError(f"{path}: C2PA knows keys on P-256, P-384 and P-521, Ed25519 and RSA only.")
