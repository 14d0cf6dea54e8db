"""Damaged palettes, recipes, lists of masks and model cards: short texts that people write themselves."""

import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.hostile.case import Command, Input, Surroundings, command
from bench.hostile.material import PALETTE, RECIPE, Material
from bench.hostile.mutations import BYTES, TEXT, json_bytes
from bench.hostile.rasters import _some as some
from bench.hostile.rasters import changed
from bench.hostile.stores import plant

_LIST = "data/masks/town0.tif\ndata/masks/town3.tif\n"
_CARD = "license: Apache-2.0\nsummary: A speck.\nsources:\n- name: Town\n  license: CC0-1.0\n  attribution: Town\n"
# Lines that a recipe must not have, or must say something of.
RECIPE_LINES = {
    "nan": "learning_rate: .nan", "infinite": "learning_rate: .inf", "minus": "learning_rate: -1", "boolean": "epochs: true",
    "float": "epochs: 1.5",
    "digits": f"seed: {'9' * 100_000}", "text": "crop_px: north", "duplicate": "crop_px: 64", "list": "generator: [unet]",
    "null": "batch_size: null",
    "tag": "name: !!python/object/apply:os.system ['touch ../../outside/made']", "binary": "name: !!binary aGVsbG8=",
    "date": "name: 2021-01-01",
    "base60": "epochs: 1:30", "octal": "crop_px: 0o40", "width-huge": "generator_width: 1000000000",
    "crop-huge": "crop_px: 4294967296",
    "batch-huge": "batch_size: 1000000000000", "epochs-huge": "epochs: 10000000000000000000000", "beta-nan": "beta1: .nan",
    "ema-2": "ema_decay: 2",
    "escape": "description: \"\\e[31mred\\a\"", "name-long": f"name: {'x' * 300}", "name-empty": "name: ''",
    "name-nul": 'name: "a\\0b"', "lambda-huge": "lambda_l1: 1e308",
    "tiles": "tiles: --gsd $(touch ../../outside/made)", "weights": "perceptual_weights: card.yaml\nlambda_perceptual: 1",
    "merge": "<<: 3", "recursive": "name: &a [*a]",
}  # fmt: skip


def inputs() -> Iterator[Input]:
    """Every input of short texts."""
    for kind, build in (("palette.json", _palette), ("speck.yaml", _recipe), ("masks.txt", _list), ("card.yaml", _card)):
        for mutation in (*some(list(BYTES), kind, 4), *some(list(TEXT), kind, 8)):
            yield Input(f"text/{kind}/{mutation}", "texts", partial(build, mutation))
    for number in range(8):
        yield Input(f"text/palette/planted-{number}", "texts", partial(_palette, f"planted-{number}"))
    for name in RECIPE_LINES:
        yield Input(f"text/recipe/{name}", "texts", partial(_recipe_line, name))


def _text(file: str, valid: str, mutation: str) -> bytes:
    return changed(mutation, valid.encode(), f"{file}{mutation}")


def _palette(mutation: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    shutil.copytree(material.data, here / "data")
    if mutation.startswith("planted"):
        (here / "palette.json").write_bytes(json_bytes(plant(PALETTE, mutation)))
    else:
        (here / "palette.json").write_bytes(_text("palette", json.dumps(PALETTE, indent=1), mutation))
    options = ("--size", "64", "--split", "digits", "--workers", "1", "--palette", "palette.json")
    return [
        command("check", "data", "--palette", "palette.json", names="palette"),
        command("prepare", "data", "tiles", *options, names="", out="tiles/store.json"),
    ]


def train(here: Path, material: Material, **options: object) -> list[Command]:
    """A training of one step by the recipe that lies there, after a look at what it says."""
    shutil.copytree(material.tiles, here / "tiles")
    named = {"names": ""} | options
    return [
        command("train", "speck.yaml", "--print-config", **named),
        command("train", "speck.yaml", "--data", "tiles", "--trackers", "tensorboard", "--stop-after", "1", **named),
    ]  # fmt: skip


def _recipe(mutation: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    (here / "speck.yaml").write_bytes(_text("recipe", RECIPE, mutation))
    return train(here, material)


def _recipe_line(name: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    line = RECIPE_LINES[name]
    key = line.partition(":")[0]
    kept = [old for old in RECIPE.splitlines() if name == "duplicate" or not old.startswith(f"{key}:")]
    (here / "speck.yaml").write_text("\n".join([*kept, line]) + "\n")
    refuse = name in ("nan", "infinite", "boolean", "minus", "tag", "beta-nan", "duplicate", "epochs-huge", "recursive")
    return train(here, material, refuse=refuse)


def _list(mutation: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    shutil.copytree(material.data, here / "data")
    shutil.copytree(material.run, here / "run")
    (here / "masks.txt").write_bytes(_text("list", _LIST, mutation))
    return [command("generate", "run", "masks.txt", "--out", "made", names="", out="made")]


def _card(mutation: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    shutil.copytree(material.run, here / "run")
    (here / "card.yaml").write_bytes(_text("card", _CARD, mutation))
    return [
        command(
            "publish", "run", "--out", "given", "--name", "speck", "--card", "card.yaml", names="card.yaml", out="given/config.json"
        )
    ]
