"""Which feature of a map becomes which class, how wide a line is and how large a point, and what lies on top: a YAML file."""

import fnmatch
import hashlib
import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from orthoforge.errors import ConfigError
from orthoforge.masks.classes import Classes
from orthoforge.plain_yaml import read_yaml
from orthoforge.vectors.chunks import Tags
from orthoforge.vectors.map_layers import AREA, POINT

DEFAULT_STYLE = Path(__file__).with_name("layer_style.yaml")
"""Ships with the package: copy it to make one's own."""
_ANY = "*"
_MOST_CLASSES = 255
# A tag may say that a lane is 3000 m wide; no road and no crown is.
_WIDEST_M, _MOST_LANES = 200.0, 16
_LENGTH = re.compile(r"([0-9]{1,6}(?:[.,][0-9]{1,6})?)\s*(m|metres?|meters?|km|ft|'|in|\")?", re.IGNORECASE)
_IN_METRES = {"km": 1000.0, "ft": 0.3048, "'": 0.3048, "in": 0.0254, '"': 0.0254}
_CLASS_KEYS, _RULE_KEYS = {"colour", "also"}, {"class", "tags", "layers", "areas", "lines", "points"}


class Painted(NamedTuple):
    """What a style makes of a feature."""

    rule: int
    """Its number: those with higher ones lie on top."""
    size_m: float
    """Width of a line, radius of a point; 0 of an area."""


@dataclass(frozen=True)
class Sized:
    """How wide lines are, or how large points."""

    metres: float
    by: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    lanes_m: float | None = None
    a_tag: float = 1.0
    """Of what a tag says so much is meant: points have a diameter there, and are drawn by their radius."""

    def of(self, tags: Tags) -> float | None:
        """Metres of a feature; ``None`` where its tag has a value that is not listed."""
        for key in self.tags:
            if (metres := length_m(tags.get(key, ""))) is not None:
                return metres * self.a_tag
        lanes = tags.get("lanes", "")
        if self.lanes_m and lanes.isdecimal() and 0 < int(lanes[:4]) <= _MOST_LANES:
            return int(lanes) * self.lanes_m
        for key, metres_of in self.by.items():
            if key in tags:
                return metres_of.get(tags[key])
        return self.metres


@dataclass(frozen=True)
class Rule:
    """One step of painting."""

    index: int
    """Of its class."""
    tags: Mapping[str, frozenset[str]]
    layers: tuple[str, ...]
    areas: bool
    lines: Sized | None
    points: Sized | None

    def size_m(self, kind: int, tags: Tags) -> float | None:
        """0 for an area, width of a line, radius of a point; ``None`` where it does not paint this kind of shape."""
        if kind == AREA:
            return 0.0 if self.areas else None
        sized = self.points if kind == POINT else self.lines
        return None if sized is None else sized.of(tags)

    def matches(self, tags: Tags) -> bool:
        """Whether one of the tags is among its own."""
        return any(
            (value := tags.get(key)) is not None and (value in values or (_ANY in values and value != "no"))
            for key, values in self.tags.items()
        )


@dataclass(frozen=True)
class LayerStyle:
    """How map layers become a mask of classes. See ``layer_style.yaml`` for what it says."""

    path: Path
    classes: Classes
    also: tuple[tuple[str, ...], ...]
    """Other names of each class, lower case."""
    rules: tuple[Rule, ...]
    skip: Mapping[str, frozenset[str]]

    @cached_property
    def keys(self) -> frozenset[str]:
        """All keys of tags that it looks at."""
        sized = [one for rule in self.rules for one in (rule.lines, rule.points) if one]
        return frozenset({*self.own_keys, *self.skip, "lanes", *(key for one in sized for key in (*one.tags, *one.by))})

    @cached_property
    def own_keys(self) -> frozenset[str]:
        """The keys of tags that say what a feature is."""
        return frozenset(key for rule in self.rules for key in rule.tags)

    @property
    def building(self) -> int:
        """Index of its class of buildings. ``ConfigError`` where it has none."""
        if self.classes.building is None:
            raise ConfigError(f"{self.path}: no class is called building, so buildings cannot be painted. Add one.")
        return self.classes.building

    @cached_property
    def sha256(self) -> str:
        """Checksum of what it decides; comments and the file's name are left out."""
        return hashlib.sha256(json.dumps(self._plain, sort_keys=True).encode()).hexdigest()

    @property
    def _plain(self) -> dict[str, Any]:
        def sized(one: Sized | None) -> object:
            return None if one is None else [one.metres, {key: dict(by) for key, by in one.by.items()}, one.tags, one.lanes_m]

        def tags(of: Mapping[str, frozenset[str]]) -> dict[str, list[str]]:
            return {key: sorted(values) for key, values in of.items()}

        rules = [[r.index, tags(r.tags), r.layers, r.areas, sized(r.lines), sized(r.points)] for r in self.rules]
        return {"classes": self.classes.plain(), "also": self.also, "rules": rules, "skip": tags(self.skip)}

    def painted(self, layer: str, kind: int, tags: Tags) -> Painted | None:
        """What becomes of a feature of a layer; ``None`` where it is of no class. ``kind`` is ``AREA``, ``LINE`` or ``POINT``.

        Of several rules that fit the last one, which lies on top, is taken.
        """
        if any(tags.get(key) in values for key, values in self.skip.items() if key in tags):
            return None
        known = not self.own_keys.isdisjoint(tags)
        name = layer.lower()
        for number in reversed(range(len(self.rules))):
            rule = self.rules[number]
            fits = rule.matches(tags) if known else any(fnmatch.fnmatchcase(name, pattern) for pattern in rule.layers)
            if fits and (size_m := rule.size_m(kind, tags)) is not None:
                return Painted(number, size_m)
        return None

    def indices_in(self, classes: Classes, needed: Collection[int]) -> list[int]:
        """Of each of its classes the index in those of a run, by name or by one of its other names, in any case of letters.

        ``ConfigError`` names one of the ``needed`` that is not among them; others are -1.
        """
        of = {name.strip().lower(): index for index, name in reversed(list(enumerate(classes.names)))}
        found: list[int] = []
        for name, also in zip(self.classes.names, self.also, strict=True):
            index = next((of[one] for one in (name.lower(), *also) if one in of), None)
            if index is None and len(found) in needed:
                raise ConfigError(
                    f"{self.path}: no class of the run is called {name!r}; it has {', '.join(classes.names)}. Copy the style, add "
                    f"the name under `also` of {name!r} or take that class out, and pass the copy with --layer-style."
                )
            found.append(-1 if index is None else index)
        return found


def length_m(text: str) -> float | None:
    """Metres of a length as OpenStreetMap writes it ('6', '6.5 m', '20 ft'); ``None`` for what is no length, or an absurd one."""
    match = _LENGTH.fullmatch(text.strip())
    if not match:
        return None
    metres = float(match[1].replace(",", ".")) * _IN_METRES.get((match[2] or "").lower(), 1.0)
    return metres if 0 < metres <= _WIDEST_M else None


def load_style(path: Path | None = None) -> LayerStyle:
    """The style in a YAML file, or the one that ships with the package. ``ConfigError`` says what is wrong with one."""
    path = DEFAULT_STYLE if path is None else Path(path)
    plain = _mapping(path, "the file", read_yaml(path), {"classes", "paint", "skip"})
    named = _mapping(path, "classes", plain.get("classes"))
    if not 0 < len(named) <= _MOST_CLASSES:
        raise ConfigError(f"{path}: {len(named)} classes; 1 to {_MOST_CLASSES} are taken.")
    of_class = {name: _mapping(path, f"class {name}", about, _CLASS_KEYS) for name, about in named.items()}
    colours = [_colour(path, name, about.get("colour")) for name, about in of_class.items()]
    if len(set(colours)) < len(colours):
        twice = next(colour for colour in colours if colours.count(colour) > 1)
        raise ConfigError(f"{path}: {list(twice)} is the colour of two classes; each needs its own.")
    names = tuple(named)
    also = tuple(
        tuple(name.lower() for name in _texts(path, f"also of {one}", about.get("also", []))) for one, about in of_class.items()
    )
    steps = plain.get("paint")
    if not isinstance(steps, list) or not steps:
        raise ConfigError(f"{path}: `paint` is no list of rules, each with a class and tags or layers.")
    rules = tuple(_rule(path, number, step, names) for number, step in enumerate(steps, 1))
    values = tuple((index,) for index in range(len(names)))
    classes = Classes(names, tuple((colour,) for colour in colours), values)
    return LayerStyle(path, classes, also, rules, _tags(path, "skip", plain.get("skip", {})))


def _rule(path: Path, number: int, plain: object, names: tuple[str, ...]) -> Rule:
    where = f"rule {number} of `paint`"
    rule = _mapping(path, where, plain, _RULE_KEYS)
    if rule.get("class") not in names:
        raise ConfigError(f"{path}: {where} paints {rule.get('class')!r}, which is none of the classes ({', '.join(names)}).")
    areas = rule.get("areas", True)
    if not isinstance(areas, bool):
        raise ConfigError(f"{path}: {where}: areas is {areas!r}; yes or no is expected.")
    tags = _tags(path, f"tags of {where}", rule.get("tags", {}))
    layers = tuple(name.lower() for name in _texts(path, f"layers of {where}", rule.get("layers", [])))
    if not tags and not layers:
        raise ConfigError(f"{path}: {where} has neither tags nor layers, so it paints nothing.")
    lines = _sized(path, f"lines of {where}", rule.get("lines"), "width", {"width", "by", "tags", "lanes"})
    points = _sized(path, f"points of {where}", rule.get("points"), "radius", {"radius", "by", "tags"})
    return Rule(names.index(rule["class"]), tags, layers, areas, lines, points)


def _sized(path: Path, where: str, plain: object, metres: str, keys: set[str]) -> Sized | None:
    if plain is None:
        return None
    about = _mapping(path, where, plain, keys)
    by = {
        key.strip().lower(): {str(value): _metres(path, f"{where}, {key}={value}", size) for value, size in sizes_of.items()}
        for keys_of, sizes in _mapping(path, where, about.get("by", {})).items()
        for sizes_of in [_mapping(path, where, sizes)]
        for key in keys_of.split(",")  # keys of the same meaning share a table
    }
    lanes = _metres(path, f"lanes in {where}", about["lanes"]) if "lanes" in about else None
    tags = tuple(_texts(path, f"tags in {where}", about.get("tags", [])))
    a_tag = 0.5 if metres == "radius" else 1.0
    return Sized(_metres(path, f"{metres} in {where}", about.get(metres)), by, tags, lanes, a_tag)


def _metres(path: Path, where: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not (math.isfinite(value) and 0 < value <= _WIDEST_M):
        raise ConfigError(f"{path}: {where} is {value!r}; metres above 0, up to {_WIDEST_M:g}, are expected.")
    return float(value)


def _tags(path: Path, where: str, plain: object) -> dict[str, frozenset[str]]:
    return {
        key.lower(): frozenset(_texts(path, f"{key} in {where}", values if isinstance(values, list) else [values]))
        for key, values in _mapping(path, where, plain).items()
    }


def _texts(path: Path, where: str, plain: object) -> list[str]:
    """Words; what YAML takes for a number or for yes and no is one as well."""
    if not isinstance(plain, list) or not all(isinstance(value, str | int | float) for value in plain):
        raise ConfigError(f"{path}: {where} is {plain!r}; a list of words is expected.")
    return [("yes" if value else "no") if isinstance(value, bool) else str(value) for value in plain]


def _mapping(path: Path, where: str, plain: object, keys: set[str] | None = None) -> dict[str, Any]:
    if not isinstance(plain, dict) or not all(isinstance(key, str) for key in plain):
        raise ConfigError(f"{path}: {where}: names, each with what belongs to it, are expected, as in {DEFAULT_STYLE.name}.")
    if keys is not None and (unknown := plain.keys() - keys):
        raise ConfigError(f"{path}: {where} says {min(unknown)!r}; known are {', '.join(sorted(keys))}.")
    return plain


def _colour(path: Path, name: str, value: object) -> tuple[int, int, int]:
    is_colour = isinstance(value, list) and len(value) == 3 and all(type(part) is int and 0 <= part <= 255 for part in value)
    if not is_colour:
        raise ConfigError(f"{path}: the colour of {name!r} is {value!r}; red, green and blue from 0 to 255 are expected.")
    assert isinstance(value, list)
    return value[0], value[1], value[2]
