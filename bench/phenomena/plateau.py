"""The plateau schedule of 2021 drives its rate to 0; the one that works does not."""

from bench.phenomena.small_set import Finding, SmallSet
from orthoforge import run_files
from orthoforge.training.schedules import PLATEAU

ZERO_RATE = 1e-7  # a two-thousandth of the rate that they begin with
# Many epochs of few steps: what counts is how often the schedules look. One seed: that the rate falls does not hang on it.
CHANGES = {
    "epochs": 120, "decay_epochs": 0, "generator_width": 4, "discriminator_width": 8, "crop_px": 32, "tiles_per_place": 2,
}  # fmt: skip


def measure(tiles: SmallSet) -> Finding:
    """Rates of both networks by epoch."""
    figures, lines = {}, []
    final: dict[str, list[float]] = {}
    least: dict[str, list[float]] = {}
    epochs_to_zero: list[int | None] = []
    for name in ("plateau", "plateau-floor"):
        final[name], least[name] = [], []
        for seed in tiles.seeds[:1]:
            rows = run_files.read_results(tiles.run(name, seed=seed, **CHANGES))
            rates = [max(row["learning_rate"], row.get("learning_rate_d", 0.0)) for row in rows]
            final[name].append(rates[-1])
            least[name].append(min(min(row["learning_rate"], row.get("learning_rate_d", 1.0)) for row in rows))
            figures[f"{name}, seed {seed}"] = {
                "learning_rate": [row["learning_rate"] for row in rows][:: len(rows) // 12],
                "learning_rate_d": [row.get("learning_rate_d", row["learning_rate"]) for row in rows][:: len(rows) // 12],
            }
            zero = next((number for number, rate in enumerate(rates, 1) if rate < ZERO_RATE), None)
            if name == "plateau":
                epochs_to_zero.append(zero)
            reached = f"both rates below {ZERO_RATE:.0e} from epoch {zero}" if zero else f"never below {ZERO_RATE:.0e}"
            lines.append(
                f"{name:13} seed {seed}: rate {rates[0]:.1e} at first, G {rows[-1]['learning_rate']:.1e} and "
                f"D {rows[-1].get('learning_rate_d', rows[-1]['learning_rate']):.1e} after {len(rows)} epochs; {reached}"
            )
    floor = PLATEAU.floor * rates[0]
    falls = all(epochs_to_zero)
    holds = min(least["plateau-floor"]) >= floor * (1 - 1e-9)
    lines.append(
        f"plateau: rate {max(final['plateau']):.1e} at the end ({'falls to 0' if falls else 'does NOT fall to 0'}); "
        f"plateau-floor: {min(least['plateau-floor']):.1e} at the least, floor {floor:.0e} "
        f"({'never below it' if holds else 'BELOW it'})"
    )
    summary = {"final": final, "least": least, "epochs_to_zero": epochs_to_zero, "floor": floor}
    return Finding(figures | {"summary": summary}, lines, falls and holds)
