"""Devices by their names: which one to compute on, whether it is there, and what it is; and what memory the process keeps."""

import contextlib
import ctypes
from collections.abc import Iterator

import torch

from orthoforge.errors import ConfigError

AUTO = "auto"

# Of glibc's malloc.h, and what its manual says is usual.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_USUAL_TRIM_THRESHOLD, _USUAL_MMAP_MAX = 128 * 2**10, 65536
_KEPT_BYTES = 2**30


def chosen_device(name: str) -> str:
    """A device that can be used here. ``auto`` is ``cuda`` where there is such a GPU, else ``mps`` (Apple's), else ``cpu``.

    ``ConfigError`` when the named one is not here.
    """
    if name != AUTO:
        require_device(name)
        return name
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def chosen_devices(names: str) -> list[str]:
    """Several devices, named with commas: ``cuda:0,cuda:1``. ``ConfigError`` when one of them is not here."""
    return [chosen_device(name) for name in names.split(",")]


def require_device(name: str) -> torch.device:
    """The device of that name. ``ConfigError`` when there is none here."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        known = name.partition(":")[0] in ("cpu", "cuda", "mps", "xpu")
        why = f" ({str(error).splitlines()[0].rstrip('.')})" if known else ""
        raise ConfigError(
            f"device {name!r} cannot be used here{why}. Choose auto or cpu, or cuda or mps where there is such a GPU."
        ) from error
    return device


def device_words(name: str) -> str:
    """'cpu, 2 threads', 'cuda:0, NVIDIA H200, 139.8 GB'."""
    device = torch.device(name)
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return f"{name}, {properties.name}, {properties.total_memory / 1e9:.1f} GB"
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"{name}, {threads} thread{'s' * (threads != 1)}"
    return f"{name}, Apple's GPU" if device.type == "mps" else name


def keep_freed_memory() -> None:
    """Let the C library keep up to 1 GB of what was freed. Call it before threads are started.

    glibc hands pieces above 32 MB back to the system at once. A batch of four images of 256 px then got all its maps anew, page by
    page, which took a quarter of its time. Where there is no glibc, nothing is done.
    """
    if _set_malloc(_MMAP_MAX, 0):
        _set_malloc(_TRIM_THRESHOLD, _KEPT_BYTES)
        _set_malloc(_ARENA_MAX, 1)  # those of threads hold no piece above 64 MB


@contextlib.contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Within the block the C library keeps all that is freed: each step of a training needs as much again.

    Getting it anew took a twelfth of a step of ``orthoforge-s``.
    """
    is_glibc = _set_malloc(_MMAP_MAX, 0) and _set_malloc(_TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        if is_glibc:
            _set_malloc(_MMAP_MAX, _USUAL_MMAP_MAX)
            _set_malloc(_TRIM_THRESHOLD, _USUAL_TRIM_THRESHOLD)
            give_back_memory()


def give_back_memory() -> None:
    """Give back to the system what is free by now, between pieces that are not as well.

    What is kept breaks into pieces: under load a server grew by some 5 kB an image. The next image fetches its memory anew.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


def _set_malloc(option: int, value: int) -> bool:
    """Whether the C library is glibc, which is then told."""
    try:
        ctypes.CDLL(None).mallopt(option, value)
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
    return True
