"""The fastest backend whose images are PyTorch's to a level: measured once, then remembered.

What was found lies in one file, ``backends.json`` in ``$XDG_CACHE_HOME/orthoforge`` (by default ``~/.cache/orthoforge``). It is
measured anew where the weights, a version, the processor or the number of threads is another.
"""

import contextlib
import hashlib
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from orthoforge.backends.names import BackendName, version_of
from orthoforge.errors import OrthoforgeError
from orthoforge.files import new_file

ROUNDS = 3
MOST_LEVELS = 1
_MOST_WORDS = 200
_KEPT = 256  # entries of the file; older ones go

Draw = Callable[[], np.ndarray]
"""Makes one image (H, W, B) uint8."""


def fastest(candidates: Mapping[BackendName, Callable[[], Draw]], *, rounds: int = ROUNDS) -> BackendName:
    """Which of some backends, each opened by a call, is fastest and makes the image of ``torch``, to a level.

    They take turns, so that a busy machine slows them all; medians are compared. One that fails is left out, which stderr says.
    """
    drawn: dict[BackendName, Draw] = {}
    seconds: dict[BackendName, list[float]] = {}
    expected = candidates["torch"]()().astype(int)
    for name, opened in candidates.items():
        try:
            draw = opened()
            off = int(np.abs(draw().astype(int) - expected).max())
        except Exception as error:  # whatever is wrong with it, there is PyTorch
            _say(f"{name} cannot compute this network ({type(error).__name__}: {str(error)[:_MOST_WORDS]})")
            continue
        if off > MOST_LEVELS:
            _say(f"{name} makes another image (off by {off} levels)")
            continue
        drawn[name], seconds[name] = draw, []
    for _ in range(rounds):
        for name, draw in drawn.items():
            began = time.perf_counter()
            draw()
            seconds[name].append(time.perf_counter() - began)
    return min(seconds, key=lambda name: statistics.median(seconds[name]))


def remembered(sha256: str, names: Sequence[BackendName], threads: int, measure: Callable[[], BackendName]) -> BackendName:
    """What ``measure`` found for these weights on this machine, now or before. A file that cannot be read or written is done
    without."""
    told = [sha256, threads, _processor(), [version_of(name) for name in names]]
    key = hashlib.sha256(json.dumps(told).encode()).hexdigest()
    path = cache_file()
    known = _read(path)
    if known.get(key) in names:
        return next(name for name in names if name == known[key])
    found = measure()
    kept = dict(list({**_read(path), key: found}.items())[-_KEPT:])
    with contextlib.suppress(OSError, OrthoforgeError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_file(path, overwrite=True) as partial:
            partial.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    return found


def _say(why: str) -> None:
    print(f"backends: {why}; it is left out.", file=sys.stderr)


def cache_file() -> Path:
    """Where choices are remembered."""
    folder = os.environ.get("XDG_CACHE_HOME")
    return (Path(folder) if folder else Path.home() / ".cache") / "orthoforge" / "backends.json"


def _read(path: Path) -> dict[str, str]:
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return {key: value for key, value in known.items() if isinstance(value, str)} if isinstance(known, dict) else {}


def _processor() -> str:
    """Its name and what it can do, as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return "".join(dict.fromkeys(line for line in lines if line.startswith(("model name", "flags", "Features"))))
