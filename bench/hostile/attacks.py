"""Permissions, names, numbers, streams and limits: what a user's machine or a hasty hand does."""

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from bench.hostile.case import Command, Input, Surroundings, command
from bench.hostile.material import Material
from bench.hostile.rasters import commands as raster_commands

_UNREADABLE = (
    "data/images/town3.tif", "data/masks/town3.tif", "data/images", "houses.geojson", "houses.gpkg", "houses.shp", "houses.csv",
    "houses.parquet",
    "houses.osm", "houses.osm.pbf", "houses.zip", "houses.fgb", "run/args.yaml", "run/results.csv", "run/weights/last/state.json",
    "run/weights/last/model.safetensors", "run/weights/last", "tiles/store.json", "tiles/manifest.jsonl",
    "tiles/town0.images.npy", "tiles", "speck.yaml",
    "palette.json", "masks.txt",
)  # fmt: skip
_NAMES = {
    "245": "t" * 240 + "3.tif", "250": "t" * 250 + "3.tif"[1:], "255": "t" * 251 + ".tif", "bytes": b"town\xff\xfe3.tif",
    "escape": "town\x1b[31m3\x07.tif",
    "newline": "town\n3.tif", "brackets": "town[1]*?3.tif", "dash": "-town3.tif", "emoji": "town\U0001f3e03.tif",
    "percent": "town%s%d{}3.tif", "quote": "town'\"3.tif",
    "markup": "town[bold red]3.tif", "html": "<script>3.tif", "spaces": "  town 3 .tif", "dots": "...3.tif",
    "wide": "é" * 125 + "3.tif", "digits": f"town{'9' * 200}.tif", "tab": "town\t3.tif",
}  # fmt: skip
_OUTS = {
    "folder": "data", "device": "null", "device-link": "null-link", "device-tif": "null.tif", "proc": "/proc/orthoforge-out",
    "proc-tif": "/proc/self/made.tif", "below-file": "palette.json/made.tif", "empty": "",
    "dot": ".", "long": "x" * 250 + ".tif", "longer": "y" * 4100, "bytes": "made\udcff.tif", "escape": "made\x1b[31m.tif",
    "full": "/dev/full/x", "folder-tif": "folder.tif",
    "fifo": "fifo", "dangling": "dangling.tif", "read-only": "locked/made.tif", "file": "palette.json",
}  # fmt: skip
_NUMBERS: tuple[tuple[str, ...], ...] = (
    ("prepare", "--size", "1000000000"), ("prepare", "--size", "0"), ("prepare", "--size", "-1"), ("prepare", "--gsd", "nan"),
    ("prepare", "--gsd", "inf"), ("prepare", "--gsd", "1e-300"),
    ("prepare", "--gsd", "1e300"), ("prepare", "--gsd", "-1"), ("prepare", "--gsd", "0"), ("prepare", "--grid", "1000000000"),
    ("prepare", "--grid", "0"), ("prepare", "--min-building", "nan"), ("prepare", "--min-building", "2"),
    ("prepare", "--seed", "9" * 30), ("prepare", "--seed", "-1"), ("prepare", "--bands", "0"), ("prepare", "--bands", "99"),
    ("prepare", "--workers", "0"), ("prepare", "--threshold", "-1"), ("prepare", "--threshold", "9" * 30),
    ("prepare", "--size", "9" * 5000),
    ("footprints", "--gsd", "1e-9"), ("footprints", "--gsd", "nan"), ("footprints", "--gsd", "inf"), ("footprints", "--gsd", "0"),
    ("footprints", "--gsd", "1e300"), ("footprints", "--extent", "nan", "nan", "nan", "nan"),
    ("footprints", "--extent", "0", "0", "inf", "inf"), ("footprints", "--extent", "1", "1", "0", "0"),
    ("footprints", "--extent", "-180", "-90", "180", "90"), ("footprints", "--extent", "15", "400", "16", "401"),
    ("footprints", "--crs", "EPSG:0"), ("footprints", "--layer", "x"),
    ("generate", "--seed", "9" * 30), ("generate", "--seed", "-1"), ("generate", "--variants", "1000000000"),
    ("generate", "--variants", "0"), ("generate", "--overlap", "1000000000"), ("generate", "--overlap", "-1"),
    ("generate", "--device", "cuda:99"),
    ("generate", "--device", "mps"), ("generate", "--device", "north"), ("generate", "--device", "cpu,cpu"),
    ("generate", "--device", ""), ("generate", "--style", "north"), ("generate", "--style", "../../outside/secret"),
    ("generate", "--quality", "0"), ("generate", "--quality", "999"), ("generate", "--threshold", "999999"),
    ("generate", "--sign", "data/masks/town3.tif", "palette.json"),
    ("grow", "--ratio", "nan"), ("grow", "--ratio", "inf"), ("grow", "--ratio", "1e300"), ("grow", "--ratio", "-1"),
    ("grow", "--variants", "0"), ("grow", "--least-agreement", "nan"), ("grow", "--masks", "nowhere"),
    ("grow", "--masks", "data/masks"), ("grow", "--seed", "-1"),
    ("forge", "--count", "0"), ("forge", "--count", "-1"), ("forge", "--count", "1000000000000"),
    ("forge", "--size", "1000000000"), ("forge", "--size", "0"), ("forge", "--density", "nan"), ("forge", "--density", "1e300"),
    ("forge", "--density", "-1"), ("forge", "--place", "nowhere"), ("forge", "--seed", "-1"),
    ("train", "--crop-px", "0"), ("train", "--learning-rate", "nan"), ("train", "--batch-size", "1000000000"),
    ("train", "--generator-width", "100000000"), ("train", "--epochs", "-1"), ("train", "--seed", "9" * 30),
    ("train", "--seed", "-1"), ("train", "--stop-after", "0"), ("train", "--init-from", "nowhere"), ("train", "--precision", "x"),
    ("evaluate", "--seed", "-1"), ("evaluate", "--seed", "9" * 30),
    ("evaluate", "--weights", "palette.json", "--network", "inception-v3"), ("evaluate", "--lpips", "data"),
    ("evaluate", "--bands", "0", "0", "0"), ("evaluate", "--bands", "9", "9", "9"), ("evaluate", "--masks", "nowhere"),
    ("compare", "--price-per-hour", "nan"), ("compare", "--price-per-hour", "-1"), ("compare", "--currency", "\x1b[31m<script>"),
    ("compare", "--data", "nowhere"), ("publish", "--name", "../x"), ("publish", "--name", "x" * 300),
    ("publish", "--push", "../x"),
)  # fmt: skip
_BASE = {
    "check": ("data",), "prepare": ("data", "cut", "--workers", "1", "--split", "digits"),
    "footprints": ("houses.geojson", "--out", "mask.tif"), "generate": ("run", "data/masks/town3.tif", "--out", "made.tif"),
    "grow": ("run", "data", "--out", "grown"), "forge": ("data/masks", "--out", "forged"),
    "train": ("speck.yaml", "--data", "tiles", "--out", "trained"), "evaluate": ("run", "--data", "tiles", "--out", "report"),
    "compare": ("run", "--out", "page.html"), "publish": ("run", "--out", "given", "--name", "speck"), "recipes": (),
}  # fmt: skip


def inputs() -> Iterator[Input]:
    """Every input of this kind."""
    for path in _UNREADABLE:
        for how in ("denied", "folder", "fifo"):
            if how == "denied" or "." in path.rsplit("/", 1)[-1]:
                yield Input(f"file/{how}/{path.replace('/', '.')}", _area(path), partial(_special, path, how))
    for name in _NAMES:
        yield Input(f"name/raster/{name}", "names", partial(_raster_name, name))
        yield Input(f"name/footprints/{name}", "names", partial(_footprints_name, name))
    tools = ("generate", "footprints", "prepare", "forge", "publish", "compare")
    for number, name in enumerate(_OUTS):
        for tool in tools[number % 2 :: 2]:
            yield Input(f"out/{tool}/{name}", "out", partial(_out, tool, name))
    for words in _NUMBERS:
        value = "".join(words[2:])
        short = value if len(value) < 30 else f"{len(value)}-digits"
        yield Input(
            f"number/{words[0]}{words[1]}/{''.join(c if c.isalnum() or c in '-.+' else '_' for c in short)}",
            "numbers",
            partial(_number, words),
        )
    for tool in _BASE:
        for kind in ("closed", "full", "ascii", "columns-5"):
            yield Input(f"stream/{kind}/{tool}", "streams", partial(_stream, tool, kind))
        for kind in ("files-12", "memory-40"):
            yield Input(f"limit/{kind}/{tool}", "limits", partial(_limit, tool, kind))


def _area(path: str) -> str:
    kinds = {"data": "rasters", "run": "runs", "tile": "tiles", "spec": "texts", "pale": "texts", "mask": "texts"}
    return kinds.get(path.split("/")[0][:4], kinds.get(path[:3], "footprints"))


def lay_out(here: Path, material: Material) -> None:
    """One of everything that a command may be given."""
    for name in ("data", "run", "tiles", "images"):
        shutil.copytree(material.root / name, here / name)
    for name in ("speck.yaml", "palette.json"):
        shutil.copy(material.root / name, here)
    for path in material.vectors.iterdir():
        shutil.copy(path, here)
    (here / "masks.txt").write_text("data/masks/town3.tif\ndata/masks/town1.tif\n")


def base(tool: str, *words: str, **options: object) -> Command:
    """A command that works, with more words."""
    return command(tool, *_BASE[tool], *words, **options)


def _special(path: str, how: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    """A file that cannot be read, that is a folder, or that never ends."""
    lay_out(here, material)
    target = here / path
    if how == "denied":
        target.chmod(0)
    else:
        target.unlink()
        target.mkdir() if how == "folder" else os.mkfifo(target)
    part = path.split("/")[0]
    named = Path(path).stem if part == "data" and "." in path else Path(path).name
    commands: Sequence[Command]
    if part == "data":
        commands = raster_commands(here, "masks", 1) if target.name == "town3.tif" else [base("check"), base("prepare")]
    elif part == "run":
        commands = run_commands_in(here, named)
    elif part == "tiles":
        commands = [base("train", names=part), base("evaluate", names=""), base("prepare", "--overwrite")]
    elif part == "speck.yaml":
        commands = [base("train", names=part)]
    elif part == "palette.json":
        commands = [base("check", "--palette", part, names=part)]
    elif part == "masks.txt":
        commands = [command("generate", "run", part, "--out", "made", names=part)]
    else:
        commands = [
            command("footprints", part, "--out", "mask.tif", "--gsd", "0.3", names=part),
            command("generate", "run", part, "--out", "made.tif", names=part),
        ]
    return [Command(**vars(each) | {"unprivileged": how == "denied"}) for each in commands]


def run_commands_in(here: Path, named: str) -> list[Command]:
    """The commands that read a run, where everything lies already."""
    again = command("train", "speck.yaml", "--data", "tiles", "--out", "run", "--resume", "--epochs", "2")
    return [base("generate"), again, base("compare"), base("publish")]


def _raster_name(name: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    lay_out(here, material)
    file = os.fsdecode(_NAMES[name])
    for part in ("images", "masks"):
        (here / "data" / part / "town3.tif").rename(here / "data" / part / file)
    mask = f"data/masks/{file}"
    return [
        base("check"), base("prepare"), command("generate", "run", mask, "--out", "made"),
        command("generate", "run", "data/masks", "--out", "all"),
        command("footprints", mask, "--out", "houses.gpkg", "--overwrite"),
        base("grow", "--split", "digits", "--least-agreement", "0"), base("forge", "--how", "transform", "--count", "1"),
    ]  # fmt: skip


def _footprints_name(name: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    shutil.copytree(material.run, here / "run")
    stem = os.fsdecode(_NAMES[name]).removesuffix(".tif")
    while len(os.fsencode(stem)) > 250:  # a name has 255 bytes at most
        stem = stem[:-1]
    file = f"{stem}.gpkg"
    shutil.copy(material.vectors / "houses.gpkg", here / file)
    return [
        command("footprints", f"./{file}", "--out", "mask.tif", "--gsd", "0.3"),
        command("generate", "run", f"./{file}", "--out", "made"),
    ]


def _out(tool: str, name: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    """Never the machine's own devices: what replaced them would be gone for everybody."""
    lay_out(here, material)
    for device in ("null", "null.tif"):
        try:
            os.mknod(here / device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        except PermissionError:
            (here / device).symlink_to("/dev/null")
    (here / "null-link").symlink_to("/dev/null")
    (here / "folder.tif").mkdir()
    (here / "locked").mkdir(mode=0o555)
    (here / "dangling.tif").symlink_to("nowhere.tif")
    os.mkfifo(here / "fifo")
    words = _BASE[tool]
    if tool == "prepare":
        words = ("data", f"./{_OUTS[name]}" if not _OUTS[name].startswith("/") else _OUTS[name], *words[2:])
    else:
        place = words.index("--out")
        words = (*words[:place], *words[place + 2 :], f"--out={_OUTS[name]}")
    return [
        command(tool, *words, *(("--overwrite",) if over else ()), unprivileged=name == "read-only")
        for over in (False, True)
        if not (over and name in ("folder", "dot", "empty"))
    ]


def _number(words: tuple[str, ...], here: Path, material: Material, around: Surroundings) -> list[Command]:
    lay_out(here, material)
    tool, *rest = words
    return [base(tool, *rest)]


def _stream(tool: str, kind: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    lay_out(here, material)
    if kind == "columns-5":
        return [command(tool, "--help", env={"COLUMNS": "5"}), base(tool, env={"COLUMNS": "5"})]
    if kind == "ascii":
        (here / "data/masks/town3.tif").rename(here / "data/masks/town\u00e9\U0001f3e03.tif")
        return [base(tool, encoding="ascii"), command(tool, "--help", encoding="ascii")]
    out = {"closed": "closed", "full": "/dev/full"}[kind]
    return [base(tool, stdout=out, quiet=True), command(tool, "--help", stdout=out, quiet=True)]


def _limit(tool: str, kind: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    lay_out(here, material)
    return [base(tool, open_files=12) if kind == "files-12" else base(tool, address_space=40 * 2**20)]
