"""Judges from outside: can generated tiles be told from the real ones of the same names, and are they further than real sets are?

python -m bench.judges tiles ../shared/data/building ../shared/data/building_oam --out work --generator orthoforge-s
python -m bench.judges score work/real work/generated

``tiles`` cuts tiles of 0.3 m and 224 px and makes one image of each mask: in its place's style where the generator has it,
otherwise in any. It writes PNGs of the same names to ``real`` and ``generated``. ``score`` cuts both into quarters of 34 m. A
linear probe learns on all places but one and is asked about that one; within a place it learns on four fifths of the tiles.
Kernel distances come by place, beside the largest between real sets of as many images.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bench.protocol.scores import Generate, generation
from bench.protocol.tiles import GSD_M, SIZE_PX, quarters
from orthoforge.errors import DataError, OrthoforgeError
from orthoforge.measures.realism.features import BATCH, ScoreNetwork, open_network
from orthoforge.measures.realism.probe import Probed, folds_of, probe
from orthoforge.measures.realism.real_sets import beside_real_sets
from orthoforge.models.conditions import encode_image
from orthoforge.scenes.place_names import place_of
from orthoforge.scenes.sources import Pair, survey
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import load_generator

LEAST_TILES = 6  # of a place, for folds and halves of its own


def main() -> int:
    """One verb."""
    options = _parser().parse_args()
    torch.set_num_threads(options.threads)
    try:
        options.verb(options)
    except OrthoforgeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def tiles(options: argparse.Namespace) -> None:
    generator, scenes = load_generator(options.generator), options.out / "scenes"
    for data in options.data:
        for pair in survey(data).pairs:
            if place_of(pair.name) in options.places:
                _link(pair, scenes)
    store = prepare(scenes, options.out / "tiles", gsd=GSD_M, size=SIZE_PX, split="blocks", workers=options.threads)
    chosen = np.sort(np.concatenate([store.ids(split) for split in options.splits])).tolist()
    _write(store, chosen, generation(generator, store), options.out)


def _link(pair: Pair, scenes: Path) -> None:
    for folder, source in (("images", pair.image), ("masks", pair.mask)):
        (scenes / folder).mkdir(parents=True, exist_ok=True)
        target = scenes / folder / f"{pair.name}{source.suffix}"
        if not target.exists():
            target.symlink_to(source.resolve())


def _write(store: TileStore, tile_ids: list[int], generate: Generate, out: Path) -> None:
    for folder in ("real", "generated"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for tile_id in tile_ids:
        row = store.rows[tile_id]
        name = f"{row.scene}_{row.window.row}_{row.window.col}.png"
        Image.fromarray(store.tile(tile_id)[0]).save(out / "real" / name)
        Image.fromarray(generate(tile_id, tile_id)).save(out / "generated" / name)
    print(f"{store.path}: {len(tile_ids)} tiles", flush=True)


def score(options: argparse.Namespace) -> None:
    names = sorted(path.name for path in options.real.glob("*.png"))
    if missing := [name for name in names if not (options.generated / name).is_file()]:
        raise DataError(f"{options.generated / missing[0]}: no generated image of this real tile ({len(missing)} are missing).")
    if not names:
        raise DataError(f"{options.real}: no PNG in it.")
    # A scene is a tile here, with four quarters: what is drawn anew, and goes whole into a fold or a half.
    scenes, places = np.repeat(names, 4).tolist(), np.repeat([place_of(Path(name).stem) for name in names], 4)
    results = {}
    for network in options.networks:
        eyes = open_network(network, gsd_m=options.gsd)
        real, fake = (_seen(folder, names, eyes) for folder in (options.real, options.generated))
        results[network] = judged(fake, real, places, scenes)
        print(f"\n{network}: {len(fake)} quarters of each kind\n" + "\n".join(_lines(results[network])), flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def judged(fake: np.ndarray, real: np.ndarray, places: np.ndarray, scenes: list[str]) -> dict:
    """Of vectors (N, C) of the same tiles' quarters: the probe between places and within them, and kernel distances."""
    found = {place: np.flatnonzero(places == place) for place in np.unique(places).tolist()}
    kept = {place: at for place, at in found.items() if len(at) >= 4 * LEAST_TILES}
    of_kept = np.concatenate(list(kept.values()))
    result = {"left_out": None, "within": {}, "kernel": {}, "quarters": {place: len(at) for place, at in found.items()}}
    if len(kept) > 1:
        some = [scenes[number] for number in of_kept]
        result["left_out"] = _plain(probe(fake[of_kept], real[of_kept], places[of_kept].tolist(), some))
    for place, at in kept.items():
        some = [scenes[number] for number in at]
        result["within"][place] = _plain(probe(fake[at], real[at], folds_of(some), some))
        if beside := beside_real_sets(fake[at], real[at], some):
            result["kernel"][place] = {
                "generated": beside.generated, "real": beside.real, "largest": beside.largest, "share": beside.share, "n": beside.n,
            }  # fmt: skip
    return result


def _seen(folder: Path, names: list[str], eyes: ScoreNetwork) -> np.ndarray:
    images = []
    for name in names:
        with Image.open(folder / name) as image:
            images.append(np.asarray(image.convert("RGB")))
    parts = quarters(np.stack(images))
    batches = [encode_image(torch.from_numpy(parts[at : at + BATCH])) for at in range(0, len(parts), BATCH)]
    with torch.inference_mode():
        return np.concatenate([eyes.embed(batch).numpy() for batch in batches])


def _plain(probed: Probed) -> dict:
    return {"auc": probed.auc, "low": probed.low, "high": probed.high, "by_group": probed.by_group, "n": probed.n}


def _lines(result: dict) -> list[str]:
    lines = []
    if left_out := result["left_out"]:
        each = ", ".join(f"{place} {auc:.2f}" for place, auc in left_out["by_group"].items())
        lines.append(f"  AUC with a place left out      {_auc(left_out)}: {each}")
    within = result["within"]
    lines += [f"  AUC within {place:20}{_auc(figure)}" for place, figure in within.items()]
    if within:
        lines.append(f"  AUC within places, mean        {np.mean([figure['auc'] for figure in within.values()]):.2f}")
    lines += [
        f"  kernel ×1000 {place:18}{figure['generated']:.0f}, real sets of {figure['n']} {figure['real']:.0f}, largest "
        f"{figure['largest']:.0f}" + (f": {figure['share']:.1f} times" if figure["share"] else "")
        for place, figure in result["kernel"].items()
    ]
    return lines


def _auc(figure: dict) -> str:
    interval = "" if figure["low"] is None else f" ({figure['low']:.2f} to {figure['high']:.2f})"
    return f"{figure['auc']:.2f}{interval}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    verbs = parser.add_subparsers(required=True)
    sub = verbs.add_parser("tiles", help="real tiles, and generated ones of their masks")
    sub.set_defaults(verb=tiles)
    sub.add_argument("data", type=Path, nargs="+")
    sub.add_argument("--out", type=Path, required=True)
    sub.add_argument("--generator", default="orthoforge-s")
    sub.add_argument("--places", nargs="+", default=["banepa_core", "zanzibar", "kampala", "dhaka"])
    sub.add_argument("--splits", nargs="+", default=["train", "val", "test"])
    sub = verbs.add_parser("score", help="print the probe's AUC and kernel distances")
    sub.set_defaults(verb=score)
    sub.add_argument("real", type=Path)
    sub.add_argument("generated", type=Path)
    sub.add_argument("--gsd", type=float, default=GSD_M, help="metres a pixel")
    sub.add_argument("--networks", nargs="+", default=["geoembed", "efficientnet-lite0"])
    sub.add_argument("--json", type=Path)
    return parser


if __name__ == "__main__":
    sys.exit(main())
