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
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors and type checkers; a program gets each name from `__getattr__`
    from orthoforge.comparison.compare import compare
    from orthoforge.config import Recipe, load_recipe, recipe_names
    from orthoforge.datasets import RealPairs, SyntheticPairs
    from orthoforge.demonstration import demo
    from orthoforge.errors import OrthoforgeError
    from orthoforge.evaluation.evaluate import evaluate
    from orthoforge.experiments import experiment, sweep
    from orthoforge.exporting.export import export
    from orthoforge.forging.forge import forge
    from orthoforge.generation import generate
    from orthoforge.growing.grow import grow
    from orthoforge.hub import publish
    from orthoforge.masks.classes import Classes
    from orthoforge.measures.realism.features import ScoreNetwork
    from orthoforge.measures.segmenter.segmentation import SegmenterSettings
    from orthoforge.realigning.realign import realign
    from orthoforge.runs import Run
    from orthoforge.scenes.checks import check
    from orthoforge.scenes.simulate import simulate
    from orthoforge.serving.serve import serve
    from orthoforge.tiles.prepare import prepare
    from orthoforge.tiles.store import TileStore
    from orthoforge.trained_generator import TrainedGenerator, load_generator
    from orthoforge.training.session import train
    from orthoforge.usefulness.utility import utility
    from orthoforge.vectors.files import footprints

__version__ = version("orthoforge")

# The same once more: the module that each name is looked up in.
_HOMES = {
    "Classes": "masks.classes",
    "OrthoforgeError": "errors",
    "RealPairs": "datasets",
    "Recipe": "config",
    "Run": "runs",
    "ScoreNetwork": "measures.realism.features",
    "SegmenterSettings": "measures.segmenter.segmentation",
    "SyntheticPairs": "datasets",
    "TileStore": "tiles.store",
    "TrainedGenerator": "trained_generator",
    "check": "scenes.checks",
    "compare": "comparison.compare",
    "demo": "demonstration",
    "evaluate": "evaluation.evaluate",
    "experiment": "experiments",
    "export": "exporting.export",
    "footprints": "vectors.files",
    "forge": "forging.forge",
    "generate": "generation",
    "grow": "growing.grow",
    "load_generator": "trained_generator",
    "load_recipe": "config",
    "prepare": "tiles.prepare",
    "publish": "hub",
    "realign": "realigning.realign",
    "recipe_names": "config",
    "serve": "serving.serve",
    "simulate": "scenes.simulate",
    "sweep": "experiments",
    "train": "training.session",
    "utility": "usefulness.utility",
}
__all__ = [
    "Classes",
    "OrthoforgeError",
    "RealPairs",
    "Recipe",
    "Run",
    "ScoreNetwork",
    "SegmenterSettings",
    "SyntheticPairs",
    "TileStore",
    "TrainedGenerator",
    "check",
    "compare",
    "demo",
    "evaluate",
    "experiment",
    "export",
    "footprints",
    "forge",
    "generate",
    "grow",
    "load_generator",
    "load_recipe",
    "prepare",
    "publish",
    "realign",
    "recipe_names",
    "serve",
    "simulate",
    "sweep",
    "train",
    "utility",
]

if not TYPE_CHECKING:  # a checker that saw this would take any misspelt name for something of type Any

    def __getattr__(name):
        if name not in _HOMES:
            raise AttributeError(f"module 'orthoforge' has no attribute {name!r}")
        # Not kept in the module, where an import binds the names of submodules, such as `orthoforge.growing`.
        return getattr(import_module(f"orthoforge.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
