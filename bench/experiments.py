"""Every recipe of the 2021 table, for a few epochs at reduced size, on a simulated Inria and on real tiles; compared at the end.

    python -m bench.experiments [--out FOLDER] [--epochs 2] [--real ../shared/data/building]

The simulated Inria has the real one's names and layout: five cities, 36 scenes each. Tiles and crops have a quarter of the recipes'
size, networks a sixteenth of their width. What must be as in 2021: the tiles of each data set by split. VGG19 has its published
weights where torch hub keeps them; else random ones, which only show that the recipe runs.
"""

import argparse
import json
import re
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from orthoforge import run_files
from orthoforge.config import Recipe, load_recipe, recipe_names
from orthoforge.experiments import experiment
from orthoforge.files import sha256_of
from orthoforge.models.features.vgg import VGG19
from orthoforge.scenes.simulate import PLACES, simulate
from orthoforge.tiles.store import TileStore

CITIES = ("austin", "chicago", "kitsap", "tyrol-w", "vienna")
SCENES_A_CITY = 36
SHRINK = 4
# Tiles for training, validation and testing in 2021, by the options that make them.
COUNTS_2021 = {
    "--grid 1 --size 286 --split digits": (135, 30, 15),
    "--grid 2 --size 286 --split digits": (540, 120, 60),
    "--grid 1 --size 542 --split digits": (135, 30, 15),
    "--grid 5 --size 286 --split digits": (3375, 750, 375),
}
RESULTS = Path(__file__).parent / "results" / "experiments.json"


def simulated_inria(out: Path, *, size_px: int, scenes_a_city: int = SCENES_A_CITY) -> Path:
    """Simulated scenes under Inria's names in Inria's layout: ``OUT/AerialImageDataset/{train,test}``; test has no masks."""
    root = out / "AerialImageDataset"
    if root.is_dir():
        return root
    partial = out / ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    simulate(partial, scenes_per_place=scenes_a_city, size_px=size_px, gsd_m=0.6)
    shutil.rmtree(partial / "train" / "footprints")
    for place, city in zip(PLACES, CITIES, strict=True):
        for path in list(partial.glob(f"train/*/{place}*.tif")):
            path.rename(path.with_name(path.name.replace(place, city)))
    (partial / "test" / "images").mkdir(parents=True)
    shutil.copy(partial / "train" / "images" / "vienna1.tif", partial / "test" / "images" / "bellingham1.tif")
    partial.rename(root)
    return root


def reduced(recipe: Recipe, epochs: int, vgg: dict[str, str]) -> Recipe:
    """The recipe with small tiles, crops and networks, for so many epochs in all."""
    tiles = re.sub(r"--size (\d+)", lambda match: f"--size {round(int(match[1]) / SHRINK)}", recipe.tiles)
    decay = min(recipe.decay_epochs, epochs // 2)
    return replace(
        recipe, tiles=tiles, crop_px=recipe.crop_px // SHRINK, generator_width=4, discriminator_width=4, epochs=epochs - decay,
        decay_epochs=decay, panels_every=epochs, **(vgg if recipe.perceptual == "vgg19" else {}),
    )  # fmt: skip


def vgg_weights(folder: Path) -> tuple[dict[str, str], str]:
    """Settings that name VGG19's weights, and in words which they are."""
    if (Path(torch.hub.get_dir()) / "checkpoints" / "vgg19-dcbb9e9d.pth").is_file():
        return {}, "VGG19's published weights"
    path = folder / "random-vgg19.pth"
    if not path.is_file():
        torch.manual_seed(0)
        with torch.device("meta"):
            features = VGG19().features
        features = features.to_empty(device="cpu")
        for layer in features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        torch.save({f"features.{name}": tensor for name, tensor in features.state_dict().items()}, path)
    return {"perceptual_weights": str(path), "perceptual_sha256": sha256_of(path)}, "random weights in place of VGG19's"


def table_of_2021() -> list[Recipe]:
    """The recipes of the table, in an order in which each follows the one that it starts from."""
    recipes = [load_recipe(name) for name in recipe_names()]
    return [recipe for recipe in recipes if recipe.outcome]


def run_all(scenes: Path, out: Path, recipes: list[Recipe]) -> dict[str, object]:
    """Train and compare; what came out, printed and returned."""
    began = time.monotonic()
    outcome = experiment(recipes, scenes, out, price_per_hour=1.0)
    seconds = time.monotonic() - began
    trained = {}
    for recipe in recipes:
        rows = run_files.read_results(out / "runs" / recipe.name)
        trained[recipe.name] = {"epochs": len(rows), "failed": outcome.failures.get(recipe.name)} | (
            {name: round(rows[-1][name], 4) for name in ("psnr", "ssim", "detail")} if rows else {}
        )
        print(f"  {recipe.name:22} {trained[recipe.name]}")
    print(f"  {outcome.report}, {outcome.report.stat().st_size / 1e6:.1f} MB" if outcome.report else "  no report")
    return {"recipes": trained, "seconds": round(seconds), "failed": len(outcome.failures) + (outcome.report is None)}


def counts(out: Path) -> dict[str, tuple[int, int, int]]:
    """Tiles by split of each store below ``out``."""
    stores = {path.name: TileStore.open(path) for path in sorted((out / "tiles").iterdir()) if path.is_dir()}
    return {name: tuple(len(store.ids(split)) for split in ("train", "val", "test")) for name, store in stores.items()}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--scene-px", type=int, default=360)
    parser.add_argument("--real", type=Path, default=Path("../shared/data/building"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = options.out or Path(temporary)
        out.mkdir(parents=True, exist_ok=True)
        vgg, words = vgg_weights(out)
        recipes = [reduced(recipe, options.epochs, vgg) for recipe in table_of_2021()]
        results: dict[str, object] = {"vgg": words, "epochs": options.epochs, "torch": torch.__version__}

        inria = simulated_inria(out, size_px=options.scene_px)
        print(f"{len(recipes)} recipes on a simulated Inria of {len(list(inria.glob('train/images/*')))} scenes; {words}")
        results["simulated Inria"] = run_all(inria, out / "inria", recipes)
        found = counts(out / "inria")
        wrong = 0
        for options_2021, expected in COUNTS_2021.items():
            small = reduced(Recipe(name="any", tiles=options_2021), options.epochs, {}).tiles
            store = re.sub(r"[^\w.]+", "-", small).strip("-")
            wrong += found[store] != expected
            print(f"  {store:32} {found[store]} tiles, 2021: {expected}{'' if found[store] == expected else '  DIFFERS'}")
        results["tiles"] = found

        if options.real.is_dir():
            real = [replace(recipe, tiles=recipe.tiles.replace("--split digits", "--split blocks")) for recipe in recipes]
            print(f"{len(real)} recipes on {options.real}")
            results["real tiles"] = run_all(options.real, out / "real", real)
            results["real tiles by split"] = counts(out / "real")
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    failed = sum(result["failed"] for result in results.values() if isinstance(result, dict) and "failed" in result)
    if wrong or failed:
        raise SystemExit(f"{wrong} data sets differ from those of 2021, {failed} runs or reports failed")


if __name__ == "__main__":
    main()
