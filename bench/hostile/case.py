"""What an input is: a name, an area of the package, and how to lay it out as files and commands."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.hostile.material import Material


@dataclass(frozen=True)
class Command:
    """One call of the command line, in the input's own folder.

    ``names`` is what a clear error must name. ``out`` must be there after success. ``refuse`` says that success would be wrong.
    ``leak`` are bytes of a file outside that must not turn up in what was written.
    """

    argv: tuple[str, ...]
    names: str = ""
    out: str = ""
    refuse: bool = False
    env: dict[str, str] = field(default_factory=dict)
    stdout: str = ""  # a path to write to; "closed" is a pipe that nobody reads
    encoding: str = "utf-8"
    quiet: bool = False  # an error need not say anything: nobody could read it
    open_files: int = 0  # the limit on them; as they are when 0
    address_space: int = 0  # bytes beyond those of the beginning; the trial's own limit when 0
    unprivileged: bool = False  # as a user whom permissions bind
    linked: bool = False  # the user linked to the outside: reading that is meant, publishing it may not be
    leak: bytes = b""


@dataclass(frozen=True)
class Surroundings:
    """What an input may point at: a folder outside its own, and an address at which somebody listens."""

    outside: Path
    url: str


@dataclass(frozen=True)
class Input:
    """An input by name. ``build`` lays it out in a folder and returns the commands that read it."""

    name: str
    area: str
    build: Callable[[Path, Material, Surroundings], Sequence[Command]] = field(repr=False)


def draw(name: str) -> np.random.Generator:
    """Random numbers of an input: the same for the same name."""
    return np.random.default_rng(zlib.crc32(name.encode("utf-8", "surrogateescape")))


def command(*argv: object, **options: object) -> Command:
    """A ``Command`` from words of any kind."""
    return Command(tuple(map(str, argv)), **options)  # type: ignore[arg-type]
