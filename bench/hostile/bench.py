"""All inputs, and the process that runs them one by one."""

import contextlib
import importlib
import json
import os
import pickle
import pkgutil
import shutil
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.hostile import attacks, bombs, large, log, rasters, references, stores, texts, vectors, weights
from bench.hostile.case import Command, Input, Surroundings
from bench.hostile.material import MODULES, Material, make_material
from bench.hostile.table import Finding, Row, judge
from bench.hostile.trial import SECONDS, Outcome, prepare_folder, run
from bench.hostile.watch import FolderWatch, Listener

SHORT = 60
_OURS = ("__mp_main__", "conftest", "test_footprint_osm")
SECRET = b"orthoforge-marker-of-a-file-outside"


def all_inputs(*, short: bool = False, only: Sequence[str] = (), areas: Sequence[str] = ()) -> list[Input]:
    """The inputs, well mixed, always in the same order: all, those that ``only`` and ``areas`` name, or a few of them."""
    found = [
        each for room in (rasters, vectors, stores, texts, attacks, references, bombs, large, weights) for each in room.inputs()
    ]
    found.sort(key=lambda each: (zlib.crc32(each.name.encode("utf-8", "surrogateescape")), each.name))
    assert len({each.name for each in found}) == len(found), "two inputs of one name"
    if only:
        found = [each for each in found if each.name.startswith(tuple(only))]
    if areas:
        found = [each for each in found if each.area in areas]
    return found[:: max(1, len(found) // SHORT)] if short else found


class Harness:
    """Everything imported, material made, somebody listening: ready to fork."""

    def __init__(self, folder: Path, seconds: float = SECONDS) -> None:
        self.folder = folder
        self.material = Material(folder / "material")
        self.seconds = seconds
        self.logs = folder / "logs"
        self._commands = folder / "commands"
        self.outside = folder / "outside"
        _secrets(self.outside)
        self.watch = FolderWatch(self.outside)
        self.listener = Listener()
        self.around = Surroundings(self.outside, self.listener.url)

    def make_material(self) -> None:
        """Valid files, made in a process of its own, or those that are there. Raises where it fails: nothing could be said then."""
        if not (self.material.root / MODULES).exists():
            self._make_anew()
        _import(json.loads((self.material.root / MODULES).read_text()))
        _secret_raster(self.outside, self.material)
        self.watch.close()
        self.watch = FolderWatch(self.outside)

    def _make_anew(self) -> None:
        prepare_folder(self.material.root)
        outcome = self.run(Command(()), self.material.root, task=lambda: make_material(self.material.root), seconds=300)
        if outcome.code != 0:
            raise RuntimeError(f"no material: {outcome.stdout}{outcome.stderr}")

    def run(self, command: Command, here: Path, **options: Any) -> Outcome:
        """A command, or the function ``task``, in a process of its own."""
        return run(command, here, prepare_folder(self.logs), self.watch, self.listener, **options)

    def findings(self, each: Input) -> Iterator[Finding]:
        """Lay an input out and run its commands one after the other, as a user would."""
        here = prepare_folder(self.folder / "inputs" / "here")
        made = self._lay_out(each, here)
        if made.code != 0:
            yield Finding(each, Command(()), made, ("unmade",))
            return
        for command in pickle.loads(self._commands.read_bytes()):
            outcome = self.run(command, here, seconds=self.seconds)
            yield Finding(each, command, outcome, judge(command, outcome, here))

    def _lay_out(self, each: Input, here: Path) -> Outcome:
        """In a process of its own too: what an input needs of memory and threads must not be handed on to the commands."""

        def build() -> int:
            self._commands.write_bytes(pickle.dumps(list(each.build(here, self.material, self.around))))
            return 0

        return self.run(Command(()), here, task=build, seconds=600, memory=6 * 10**9)

    def close(self) -> None:
        self.watch.close()
        self.listener.close()


def _secrets(outside: Path) -> None:
    """What inputs point at: nothing of it may be opened."""
    prepare_folder(outside)
    (outside / "secret.txt").write_bytes(SECRET)
    (outside / "secret").write_bytes(SECRET)
    (outside / "secret.yaml").write_bytes(b"name: " + SECRET + b"\n")
    (outside / "crs.wkt").write_text('LOCAL_CS["' + SECRET.decode() + '",UNIT["metre",1]]')


def _secret_raster(outside: Path, material: Material) -> None:
    for part in ("images", "masks"):
        (outside / part).mkdir()
        for name in ("town1", "town2", "town3"):
            shutil.copy(material.rasters / "striped" / part / "town3.tif", outside / part / f"{name}.tif")
            with open(outside / part / f"{name}.tif", "ab") as file:
                file.write(SECRET)
    shutil.copytree(material.pretrained, outside / "pretrained")


@contextmanager
def ready(folder: Path, seconds: float) -> Iterator[Harness]:
    """A harness with its material."""
    os.environ["MPLCONFIGDIR"] = str(folder / "matplotlib")
    import_everything()
    harness = Harness(folder.resolve(), seconds)
    try:
        harness.make_material()
        yield harness
    finally:
        harness.close()


def import_everything() -> None:
    """All modules of the package and what they import late, so that a forked process needs seconds less."""
    import orthoforge

    for module in pkgutil.walk_packages(orthoforge.__path__, "orthoforge."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def _import(names: Sequence[str]) -> None:
    """What making the material had to import late, each command would have to import again."""
    for name in names:
        if name not in sys.modules and name.partition(".")[0] not in _OURS:
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def run_inputs(
    inputs: Sequence[Input], folder: Path, out: Path | None, log_file: Path | None, *, seconds: float, show: bool = False
) -> list[Row]:
    """Run them all. A line on each fault goes to ``out`` at once, every finished input to the log, and a count to stderr."""
    rows: list[Row] = []
    if not inputs:
        return rows
    with ready(folder, seconds) as harness:
        for number, each in enumerate(inputs, 1):
            found = [_told(finding, out, show) for finding in harness.findings(each)]
            rows += found
            if log_file:
                log.append(log_file, found)
            if sys.stderr.isatty() or number % 50 == 0:
                print(f"{number} of {len(inputs)}, faults: {sum(row.is_fault for row in rows)}", file=sys.stderr, flush=True)
    return rows


def _told(finding: Finding, out: Path | None, show: bool) -> Row:
    if finding.is_fault and out:
        with open(out, "a", encoding="utf-8") as file:
            file.write(finding.line() + "\n")
    if show:
        print(finding.line(), finding.outcome.stderr, sep="\n", flush=True)
    return finding.row
