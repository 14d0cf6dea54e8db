"""Damaged and hostile descriptions and manifests: each opens as a sound store or is refused in words."""

import contextlib
import copy
import hashlib
import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import make_dataset
from orthoforge.errors import DataError
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore

SIZE = 8
ODD = [-1, 10**400, "../x", "EPSG:4326"]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(ODD),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("forms")
    make_dataset(root / "data", ["austin1", "austin2"], 16)
    return prepare(root / "data", root / "tiles", grid=2, size=SIZE, split="digits", bands=[1, 2, 3]).path


@pytest.fixture(scope="module")
def tiles(made):
    """Written over by every test."""
    return shutil.copytree(made, made.parent / "copy")


def body_of(made):
    return json.loads((made / "store.json").read_text())


def lines_of(made):
    return [json.loads(line) for line in (made / "manifest.jsonl").read_text().splitlines()]


def write(tiles, body, lines):
    """``lines``, values or bytes, as the manifest of a store whose fingerprint is right."""
    manifest = lines if isinstance(lines, bytes) else "".join(json.dumps(line) + "\n" for line in lines).encode()
    (tiles / "manifest.jsonl").write_bytes(manifest)
    whole = body | {"fingerprint": hashlib.sha256(manifest).hexdigest()} if isinstance(body, dict) else body
    (tiles / "store.json").write_bytes(whole if isinstance(whole, bytes) else json.dumps(whole).encode())


def require_sound_or_refused(tiles):
    with contextlib.suppress(DataError):
        store = TileStore.open(tiles)
        for tile_id in range(len(store.rows)):
            image, mask = store.tile(tile_id)
            assert image.shape == (store.size_px, store.size_px, store.bands)
            assert mask.shape == (store.size_px, store.size_px)
            assert store.mask_rgb(np.zeros_like(mask)).shape == (*mask.shape, 3)
            assert store.describe(tile_id)
        assert (store.attribution, store.class_count) is not None


def changed(value, data):
    """``value`` with one of its parts, at any depth, replaced or taken away."""
    value = copy.deepcopy(value)
    parts = []

    def walk(part):
        for key in list(part) if isinstance(part, dict) else range(len(part)):
            parts.append((part, key))
            if isinstance(part[key], dict | list):
                walk(part[key])

    walk(value)
    part, key = data.draw(st.sampled_from(parts))
    if data.draw(st.booleans()):
        del part[key]
    else:
        part[key] = data.draw(ANYTHING)
    return value


@given(st.data())
def test_any_change_of_the_description_opens_or_is_refused(made, tiles, data):
    write(tiles, changed(body_of(made), data), lines_of(made))
    require_sound_or_refused(tiles)


@given(st.data())
def test_any_change_of_the_manifest_opens_or_is_refused(made, tiles, data):
    write(tiles, body_of(made), changed(lines_of(made), data))
    require_sound_or_refused(tiles)


@given(st.data())
def test_any_bytes_open_or_are_refused(made, tiles, data):
    manifest = bytearray((made / "manifest.jsonl").read_bytes())
    at = data.draw(st.integers(0, len(manifest) - 1))
    manifest[at : at + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=5))
    write(tiles, body_of(made), bytes(manifest))
    require_sound_or_refused(tiles)
    text = bytearray((made / "store.json").read_bytes())
    at = data.draw(st.integers(0, len(text) - 1))
    text[at : at + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=5))
    write(tiles, bytes(text), (made / "manifest.jsonl").read_bytes())
    require_sound_or_refused(tiles)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("index", -1, r"manifest\.jsonl: line 2 is damaged \(index: Input should be greater than or equal to 0\)"),
        ("index", 4, r"the tiles of austin1 are not numbered from 0"),
        ("index", 0, r"the tiles of austin1 are not numbered from 0"),
        ("scene", "../../x", r"line 2 is damaged \(scene: "),
        ("split", "all", r"line 2 is damaged \(split: "),
        ("window", [0, 0, 8], r"line 2 is damaged \(window"),
        ("grid", {"transform": [0, 0, 0, 0, 0, 0], "crs": None}, "no pixel has an area"),
        ("grid", {"transform": [1, 0, 0, 0, -1, 0], "crs": "/etc/hostname"}, "'/etc/hostname' is no CRS"),
        ("grid", {"transform": [1, 0, 0, 0, -1, 0], "crs": ""}, "'' is no CRS"),
        ("building_share", 1.5, r"line 2 is damaged \(building_share: "),
        ("sha256", "x", r"line 2 is damaged \(sha256: "),
        ("surprise", 1, r"line 2 is damaged \(surprise: "),
    ],
)
def test_what_does_not_fit_is_named(made, tiles, field, value, message):
    lines = lines_of(made)
    lines[1][field] = value
    write(tiles, body_of(made), lines)
    with pytest.raises(DataError, match=message):
        TileStore.open(tiles)


@pytest.mark.parametrize(
    "change",
    [
        {"size_px": -1}, {"size_px": "8"}, {"settings": []}, {"classes": {"names": ["a"], "colours": []}}, {"format": None},
        {"gsd_m": -0.3}, {"gsd_m": 1e-300}, {"settings": {"attribution": 1, "split": "blocks"}},
    ],
)  # fmt: skip
def test_a_description_that_does_not_fit_is_named(made, tiles, change):
    write(tiles, body_of(made) | change, lines_of(made))
    with pytest.raises(DataError, match=r"store\.json: .*damaged"):
        TileStore.open(tiles)


def test_a_crs_that_names_a_file_is_not_opened(made, tiles, tmp_path):
    (tmp_path / "place.wkt").write_text('GEOGCS["x",DATUM["d",SPHEROID["s",6378137,298]],PRIMEM["g",0],UNIT["degree",0.017]]')
    lines = lines_of(made)
    lines[0]["grid"]["crs"] = str(tmp_path / "place.wkt")
    write(tiles, body_of(made), lines)
    with pytest.raises(DataError, match=r"line 1 is damaged.*is no CRS"):
        TileStore.open(tiles)


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"[]", b"null", b"\xff\xfe", b'{"format": 1e999}'])
def test_no_description_at_all(made, tiles, content):
    write(tiles, content, lines_of(made))
    with pytest.raises(DataError, match=r"store\.json: not a tile store's description, or damaged"):
        TileStore.open(tiles)


def test_damaged_records_are_cut_anew(made, tmp_path):
    """They are hidden in the store and say what an interrupted command finished."""
    data = made.parent / "data"
    options = {"grid": 2, "size": SIZE, "split": "digits", "bands": [1, 2, 3]}
    whole = prepare(data, tmp_path / "tiles", **options)
    record = whole.path / ".records/together/austin1.json"
    sound = json.loads(record.read_text())
    scene = sound["scenes"]["austin1"]
    other_scene = [row | {"scene": "austin2"} for row in scene["rows"]]
    scenes = [scene | {"rows": rows} for rows in (None, [1], other_scene, [{}])]
    others = [{}, [], None, {"austin1": None}, *({"austin1": one} for one in scenes)]
    for damaged in ([], {}, *(sound | {"scenes": one} for one in others)):
        record.write_text(json.dumps(damaged))
        (whole.path / "store.json").unlink()
        assert prepare(data, whole.path, **options).fingerprint == whole.fingerprint
        assert json.loads(record.read_text()) == sound
