"""Run the settings of the proof in their order, as far as the time goes, and keep what they say.

    python -m bench.proof DATA STATE [--hours 2] [--weights orthoforge-material] [--places rf_arid_shifted ...]
    python -m bench.proof DATA STATE --hours 0      what is finished into bench/results/proof.json and docs/utility.md

DATA holds the pairs, STATE all that is computed. Called again, it goes on where it was; finished trainings are kept. Scenes,
numbers of tiles, seeds, steps and the arms were fixed before the first training.
"""

import argparse
import time
from pathlib import Path

from bench.proof.places import PLACES, tiles_of
from bench.proof.rows import collect, keep
from bench.proof.settings import SETTINGS, OutOfTime, run, until
from bench.proof.table import RESULTS, write_table


def main() -> None:
    """Train, and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("state", type=Path)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--weights", default="orthoforge-material")
    parser.add_argument("--places", nargs="+", default=list(PLACES), help="settings of these alone")
    parser.add_argument("--augmentations", nargs="+", default=["strong", "flips"], help="settings with these alone")
    options = parser.parse_args()
    until(time.monotonic() + 3600 * options.hours)
    try:
        for setting in SETTINGS if options.hours else ():
            if setting.place not in options.places or setting.augmentation not in options.augmentations:
                continue
            print(f"{time.strftime('%H:%M')} {setting.name}", flush=True)
            store = tiles_of(PLACES[setting.place], options.data, options.state / "places")
            run(setting, store, options.weights, options.state / "runs")
            keep(collect(options.state / "runs"), RESULTS)
    except OutOfTime:
        print("The time is over; call it again to go on.", flush=True)
    keep(collect(options.state / "runs"), RESULTS)
    write_table()


if __name__ == "__main__":
    main()
