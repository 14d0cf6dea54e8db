"""The files of ``bench.hostile`` over HTTP: each as a mask and, where it may be one, as footprints."""

import contextlib
import hashlib
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil

from bench.hostile import bombs, large, rasters, references, vectors
from bench.hostile.case import Input, Surroundings
from bench.hostile.material import SCENES, Material, _rasters, _vectors, prepare_imports
from bench.hostile.trial import prepare_folder
from bench.hostile.watch import FolderWatch, Listener
from bench.serving.arrivals import png, town
from bench.serving.server import running

MOST_BYTES = 64 * 2**20  # of an upload
DEADLINE_S = 600
_TRACEBACK = re.compile(
    r"(?P<ignored>Exception ignored[^\n]*\n)?Traceback \(most recent call last\):\n(?:[ \t][^\n]*\n)+(?P<error>[^\n]*)"
)
_TEXT = (b"{", b"[", b"\x1e")


def hostile(folder: Path, model: str, every: int) -> None:
    """Send each file of every ``every``-th input, and print what came back, what it took, and what was touched."""
    material, outside = _material(folder / "material"), prepare_folder(folder / "outside")
    for part in ("images", "masks"):
        (outside / part).mkdir()
    (outside / "secret.txt").write_bytes(b"secret")
    (outside / "crs.wkt").write_text("LOCAL_CS")
    watch, listener = FolderWatch(outside), Listener()
    statuses: Counter[int] = Counter()
    slowest, largest, wrong, touched = 0.0, 0.0, [], set()
    # A deadline that passes only where the server hangs, also on a busy machine.
    with running(folder, model, "--deadline", str(DEADLINE_S)) as server, httpx.Client(timeout=2 * DEADLINE_S) as client:
        faults = _Faults(folder / "log")
        for name, data in _files(folder, material, Surroundings(outside, listener.url), every):
            for field in ("mask", "footprints") if data.lstrip()[:1] in _TEXT else ("mask",):
                form = {"width": "64", "height": "64"} if field == "footprints" else {}
                watch.seen()  # what laying the file out has touched
                began = time.monotonic()
                answer = client.post(f"{server.url}/v1/images", files={field: data}, data=form)
                slowest = max(slowest, time.monotonic() - began)
                statuses[answer.status_code] += 1
                if answer.status_code not in (200, 413, 422):
                    wrong.append(f"{name} as {field}: {answer.status_code} {answer.text[:200]}")
                wrong += [f"{name} as {field}: {line}" for line in faults.new()]
                touched |= {f"{name} as {field}: {one}" for one in watch.seen()}
                largest = max(largest, _largest_child_mb(server._process))
        sound = client.post(f"{server.url}/v1/images", files={"mask": png(town(64))}).status_code
    counts = ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items()))
    print(f"{sum(statuses.values())} hostile uploads: {counts}; other answers and unforeseen errors {len(wrong)}")
    print(f"slowest {slowest:.1f} s, largest decoding process {largest:.0f} MB")
    print(f"files touched outside {len(touched)}, connections {listener.answer()}")
    print(f"a sound mask afterwards: {sound}", flush=True)
    print(*wrong, *sorted(touched), sep="\n")
    watch.close()
    listener.close()


class _Faults:
    """What the server's processes write of errors that nobody foresaw, and answer as files that cannot be read."""

    def __init__(self, log: Path) -> None:
        self._log, self._read = log, log.stat().st_size

    def new(self) -> list[str]:
        """The last line of each traceback since it was asked."""
        with open(self._log, "rb") as file:
            file.seek(self._read)
            text = file.read().decode("utf-8", "replace")
            self._read = file.tell()
        return [found["error"] for found in _TRACEBACK.finditer(text) if not found["ignored"]]


def _files(folder: Path, material: Material, around: Surroundings, every: int) -> Iterator[tuple[str, bytes]]:
    """Each file once."""
    seen = set()
    chosen = [one for room in (rasters, vectors, bombs, large, references) for one in room.inputs()]
    chosen = [one for one in chosen if one.area in ("rasters", "footprints")][::every]
    for each in chosen:
        for path in _built(each, prepare_folder(folder / "here"), material, around):
            if path.is_file() and path.stat().st_size <= MOST_BYTES:
                data = path.read_bytes()
                if (digest := hashlib.sha256(data).digest()) not in seen:
                    seen.add(digest)
                    yield f"{each.name} {path.name}", data


def _built(each: Input, here: Path, material: Material, around: Surroundings) -> list[Path]:
    """The files that an input is about."""
    with contextlib.suppress(StopIteration):
        each.build(here, material, around)
    return sorted(
        path for path in here.rglob("*") if path.parent == here or (path.parent.parent.name == "data" and "town3" in path.name)
    )


def _material(root: Path) -> Material:
    """What damaged files are made of; no network is trained for it."""
    prepare_imports()
    from conftest import make_dataset

    prepare_folder(root)
    make_dataset(root / "data", SCENES, 64)
    for name in ("run", "pretrained"):
        (root / name).mkdir()
    _rasters(root / "rasters")
    _vectors(root / "vectors")
    return Material(root)


def _largest_child_mb(process: psutil.Process) -> float:
    sizes = [0.0]
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            sizes.append(child.memory_info().rss / 2**20)
    return max(sizes)
