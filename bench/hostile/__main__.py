"""Run all inputs, or some: ``python -m bench.hostile [--short] [--only NAME …] [--area AREA …] [--seconds S] [--out FILE]``.

Prints a row for each area: clear errors and right results, and faults, of each of which none is wanted: hangs, peaks of memory
above 2 GB, crashes, tracebacks, wrong results, unclear errors, files opened outside, connections. ``--out`` gets a line for each
fault. Exit 1 when there is one.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

# Before numpy is imported: a process with threads must not be forked.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

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
    parser.add_argument("--keep", type=Path, help="folder for material, which is used again, and the last input")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of computing; what takes longer is a hang")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    options = parser.parse_args()
    chosen = all_inputs(short=options.short, only=options.only, areas=options.area)
    if options.list:
        print("\n".join(f"{each.area:12} {each.name}".encode("ascii", "backslashreplace").decode() for each in chosen))
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        findings = run_inputs(
            chosen, options.keep or Path(temporary), options.out, seconds=options.seconds, show=bool(options.only)
        )
    print(table(findings))
    return int(any(finding.is_fault for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
