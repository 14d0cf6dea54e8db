"""At a rate that is far too high images no longer follow their masks, or the training is stopped."""

from pathlib import Path
from typing import Any, NamedTuple

import torch

from bench.phenomena.small_set import Finding, SmallSet, as_tensor, generated, pictures_of, side_by_side
from orthoforge import run_files
from orthoforge.errors import DivergedError
from orthoforge.measures.pixels import detail, outlines_seen
from orthoforge.models.conditions import encode_mask
from orthoforge.training.validation import OUTLINES_OF_A_COLLAPSE

# The recipes' own network, on crops that leave it affordable: it bears less than a narrow one.
FULL: dict[str, Any] = {
    "generator": "resnet9", "generator_width": 64, "discriminator_width": 64, "crop_px": 32, "epochs": 4, "decay_epochs": 0,
}  # fmt: skip
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "narrow × 1": ("baseline", {}),
    "narrow × 10": ("lr-collapse", {}),
    "narrow × 30": ("lr-collapse", {"learning_rate": 6e-3}),
    "narrow × 100": ("lr-collapse", {"learning_rate": 2e-2}),
    "full width × 1": ("baseline", FULL),
    "full width × 10": ("lr-collapse", FULL),
}


class Health(NamedTuple):
    """What a run's images of test tiles are like."""

    detail: float
    """Mean difference between neighbouring pixels, as a share of the real images'."""
    between_masks: float
    """Mean difference of an image from the mean over all masks, in grey levels."""
    outlines_seen: float
    """Share of the squares of 8 px with a building's outline in them that are not blank."""
    loss_d: float
    """The discriminator's in the last epoch."""


def measure(tiles: SmallSet) -> Finding:
    """Health of the images at 1, 10, 30, … times the baseline's rate, one seed where the rate is no recipe's."""
    figures: dict[str, list[dict[str, float] | None]] = {}
    lines, rows = [], []
    for case, (name, changes) in CASES.items():
        figures[case] = []
        for seed in tiles.seeds[:1] if "learning_rate" in changes else tiles.seeds:
            try:
                run = tiles.run(name, seed=seed, **changes)
            except DivergedError as error:
                figures[case].append(None)
                lines.append(f"{case:15} seed {seed}: caught. {error}")
                continue
            found = health(tiles, run)
            figures[case].append(found._asdict())
            lines.append(
                f"{case:15} seed {seed}: {100 * found.outlines_seen:.0f} % of the outlines are there; detail {found.detail:.2f} of "
                f"the real images'; {found.between_masks:.1f} grey levels between images of different masks; D's loss "
                f"{found.loss_d:.2f}"
            )
            if seed == tiles.seeds[0]:
                rows.append(pictures_of(generated(run, tiles.test_pairs()[0])))
    collapses = {
        case: all(row is None or row["outlines_seen"] < OUTLINES_OF_A_COLLAPSE for row in found) for case, found in figures.items()
    }
    shows = collapses["full width × 10"] and not collapses["full width × 1"] and not collapses["narrow × 1"]
    lines.append(
        f"ten times the rate: the full-width network {'collapses or is caught' if shows else 'does NOT collapse'}, the narrow one "
        f"{'does too' if collapses['narrow × 10'] else 'does not'}; a hundred times: "
        f"that one {'does' if collapses['narrow × 100'] else 'does not'}"
    )
    return Finding(dict(figures), lines, shows, {"rate.jpg": side_by_side(rows)})


def health(tiles: SmallSet, run: Path) -> Health:
    """The figures of a run."""
    masks, real = tiles.test_pairs()
    images = generated(run, masks)
    return Health(
        detail=(detail(images).mean() / detail(as_tensor(real)).mean()).item(),
        between_masks=127.5 * (images - images.mean(dim=0)).abs().mean().item(),
        outlines_seen=float(torch.div(*outlines_seen(images, encode_mask(torch.from_numpy(masks), None)).sum(dim=0))),
        loss_d=run_files.read_results(run)[-1]["loss_d"],
    )
