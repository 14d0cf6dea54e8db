"""Devices, precision, compilation and processes."""

import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import torch
from lightning_fabric import Fabric

from orthoforge.config import Recipe
from orthoforge.devices import chosen_device
from orthoforge.errors import ConfigError, OutOfMemoryError, is_out_of_memory

# The least address space that any training takes beyond what is imported. With less, torch's libraries may die without a word.
_LEAST_SPACE = 512 * 2**20
_FIRST_WITH_TF32 = (8, 0)  # compute capability

Network = TypeVar("Network", bound=torch.nn.Module)


def require_address_space() -> None:
    """``OutOfMemoryError`` where a limit on the process's address space (``ulimit -v``) leaves too little of it."""
    try:
        import resource  # not on Windows

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        left = limit - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        return
    if limit != resource.RLIM_INFINITY and left < _LEAST_SPACE:
        raise OutOfMemoryError(
            f"out of memory: the limit on this process (ulimit -v) leaves {max(0, left) >> 20} MB, and a training takes at least "
            f"{_LEAST_SPACE >> 20} MB. Raise it."
        )


def new_fabric(recipe: Recipe, device: str = "auto") -> Fabric:
    """Fabric on one device, or on as many of its kind as torchrun started processes, in the recipe's precision.

    Raises ``OutOfMemoryError`` under a limit that no training fits in, ``ConfigError`` for a device that is not here.
    """
    require_address_space()
    kind, _, number = chosen_device(device).partition(":")
    processes, here = (int(os.environ.get(name, 1)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it would say the precision before a command says anything
    fabric = Fabric(
        accelerator=kind,
        devices=[int(number)] if number and processes == 1 and kind != "cpu" else here,
        num_nodes=max(1, processes // here),
        strategy="ddp" if processes > 1 else "auto",
        precision="bf16-mixed" if resolved_precision(recipe.precision, kind) == "bf16" else "32-true",
    )
    fabric.launch()
    return fabric


def resolved_precision(
    precision: Literal["auto", "bf16", "tf32", "float32"], device: str = "auto"
) -> Literal["bf16", "tf32", "float32"]:
    """``bf16`` or ``float32`` for ``auto``: bf16 where the device multiplies in it. ``ConfigError`` for tf32 where it does not."""
    if precision in ("bf16", "float32"):
        return precision
    kind = chosen_device(device).partition(":")[0]
    if precision == "tf32":
        if kind != "cuda" or torch.cuda.get_device_capability() < _FIRST_WITH_TF32:
            raise ConfigError(
                f"precision is tf32, which NVIDIA GPUs from Ampere on compute in; {kind} does not. Choose auto, bf16 or float32."
            )
        return precision
    if kind == "mps":
        return "float32"
    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    cpu_info = Path("/proc/cpuinfo")
    flags = cpu_info.read_text() if cpu_info.is_file() else ""
    return "bf16" if "amx_bf16" in flags or "avx512_bf16" in flags else "float32"


@contextlib.contextmanager
def arithmetic_of(recipe: Recipe) -> Iterator[None]:
    """Within, NVIDIA GPUs compute as the recipe's precision says; afterwards as before. Elsewhere nothing changes.

    TF32 is allowed for what bf16 leaves in float32, and not for ``float32``, where cuDNN would take it unasked. Crops are all of
    one size, so cuDNN measures once how it convolves them fastest.
    """
    may_be_tf32 = recipe.precision != "float32"
    switches: tuple[tuple[Any, str, bool], ...] = (
        (torch.backends.cuda.matmul, "allow_tf32", may_be_tf32),
        (torch.backends.cudnn, "allow_tf32", may_be_tf32),
        (torch.backends.cudnn, "benchmark", True),
    )
    before = [getattr(backend, name) for backend, name, _ in switches]
    for backend, name, value in switches:
        setattr(backend, name, value)
    try:
        yield
    finally:
        for (backend, name, _), value in zip(switches, before, strict=True):
            setattr(backend, name, value)


def require_compiler(device: torch.device) -> None:
    """``ConfigError`` where torch.compile cannot work: it is tried on one operation, which takes up to a minute."""
    try:
        compiled(torch.nn.ReLU())(torch.zeros(8, device=device))
    except (RuntimeError, ImportError, OSError, subprocess.SubprocessError) as error:
        needed = "a C++ compiler (g++ or clang++, or the one that CXX names)" if device.type == "cpu" else "Triton and a C compiler"
        why = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ConfigError(
            f"--compile cannot work here: torch.compile needs {needed}, and says: {why:.200} Install it, or leave --compile out."
        ) from error


def compiled(network: Network) -> Network:
    """``network`` by torch.compile: code for each size of a batch, whichever comes first, and noise is drawn as before."""
    return cast(Network, torch.compile(network, dynamic=False, options={"fallback_random": True}))


def any_process(fabric: Fabric, asked: bool) -> bool:
    """Whether any process asks; all must agree on it, or they would wait for each other for ever."""
    return any_processes(fabric, asked)[0]


def any_processes(fabric: Fabric, *asked: bool) -> tuple[bool, ...]:
    """The same of several questions at once."""
    if fabric.world_size == 1:
        return asked
    counts = fabric.all_reduce(torch.tensor(asked, dtype=torch.float32), reduce_op="sum")
    assert isinstance(counts, torch.Tensor)
    return tuple(count > 0 for count in counts.tolist())


def mean_over_processes(fabric: Fabric, values: torch.Tensor) -> torch.Tensor:
    """The mean of each process's ``values``, the same in all of them."""
    if fabric.world_size == 1:
        return values
    mean = fabric.all_reduce(values, reduce_op="mean")
    assert isinstance(mean, torch.Tensor)
    return mean


@contextlib.contextmanager
def memory_advice(recipe: Recipe, processes: int = 1) -> Iterator[None]:
    """Turn 'out of memory' inside the block into an ``OutOfMemoryError`` with the numbers and others to try.

    Gradient accumulation is named first: it changes no step.
    """
    share = recipe.batch_size // processes
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        least = {"batch_size": 1, "crop_px": 32, "generator_width": 1}
        given = {name: getattr(recipe, name) for name in least}
        parts = f", accumulate {recipe.accumulate}" * (recipe.accumulate > 1)
        more = {"accumulate": min(2 * recipe.accumulate, share)} if recipe.accumulate < share else {}
        halved = {name: max(least[name], value // 2) for name, value in given.items() if value > least[name]}
        smaller = more | {name: value for name, value in halved.items() if name != "batch_size" or value >= recipe.accumulate}
        if "crop_px" in smaller:
            smaller["crop_px"] -= smaller["crop_px"] % recipe.crop_multiple_px
            smaller = {name: value for name, value in smaller.items() if value}
        raise OutOfMemoryError(
            f"out of memory at {', '.join(f'{name} {value}' for name, value in given.items())}{parts}. "
            f"Try one of {', '.join(f'--{name} {value}'.replace('_', '-') for name, value in smaller.items())}."
        ) from error


def most_memory(device: torch.device) -> str:
    """The most memory that was taken so far, in words: on a GPU by tensors, else by this process."""
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_reserved(device) / 1e9:.1f} GB of the GPU's at the most"
    try:
        import resource  # not on Windows
    except ImportError:
        return "not known on this system"
    unit = 1 if sys.platform == "darwin" else 1024
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9:.1f} GB at the most, by the whole process"


def circumstances(fabric: Fabric) -> dict[str, str | int]:
    """What a run was computed with and on."""
    return {
        "torch": str(torch.__version__),
        "device": torch.cuda.get_device_name(fabric.device) if fabric.device.type == "cuda" else fabric.device.type,
        "threads": torch.get_num_threads(),
        "processes": fabric.world_size,
    }
