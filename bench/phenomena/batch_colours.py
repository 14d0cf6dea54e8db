"""Instance norm's colours do not depend on the batch; batch norm's do, while it is in training mode."""

import copy

import numpy as np
import torch
from torch import nn

from bench.phenomena.small_set import Finding, SmallSet
from orthoforge.models.conditions import encode_mask
from orthoforge.trained_generator import load_generator

# Below this many grey levels two images are the same in a file.
SAME_LEVELS = 0.05


def measure(tiles: SmallSet) -> Finding:
    """Mean colour of the same masks among masks without, and among masks full of buildings."""
    masks, _ = tiles.test_pairs()
    figures, lines = {}, []
    for name in ("baseline", "instance-norm"):
        networks = [load_generator(tiles.run(name, seed=seed)).network for seed in tiles.seeds]
        for mode in ("training", "eval"):
            shifts = [colour_shift(network, masks, training=mode == "training") for network in networks]
            figures[f"{name}, {mode} mode"] = shifts
            lines.append(f"{name:13} {mode:8} mode: colours move by {_joined(shifts)} grey levels with the batch")
    depends = {key: max(values) > SAME_LEVELS for key, values in figures.items()}
    shows = depends == {key: key == "baseline, training mode" for key in depends}
    moved = float(np.mean(figures["baseline, training mode"]))
    lines.append(
        f"batch norm's colours move by {moved:.1f} grey levels with the batch while in training mode, instance norm's by "
        f"{max(figures['instance-norm, training mode']):.4f}: {'as expected' if shows else 'NOT as expected'}"
    )
    return Finding(figures, lines, shows)


def colour_shift(network: nn.Module, masks: np.ndarray, *, training: bool) -> float:
    """Mean absolute difference, in grey levels, between the mean colours of the same four masks (N, H, W) in two batches.

    The four are those in the middle by building share; once they stand beside the four with least building, once with most.
    """
    network = copy.deepcopy(network).train(training)  # training mode moves the running statistics
    order = np.argsort((masks > 0).mean(axis=(1, 2)))
    middle = len(order) // 2 - 2
    same = masks[order[middle : middle + 4]]
    colours = []
    for companions in (masks[order[:4]], masks[order[-4:]]):
        with torch.no_grad():
            images = network(encode_mask(torch.from_numpy(np.concatenate([same, companions])), None))
        colours.append(images[:4].mean(dim=(2, 3)))
    return 127.5 * (colours[0] - colours[1]).abs().mean().item()


def _joined(values: list[float]) -> str:
    return ", ".join(f"{value:.4f}" if value < 1 else f"{value:.1f}" for value in values)
