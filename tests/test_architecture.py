"""Who may import whom: the imports of every module against the table in docs/decisions/rooms.md."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "orthoforge"

# A room may import the rooms beside it. `a.b` allows that module alone.
ALLOWED = {
    "errors": set(),
    "bands": {"errors"},
    "files": {"errors"},
    "plain_yaml": {"errors"},
    "config": {"errors", "files", "plain_yaml", "models.features.layers"},
    "checkpoint_state": {"errors", "config"},
    "weights": {"errors"},
    "geo": {"errors", "files"},
    "vectors": {"errors", "files", "geo"},
    "scenes": {"errors", "bands", "files", "geo", "vectors"},
    "tiles": {"errors", "bands", "files", "geo", "scenes"},
    "models": {"errors", "bands", "files"},
    "material": {"errors", "files", "geo"},
    "checkpoints": {"errors", "files", "config", "checkpoint_state", "models", "pretrained", "scenes.palette"},
    "pretrained": set(),
    "trained_generator": {"errors", "bands", "config", "material", "geo", "models", "checkpoints", "weights"},
    "hub": {"errors", "files", "plain_yaml", "config", "models", "checkpoints", "pretrained", "trained_generator", "runs"},
    "runs": {"errors", "files", "plain_yaml", "config"},
    "trackers": {"errors", "files"},
    "training": {
        "errors", "bands", "files", "config", "geo", "scenes.palette", "material", "tiles", "models", "checkpoints", "weights",
        "runs", "trackers", "measures",
    },
    "generation": {
        "errors", "files", "config", "geo", "vectors", "models", "trained_generator", "scenes.palette", "scenes.sources",
    },
    "forging": {"errors", "files", "config", "geo", "scenes"},
    "growing": {
        "errors", "bands", "files", "config", "geo", "scenes", "tiles", "checkpoints", "trained_generator", "runs", "generation",
        "forging", "measures",
    },
    "measures": {"errors", "files", "config", "geo", "tiles", "models", "weights"},
    "pages": {"files"},
    "evaluation": {
        "errors", "bands", "files", "config", "geo", "tiles", "models", "checkpoints", "trained_generator", "generation", "runs",
        "measures", "pages",
    },
    "comparison": {
        "errors", "bands", "files", "config", "tiles", "checkpoints", "trained_generator", "runs", "evaluation", "pages",
    },
    "usefulness": {
        "errors", "bands", "files", "tiles", "checkpoints", "trained_generator", "generation", "evaluation", "measures", "pages",
    },
    "experiments": {"errors", "config", "runs", "tiles", "training", "comparison"},
    "demonstration": {
        "errors", "files", "config", "geo", "scenes", "tiles", "training", "generation", "evaluation", "checkpoints", "runs",
        "trained_generator", "pages",
    },
    "cli": {
        "errors", "plain_yaml", "config", "geo", "vectors", "scenes", "tiles", "training", "generation", "forging", "growing",
        "evaluation", "comparison", "usefulness", "experiments", "demonstration", "hub",
    },
    "__init__": {
        "errors", "config", "vectors", "scenes", "tiles", "trained_generator", "training", "generation", "forging", "growing",
        "measures", "evaluation", "comparison", "usefulness", "experiments", "demonstration", "hub",
    },
}  # fmt: skip
# Packages that a room must not import, whatever it imports of ours.
FORBIDDEN = {
    "geo": {"torch"},
    "material": {"torch", "rasterio"},
    "scenes": {"torch"},
    "forging": {"torch"},
    "models": {"rasterio"},
    "errors": {"torch", "rasterio"},
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imports_of(path: Path) -> set[str]:
    """Dotted names of everything that a module imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module} if node.module != "orthoforge" else {f"orthoforge.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_what_its_room_may(path):
    room = room_of(path)
    assert room in ALLOWED, f"{room} is a new room: say in ALLOWED what it may import"
    for name in imports_of(path):
        package, _, inside = name.partition(".")
        assert package not in FORBIDDEN.get(room, set()), f"{path} imports {name}"
        if package == "orthoforge":
            target = inside.split(".")[0]
            allowed = ALLOWED[room] | {room}
            assert target in allowed or inside in allowed, f"{path} imports {name}"


def test_only_rasters_opens_rasters():
    openers = {path.name for path in MODULES if "rasterio.open" in path.read_text(encoding="utf-8")}
    assert openers == {"raster.py"}


def test_torchvision_stays_out():
    assert not any(name.split(".")[0] == "torchvision" for path in MODULES for name in imports_of(path))


def test_no_training_sees_the_judge_from_outside():
    """It would learn what the judge overlooks; of evaluation, `best_by` imports what it needs, and that is not the judge."""
    importers = {path.relative_to(PACKAGE).as_posix() for path in MODULES if any("geoembed" in name for name in imports_of(path))}
    assert importers == {"measures/realism/features.py"}
    callers = {room_of(path) for path in MODULES if "open_network(" in path.read_text(encoding="utf-8")}
    assert callers == {"evaluation", "measures"}
