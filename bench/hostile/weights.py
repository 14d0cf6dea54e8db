"""Weights that are no weights, states of absurd size, and rows of a store that cannot be; with checksums that fit."""

import json
import shutil
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from bench.hostile.case import Command, Input, Surroundings
from bench.hostile.material import Material
from bench.hostile.stores import read_state, run_commands, store_commands, write_manifest, write_state

# What each of the weights' inputs does to one tensor, or to the recipe that says how large it is.
_TENSORS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "nan": lambda a: np.where(np.arange(a.size).reshape(a.shape) == 0, np.nan, a).astype(a.dtype),
    "all-nan": lambda a: np.full_like(a, np.nan), "infinite": lambda a: np.full_like(a, np.inf),
    "float64": lambda a: a.astype(np.float64), "int8": lambda a: a.astype(np.int8), "int64": lambda a: a.astype(np.int64),
    "boolean": lambda a: a > 0, "huge": lambda a: np.full_like(a, 3e38),
    "transposed": lambda a: np.swapaxes(a, 0, 1).copy(), "flat": lambda a: a.ravel(), "empty": lambda a: a[:0],
    "one-more": lambda a: np.concatenate([a, a[:1]]),
}  # fmt: skip
_RECIPES = {
    "width-1e5": {"generator_width": 100_000}, "width-1e9": {"generator_width": 10**9}, "width-0": {"generator_width": 0},
    "width-minus": {"generator_width": -4},
    "crop-huge": {"crop_px": 2**40}, "other-network": {"generator": "unet256"}, "unknown-network": {"generator": "../x"},
}  # fmt: skip
_TILES = {
    "bands-1e9": {"bands": 10**9}, "places-1e6": {"places": ["p"] * 10**6},
    "classes-1e5": {"classes": {"names": ["c"] * 10**5, "colours": [[[0, 0, 0]]] * 10**5}}, "gsd-0": {"gsd_m": 0.0},
    "gsd-minus": {"gsd_m": -1.0}, "gsd-tiny": {"gsd_m": 1e-300},
    "gsd-nan": {"gsd_m": float("nan")}, "colours-few": {"classes": {"names": ["building", "land"], "colours": []}},
    "attribution-long": {"attribution": "x" * 10**7}, "attribution-escape": {"attribution": "\x1b[31mred"},
}  # fmt: skip
_ROWS = {
    "index-minus": {"index": -1}, "index-huge": {"index": 10**9}, "index-true": {"index": True},
    "window-minus": {"window": [-5, 0, 64, 64]}, "window-huge": {"window": [0, 0, 10**18, 10**18]},
    "window-short": {"window": [0, 0]},
    "split-other": {"split": "nope"}, "share-nan": {"building_share": float("nan")}, "share-2": {"building_share": 2.0},
    "sha-short": {"sha256": "0"}, "synthetic-text": {"synthetic": "yes"}, "extra": {"other": 1},
    "transform-nan": {"grid": {"transform": [float("nan")] * 6, "crs": None}}, "gsd-tiny": {"gsd_m": 1e-300},
}  # fmt: skip


def inputs() -> Iterator[Input]:
    """Every input of this kind."""
    for name in _TENSORS:
        yield Input(f"weights/tensor/{name}", "runs", partial(_tensor, name))
    for name in ("header-huge", "header-short", "overlap", "offset-minus", "dtype-unknown", "many", "duplicate"):
        yield Input(f"weights/file/{name}", "runs", partial(_safetensors, name))
    for name in (*_RECIPES, *_TILES):
        yield Input(f"weights/state/{name}", "runs", partial(_state, name))
    for name in _ROWS:
        yield Input(f"store/row/{name}", "tiles", partial(_row, name))
    for name in ("header-huge", "header-object", "swapped", "fortran", "changed"):
        yield Input(f"store/shard/{name}", "tiles", partial(_shard, name))


def _tensor(name: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    from safetensors.numpy import load_file, save_file

    shutil.copytree(material.run, here / "run")
    path = here / "run" / "weights" / "last" / "model.safetensors"
    tensors = load_file(path)
    one = next(name for name, tensor in tensors.items() if tensor.ndim == 4 and tensor.shape[0] != tensor.shape[1])
    save_file(tensors | {one: _TENSORS[name](tensors[one])}, path)
    write_state(path.with_name("state.json"), read_state(path.with_name("state.json")))
    return run_commands(here, material, 1, refuse=name != "huge")


def _safetensors(name: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    shutil.copytree(material.run, here / "run")
    path = here / "run" / "weights" / "last" / "model.safetensors"
    data = path.read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    first = next(key for key in header if key != "__metadata__")
    changes = {
        "overlap": {"data_offsets": [0, len(body)]},
        "offset-minus": {"data_offsets": [-8, 8]},
        "dtype-unknown": {"dtype": "F3"},
    }
    header[first] |= changes.get(name, {})
    if name == "many":
        header |= {f"x{n}": {"dtype": "F32", "shape": [0], "data_offsets": [len(body), len(body)]} for n in range(200_000)}
    text = json.dumps(header).encode()
    if name == "duplicate":
        text = text[:-1] + b"," + text[1:]
    length = {"header-huge": 2**63, "header-short": 3}.get(name, len(text))
    path.write_bytes(struct.pack("<Q", length) + text + body)
    write_state(path.with_name("state.json"), read_state(path.with_name("state.json")))
    return run_commands(here, material, 1, refuse=True)


def _state(name: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    shutil.copytree(material.run, here / "run")
    state = here / "run" / "weights" / "last" / "state.json"
    body = read_state(state)
    body["recipe"] |= _RECIPES.get(name, {})
    body["tiles"] |= _TILES.get(name, {})
    write_state(state, body)
    return run_commands(
        here, material, 1, refuse=name.startswith(("width", "other", "unknown", "bands", "classes", "gsd", "colours"))
    )


def _row(name: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    shutil.copytree(material.tiles, here / "tiles")
    rows = [json.loads(line) for line in (here / "tiles" / "manifest.jsonl").read_bytes().splitlines()]
    rows[0] |= _ROWS[name]
    write_manifest(here / "tiles", rows)
    return store_commands(here, material, 1, refuse=True)[:1] + store_commands(here, material, 0)[:1]


def _shard(name: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    shutil.copytree(material.tiles, here / "tiles")
    path = here / "tiles" / "town0.images.npy"
    data = bytearray(path.read_bytes())
    if name == "changed":
        data[-1] ^= 255
    elif name == "swapped":
        data = bytearray((here / "tiles" / "town1.images.npy").read_bytes())
    else:
        old, new = {"header-huge": (b"(1, 64", b"(9, 64"), "header-object": (b"'|u1'", b"'|O' "), "fortran": (b"False", b"True ")}[
            name
        ]
        data = bytearray(bytes(data).replace(old, new, 1))
    path.write_bytes(data)
    return store_commands(here, material, 1, refuse=True)[:1]
