"""A log of what was found, an input a line, by which a run goes on where it stopped."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from bench.hostile.table import Row


def append(log: Path, rows: Iterable[Row]) -> None:
    """Write the rows of one input down, in one write: a log never holds half an input."""
    with open(log, "a", encoding="utf-8") as file:
        file.write(json.dumps([asdict(row) for row in rows]) + "\n")


def read(log: Path) -> list[Row]:
    """The rows of every input that is done; none where there is no log yet. Of an input that was run twice, the later."""
    latest = {}
    for line in log.read_text("utf-8").splitlines() if log.exists() else ():
        rows = [Row(**(row | {"kinds": tuple(row["kinds"])})) for row in json.loads(line)]
        latest.update({rows[0].name: rows} if rows else {})
    return [row for rows in latest.values() for row in rows]
