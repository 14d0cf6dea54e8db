"""A training to be killed: ``python child.py REQUEST``, as ``harness.py`` starts it.

Hooks that announce, hold or poison a moment live here, never in the package.
"""

import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def run(request: dict[str, Any]) -> int:
    """``orthoforge train ARGS``, with hooks; returns the exit code."""
    import traceback

    from orthoforge import cli

    if "headroom_bytes" in request:  # what it may allocate on top of what it has
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + request["headroom_bytes"]
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    install_hooks(**request.get("hooks", {}))
    try:
        code = cli.main(["train", *request["args"]])
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 70
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def install_hooks(
    hold: tuple[str, int] | None = None,
    poison: dict[str, int] | None = None,
    save_every_step: bool = False,
    plot: bool = False,
) -> None:
    """``hold`` stops at the n-th time of a moment, says so, and waits for a line; ``poison`` spoils D's weights at a step."""
    from orthoforge import checkpoint_files
    from orthoforge.training import loop, session, step, validation

    loop.STEPS_BETWEEN_CURVE_POINTS = 2
    if save_every_step:
        loop.SECONDS_BETWEEN_CHECKPOINTS = -1
    if not plot:  # half of the time of so short a training
        session.run_files.plot_results = lambda run: None
    counts: dict[str, int] = {}

    def moment(name: str) -> None:
        counts[name] = counts.get(name, 0) + 1
        if hold and (name, counts[name]) == tuple(hold):
            say(f"holding {name}")
            while os.read(0, 1) not in (b"\n", b""):
                pass

    def before(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            moment(name)
            return function(*arguments, **options)

        return wrapped

    step.l1 = before("step", step.l1)  # D has its step, G not yet
    validation.psnr = before("validation", validation.psnr)
    loop.run_files.append_result = before("row", loop.run_files.append_result)
    checkpoint_files.sync = before("checkpoint", checkpoint_files.sync)  # four times a checkpoint, then once when it is in place
    os.rename = before("rename", os.rename)

    if poison:
        inner = loop.train_step

        def train_step(training: Any, batch: Any) -> Any:
            state = training.state
            if state.progress.step + 1 == poison["step"] and state.progress.rollbacks < poison["times"]:
                next(state.discriminator.parameters()).data[0, 0, 0, 0] = float("nan")
            return inner(training, batch)

        loop.train_step = train_step


if __name__ == "__main__":
    sys.exit(run(json.loads(sys.argv[1])))
