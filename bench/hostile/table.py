"""What an outcome is, and the table of all of them."""

from collections import Counter
from collections.abc import Iterable, Sequence
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
class Finding:
    """One command of an input and what it came to."""

    input: Input
    command: Command
    outcome: Outcome
    kinds: tuple[str, ...]

    @property
    def is_fault(self) -> bool:
        """Whether anything of it has the goal of none."""
        return any(kind not in GOOD for kind in self.kinds)

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


def table(findings: Sequence[Finding]) -> str:
    """A row an area: how many inputs and commands, and what they came to."""
    kinds = (*GOOD, *FAULTS, *ALSO)
    heads = ("area", "inputs", "commands", *(f"{kind} (0)" if kind not in GOOD else kind for kind in kinds))
    areas = sorted({finding.input.area for finding in findings})
    rows = [_row(area, [finding for finding in findings if finding.input.area == area], kinds) for area in areas]
    rows.append(_row("all", findings, kinds))
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in (heads, *rows)]
    slowest = max((finding.outcome.seconds for finding in findings), default=0.0)
    largest = max((finding.outcome.peak_bytes for finding in findings), default=0)
    return "\n".join([*lines, f"slowest command: {slowest:.1f} s; highest peak of memory: {largest / 1e6:.0f} MB"])


def _row(name: str, findings: Iterable[Finding], kinds: Sequence[str]) -> tuple[str, ...]:
    findings = list(findings)
    counts = Counter(kind for finding in findings for kind in finding.kinds)
    inputs = len({finding.input.name for finding in findings})
    return (name, str(inputs), str(len(findings)), *(str(counts[kind]) for kind in kinds))
