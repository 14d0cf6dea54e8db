"""The command line: parse, call, print. Each command is the Python call of the same name with the same defaults.

Heavy imports (torch, matplotlib) wait inside the commands, so that `--help` answers at once.
"""

import errno
import os
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import tyro
from tyro.conf import FlagCreatePairsOff

from orthoforge.cli import data, images, machine, masks, publishing, scores, serving, training
from orthoforge.cli.streams import printable, safe_streams, undecodable_messages_dropped, words_on_loss
from orthoforge.errors import OrthoforgeError, ResourceError, exit_code, is_out_of_memory

# `train` is parsed by its own function; it stands here for the list in `orthoforge --help`.
COMMANDS: dict[str, Callable[..., Any]] = {
    "demo": training.demo, "check": data.check, "prepare": data.prepare, "train": training.TrainOptions,
    "footprints": masks.footprints, "realign": masks.realign, "forge": masks.forge, "generate": images.generate,
    "grow": images.grow,
    "evaluate": scores.evaluate, "utility": scores.utility, "compare": scores.compare, "experiment": training.experiment,
    "sweep": training.sweep, "publish": publishing.publish, "export": publishing.export, "serve": serving.serve,
    "recipes": training.recipes,
    "doctor": machine.doctor,
}  # fmt: skip
DESCRIPTION = (
    "Turn masks into orthophotos. `orthoforge COMMAND --help` explains a command. `orthoforge --version` prints the version."
)
# What a disk, or whoever owns a file, says of any that is asked for.
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ELOOP, errno.ESTALE}
# Those that keep what is finished, and go on with the rest when they are run again.
GOES_ON = ("demo", "prepare", "realign", "forge", "generate", "grow", "utility", "experiment", "sweep")


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code. An error of ours is one line on stderr; its kind decides the code (``errors.CODES``)."""
    argv = sys.argv[1:] if argv is None else argv
    with safe_streams() as stdout:
        code = _answer(argv)
        stdout.flush()
        if words := words_on_loss(stdout.lost):
            print(f"error: {words}", file=sys.stderr)
            goes_on_without = argv[:1] and argv[0] in ("train", *GOES_ON)
            return code if goes_on_without else code or exit_code(ResourceError())
        return code


def _answer(argv: list[str]) -> int:
    try:
        with warnings.catch_warnings(), undecodable_messages_dropped():
            warnings.simplefilter("default")
            warnings.showwarning = _show_warning
            return _run(argv)
    except OrthoforgeError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return exit_code(error)
    except (OSError, MemoryError, RuntimeError, UnicodeEncodeError) as error:
        words = _system_words(error)
        if words is None:
            raise
        print(f"error: {printable(words)}", file=sys.stderr)
        return exit_code(ResourceError())
    except KeyboardInterrupt:
        # With --overwrite it would begin anew.
        goes_on = argv[:1] and argv[0] in GOES_ON and "--overwrite" not in argv
        print(f"interrupted{'; the same command goes on' if goes_on else ''}", file=sys.stderr)
        return 130


def _system_words(error: OSError | MemoryError | RuntimeError | UnicodeEncodeError) -> str | None:
    """What to say of limits of the machine that any line of any command may meet; ``None`` for a fault of ours."""
    if isinstance(error, MemoryError | RuntimeError):
        words = "out of memory. Give the process more, or ask for something smaller."
        return words if is_out_of_memory(error) else None
    if isinstance(error, UnicodeEncodeError):
        is_name = any("\udc80" <= character <= "\udcff" for character in error.object[error.start : error.end])
        return f"{error.object[:300]}: holds a file's name that is not in UTF-8. Rename the file." if is_name else None
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return f"{error.filename or 'a file'}: too many files are open. Allow more with `ulimit -n 1024`, and run it again."
    if error.errno in _REFUSED and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: cannot be read or written ({error.strerror}). Allow it, or choose another."
    if error.errno == errno.ENAMETOOLONG:
        return f"{error.filename}: the name is too long for the disk. Choose a shorter one."
    return None


def _run(argv: list[str]) -> int:
    if argv == ["--version"]:
        print(version("orthoforge"))
        return 0
    if argv[:1] == ["train"]:
        training.train(argv[1:])
        return 0
    result: Any = tyro.extras.subcommand_cli_from_dict(
        COMMANDS, prog="orthoforge", description=DESCRIPTION, args=argv, config=(FlagCreatePairsOff,)
    )
    return result if isinstance(result, int) else 0


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {printable(str(message))}", file=sys.stderr)
