"""On an empty mask instance norm divides by nothing: rounding errors grow, layer by layer, into what is seen and learnt."""

import copy

import numpy as np
import torch
from torch import Tensor, nn

from bench.phenomena.small_set import CROP_PX, Finding, SmallSet, pictures_of, side_by_side
from orthoforge.models.conditions import encode_mask
from orthoforge.models.losses import l1
from orthoforge.trained_generator import load_generator

CASES = {"batch": "baseline", "instance": "instance-norm", "group": "instance-norm"}
SAME_LEVELS = 0.5  # half a grey level is what rounding to bytes hides


def measure(tiles: SmallSet) -> Finding:
    """The same empty mask in float32 and in float64; gradients of an empty mask beside those of the fullest."""
    masks, real = tiles.test_pairs()
    fullest = int(np.argmax((masks > 0).mean(axis=(1, 2))))
    empty = encode_mask(torch.zeros(1, CROP_PX, CROP_PX, dtype=torch.uint8), None)
    full = encode_mask(torch.from_numpy(masks[fullest : fullest + 1]), None)
    image = torch.from_numpy(real[fullest : fullest + 1]).permute(0, 3, 1, 2).float() / 127.5 - 1
    figures: dict[str, dict[str, list[float]]] = {}
    lines, rows = [], []
    for norm, name in CASES.items():
        figures[norm] = {"levels": [], "gradients": []}
        for seed in tiles.seeds:
            network = load_generator(tiles.run(name, seed=seed, **({"norm": norm} if norm == "group" else {}))).network
            single, double = painted(network, empty), painted(copy.deepcopy(network).double(), empty.double())
            figures[norm]["levels"].append(127.5 * (single - double).abs().max().item())
            figures[norm]["gradients"].append(gradient_norm(network, empty, image) / gradient_norm(network, full, image))
            if seed == tiles.seeds[0]:
                rows.append(pictures_of(torch.cat([single, double.float()]), count=2))
        lines.append(
            f"{norm:8} norm: rounding changes an empty mask's image by up to {_joined(figures[norm]['levels'])} grey levels; its "
            f"gradients are {_joined(figures[norm]['gradients'])} times those of a mask with buildings"
        )
    changed = {norm: max(found["levels"]) for norm, found in figures.items()}
    shows = changed["instance"] > SAME_LEVELS > changed["group"]
    lines.append(
        f"instance norm: up to {changed['instance']:.2g} grey levels by rounding alone, batch {changed['batch']:.2g}, group "
        f"{changed['group']:.2g}: {'instance norm paints what it rounded' if shows else 'does NOT show'}"
    )
    return Finding(figures, lines, shows, {"empty-masks.jpg": side_by_side(rows)})


def painted(network: nn.Module, condition: Tensor) -> Tensor:
    """The network's image, (1, 3, H, W)."""
    with torch.inference_mode():
        return network(condition)


def gradient_norm(network: nn.Module, condition: Tensor, real: Tensor) -> float:
    """Of 100·L1 over all weights, in training mode."""
    network = copy.deepcopy(network).train().requires_grad_(True)
    (100 * l1(network(condition), real)).backward()
    return torch.nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None]).item()


def _joined(values: list[float]) -> str:
    return ", ".join(f"{value:.2g}" for value in values)
