"""Weights that come with the package: one folder for each name, as ``orthoforge publish`` writes it."""

from pathlib import Path

_HERE = Path(__file__).parent


def bundled_names() -> list[str]:
    """Names that ``load_generator`` and the commands take in place of a run."""
    return sorted(path.parent.name for path in _HERE.glob("*/config.json"))


def bundled_folder(name: str) -> Path | None:
    """The folder of the weights of that name, if there are any."""
    return _HERE / name if name in bundled_names() else None
