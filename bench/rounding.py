"""How far a step's gradients in bf16 are from those in float32: what its rounding costs.

    python -m bench.rounding [--recipe orthoforge-s]

Relative errors (norms) of all gradients together, and the median over the tensors. Noise is a function of place, so that both
precisions see the same. To compare another checkout, put its ``src`` first into PYTHONPATH.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from bench import small_store
from orthoforge.config import load_recipe
from orthoforge.models.noise import NoiseField, place_noise
from orthoforge.tiles.store import TileStore
from orthoforge.training.batches import epoch_batches
from orthoforge.training.hardware import new_fabric
from orthoforge.training.state import TrainingState
from orthoforge.training.step import train_step
from orthoforge.training.training import Training


def gradients(store: TileStore, recipe_name: str, precision: str) -> list[Tensor]:
    """Of both networks, in the first step."""
    recipe = load_recipe(recipe_name, precision=precision)
    fabric = new_fabric(recipe, "cpu")
    state = TrainingState(fabric, recipe, store)
    place_noise(state.generator, *map(NoiseField, range(recipe.batch_size)))
    if state.generator.colours is not None:
        state.generator.colours.noise_fields = ()  # it takes one field for each image, and here the first lend theirs
    training = Training(fabric, recipe, store, state, Path("run"))
    train_step(training, next(epoch_batches(training)))
    learnt = (parameter.grad for network, _ in state.trained.values() for parameter in network.parameters())
    return [gradient for gradient in learnt if gradient is not None]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="orthoforge-s")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = small_store(Path(folder), size_px=288)
        exact, rounded = (gradients(store, options.recipe, precision) for precision in ("float32", "bf16"))
    sizes = torch.stack([gradient.norm() for gradient in exact])
    apart = torch.stack([(one - other).norm() for one, other in zip(rounded, exact, strict=True)])
    whole, middle = float(apart.norm() / sizes.norm()), float((apart / sizes.clamp(min=1e-12)).median())
    print(f"{options.recipe}: gradients in bf16 differ from those in float32 by {whole:.3f}, those of a tensor by {middle:.3f}")


if __name__ == "__main__":
    main()
