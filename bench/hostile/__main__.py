"""Run all inputs, or some: ``python -m bench.hostile [--short] [--only NAME …] [--area AREA …] [--seconds S] [--log FILE] …``.

Prints a row for each area: clear errors and right results, and faults, of each of which none is wanted: hangs, peaks of memory
above 2 GB, crashes, tracebacks, wrong results, unclear errors, files opened outside, connections. ``--out`` gets a line for each
fault, at its end. Inputs that stand in ``--log`` are not run again, and are in the table: so a run goes on, or is done in parts.
Exit 1 when there is a fault.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

# Before numpy is imported: a process with threads must not be forked.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

from bench.hostile import log
from bench.hostile.bench import SHORT, all_inputs, run_inputs
from bench.hostile.table import table
from bench.hostile.trial import SECONDS


def main() -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help=f"some {SHORT} inputs, of every area")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these inputs, or all whose names begin so")
    parser.add_argument("--area", nargs="+", default=[], help="inputs of these areas")
    parser.add_argument("--out", type=Path, help="file for a line on each fault")
    parser.add_argument("--log", type=Path, help="file of all that was found; what is in it is done")
    parser.add_argument("--keep", type=Path, help="folder for material, which is used again, and the last input")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of computing; what takes longer is a hang")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    options = parser.parse_args()
    chosen = all_inputs(short=options.short, only=options.only, areas=options.area)
    if options.list:
        print("\n".join(f"{each.area:12} {each.name}".encode("ascii", "backslashreplace").decode() for each in chosen))
        return 0
    done = log.read(options.log) if options.log else []
    names = {row.name for row in done}
    left = [each for each in chosen if each.name not in names]
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        found = run_inputs(left, folder, options.out, options.log, seconds=options.seconds, show=bool(options.only))
    rows = [*done, *found]
    print(table(rows))
    return int(any(row.is_fault for row in rows))


if __name__ == "__main__":
    sys.exit(main())
