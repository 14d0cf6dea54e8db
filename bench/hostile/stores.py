"""Damaged runs, checkpoints, pretrained folders and tile stores: bytes, and values planted where the form says otherwise."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bench.hostile.case import Command, Input, Surroundings, command, draw
from bench.hostile.material import Material
from bench.hostile.mutations import BYTES, PLANTED, TEXT, json_bytes, places_in, planted
from bench.hostile.rasters import _some as some
from bench.hostile.rasters import changed

_STATE, _MODEL, _TRAIN = "state.json", "model.safetensors", "train.safetensors"
_RUN_FILES = ("args.yaml", "results.csv", f"weights/last/{_STATE}", f"weights/last/{_MODEL}", f"weights/last/{_TRAIN}")
_SHARDS = ("town0.images.npy", "town0.masks.npy")
_PLANTED = 26  # values for each file of JSON


def inputs() -> Iterator[Input]:
    """Every input of stored things."""
    for file in _RUN_FILES:
        text = file.endswith((".yaml", ".csv"))
        for mutation in (*some(list(BYTES), file, 6), *(some(list(TEXT), file, 8) if text else ())):
            yield Input(f"run/{file.replace('/', '.')}/{mutation}", "runs", partial(_damaged_run, file, mutation))
    for file in ("store.json", "manifest.jsonl", *_SHARDS):
        for mutation in some(list(BYTES), file, 6):
            yield Input(f"tiles/{file}/{mutation}", "tiles", partial(_damaged_store, file, mutation))
    for number in range(_PLANTED):
        yield Input(f"run/state/planted-{number}", "runs", partial(_planted_state, number))
        yield Input(f"tiles/store/planted-{number}", "tiles", partial(_planted_store, number))
        yield Input(f"tiles/manifest/planted-{number}", "tiles", partial(_planted_manifest, number))
    for number in range(_PLANTED // 2):
        yield Input(f"pretrained/config/planted-{number}", "runs", partial(_planted_config, number))
        yield Input(f"run/results/planted-{number}", "runs", partial(_planted_results, number))
        yield Input(f"run/args/planted-{number}", "runs", partial(_planted_args, number))
        yield Input(f"tiles/records/planted-{number}", "tiles", partial(_planted_record, number))
    for file in ("config.json", _MODEL):
        for mutation in some(list(BYTES), f"pretrained{file}", 6):
            yield Input(f"pretrained/{file}/{mutation}", "runs", partial(_damaged_pretrained, file, mutation))


def plant(tree: Any, name: str) -> Any:
    """A value that does not belong there, or none, at one place of plain values; both drawn by ``name``."""
    random = draw(name)
    places = places_in(tree)
    place = places[int(random.integers(len(places)))]
    values = [*PLANTED.values(), ...]
    return planted(tree, place, values[int(random.integers(len(values)))])


def write_state(path: Path, body: dict[str, Any]) -> None:
    """A state that says of itself that it is whole, and of the tensors beside it whatever they are."""
    from orthoforge.checkpoints import state_bytes

    if isinstance(body.get("checksums"), dict):
        for name in (_MODEL, _TRAIN):
            if name in body["checksums"] and (path.parent / name).exists() and isinstance(body["checksums"][name], str):
                body["checksums"][name] = hashlib.sha256((path.parent / name).read_bytes()).hexdigest()
    path.write_bytes(state_bytes(body))


def read_state(path: Path) -> dict[str, Any]:
    """A state's values without its own checksum, which ``write_state`` gives anew."""
    values = json.loads(path.read_bytes())
    values.pop("sha256", None)
    values.get("checksums", {}).pop(path.name, None)
    return values


def run_commands(here: Path, material: Material, turn: int, **options: Any) -> list[Command]:
    """The commands that read a run: its images, its score sheet, its continuation."""
    shutil.copytree(material.tiles, here / "tiles", dirs_exist_ok=True)
    shutil.copytree(material.data, here / "data", dirs_exist_ok=True)
    named = {"names": "run"} | options
    split = ("--least-agreement", "0", "--split", "digits")
    others = (
        command("compare", "run", "--out", "page.html", out="page.html", **named),
        command("publish", "run", "--out", "given", "--name", "speck", out="given/config.json", **named),
        command("grow", "run", "data", "--out", "grown", *split, out="grown/README.md", **named),
    )  # fmt: skip
    return [
        command("generate", "run", "data/masks/town3.tif", "--out", "made.tif", out="made.tif", **named),
        command("train", "run/args.yaml", "--data", "tiles", "--out", "run", "--resume", "--epochs", "2", **named),
        others[turn % 3],
    ]  # fmt: skip


def store_commands(here: Path, material: Material, turn: int, **options: Any) -> list[Command]:
    """The commands that read tiles."""
    shutil.copy(material.root / "speck.yaml", here)
    shutil.copytree(material.data, here / "data", dirs_exist_ok=True)
    named = {"names": "tiles"} | options
    again = command(
        "prepare",
        "data",
        "tiles",
        "--grid",
        "1",
        "--size",
        "64",
        "--split",
        "digits",
        "--workers",
        "1",
        out="tiles/store.json",
        names="tiles",
    )
    if turn % 3 == 0:
        shutil.copytree(material.images, here / "images", dirs_exist_ok=True)
        report = command("evaluate", "images", "--data", "tiles", "--out", "report", out="report/report.json", **named)
        return [report, again]
    return [command("train", "speck.yaml", "--data", "tiles", "--out", "run", out="run/weights/last/state.json", **named), again]


def _damaged_run(file: str, mutation: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    shutil.copytree(material.run, here / "run")
    target = here / "run" / file
    target.write_bytes(changed(mutation, target.read_bytes(), f"{file}{mutation}"))
    if file.endswith(".safetensors"):  # a checksum that fits: somebody made it so
        state = target.with_name(_STATE)
        write_state(state, read_state(state))
    return run_commands(here, material, draw(f"{file}{mutation}").integers(3))


def _planted_state(number: int, here: Path, material: Material, around: Surroundings) -> list[Command]:
    shutil.copytree(material.run, here / "run")
    state = here / "run" / "weights" / "last" / _STATE
    write_state(state, plant(read_state(state), f"state{number}"))
    return run_commands(here, material, number)


def _planted_results(number: int, here: Path, material: Material, around: Surroundings) -> list[Command]:
    shutil.copytree(material.run, here / "run")
    path, random = here / "run" / "results.csv", draw(f"results{number}")
    header, *rows = (line.split(",") for line in path.read_text().splitlines())
    cells = ("", "nan", "inf", "-1", "1e400", "epoch", '"', "\x1b[31m", "1,2,3", "0x10", "9" * 5000)
    table = [header, *rows]
    table[int(random.integers(len(table)))][int(random.integers(len(header)))] = cells[number % len(cells)]
    path.write_text("\n".join(map(",".join, table)) + "\n")
    return run_commands(here, material, 0)[1:]


def _planted_args(number: int, here: Path, material: Material, around: Surroundings) -> list[Command]:
    import yaml

    shutil.copytree(material.run, here / "run")
    path = here / "run" / "args.yaml"
    path.write_text(yaml.safe_dump(plant(yaml.safe_load(path.read_text()), f"args{number}")))
    return run_commands(here, material, number % 2)[1:]


def _damaged_pretrained(file: str, mutation: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    shutil.copytree(material.pretrained, here / "run")
    target = here / "run" / file
    target.write_bytes(changed(mutation, target.read_bytes(), f"pretrained{file}{mutation}"))
    if file == _MODEL:
        write_state(here / "run" / "config.json", read_state(here / "run" / "config.json"))
    return run_commands(here, material, 1)[::2]


def _planted_config(number: int, here: Path, material: Material, around: Surroundings) -> list[Command]:
    shutil.copytree(material.pretrained, here / "run")
    config = here / "run" / "config.json"
    write_state(config, plant(read_state(config), f"config{number}"))
    return run_commands(here, material, 1)[::2]


def _damaged_store(file: str, mutation: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    shutil.copytree(material.tiles, here / "tiles")
    target = here / "tiles" / file
    target.write_bytes(changed(mutation, target.read_bytes(), f"{file}{mutation}"))
    return store_commands(here, material, draw(f"{file}{mutation}").integers(3))


def _planted_store(number: int, here: Path, material: Material, around: Surroundings) -> list[Command]:
    shutil.copytree(material.tiles, here / "tiles")
    path = here / "tiles" / "store.json"
    path.write_bytes(json_bytes(plant(json.loads(path.read_bytes()), f"store{number}")))
    return store_commands(here, material, number)


def _planted_manifest(number: int, here: Path, material: Material, around: Surroundings) -> list[Command]:
    shutil.copytree(material.tiles, here / "tiles")
    path, random = here / "tiles" / "manifest.jsonl", draw(f"row{number}")
    rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    which = int(random.integers(len(rows)))
    rows[which] = plant(rows[which], f"manifest{number}")
    write_manifest(here / "tiles", rows)
    return store_commands(here, material, number)


def write_manifest(tiles: Path, rows: list[Any]) -> None:
    """Rows, and a fingerprint in ``store.json`` that fits them."""
    manifest = b"".join(json_bytes(row) + b"\n" for row in rows)
    (tiles / "manifest.jsonl").write_bytes(manifest)
    store = json.loads((tiles / "store.json").read_bytes())
    (tiles / "store.json").write_bytes(json_bytes(store | {"fingerprint": hashlib.sha256(manifest).hexdigest()}))


def _planted_record(number: int, here: Path, material: Material, around: Surroundings) -> list[Command]:
    """What prepare remembers of each scene, which it reads when it goes on."""
    shutil.copytree(material.tiles, here / "tiles")
    files = sorted(path for path in (here / "tiles").rglob("*.json") if path.name != "store.json")
    path = files[number % len(files)]
    path.write_bytes(json_bytes(plant(json.loads(path.read_bytes()), f"record{number}")))
    for name in ("store.json", "manifest.jsonl"):
        (here / "tiles" / name).unlink()
    return store_commands(here, material, 1)[::-1]
