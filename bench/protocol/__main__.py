"""The protocol's command line: see ``python -m bench.protocol --help`` and the package's docstring."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from bench import protocol
from orthoforge.errors import ConfigError, OrthoforgeError

RESULTS = Path(__file__).parents[1] / "results" / "protocol.json"
SHEET = Path(__file__).parents[2] / "docs" / "pictures" / "protocol.jpg"
JUDGE_STEPS = 300
SHOWN = 3


def main() -> int:
    """One verb; 0 when it came to its end, 3 when it was stopped and can go on."""
    options = _parser().parse_args()
    try:
        return options.verb(options)
    except OrthoforgeError as error:
        print(error, file=sys.stderr)
        return 1


def prepare(options: argparse.Namespace) -> int:
    from bench.protocol.tiles import held_out, make_tiles

    store = make_tiles(options.data, options.out)
    places = [store.rows[tile_id].place for tile_id in held_out(store).tolist()]
    print(f"held out: {', '.join(f'{place} {places.count(place)}' for place in sorted(set(places)))}")
    return 0


def train(options: argparse.Namespace) -> int:
    from bench.protocol.ablations import ABLATIONS
    from bench.protocol.trainings import at_equal_seconds, changes_by_recipe, entries_of, train_all

    chosen = options.changes or list(ABLATIONS)
    if unknown := sorted({*chosen} - {*ABLATIONS}):
        raise ConfigError(f"--changes {unknown[0]!r} is none of {', '.join(ABLATIONS)}.")
    ablations = {f"{base}: {name}": ABLATIONS[name] for base in options.ablations for name in chosen}
    recipes = list(dict.fromkeys([*options.recipes, *options.ablations]))
    entries = entries_of(recipes, options.crops, changes_by_recipe(options.set), ablations)
    if options.same_seconds:
        entries = at_equal_seconds(options.out, entries, options.seeds)
    size = {"crop_px": options.crop_px, "batch": options.batch, "minutes": options.minutes}
    if train_all(options.out, entries, options.seeds, **size):
        return 0
    print("stopped; the same command goes on")
    return 3


def score(options: argparse.Namespace) -> int:
    from bench.protocol.judges import judges_of
    from bench.protocol.scores import FORMAT, Truth, judged_by, score_run, write_scores
    from bench.protocol.tiles import GSD_M
    from bench.protocol.trainings import read_record
    from orthoforge.checkpoints import checkpoint_folder, read_state
    from orthoforge.measures.realism.features import open_network
    from orthoforge.tiles.store import TileStore
    from orthoforge.trained_generator import load_generator

    store = TileStore.open(options.out / "tiles")
    judges = judges_of(store, options.out / "judges", steps=options.judge_steps, device=options.device)
    outside = open_network("geoembed", device=options.device, gsd_m=GSD_M) if options.geoembed else None
    truth = Truth.of(store, judges, outside)
    for run in sorted((options.out / "runs").glob("*-s*")):
        record, path = read_record(run), options.out / "scores" / f"{run.name}.json"
        if not record.get("finished"):
            print(f"{run.name}: {'diverged' if record.get('diverged') else 'not finished'}, so not scored")
            continue
        if record["tiles"] != store.fingerprint:
            print(f"{run.name}: trained on other tiles, so not scored")
            continue
        weights = read_state(checkpoint_folder(run)).checksums.model
        before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if [before.get(key) for key in ("format", "weights_sha256", "judged_by")] == [FORMAT, weights, judged_by(truth)]:
            continue
        scores = score_run(run, truth, record, load_generator(run, device=options.device))
        write_scores(path, scores)
        everything = scores["areas"]["all"]
        kernel = ", ".join(f"{judge} {figures['above']:.0f}" for judge, figures in everything["kernel"].items())
        print(f"{run.name}: kernel distance above floor: {kernel}; fidelity {everything['fidelity']['share']}", flush=True)
    return 0


def table(options: argparse.Namespace) -> int:
    from bench.protocol.summary import read_scores, summarise
    from bench.protocol.table import ablation_table, markdown
    from bench.protocol.trainings import diverged_records
    from orthoforge.files import new_file

    summary = summarise(read_scores(options.out / "scores"), baseline=options.baseline, diverged=diverged_records(options.out))
    with new_file(options.json, overwrite=True) as partial:
        partial.write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    rows = summary["rows"]
    print(markdown(summary, [label for label in rows if not rows[label]["ablates"]]))
    for base in sorted({row["ablates"] for row in rows.values()} - {""}):
        print(f"\n**What each choice of `{base}` is worth**\n\n{ablation_table(summary, base)}")
    return 0


def pictures(options: argparse.Namespace) -> int:
    from bench.protocol.pictures import contact_sheet, rows_of, write_report, write_sheet
    from bench.protocol.trainings import run_folder
    from orthoforge.tiles.store import TileStore
    from orthoforge.trained_generator import load_generator

    store = TileStore.open(options.out / "tiles")
    ours, baseline = (
        load_generator(run_folder(options.out, label, options.seed), device=options.device)
        for label in (options.ours, options.baseline)
    )
    rows = rows_of(store, ours, baseline, count=options.count)
    write_sheet(options.sheet, contact_sheet(rows))
    write_report(options.out / "pictures.html", rows, ours=options.ours, baseline=options.baseline)
    print(f"{options.sheet} (generated images only), {options.out / 'pictures.html'} (with the real ones: not to be passed on)")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.protocol", description=protocol.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(required=True)

    def verb(function: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(
            function.__name__, help=text, description=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        sub.set_defaults(verb=function)
        sub.add_argument("--out", type=Path, required=True, help="folder of tiles, runs, judges and scores")
        return sub

    verb(prepare, "scenes to tiles").add_argument("data", type=Path)

    sub = verb(train, "train what is not finished")
    sub.add_argument("--recipes", nargs="+", default=[], metavar="RECIPE")
    sub.add_argument(
        "--ablations", nargs="+", default=[], metavar="RECIPE", help="recipes to train with each change of ablations.py"
    )
    sub.add_argument("--changes", nargs="+", default=[], metavar="NAME", help="of the ablations only these; all when left out")
    sub.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    sub.add_argument("--crops", type=int, default=100_000, help="at least so many a run; rounded up to whole epochs")
    sub.add_argument("--crop-px", type=int, default=64)
    sub.add_argument("--batch", type=int, help="crops a step; each recipe's own when left out")
    sub.add_argument("--set", nargs="+", default=[], metavar="RECIPE.FIELD=VALUE", help="* stands for every recipe; recorded")
    sub.add_argument("--minutes", type=float, help="stop after so long, to go on another time")
    sub.add_argument("--same-seconds", action="store_true", help="train each cheaper recipe anew for the dearest one's time")

    sub = verb(score, "score finished runs")
    sub.add_argument("--device", default="cpu")
    sub.add_argument("--judge-steps", type=int, default=JUDGE_STEPS, help="training steps of each segmenter that judges")

    sub.add_argument("--geoembed", action="store_true", help="judge with geoembed as well (pip install 'orthoforge[judge]')")

    sub = verb(table, "print the table, and write it as JSON")
    sub.add_argument("--baseline", default="baseline")
    sub.add_argument("--json", type=Path, default=RESULTS)

    sub = verb(pictures, "pictures of the first held-out tiles")
    sub.add_argument("--ours", required=True, metavar="RECIPE")
    sub.add_argument("--baseline", default="baseline", metavar="RECIPE")
    sub.add_argument("--seed", type=int, default=0, help="of the runs")
    sub.add_argument("--count", type=int, default=SHOWN, help="tiles of each place")
    sub.add_argument("--device", default="cpu")
    sub.add_argument(
        "--sheet", type=Path, default=SHEET, help="where the generated pictures go: .jpg, or .png (ten times as large)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
