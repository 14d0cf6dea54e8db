import json
import sys

import c2pa
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from conftest import make_grid
from orthoforge.errors import ConfigError, DataError, OutputExistsError, ResourceError
from orthoforge.geo.cog import write_raster
from orthoforge.geo.rasters import memory
from orthoforge.geo.signing import MEDIA_TYPES, SOURCE_TYPE, sign
from signers import make_signer


def write_image(path):
    write_raster(path, np.random.default_rng(0).integers(0, 256, (600, 600, 3), np.uint8), make_grid(600))
    return path


def validated(path, manifest):
    """The state, the codes of what failed, and the manifest."""
    with open(path, "rb") as file, c2pa.Reader(MEDIA_TYPES[path.suffix], file, manifest.read_bytes()) as reader:
        report = json.loads(reader.json())
        failures = {status["code"] for status in report["validation_results"]["activeManifest"]["failure"]}
        return report["validation_state"], failures, report["manifests"][report["active_manifest"]]


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_a_signed_image_is_unchanged_and_its_manifest_says_who_made_it_and_how(tmp_path, suffix):
    path = write_image(tmp_path / f"a{suffix}")
    before = path.read_bytes()
    manifest_path = sign(path, **make_signer(tmp_path))
    assert manifest_path == tmp_path / "a.c2pa"
    assert path.read_bytes() == before
    state, failures, manifest = validated(path, manifest_path)
    # Nobody trusts the test's own authority; everything else holds.
    assert (state, failures) == ("Valid", {"signingCredential.untrusted"})
    (actions,) = (item["data"]["actions"] for item in manifest["assertions"] if item["label"] == "c2pa.actions.v2")
    assert actions == [{"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE}]
    assert manifest["claim_generator_info"][0]["name"] == "orthoforge"
    assert manifest["signature_info"]["common_name"] == "signer"
    assert manifest_path.stat().st_size < 10_000  # no thumbnail


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_a_changed_pixel_is_noticed(tmp_path, suffix):
    path = write_image(tmp_path / f"a{suffix}")
    manifest = sign(path, **make_signer(tmp_path))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    state, failures, _ = validated(path, manifest)
    assert state == "Invalid"
    assert "assertion.dataHash.mismatch" in failures


@pytest.mark.parametrize(
    "key",
    [ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048)],
    ids=["P-384", "Ed25519", "RSA"],
)
def test_other_kinds_of_keys_sign_too(tmp_path, key):
    path = write_image(tmp_path / "a.tif")
    assert validated(path, sign(path, **make_signer(tmp_path, key)))[0] == "Valid"


def test_what_cannot_sign_is_refused_in_words(tmp_path):
    path, signer = write_image(tmp_path / "a.tif"), make_signer(tmp_path)
    folders = tmp_path / "stranger", tmp_path / "curve"
    for folder in folders:
        folder.mkdir()
    stranger, curve = make_signer(folders[0]), make_signer(folders[1], ec.generate_private_key(ec.SECP256K1()))
    cases = [
        ({"certificate": tmp_path / "none.pem"}, r"none\.pem: cannot be read \(No such file"),
        ({"private_key": signer["certificate"]}, r"chain\.pem: is not a private key in PEM"),
        ({"certificate": signer["private_key"]}, r"a\.tif: could not be signed with .*key\.pem: "),
        ({"private_key": stranger["private_key"]}, r"a\.tif: could not be signed with .*and the key that belongs to it"),
        (curve, r"key\.pem: C2PA knows keys on P-256"),
    ]
    for change, message in cases:
        with pytest.raises(ConfigError, match=message):
            sign(path, **(signer | change))
    assert not (tmp_path / "a.c2pa").exists()
    for missing, message in (("none.tif", "no such file"), ("chain.pem", r"only \.tif and \.png")):
        with pytest.raises(DataError, match=message):
            sign(tmp_path / missing, **signer)


def test_a_manifest_is_kept_unless_asked(tmp_path):
    path, signer = write_image(tmp_path / "a.tif"), make_signer(tmp_path)
    sign(path, **signer)
    with pytest.raises(OutputExistsError):
        sign(path, **signer)
    sign(path, **signer, overwrite=True)


def test_an_image_larger_than_the_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path, signer = write_image(tmp_path / "a.tif"), make_signer(tmp_path)
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)
    with pytest.raises(ResourceError, match=r"a\.tif: signing needs about .* GB of memory"):
        sign(path, **signer)
    assert not (tmp_path / "a.c2pa").exists()


def test_without_the_extra_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(ConfigError, match=r'pip install "orthoforge\[sign\]"'):
        sign(tmp_path / "a.tif", certificate=tmp_path, private_key=tmp_path)
