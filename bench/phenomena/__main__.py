"""What the 2021 project saw, measured on a small set: each phenomenon prints its figures and a verdict.

    python -m bench.phenomena [NAME …] [--keep DIR] [--pictures DIR]

Trains narrow networks on simulated towns (`small_set.py`) on one core; phenomena share runs. With ``--keep`` runs that are there
already are not trained again. Figures go to bench/results/phenomena.json, with their circumstances. 1 when one does not show.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import torch
from PIL import Image

from bench.phenomena import batch_colours, checkerboards, empty_masks, perceptual_alone, plateau, rate, sharpness
from bench.phenomena.small_set import GSD_M, SEEDS, SMALL, small_set

PHENOMENA = {
    "rate": rate,
    "plateau": plateau,
    "sharpness": sharpness,
    "checkerboards": checkerboards,
    "batch-colours": batch_colours,
    "empty-masks": empty_masks,
    "perceptual-alone": perceptual_alone,
}
RESULTS = Path(__file__).parents[1] / "results" / "phenomena.json"


def main() -> int:
    """Measure and print those that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PHENOMENA))
    parser.add_argument("--keep", type=Path, help="folder of the set and its runs; a temporary one when left out")
    parser.add_argument("--pictures", type=Path, help="folder for pictures of what was generated")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in PHENOMENA]
    if unknown:
        parser.error(f"no phenomenon is called {unknown[0]}; there are {', '.join(PHENOMENA)}")

    missing = []
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tiles = stack.enter_context(small_set(folder, seeds=options.seeds))
        counts = {split: len(tiles.store.ids(split)) for split in ("train", "val", "test")}
        circumstances = {
            "set": f"simulated towns, {GSD_M} m, tiles of {tiles.store.size_px} px, split at random", "tiles": counts,
            "seeds": options.seeds, "recipes_changed_by": SMALL, "torch": torch.__version__, "python": platform.python_version(),
            "orthoforge": version("orthoforge"), "threads": torch.get_num_threads(), "machine": platform.machine(),
        }  # fmt: skip
        print(f"{circumstances['set']}: {counts}; seeds {options.seeds}; torch {torch.__version__}, 1 thread")
        for name in options.names or PHENOMENA:
            began = time.monotonic()
            print(f"\n{name}: {PHENOMENA[name].__doc__}", flush=True)
            finding = PHENOMENA[name].measure(tiles)
            seconds = time.monotonic() - began
            for line in finding.lines:
                print(f"  {line}")
            print(f"  ({seconds:.0f} s)", flush=True)
            if not finding.shows:
                missing.append(name)
            found = {"shows": finding.shows, "printed": finding.lines, "figures": finding.figures}
            record(name, found | {"circumstances": circumstances})
            if options.pictures:
                options.pictures.mkdir(parents=True, exist_ok=True)
                for file, picture in finding.pictures.items():
                    Image.fromarray(picture).save(options.pictures / file, optimize=True, quality=90)
    print(f"\n{RESULTS}" + (f"; not seen at this size: {', '.join(missing)}" if missing else ""))
    return int(bool(missing))


def record(name: str, finding: dict) -> None:
    """Put one phenomenon's figures into the results; those of others stay."""
    results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.is_file() else {}
    results[name] = finding
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(dict(sorted(results.items())), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
