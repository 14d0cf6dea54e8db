"""How near forged masks are to a place's real ones, and how long they take.

    python -m bench.forging DATA [--places inria_austin …] [--count 24] [--large MASK]

DATA is a data set or a folder of masks. Beside each property's distance stands the floor: the distance between two parts of
the real masks, its median and 95th percentile. With a large mask, forging 1000² and 5000² px from it is timed.
"""

import argparse
import tempfile
import time
from pathlib import Path

from orthoforge.forging.card import Card
from orthoforge.forging.forge import forge
from orthoforge.forging.new_mask import How
from orthoforge.forging.statistics import PROPERTIES

HOWS: tuple[How, ...] = ("recombine", "streets", "transform")


def print_card(card: Card, seconds: float) -> None:
    print(f"\n{card.place}, {card.how}: {seconds:.2f} s a mask")
    for verdict in card.verdicts:
        floors = f"floor {verdict.floor:6.3f} to {verdict.highest:6.3f}"
        print(f"  {verdict.title:32} {verdict.distance:6.3f}  {floors}  {verdict.multiple:5.1f}×  {verdict.words}")


def print_table(how: str, cards: dict[str, Card]) -> None:
    """As in docs/forging.md; what is not as real is marked."""
    print(f"\n| `{how}` | {' | '.join(cards)} |\n{'|---' * (len(cards) + 1)}|")
    for number, (name, kind) in enumerate(PROPERTIES.items()):
        cells = []
        for card in cards.values():
            verdict = card.verdicts[number]
            digits, sign = (1, "°") if name == "orientation" else (2, "")
            told = [f"{value:.{digits}f}{sign}" for value in (verdict.distance, verdict.floor, verdict.highest)]
            cells.append(f"{told[0]} ({told[1]} to {told[2]})" + " ✗" * (verdict.as_real is False))
        print(f"| {kind.title} | {' | '.join(cells)} |")


def main() -> None:
    """Forge in each way from each place, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--places", nargs="+", default=["inria_austin", "banepa_core", "zanzibar"])
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--large", type=Path)
    options = parser.parse_args()
    cards: dict[str, dict[str, Card]] = {how: {} for how in HOWS}
    with tempfile.TemporaryDirectory() as folder:
        for place in options.places:
            for how in HOWS:
                started_at = time.perf_counter()
                made = forge(options.data, Path(folder) / place / how, how=how, count=options.count, place=place)
                cards[how][place] = made.cards[place]
                print_card(made.cards[place], (time.perf_counter() - started_at) / options.count)
        for how in HOWS:
            print_table(how, cards[how])
        for size in (1000, 5000) if options.large else ():
            for how in HOWS:
                started_at = time.perf_counter()
                made = forge([options.large], Path(folder) / "large" / f"{how}{size}", how=how, count=1, size=size)
                seconds = time.perf_counter() - started_at
                for card in made.cards.values():
                    print_card(card, seconds)
                print(f"{size}², {how}: {seconds:.1f} s with reading, measuring and writing")


if __name__ == "__main__":
    main()
