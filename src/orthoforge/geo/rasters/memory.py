"""How much memory there is, asked before something large is read."""

import contextlib
import os
from pathlib import Path

from orthoforge.errors import ResourceError


def require_memory(needed_bytes: int, what: str) -> None:
    """Raise ``ResourceError`` with both numbers when ``what`` needs more memory than the machine has available."""
    available = available_memory()
    if needed_bytes > available:
        raise ResourceError(
            f"{what} needs about {needed_bytes / 1e9:.1f} GB of memory; {available / 1e9:.1f} GB are available. "
            "Cut it into smaller pieces or use a larger machine."
        )


def available_memory() -> int:
    """Bytes that can be allocated now without swapping; a container's own limit counts."""
    pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                pages = int(line.split()[1]) * 1024
    with contextlib.suppress(OSError, ValueError):
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        pages = min(pages, limit - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    return pages
