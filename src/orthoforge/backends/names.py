"""The backends by their names, and whether what each needs is installed."""

import importlib.util
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Literal

import numpy as np

from orthoforge.errors import ConfigError

Backend = Callable[[Mapping[str, np.ndarray]], np.ndarray]
"""Inputs (``inputs``) by name to the image (N, B, H, W) in [-1, 1], all float32."""
BackendName = Literal["torch", "onnx", "openvino"]
BACKENDS: tuple[BackendName, ...] = ("torch", "onnx", "openvino")
AUTO = "auto"
PACKAGES: dict[BackendName, str] = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}
_MODULES: dict[BackendName, tuple[str, ...]] = {
    "torch": ("torch",),
    "onnx": ("onnx", "onnxruntime"),
    "openvino": ("onnx", "openvino"),
}
HOW_TO_INSTALL = "pip install 'orthoforge[export]'"


def missing(name: BackendName) -> list[str]:
    """The packages that a backend needs and that are not installed."""
    return [module for module in _MODULES[name] if importlib.util.find_spec(module) is None]


def installed() -> list[BackendName]:
    """The backends that can be tried here, PyTorch first."""
    return [name for name in BACKENDS if not missing(name)]


def version_of(name: BackendName) -> str:
    """'openvino 2026.4.1', as images are tagged."""
    return f"{PACKAGES[name]} {version(PACKAGES[name]).partition('+')[0]}"


def require_known(name: str) -> None:
    """``ConfigError`` for another name than ``auto`` and those of backends."""
    if name not in (AUTO, *BACKENDS):
        raise ConfigError(f"no backend {name!r}; there are {', '.join((AUTO, *BACKENDS))}.")
