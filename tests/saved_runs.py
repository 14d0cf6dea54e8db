"""Checkpoints of generators that have seen no training."""

from pathlib import Path

import torch

from orthoforge.checkpoint_files import save_checkpoint
from orthoforge.config import Recipe, recipe_values
from orthoforge.masks.classes import Classes
from orthoforge.networks import new_generator

RECIPE = Recipe(name="small", generator="resunet6", generator_width=4, norm="instance", upsample="resize")


def state_of(recipe=RECIPE, step=1, classes=None, places=None):
    """Its state; one without ``places`` is from before there were styles."""
    classes = {"names": classes, "colours": [[[i, 0, 0]] for i in range(len(classes))]} if classes else None
    tiles = {"fingerprint": "f", "size_px": 64, "gsd_m": 0.3, "classes": classes, "attribution": "© Survey"}
    tiles |= {"places": list(places)} if places else {}
    return {"recipe": recipe_values(recipe), "progress": {"step": step, "best_ssim": 0.1 + 0.2}, "tiles": tiles}


def save_run(run: Path, recipe=RECIPE, *, step=1, epoch=1, classes=None, places=None, name="last") -> Path:
    """A run folder with one checkpoint; returns the checkpoint's folder. ``places`` have styles of their own, far apart."""
    torch.manual_seed(step)
    state = state_of(recipe, step, classes, places)
    state["progress"]["epoch"] = epoch
    network = new_generator(recipe, Classes.of_plain(state["tiles"]["classes"]), len(places or ["somewhere"]))
    if places:
        from orthoforge.training.state import STYLE_BANKS  # only here: it takes 5 s, which killed processes would spend too

        codes, *palettes = (network.get_buffer(name) for name in STYLE_BANKS)
        codes.copy_(torch.rand_like(codes) + torch.arange(len(places))[:, None, None])
        for part in palettes:
            part.copy_(2 * torch.rand_like(part) - 1)
    train = {"discriminator.weight": torch.full((5,), float(step)), "optimizer_g.step": torch.tensor(float(step))}
    save_checkpoint(run / "weights" / name, model=network.state_dict(), train=train, state=state)
    return run / "weights" / name
