"""The command line: parse, call, print. Each command is the Python call of the same name with the same defaults.

Heavy imports (torch, matplotlib) wait inside the commands, so that `--help` answers at once.
"""

import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import tyro
from tyro.conf import FlagCreatePairsOff

from orthoforge.cli import data, images, masks, publishing, scores, training
from orthoforge.errors import OrthoforgeError, exit_code

# `train` is parsed by its own function; it stands here for the list in `orthoforge --help`.
COMMANDS: dict[str, Callable[..., Any]] = {
    "demo": training.demo, "check": data.check, "prepare": data.prepare, "train": training.TrainOptions,
    "footprints": masks.footprints, "forge": masks.forge, "generate": images.generate, "grow": images.grow,
    "evaluate": scores.evaluate, "utility": scores.utility, "compare": scores.compare, "experiment": training.experiment,
    "sweep": training.sweep, "publish": publishing.publish, "recipes": training.recipes,
}  # fmt: skip
# Those that keep what is finished, and go on with the rest when they are run again.
GOES_ON = ("demo", "prepare", "forge", "generate", "grow", "utility", "experiment", "sweep")


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code. An error of ours is one line on stderr; its kind decides the code (``errors.CODES``)."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = _show_warning
            return _run(argv)
    except OrthoforgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        # With --overwrite it would begin anew.
        goes_on = argv[:1] and argv[0] in GOES_ON and "--overwrite" not in argv
        print(f"interrupted{'; the same command goes on' if goes_on else ''}", file=sys.stderr)
        return 130


def _run(argv: list[str]) -> int:
    if argv == ["--version"]:
        print(version("orthoforge"))
        return 0
    if argv[:1] == ["train"]:
        training.train(argv[1:])
        return 0
    result: Any = tyro.extras.subcommand_cli_from_dict(
        COMMANDS, prog="orthoforge", description="Masks to orthophotos.", args=argv, config=(FlagCreatePairsOff,)
    )
    return result if isinstance(result, int) else 0


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {message}", file=sys.stderr)
