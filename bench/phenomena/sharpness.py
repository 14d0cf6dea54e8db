"""Without a discriminator images are blurrier."""

from typing import Any

import numpy as np

from bench.phenomena.small_set import Finding, SmallSet, as_tensor, generated, pictures_of, side_by_side, small_recipe
from orthoforge.measures.pixels import detail
from orthoforge.measures.spectra import fine_detail

# Each beside generator-only. At λ 100 the discriminator has little say in so few steps, at λ 10 it has; without one λ changes
# nothing, as Adam does not see the scale of a loss. Resizing leaves no checkerboard, which could pass for detail.
PAIRS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("baseline", {}),
    ("resize-conv", {"upsample": "resize"}),
    ("lambda-10", {"upsample": "resize"}),
)
BLURRIER = 0.75  # of the fine detail; seeds differ by less


def measure(tiles: SmallSet) -> Finding:
    """Fine detail of generated test tiles as a share of the real ones', with and without a discriminator."""
    masks, real = tiles.test_pairs()
    real_fine, real_detail = (measured(as_tensor(real)).mean().item() for measured in (fine_detail, detail))
    figures: dict[str, dict[str, list[float]]] = {}
    lines, ratios, rows = [], {}, []

    def look(name: str, changes: dict[str, Any]) -> list[float]:
        """A recipe's shares of fine detail by seed; measured and printed once."""
        what = f"{name}, {small_recipe(name, **changes).upsample}"
        if what not in figures:
            images = [generated(tiles.run(name, seed=seed, **changes), masks) for seed in tiles.seeds]
            figures[what] = {
                "fine_detail": [fine_detail(image).mean().item() / real_fine for image in images],
                "detail": [detail(image).mean().item() / real_detail for image in images],
            }
            lines.append(
                f"{what:26} fine detail {_joined(figures[what]['fine_detail'])} of the real images' "
                f"(neighbouring pixels, checkerboard and all: {_joined(figures[what]['detail'])})"
            )
            rows.append(pictures_of(images[0]))
        return figures[what]["fine_detail"]

    for name, changes in PAIRS:
        with_one = look(name, {} if name == "resize-conv" else changes)
        without = look("generator-only", changes)
        ratios[name] = [b / a for a, b in zip(with_one, without, strict=True)]
    shows = max(ratios["lambda-10"]) < BLURRIER
    alone, judged = (np.mean(figures[f"{name}, resize"]["fine_detail"]) for name in ("generator-only", "lambda-10"))
    lines.append(
        f"generator-only: {alone:.2f} of the real images' fine detail, with a discriminator at λ 10 {judged:.2f}: "
        f"{'blurrier' if shows else 'NOT blurrier'} (ratio {_joined(ratios['lambda-10'])}); beside λ 100, the baseline's, "
        f"the ratio is {_joined(ratios['baseline'])}, without checkerboards {_joined(ratios['resize-conv'])}"
    )
    return Finding(figures | {"ratios": ratios}, lines, shows, {"generator-only.jpg": side_by_side(rows)})


def _joined(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)
