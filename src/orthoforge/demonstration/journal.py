"""The demo's journal: what it was begun with, how long each stage took, and whether a folder is a demo's at all."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from orthoforge.errors import OutputExistsError
from orthoforge.files import new_file, remove, writable

JOURNAL = "demo.json"


class Journal:
    """``demo.json``: what the demo was begun with, and how long each stage took. Prints a line a stage."""

    def __init__(self, path: Path, settings: dict[str, Any], seconds: dict[str, float]) -> None:
        self.path, self.settings, self.seconds = path, settings, seconds

    @contextlib.contextmanager
    def stage(self, name: str, what: str, *, goes_on: bool = False) -> Iterator[Callable[[str], None]]:
        """Time what happens inside and print it; ``goes_on`` adds to the time of an interrupted call before."""
        print(f"{name:9} {what}{' … ' if what else ''}", end="", flush=True)
        outcome: list[str] = []
        started_at, before = time.monotonic(), self.seconds.get(name, 0.0) if goes_on else 0.0
        try:
            yield outcome.append
        except BaseException:
            print(flush=True)
            raise
        finally:
            elapsed = time.monotonic() - started_at
            self.seconds[name] = before + elapsed
            self.write()
        print(", ".join([*outcome, in_seconds(elapsed)]), flush=True)

    def write(self) -> None:
        with new_file(self.path, overwrite=True) as partial:
            partial.write_text(json.dumps({"settings": self.settings, "seconds": self.seconds}, indent=1), encoding="utf-8")


def open_journal(out: Path, settings: dict[str, Any], written: Sequence[str], *, overwrite: bool) -> Journal:
    """The journal of the demo in ``out``, which may be a new one. ``OutputExistsError`` when ``out`` belongs to something else.

    ``overwrite`` removes what a demo has ``written``, and nothing else.
    """
    path = out / JOURNAL
    if not path.is_file():
        if any(not entry.name.endswith((".lock", ".held")) for entry in out.iterdir()):
            raise OutputExistsError(f"{out} holds files that are not of a demo. Choose another --out.")
    elif overwrite:
        with writable(out):
            for name in [*written, JOURNAL]:
                remove(out / name)
    else:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["settings"] != settings:
            raise OutputExistsError(
                f"{out} holds a demo of other settings or another version. Pass --overwrite to replace it, or choose another --out."
            )
        return Journal(path, settings, found["seconds"])
    journal = Journal(path, settings, {})
    journal.write()
    return journal


def in_seconds(seconds: float) -> str:
    """'12 s'; below ten, '1.2 s'."""
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
