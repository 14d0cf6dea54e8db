"""Orthoforge turns masks into orthophotos.

    from orthoforge import load_generator, prepare, train

    prepare("AerialImageDataset", "tiles")
    run = train("baseline", "tiles")
    image = load_generator(run)(mask)

Every command of the command line is a function of the same name here, with the same defaults. Names are looked up when first used,
so that importing the package does not import torch.
"""

from importlib import import_module
from importlib.metadata import version
from typing import Any

__version__ = version("orthoforge")

_HOMES = {
    "OrthoforgeError": "errors",
    "Recipe": "config",
    "TileStore": "tiles.store",
    "TrainedGenerator": "trained_generator",
    "check": "scenes.checks",
    "compare": "comparison.compare",
    "demo": "demonstration",
    "evaluate": "evaluation.evaluate",
    "experiment": "experiments",
    "footprints": "vectors.files",
    "forge": "forging.forge",
    "generate": "generation",
    "grow": "growing",
    "load_generator": "trained_generator",
    "load_recipe": "config",
    "prepare": "tiles.prepare",
    "publish": "hub",
    "recipe_names": "config",
    "simulate": "scenes.simulate",
    "sweep": "experiments",
    "train": "training.session",
    "utility": "usefulness.utility",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'orthoforge' has no attribute {name!r}")
    # Not kept in the module: `orthoforge.demonstration` and others are also names of submodules, which an import would bind here.
    return getattr(import_module(f"orthoforge.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
