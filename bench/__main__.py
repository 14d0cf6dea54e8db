"""``make bench``: the figures of docs/figures.md, in about a quarter of an hour; what takes longer is run by hand."""

import subprocess
import sys

SCRIPTS = (
    ("bench.guard",),
    ("bench.prepare",),
    ("bench.store",),
    ("bench.training",),
    ("bench.generation",),
    ("bench.loader", "--pairs", "12"),
    ("bench.perceptual",),
    ("bench.faults_training", "12"),
    ("bench.faults_scenes",),
    ("bench.scenes", "seams", "--size", "768"),
)


def main() -> int:
    """Run each script in a process of its own; 1 when one of them failed."""
    failed = 0
    for module, *words in SCRIPTS:
        print(f"\n== {module}", flush=True)
        failed |= subprocess.run([sys.executable, "-m", module, *words], check=False).returncode
    return int(failed != 0)


if __name__ == "__main__":
    sys.exit(main())
