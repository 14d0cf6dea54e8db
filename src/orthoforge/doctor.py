"""What is installed here, what it computes on, and what is missing. Looks at this machine alone: nothing is connected to."""

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from orthoforge.errors import ConfigError
from orthoforge.pretrained import bundled_folder, bundled_names

EXTRAS = {
    "trackers": "curves in W&B and MLflow (train --trackers)",
    "parquet": "footprints in GeoParquet",
    "sign": "Content Credentials (generate --sign)",
    "hub": "generators from and to the Hugging Face hub",
    "serve": "the server (orthoforge serve)",
    "export": "networks in ONNX and OpenVINO (export, generate --backend)",
    "stores": "scenes and images in object stores (s3, gs, az)",
    "ray": "scenes on the machines of a cluster (--on ray)",
    "judge": "a judge that learned on aerial images (evaluate --network geoembed)",
}
"""What the extras of ``pyproject.toml`` are for."""
_OF_DEVELOPERS = {"dev", "docs"}
_NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
_LONGEST_IMPORT_S = 120
_MOST_CHARACTERS = 200


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at and what was found. That of a fault says what to do, too."""

    subject: str
    words: str
    is_fault: bool = False


def diagnose() -> list[Finding]:
    """All that was found, in the order in which it reads best."""
    parts = (_versions, _needed, _proj, _torchvision, _processor, _gpus, _precision, _memory, _disk, _weights, _extras)
    return [finding for part in parts for finding in part()]


def diagnosis(findings: Iterable[Finding]) -> str:
    """Aligned lines; those of faults are marked, and the last one counts them."""
    findings = list(findings)
    width = max(len(finding.subject) for finding in findings)
    lines = [f"{finding.subject:{width}}  {'FAULT: ' * finding.is_fault}{finding.words}" for finding in findings]
    count = sum(finding.is_fault for finding in findings)
    return "\n".join([*lines, "", f"{count or 'No'} {'fault' if count == 1 else 'faults'} found."])


def _versions() -> list[Finding]:
    return [
        Finding("orthoforge", version("orthoforge")),
        Finding("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}"),
        *(Finding(name, version(name)) for name in ("torch", "rasterio") if _is_installed(name)),
    ]


def _needed() -> list[Finding]:
    """The packages that Orthoforge cannot do without and that are missing."""
    needed = [line for line in requires("orthoforge") or () if "extra ==" not in line]
    return [
        Finding(_name(line), f"is not installed. Run: pip install '{line}'", is_fault=True)
        for line in needed
        if not _is_installed(_name(line))
    ]


def _proj() -> list[Finding]:
    named = {name: os.environ[name] for name in ("PROJ_DATA", "PROJ_LIB") if name in os.environ}
    try:
        import rasterio

        from orthoforge.geo.proj_data import use_a_fitting_database

        use_a_fitting_database()
    except ConfigError as error:
        return [Finding("PROJ", str(error), is_fault=True)]
    except (ImportError, OSError) as error:
        return [Finding("rasterio", f"cannot be imported ({_short(error)}). Install it again.", is_fault=True)]
    left_aside = " and ".join(f"{name}={place}" for name, place in named.items() if name not in os.environ)
    note = f" (rasterio's own, not that of {left_aside}, which does not fit)" if left_aside else ""
    return [
        Finding("GDAL", rasterio.__gdal_version__),
        Finding("PROJ", f"{rasterio.__proj_version__}, its database of coordinate reference systems fits{note}"),
    ]


def _torchvision() -> list[Finding]:
    """Orthoforge does without it, but other packages import one that is there. Tried in a process of its own."""
    if importlib.util.find_spec("torchvision") is None:
        return []
    code = [sys.executable, "-c", "import torchvision; print(torchvision.__version__)"]
    try:
        tried = subprocess.run(code, capture_output=True, text=True, errors="replace", timeout=_LONGEST_IMPORT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [Finding("torchvision", f"could not be tried ({_short(error)}); Orthoforge does not need it")]
    if tried.returncode == 0:
        return [Finding("torchvision", f"{tried.stdout.strip()}; Orthoforge does not need it")]
    why = _short((tried.stderr.strip().splitlines() or ["it ended without a word"])[-1])
    advice = "Orthoforge does not need it, but other packages stumble over it: pip uninstall torchvision"
    return [Finding("torchvision", f"is half installed, or does not fit torch ({why}). {advice}", is_fault=True)]


def _processor() -> list[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        import torch
    except (ImportError, OSError, RuntimeError) as error:
        words = f"cannot be imported ({_short(error)}). Install it again: pip install --force-reinstall torch"
        return [Finding("processor", f"cores that may be used: {cores}"), Finding("torch", words, is_fault=True)]
    return [Finding("processor", f"cores that may be used: {cores}; threads of torch: {torch.get_num_threads()}")]


def _gpus() -> list[Finding]:
    try:
        import torch
    except (ImportError, OSError, RuntimeError):  # said above
        return []
    findings = []
    for index in range(torch.cuda.device_count()):
        subject = f"GPU cuda:{index}"
        try:
            free, total = torch.cuda.mem_get_info(index)
            name = torch.cuda.get_device_name(index)
            findings.append(Finding(subject, f"{name}, {_gb(total)} of memory, {_gb(free)} free"))
        except RuntimeError as error:
            words = f"torch sees it, but cannot compute on it ({_short(error)}). Mend its driver, or install a torch that fits."
            findings.append(Finding(subject, words, is_fault=True))
    if torch.backends.mps.is_available():
        findings.append(Finding("GPU mps", "Apple's, in the memory of the machine"))
    if findings:
        return findings
    if not _NVIDIA_DRIVER.exists():
        return [Finding("GPU", "none that torch sees; all is computed on the processor")]
    if torch.version.cuda is None:
        return [Finding("GPU", "NVIDIA's driver is here, but this torch computes on processors alone; one built for CUDA uses it")]
    words = "NVIDIA's driver is here, but torch cannot use it. Update the driver, or install a torch for its version of CUDA."
    return [Finding("GPU", words, is_fault=True)]


def _precision() -> list[Finding]:
    try:
        from orthoforge.training.hardware import resolved_precision
    except ConfigError:  # PROJ's, said above
        return []
    except (ImportError, OSError, RuntimeError) as error:
        words = f"cannot be imported ({_short(error)}). Install Orthoforge and what it needs again."
        return [Finding("training", words, is_fault=True)]
    has_bf16 = resolved_precision("auto") == "bf16"
    return [Finding("bf16", f"{'yes' if has_bf16 else 'no'}; trainings compute in {'bf16' if has_bf16 else 'float32'}")]


def _memory() -> list[Finding]:
    try:
        from orthoforge.geo.rasters import available_memory

        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return [Finding("memory", f"{_gb(total)}, {_gb(available_memory())} available")]
    except (ConfigError, ImportError, OSError, ValueError, AttributeError):  # not every system tells
        return [Finding("memory", "unknown")]


def _disk() -> list[Finding]:
    try:
        return [Finding("disk", f"{_gb(shutil.disk_usage('.').free)} free in this folder")]
    except OSError as error:
        return [Finding("disk", f"unknown ({error.strerror})")]


def _weights() -> list[Finding]:
    folders = {name: bundled_folder(name) for name in bundled_names()}
    whole = [name for name, folder in folders.items() if folder and (folder / "model.safetensors").is_file()]
    if not whole or len(whole) < len(folders):
        missing = ", ".join(sorted(set(folders) - set(whole))) or "all"
        return [Finding("weights", f"missing: {missing}. They come with the package: install it again.", is_fault=True)]
    return [Finding("weights", f"{', '.join(whole)}: in the package, ready for `orthoforge generate`")]


def _extras() -> list[Finding]:
    findings = []
    for extra in sorted(metadata("orthoforge").get_all("Provides-Extra") or ()):
        if extra in _OF_DEVELOPERS:
            continue
        lines = [line for line in requires("orthoforge") or () if re.search(rf"extra == ['\"]{re.escape(extra)}['\"]", line)]
        missing = [_name(line) for line in lines if not _is_installed(_name(line))]
        command = f"; without {', '.join(missing)}: pip install 'orthoforge[{extra}]'" if missing else ""
        purpose = EXTRAS.get(extra, "optional")
        findings.append(Finding(f"extra {extra}", f"{'not installed' if missing else 'installed'}: {purpose}{command}"))
    return findings


def _name(requirement: str) -> str:
    """'wandb' of 'wandb>=0.31; extra == …'."""
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _short(words: object) -> str:
    """The first line of it, not too long."""
    return (str(words).strip().splitlines() or [type(words).__name__])[0][:_MOST_CHARACTERS]


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
