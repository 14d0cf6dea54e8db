"""Devices by their names: which one to compute on, whether it is there, and what it is."""

import torch

from orthoforge.errors import ConfigError

AUTO = "auto"


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
