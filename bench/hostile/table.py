"""What an outcome is, and the table of all of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.hostile.case import Command, Input
from bench.hostile.trial import MEMORY, Outcome

# Faults, each with a goal of none; the first that fits is what a command is counted as. An unmade input is the bench's own.
FAULTS = ("unmade", "hang", "memory", "crash", "traceback", "wrong", "unclear")
GOOD = ("clear error", "right result")
ALSO = ("outside", "connection")  # besides any of the others
_TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True)
class Row:
    """What a table takes of a command: plain values, as they stand in a log."""

    area: str
    name: str
    kinds: tuple[str, ...]
    seconds: float
    peak_bytes: int

    @property
    def is_fault(self) -> bool:
        """Whether anything of it has the goal of none."""
        return any(kind not in GOOD for kind in self.kinds)


@dataclass(frozen=True)
class Finding:
    """One command of an input and what it came to."""

    input: Input
    command: Command
    outcome: Outcome
    kinds: tuple[str, ...]

    @property
    def is_fault(self) -> bool:
        """Whether anything of it has the goal of none."""
        return self.row.is_fault

    @property
    def row(self) -> "Row":
        """What the table takes of it."""
        return Row(self.input.area, self.input.name, self.kinds, self.outcome.seconds, self.outcome.peak_bytes)

    def line(self) -> str:
        """Area, input, kinds, command and the last line that was said, on one line."""
        said = [line for line in self.outcome.stderr.splitlines() if line.strip()] or [""]
        place = next((line.strip() for line in reversed(said) if line.strip().startswith("File ") and "orthoforge" in line), "")
        where = f" [{place.rpartition('orthoforge/')[2]}]" if place and "traceback" in self.kinds else ""
        more = f" outside: {', '.join(self.outcome.outside[:3])}" if "outside" in self.kinds else ""
        words = " ".join(word if len(word) < 80 else f"{word[:40]}…" for word in self.command.argv)
        line = (
            f"{self.input.area} | {self.input.name} | {'+'.join(self.kinds)} | {words} | {self.outcome.seconds:.1f} s, "
            f"{self.outcome.peak_bytes / 1e6:.0f} MB | {said[-1][:200]}{where}{more}"
        )
        return line.encode("ascii", "backslashreplace").decode()


def judge(command: Command, outcome: Outcome, here: Path) -> tuple[str, ...]:
    """What a command came to: one of ``FAULTS`` or ``GOOD``, and any of ``ALSO``."""
    leaked = bool(command.leak) and _holds(here, command.leak)
    also = [
        kind
        for kind, is_so in (
            ("outside", (outcome.outside and not command.linked) or leaked),
            ("connection", outcome.connections),
        )
        if is_so
    ]
    return (_main_kind(command, outcome, here), *also)


def _main_kind(command: Command, outcome: Outcome, here: Path) -> str:
    said = outcome.stderr + outcome.stdout
    last = next((line for line in reversed(outcome.stderr.splitlines()) if line.strip()), "")
    broke = _TRACEBACK in outcome.stderr
    if outcome.timed_out:
        return "hang"
    # Where the command was given a narrow address space, running into it is no hog of memory.
    if outcome.peak_bytes > MEMORY or (broke and "MemoryError" in last and not command.address_space):
        return "memory"
    if outcome.signal is not None:
        return "crash"
    if broke or "Exception ignored" in outcome.stderr:
        return "traceback"
    raw = any(ord(character) < 32 and character not in "\n\r\t" for character in said)
    if raw:
        return "unclear"
    if outcome.code == 0:
        lacks = command.out and not (here / command.out).exists()
        return "wrong" if command.refuse or lacks else "right result"
    flat = "".join(said.split())
    named = "".join(command.names.split()) in flat
    return "clear error" if command.quiet or (flat and named) else "unclear"


def _holds(folder: Path, text: bytes) -> bool:
    return any(text in path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def table(rows: Sequence[Row]) -> str:
    """A row an area: how many inputs and commands, and what they came to."""
    kinds = (*GOOD, *FAULTS, *ALSO)
    heads = ("area", "inputs", "commands", *(f"{kind} (0)" if kind not in GOOD else kind for kind in kinds))
    areas = sorted({row.area for row in rows})
    cells = [_cells(area, [row for row in rows if row.area == area], kinds) for area in areas]
    cells.append(_cells("all", rows, kinds))
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in (heads, *cells)]
    slowest = max((row.seconds for row in rows), default=0.0)
    largest = max((row.peak_bytes for row in rows), default=0)
    return "\n".join([*lines, f"slowest command: {slowest:.1f} s; highest peak of memory: {largest / 1e6:.0f} MB"])


def _cells(name: str, rows: Sequence[Row], kinds: Sequence[str]) -> tuple[str, ...]:
    counts = Counter(kind for row in rows for kind in row.kinds)
    inputs = len({row.name for row in rows})
    return (name, str(inputs), str(len(rows)), *(str(counts[kind]) for kind in kinds))
