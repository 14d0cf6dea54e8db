"""Damage to valid bytes, each kind by a name: cut short, flipped, zeroed, swapped, of a wrong kind, of absurd size."""

import copy
import json
import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

Draw = np.random.Generator
Place = tuple[Any, ...]  # keys and indices, from the outermost in
Mutation = Callable[[bytes, Draw], bytes]


def _flip(count: int) -> Mutation:
    def flip(data: bytes, draw: Draw) -> bytes:
        changed = bytearray(data)
        for place in draw.integers(0, max(1, len(changed)), count if changed else 0):
            changed[place] ^= 1 << int(draw.integers(8))
        return bytes(changed)

    return flip


def _zero(first: float, length: int) -> Mutation:
    def zero(data: bytes, draw: Draw) -> bytes:
        begin = int(first * len(data))
        return data[:begin] + bytes(min(length, len(data) - begin)) + data[begin + length :]

    return zero


def _cut(share: float) -> Mutation:
    return lambda data, draw: data[: int(share * len(data))]


def _swap_fields(data: bytes, draw: Draw) -> bytes:
    """Two words of the first 400 bytes change places."""
    words = min(400, len(data)) // 4
    one, other = sorted(4 * int(n) for n in draw.choice(max(words, 2), 2, replace=False))
    return data[:one] + data[other : other + 4] + data[one + 4 : other] + data[one : one + 4] + data[other + 4 :]


def _absurd(data: bytes, draw: Draw) -> bytes:
    """A few words near the beginning become the largest numbers that there are."""
    changed = bytearray(data)
    for place in draw.integers(4, max(5, min(300, len(data) - 4)), 3):
        changed[place : place + 4] = struct.pack("<I", int(draw.choice([0xFFFFFFFF, 0x7FFFFFFF, 0x80000000])))
    return bytes(changed)


def _insert(data: bytes, draw: Draw) -> bytes:
    place = int(draw.integers(0, max(1, len(data))))
    return data[:place] + draw.bytes(37) + data[place:]


BYTES: dict[str, Mutation] = {
    "empty": lambda data, draw: b"", "one-byte": lambda data, draw: data[:1], "cut-head": lambda data, draw: data[:20],
    "cut-10": _cut(0.1), "cut-50": _cut(0.5), "cut-90": _cut(0.9), "cut-last": lambda data, draw: data[:-1],
    "flip-1": _flip(1), "flip-1b": _flip(1), "flip-9": _flip(9), "flip-99": _flip(99), "zero-head": _zero(0, 16),
    "zero-header": _zero(0, 128), "zero-middle": _zero(0.5, 64), "zero-tail": lambda data,
    draw: data[:-64] + bytes(min(64, len(data))),
    "wrong-magic": lambda data, draw: draw.bytes(8) + data[8:], "swapped": _swap_fields, "swapped-b": _swap_fields,
    "absurd": _absurd, "absurd-b": _absurd, "inserted": _insert, "twice": lambda data, draw: data + data,
    "other-kind": lambda data, draw: b"\x89PNG\r\n\x1a\n" + data[8:], "noise": lambda data, draw: draw.bytes(len(data)),
}  # fmt: skip


def _number(text: bytes) -> Mutation:
    """One of the numbers in a text becomes another."""

    def change(data: bytes, draw: Draw) -> bytes:
        found = list(re.finditer(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?", data))
        if not found:
            return text
        one = found[int(draw.integers(len(found)))]
        return data[: one.start()] + text + data[one.end() :]

    return change


def _all_numbers(text: bytes) -> Mutation:
    """All that have a point, or all where none has."""
    broken, whole = rb"-?\d+\.\d+(?:[eE][-+]?\d+)?", rb"-?\d+"
    return lambda data, draw: re.sub(broken if re.search(broken, data) else whole, text, data)


def _nest(data: bytes, draw: Draw) -> bytes:
    return re.sub(rb"[\[(]", lambda one: one.group() * 200_000, data, count=1)


TEXT: dict[str, Mutation] = {
    "nan": _number(b"NaN"), "infinite": _number(b"1e999"), "negative": _number(b"-1"), "null": _number(b"null"),
    "digits": _number(b"9" * 100_000), "word": _number(b"north"), "all-nan": _all_numbers(b"NaN"),
    "all-tiny": _all_numbers(b"1e-300"), "all-huge": _all_numbers(b"1e300"), "utf-16": lambda data,
    draw: data.decode().encode("utf-16"),
    "latin-1": lambda data, draw: data[: len(data) // 2] + b"\xe4\xff" + data[len(data) // 2 :], "nul": lambda data,
    draw: data.replace(b"1", b"\0", 3),
    "nested": _nest, "one-line": lambda data, draw: data.replace(b"\n", b" "),
    "cut-line": lambda data, draw: data[: data.rfind(b"\n", 0, len(data) // 2) + 1],
}  # fmt: skip

PLANTED: dict[str, Any] = {
    "null": None, "minus": -1, "huge": 10**30, "infinite": float("inf"), "nan": float("nan"), "word": "../../outside/secret",
    "list": [],
    "map": {}, "true": True, "float": 0.5, "deep": [[[[[[]]]]]], "long": "x" * 5000, "escape": "\x1b[31mred\x07",
}  # fmt: skip


def places_in(tree: Any, path: Place = ()) -> list[Place]:
    """Paths of all values in plain values, breadth first as far as it matters."""
    found = [path] if path else []
    items = tree.items() if isinstance(tree, dict) else enumerate(tree[:3]) if isinstance(tree, list) else ()
    for key, value in items:
        found += places_in(value, (*path, key))
    return found


def planted(tree: Any, path: Place, value: Any) -> Any:
    """A copy of plain values with another value at ``path``; the key is taken away where that is ``...``."""
    tree = copy.deepcopy(tree)
    parent = tree
    for key in path[:-1]:
        parent = parent[key]
    if value is ...:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return tree


def json_bytes(tree: Any) -> bytes:
    """As Python writes it, NaN and all."""
    return json.dumps(tree).encode()


_TIFF_TYPES = {1: "B", 3: "H", 4: "I", 12: "d"}
# A field by its tag, and what it is made to say.
TIFF_FIELDS: dict[str, tuple[int, int | float]] = {
    "width-huge": (256, 0x7FFFFFFF), "width-0": (256, 0), "width-49000": (256, 49_000), "height-huge": (257, 0xFFFFFFFF),
    "height-49000": (257, 49_000), "bits-0": (258, 0), "bits-64": (258, 64), "compression-unknown": (259, 999),
    "compression-jpeg": (259, 7),
    "compression-zstd": (259, 50000), "photometric-99": (262, 99), "photometric-palette": (262, 3), "bands-65535": (277, 65535),
    "bands-0": (277, 0),
    "strip-beyond": (273, 0xFFFFFF00), "strip-rows-0": (278, 0), "strip-bytes-huge": (279, 0xFFFFFFFF), "planar-9": (284, 9),
    "predictor-99": (317, 99),
    "float": (339, 3), "pixel-tiny": (33550, 1e-300), "pixel-nan": (33550, float("nan")), "pixel-0": (33550, 0.0),
    "pixel-minus": (33550, -0.3),
    "pixel-infinite": (33550, float("inf")), "place-nan": (33922, float("nan")), "place-far": (33922, 1e300),
    "geokeys-0": (34735, 0), "geokeys-count": (34735, 65535),
}  # fmt: skip


def tiff_field(data: bytes, tag: int, value: float) -> bytes:
    """A little-endian TIFF with all of a field's values changed to ``value``, as far as its type can hold it."""
    changed = bytearray(data)
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    for number in range(count):
        entry = directory + 2 + 12 * number
        found, kind, values = struct.unpack_from("<HHI", data, entry)
        code = _TIFF_TYPES.get(kind)
        if found != tag or code is None:
            continue
        size = struct.calcsize(code)
        place = entry + 8 if size * values <= 4 else struct.unpack_from("<I", data, entry + 8)[0]
        fitting = float(value) if code == "d" else int(value) & (256**size - 1)
        for index in range(values):
            struct.pack_into(f"<{code}", changed, place + index * size, fitting)
    return bytes(changed)


def tiff_loop(data: bytes) -> bytes:
    """A little-endian TIFF whose directory is followed by itself."""
    changed = bytearray(data)
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    struct.pack_into("<I", changed, directory + 2 + 12 * count, directory)
    return bytes(changed)
