"""Keeps a folder in a bucket that is mounted as a file system, and brings it back on the next machine.

    python cloud/keep.py put FOLDER KEPT                  a copy of FOLDER
    python cloud/keep.py get KEPT FOLDER                  the newest copy, as FOLDER; exit 3 when there is none
    python cloud/keep.py run RUN KEPT [--every SECONDS] -- orthoforge train …

A mounted bucket is no disk: folders cannot be renamed in one step, nor files changed in place; checkpoints and curves need both. So
a run lies on the machine's own disk, and whole copies of it go to the bucket under names never used before: ``000007.tar``, and
``000007.sha256`` when the tar is complete. A copy without its checksum, or one that it does not fit, is passed over.
"""

import argparse
import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CHECKPOINT = ("state.json", "model.safetensors", "train.safetensors")
COPIES_KEPT = 2
NOTHING_KEPT = 3
STOPPED = 143  # what a shell reports after SIGTERM; skypilot.yaml starts the job again on it


class DamagedError(Exception):
    """No copy in the bucket fits its checksum."""


def put(folder: Path, kept: Path) -> Path:
    """Write a copy of ``folder`` into the folder ``kept`` and return its path; older copies but one are removed."""
    kept.mkdir(parents=True, exist_ok=True)
    numbers = [int(path.stem) for path in kept.iterdir() if path.stem.isdigit()]
    target = kept / f"{max(numbers, default=0) + 1:06d}.tar"
    with open(target, "xb") as file:
        hashed: Any = _Hashed(file)
        with tarfile.open(fileobj=hashed, mode="w|") as tar:  # a stream: a bucket takes no seeking
            tar.add(folder, arcname=".")
    target.with_suffix(".sha256").write_text(hashed.sha256.hexdigest(), encoding="ascii")
    for number in set(numbers) - set(finished(kept)[:COPIES_KEPT]):
        # The checksum first: without it the tar counts as unfinished.
        for suffix in ("sha256", "tar"):
            (kept / f"{number:06d}.{suffix}").unlink(missing_ok=True)
    return target


def get(kept: Path, folder: Path) -> Path | None:
    """Unpack the newest sound copy as ``folder``, which must not exist; its path, or ``None`` when nothing was kept yet.

    Raises ``DamagedError`` when there are copies and none of them is sound.
    """
    numbers = finished(kept)
    for number in numbers:
        path = kept / f"{number:06d}.tar"
        fetched, unpacked = (folder.with_name(f".{folder.name}.{what}") for what in ("tar", "unpacked"))
        try:
            with open(fetched, "wb") as file:
                hashed = _Hashed(file)
                with open(path, "rb") as source:
                    while piece := source.read(1 << 20):
                        hashed.write(piece)
            if hashed.sha256.hexdigest() == path.with_suffix(".sha256").read_text(encoding="ascii").strip():
                shutil.rmtree(unpacked, ignore_errors=True)
                with tarfile.open(fetched) as tar:
                    tar.extractall(unpacked, filter="data")
                os.rename(unpacked, folder)
                return path
        finally:
            fetched.unlink(missing_ok=True)
        print(f"{path}: does not fit its checksum; passed over", file=sys.stderr, flush=True)
    if numbers:
        raise DamagedError(f"{kept}: none of its copies fits its checksum. Remove them to begin anew.")
    return None


def finished(kept: Path) -> list[int]:
    """Numbers of the copies that have both files, newest first."""
    tars = {path.stem for path in kept.glob("*.tar")}
    return sorted((int(path.stem) for path in kept.glob("*.sha256") if path.stem in tars), reverse=True)


def freeze(run: Path, frozen: Path) -> None:
    """A view of a run that may be training meanwhile: hard links, whose checkpoint belongs to the rest.

    Raises ``FileNotFoundError`` when the run has no checkpoint yet.
    """
    shutil.rmtree(frozen, ignore_errors=True)
    frozen.mkdir(parents=True)
    # Before the rest: rows and curves later than the checkpoint are cut off on resuming, earlier ones would be missed.
    if not any(_link_checkpoint(run / "weights" / name, frozen / "weights" / name) for name in ("last", "previous", "last")):
        raise FileNotFoundError(f"{run}: no checkpoint yet")
    for name in ("best", ".best.former", "best"):  # under the second name for a moment, while it is being replaced
        if _link_checkpoint(run / "weights" / name, frozen / "weights" / "best"):
            break
    for entry in run.iterdir():
        if entry.name == "weights" or entry.name.startswith("."):
            continue
        for path in [entry] if entry.is_file() else entry.rglob("*"):
            if path.is_file() and not path.name.startswith("."):
                target = frozen / path.relative_to(run)
                target.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileNotFoundError):
                    os.link(path, target)


def put_run(run: Path, kept: Path) -> Path | None:
    """A copy of a run that may be training meanwhile; ``None`` when it could not be written now, with a line that says why."""
    frozen = run.with_name(f".{run.name}.frozen")
    try:
        freeze(run, frozen)
        return put(frozen, kept)
    except OSError as error:
        print(f"{kept}: no copy made: {error}", file=sys.stderr, flush=True)
        return None
    finally:
        shutil.rmtree(frozen, ignore_errors=True)


def run_and_keep(command: Sequence[str], run: Path, kept: Path, every_s: float) -> int:
    """Bring back ``run`` where it is missing, run ``command``, and keep copies: when the checkpoint changed, and at the end.

    Returns the command's exit code. SIGTERM and Ctrl-C reach it once; the last copy holds what it saved, and the code is then 143,
    because a run that was stopped is not finished. A last copy that could not be written turns a 0 into a 1.
    """
    if not run.exists():
        path = get(kept, run)
        print(f"{run}: brought back from {path}" if path else f"{kept}: nothing kept yet", flush=True)
    kept_stamp = _stamp(run)
    # In a session of its own: a signal to the whole group must not reach it twice, for a second one interrupts it without saving.
    process = subprocess.Popen(command, start_new_session=True)
    stopped = False

    def pass_on(number: int, frame: object) -> None:
        nonlocal stopped
        if not stopped:
            stopped = True
            process.send_signal(number)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, pass_on)
    code = None
    while code is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(timeout=every_s)
        stamp = _stamp(run)
        if stamp is not None and (stamp != kept_stamp or code is not None):
            path = put_run(run, kept)
            if path is not None:
                kept_stamp = stamp
                print(f"kept as {path}", flush=True)
            elif code == 0:
                code = 1
    if code < 0:
        return 128 - code
    return STOPPED if stopped and code == 0 else code


class _Hashed:
    """A file whose every written byte goes into a SHA-256."""

    def __init__(self, file: Any) -> None:
        self.file, self.sha256 = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Write and count."""
        self.sha256.update(data)
        return self.file.write(data)


def _link_checkpoint(source: Path, target: Path) -> bool:
    """Link a checkpoint's files; false, leaving nothing, when it is not there or was removed meanwhile."""
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_DIRECTORY)  # the same folder, also when it is renamed from here on
    except FileNotFoundError:
        return False
    try:
        target.mkdir(parents=True)
        for name in CHECKPOINT:
            os.link(name, target / name, src_dir_fd=descriptor)
    except FileNotFoundError:
        shutil.rmtree(target)
        return False
    finally:
        os.close(descriptor)
    return True


def _stamp(run: Path) -> tuple[int, int] | None:
    """Changes with every checkpoint."""
    for name in ("last", "previous"):
        with contextlib.suppress(FileNotFoundError):
            found = (run / "weights" / name / "state.json").stat()
            return found.st_ino, found.st_mtime_ns
    return None


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description="Keep a folder in a mounted bucket.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in {"put": ("folder", "kept"), "get": ("kept", "folder"), "run": ("folder", "kept")}.items():
        command = commands.add_parser(name)
        for word in words:
            command.add_argument(word, type=Path)
    command.add_argument("--every", type=float, default=600, help="seconds between copies, at least")
    argv = list(sys.argv[1:] if argv is None else argv)
    split = argv.index("--") if "--" in argv else len(argv)
    options, inner = parser.parse_args(argv[:split]), argv[split + 1 :]
    try:
        if options.command == "run":
            if not inner:
                parser.error("a command is missing after --")
            return run_and_keep(inner, options.folder, options.kept, options.every)
        began = time.monotonic()
        path = put(options.folder, options.kept) if options.command == "put" else get(options.kept, options.folder)
        print(f"{path}, {time.monotonic() - began:.1f} s" if path else f"{options.kept}: nothing kept yet", flush=True)
        return 0 if path else NOTHING_KEPT
    except DamagedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
