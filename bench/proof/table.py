"""The table of docs/utility.md, out of bench/results/proof.json."""

import json
from collections.abc import Sequence
from pathlib import Path

from bench.proof.rows import Row

ROOT = Path(__file__).parents[2]
RESULTS, PAGE = ROOT / "bench" / "results" / "proof.json", ROOT / "docs" / "utility.md"
BEGIN, END = "<!-- proof: written by python -m bench.proof -->", "<!-- end of proof -->"


def markdown(rows: Sequence[Row]) -> str:
    """A table of the arms of each setting: what the best baseline scores, and the others against it."""
    lines = [
        "| setting | arm | IoU | beyond the best baseline | over seeds | over seeds and scenes | finding | beyond the plain arm |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for setting in dict.fromkeys(row["setting"] for row in rows):
        mine = [row for row in rows if row["setting"] == setting]
        best = next(row for row in mine if row["arm"] == row["best_baseline"])
        seeds = f"{best['seeds']} seed{'s' * (best['seeds'] != 1)}"
        where = f"{setting}: {seeds}, {best['test_tiles']} test tiles of {best['test_scenes']} scenes"
        lines.append(f"| **{where}** | *{best['arm']}* | {best['iou']:.3f} | | | | | {_signed(best['to_plain'])} |")
        for row in mine:
            if row is best:
                continue
            arm = f"**{row['arm']}**" if row["is_chosen"] else row["arm"]
            cells = [_signed(row["difference"]), _interval(row["seeds_interval"]), _interval(row["scenes_interval"])]
            by = "" if row["weights"] is None else f"weights {row['weights'][:8]}"
            lines.append(
                f"| {by} | {arm} | {row['iou']:.3f} | {' | '.join(cells)} | {row['verdict']} | {_signed(row['to_plain'])} |"
            )
    return "\n".join(lines)


def write_table() -> None:
    """Put the table between its two marks in docs/utility.md, where they are."""
    text = PAGE.read_text("utf-8")
    if not RESULTS.exists() or BEGIN not in text:
        return
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    rows = json.loads(RESULTS.read_text("utf-8"))["rows"]
    PAGE.write_text(f"{before}{BEGIN}\n\n{markdown(rows)}\n\n{END}{after}", encoding="utf-8")


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}".replace("-", "−")


def _interval(interval: Sequence[float] | None) -> str:
    return "–" if interval is None else f"{_signed(interval[0])} to {_signed(interval[1])}"
