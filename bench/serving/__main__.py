"""Figures of the server: ``python -m bench.serving [PART …] [--model NAME] [--seconds S]``.

``capacity`` and ``load`` (images a second beside the bare generator; p50 and p95 at half, all and twice of that), ``crowd`` (200 at
once), ``bodies`` (slow, large, of 10⁵ fields), ``tiles`` (a living map), ``stopped`` (SIGTERM under load), ``killed`` (accepted
jobs after SIGKILL), ``soak`` (memory and descriptors under load), ``hostile`` (the files of bench.hostile as uploads),
``contract`` (what schemathesis draws from the OpenAPI document). The last three take long, and are left out when none is named.
Arrivals are open-loop; server and client are two processes.
"""

import argparse
import tempfile
from pathlib import Path

from bench.serving import hostile, parts
from bench.serving.contract import contract

PARTS = ("capacity", "load", "crowd", "bodies", "tiles", "stopped", "killed", "soak", "hostile", "contract")
LONG = ("soak", "hostile", "contract")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART")
    parser.add_argument("--model", default="orthoforge-s")
    parser.add_argument("--rate", type=float, help="the capacity, where it is not measured here")
    parser.add_argument("--seconds", type=float, default=60.0, help="of load; ten times as long for soak")
    parser.add_argument("--rounds", type=int, default=8, help="by turns; kills; requests drawn for each operation")
    parser.add_argument("--every", type=int, default=1, help="of the hostile inputs, every so manieth")
    options = parser.parse_args()
    wanted = options.parts or [part for part in PARTS if part not in LONG]
    rate = options.rate
    for part in wanted:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if part == "capacity" or (rate is None and part in ("load", "stopped", "soak")):
                rate = parts.capacity(folder, options.model, options.rounds)
            if part == "load":
                parts.load(folder, options.model, rate, options.seconds)
            elif part == "stopped":
                parts.stopped(folder, options.model, rate)
            elif part == "soak":
                parts.soak(folder, options.model, rate / 2, 10 * options.seconds)
            elif part == "killed":
                parts.killed(folder, options.model, options.rounds)
            elif part == "hostile":
                hostile.hostile(folder, options.model, options.every)
            elif part == "contract":
                contract(folder, options.model, options.rounds)
            elif part != "capacity":
                getattr(parts, part)(folder, options.model)


if __name__ == "__main__":
    main()
