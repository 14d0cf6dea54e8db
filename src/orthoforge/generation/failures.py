"""Masks that failed do not stop the others: they are listed, in one file for all commands that write into a folder."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from orthoforge.errors import DataError, LockedError, OutputExistsError
from orthoforge.files import lock, new_file

FAILURES = "failures.txt"
_SHOWN = 5


@contextlib.contextmanager
def collected(out: Path, sources: Sequence[Path]) -> Iterator[Callable[[Path], contextlib.AbstractContextManager[None]]]:
    """Yields a context for each mask. Errors of one mask wait for the end when there are several; others stop at once.

    At the end ``out/failures.txt`` has a row for each of ``sources`` that failed, beside the rows of other masks that other
    commands left there; without any it is gone. Raises ``DataError`` when one failed.
    """
    failures: list[tuple[Path, Exception]] = []

    @contextlib.contextmanager
    def failed(source: Path) -> Iterator[None]:
        try:
            yield
        except (DataError, LockedError, OutputExistsError) as error:
            if len(sources) == 1:
                raise
            failures.append((source, error))

    listed = out / FAILURES
    try:
        yield failed
    finally:  # also when a full disk stops the rest
        if len(sources) > 1 and (failures or listed.exists()):
            _list(listed, sources, failures)
    if failures:
        shown = "\n".join(f"  {error}" for _, error in failures[:_SHOWN])
        more = f"\n  and {len(failures) - _SHOWN} more" if len(failures) > _SHOWN else ""
        raise DataError(f"{len(failures)} of {len(sources)} masks failed. They are listed in {listed}:\n{shown}{more}")


def _list(listed: Path, sources: Sequence[Path], failures: Sequence[tuple[Path, Exception]]) -> None:
    """Replace the rows about ``sources``, while no other command does so with its own."""
    tried = set(map(os.path.abspath, sources))
    with lock(listed.with_suffix(""), wait=f"{listed}: another process is writing it; waiting for its end"):
        # Names need not be UTF-8; what stands in the file is written back to the byte.
        there = listed.read_text(encoding="utf-8", errors="surrogateescape") if listed.exists() else ""
        rows = [row for row in there.split("\n") if row and os.path.abspath(row.partition("\t")[0]) not in tried]
        rows += [f"{source}\t{' '.join(str(error).split())}" for source, error in failures]
        if not rows:
            listed.unlink(missing_ok=True)
            return
        with new_file(listed, overwrite=True) as partial:
            partial.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8", errors="surrogateescape")
