"""``python -m bench.bits --out before.json``, then, after a change, ``python -m bench.bits --against before.json``."""

import argparse
import contextlib
import importlib.metadata
import io
import json
import platform
import sys
import tempfile
import time
import warnings
from pathlib import Path

from bench.bits import checksums, road


def main(argv: list[str] | None = None) -> int:
    """1 when an artefact differs from ``--against``, is missing, or is new."""
    parser = argparse.ArgumentParser(description="Checksums of a tiny road from end to end.")
    parser.add_argument("--out", type=Path, help="where to write them, as JSON")
    parser.add_argument("--against", type=Path, help="checksums written before, to compare with")
    parser.add_argument("--keep", type=Path, help="an empty folder to leave everything in; otherwise a temporary one is removed")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        found = made_in(options.keep or Path(temporary))
    if options.out:
        options.out.write_text(json.dumps(found, indent=1), encoding="utf-8")
    if not options.against:
        print("".join(f"{checksum}  {name}\n" for name, checksum in found.items()), end="")
        return 0
    lines = list(differences(json.loads(options.against.read_text("utf-8")), found))
    print("\n".join(lines) or f"all {len(found)} the same")
    return 1 if lines else 0


def made_in(folder: Path) -> dict[str, str]:
    """Travel the road in ``folder``, with a line on stderr for each step; checksums by name."""
    import torch

    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()

    def say(step: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {step}", file=sys.stderr, flush=True)

    stderr = sys.stderr
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        road.travel(folder, lambda step: print(f"{time.monotonic() - began:6.1f} s  {step}", file=stderr, flush=True))
    say("checksums")
    found = {"circumstances": circumstances()}
    for name in road.FOLDERS:
        found |= dict(checksums.of_folder(folder / name, name))
    say("done")
    return found


def circumstances() -> str:
    """What may change bits though the code is the same."""
    versions = (f"{name} {importlib.metadata.version(name)}" for name in ("torch", "numpy", "rasterio", "pillow", "shapely"))
    return ", ".join([platform.machine(), f"Python {platform.python_version()}", *versions])


def differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """A line for each artefact that is not as it was."""
    kinds = {
        "differs": [name for name in before if name in after and before[name] != after[name]],
        "missing": [name for name in before if name not in after],
        "new": [name for name in after if name not in before],
    }
    return [f"{kind}: {name}" for kind, names in kinds.items() for name in names]


if __name__ == "__main__":
    road.one_thread()
    sys.exit(main())
