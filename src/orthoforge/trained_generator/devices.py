"""Devices by their names."""

import torch

from orthoforge.errors import ConfigError


def require_device(name: str) -> torch.device:
    """The device of that name. ``ConfigError`` when there is none here."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        known = name.partition(":")[0] in ("cpu", "cuda", "mps", "xpu")
        why = f" ({str(error).splitlines()[0].rstrip('.')})" if known else ""
        raise ConfigError(f"device {name!r} cannot be used here{why}. Choose cpu, or cuda where there is a GPU.") from error
    return device
