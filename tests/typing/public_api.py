"""Read by mypy, never run: what a checker knows of each public name, and which mistakes it finds."""

from pathlib import Path
from typing import assert_type, reveal_type

import orthoforge
from orthoforge.datasets import Meta, Sample

reveal_type(orthoforge.Classes)
reveal_type(orthoforge.OrthoforgeError)
reveal_type(orthoforge.RealPairs)
reveal_type(orthoforge.Recipe)
reveal_type(orthoforge.Run)
reveal_type(orthoforge.ScoreNetwork)
reveal_type(orthoforge.SegmenterSettings)
reveal_type(orthoforge.SyntheticPairs)
reveal_type(orthoforge.TileStore)
reveal_type(orthoforge.TrainedGenerator)
reveal_type(orthoforge.check)
reveal_type(orthoforge.compare)
reveal_type(orthoforge.demo)
reveal_type(orthoforge.evaluate)
reveal_type(orthoforge.experiment)
reveal_type(orthoforge.export)
reveal_type(orthoforge.footprints)
reveal_type(orthoforge.forge)
reveal_type(orthoforge.generate)
reveal_type(orthoforge.grow)
reveal_type(orthoforge.load_generator)
reveal_type(orthoforge.load_recipe)
reveal_type(orthoforge.prepare)
reveal_type(orthoforge.publish)
reveal_type(orthoforge.realign)
reveal_type(orthoforge.recipe_names)
reveal_type(orthoforge.serve)
reveal_type(orthoforge.simulate)
reveal_type(orthoforge.sweep)
reveal_type(orthoforge.train)
reveal_type(orthoforge.utility)

folder = Path()
assert_type(orthoforge.prepare(folder, folder, gsd=0.6), orthoforge.TileStore)
run = assert_type(orthoforge.train("tiny", folder), Path)
assert_type(orthoforge.load_generator(run), orthoforge.TrainedGenerator)
assert_type(orthoforge.Run.open(run).tiles(), orthoforge.TileStore | None)
assert_type(orthoforge.generate(run, [folder], folder), list[Path])
assert_type(orthoforge.load_recipe("tiny"), orthoforge.Recipe)
orthoforge.grow(run, folder, folder, segmenter=orthoforge.SegmenterSettings(steps=1))
assert_type(orthoforge.prepare("scenes", "tiles"), orthoforge.TileStore)
assert_type(orthoforge.generate("run", "mask.tif", "out", keep_mask=True, labels=["coco", "yolo"]), list[Path])
assert_type(orthoforge.RealPairs("tiles")[0], Sample)
assert_type(orthoforge.SyntheticPairs(run, "masks", forge="transform")[0].meta, Meta)
assert_type(orthoforge.SyntheticPairs.grown("grown"), orthoforge.SyntheticPairs)

# Each of these is an error; where a name was Any, mypy would say that its comment is needless.
orthoforge.trian()  # type: ignore[attr-defined]
orthoforge.train("tiny")  # type: ignore[call-arg]
orthoforge.train("tiny", folder, resumed=True)  # type: ignore[call-arg]
orthoforge.prepare(folder, folder, split="by luck")  # type: ignore[arg-type]
orthoforge.SegmenterSettings(steps="many")  # type: ignore[arg-type]
orthoforge.RealPairs("tiles", "training")  # type: ignore[arg-type]
orthoforge.generate(run, "mask.tif", "out", labels=["voc"])  # type: ignore[list-item]
