"""Devices, precision and processes."""

import os
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
import torch

from orthoforge.config import Recipe
from orthoforge.errors import ResourceError


def new_fabric(recipe: Recipe) -> Fabric:
    """Fabric on one device, or on those that torchrun started, in the recipe's precision."""
    processes, here = (int(os.environ.get(name, 1)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    fabric = Fabric(
        devices=here,
        num_nodes=max(1, processes // here),
        strategy="ddp" if processes > 1 else "auto",
        precision="bf16-mixed" if resolved_precision(recipe.precision) == "bf16" else "32-true",
    )
    fabric.launch()
    return fabric


def resolved_precision(precision: str) -> str:
    """``bf16`` or ``float32`` for ``auto``: bf16 where the hardware multiplies in it."""
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    cpu_info = Path("/proc/cpuinfo")
    flags = cpu_info.read_text() if cpu_info.is_file() else ""
    return "bf16" if "amx_bf16" in flags or "avx512_bf16" in flags else "float32"


def any_process(fabric: Fabric, asked: bool) -> bool:
    """Whether any process asks; all must agree on it, or they would wait for each other for ever."""
    if fabric.world_size == 1:
        return asked
    return bool(fabric.all_reduce(torch.tensor(float(asked)), reduce_op="sum") > 0)


def memory_advice(error: RuntimeError, recipe: Recipe) -> Exception:
    """Advice with the numbers when ``error`` is about memory; otherwise the error itself."""
    if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
        return error
    return ResourceError(
        f"out of memory at batch_size {recipe.batch_size}, crop_px {recipe.crop_px}, generator_width {recipe.generator_width}. "
        f"Try --batch-size {max(1, recipe.batch_size // 2)}, or --crop-px {max(32, recipe.crop_px // 2)}."
    )


def circumstances(fabric: Fabric) -> dict[str, Any]:
    return {"torch": str(torch.__version__), "device": fabric.device.type, "threads": torch.get_num_threads(), "processes": fabric.world_size}
