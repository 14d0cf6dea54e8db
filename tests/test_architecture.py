"""Who may import whom: the imports of every module against the table in docs/decisions/rooms.md."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "orthoforge"

# A room may import the rooms beside it. `a.b` allows that module alone.
ALLOWED = {
    "errors": set(),
    "bands": {"errors"},
    "files": {"errors"},
    "plain_yaml": {"errors"},
    "progress": set(),
    "cluster": {"errors"},
    "stores": {"errors", "files", "progress"},
    "devices": {"errors"},
    "config": {"errors", "files", "plain_yaml", "models.features.layers"},
    "checkpoint_state": set(),
    "weights": {"errors"},
    "geo": {"errors", "files"},
    "vectors": {"errors", "files", "geo"},
    "masks": {"errors", "files", "bands", "plain_yaml", "geo", "vectors"},
    "scenes": {"errors", "progress", "bands", "files", "plain_yaml", "geo", "vectors", "masks"},
    "labels": {"errors", "files", "geo", "vectors", "masks", "scenes"},
    "tiles": {"errors", "progress", "cluster", "bands", "files", "geo", "masks", "scenes"},
    "models": {"errors", "bands", "files"},
    "material": {"errors", "files", "geo", "vectors"},
    "networks": {"masks.classes", "config", "models"},
    "backends": {"errors", "files", "models"},
    "checkpoints": {
        "errors", "files", "config", "masks.classes", "material", "models", "networks", "checkpoint_state", "pretrained", "weights",
    },
    "pretrained": set(),
    "checkpoint_files": {"errors", "files", "checkpoint_state", "checkpoints"},
    "tile_library": {"errors", "masks.classes", "material", "tiles"},
    "hub": {
        "errors", "masks.classes", "files", "plain_yaml", "config", "models", "checkpoint_state", "checkpoints",
        "run_files",
    },
    "trained_generator": {
        "errors", "devices", "masks.classes", "bands", "geo", "material", "models", "checkpoints", "pretrained", "hub",
        "checkpoint_state", "tile_library", "tiles", "backends",
    },
    "run_files": {"errors", "files", "plain_yaml", "config"},
    "runs": {"errors", "devices", "config", "geo", "checkpoint_state", "checkpoints", "run_files", "tiles", "trained_generator"},
    "trackers": {"errors", "files"},
    "training": {
        "errors", "devices", "progress", "masks.classes", "bands", "files", "config", "geo", "material", "tiles", "models",
        "checkpoint_state", "checkpoints", "checkpoint_files",
        "networks", "weights", "trackers", "measures", "run_files", "tile_library",
    },
    "generation": {
        "errors", "devices", "progress", "cluster", "masks", "labels", "files", "config", "geo", "vectors", "models",
        "trained_generator",
        "scenes.sources", "scenes.outlines", "scenes.place_names", "runs",
    },
    "datasets": {
        "errors", "files", "geo", "masks", "scenes.sources", "scenes.place_names", "tiles", "trained_generator", "generation",
        "forging",
    },
    "forging": {"errors", "progress", "files", "config", "geo", "vectors", "masks", "scenes", "tiles", "pages"},
    "growing": {
        "errors", "devices", "progress", "cluster", "masks", "labels", "bands", "files", "config", "geo", "scenes", "tiles",
        "trained_generator", "runs", "generation", "forging", "measures",
    },
    "measures": {"errors", "progress", "files", "config", "geo", "tiles", "models", "weights"},
    "pages": {"files"},
    "evaluation": {
        "errors", "devices", "progress", "cluster", "bands", "files", "config",
        "geo", "masks", "tiles", "models", "checkpoints", "trained_generator",
        "generation", "runs",
        "measures", "pages",
    },
    "comparison": {
        "errors", "devices", "measures", "progress", "masks.classes",
        "bands", "files", "config", "tiles", "checkpoint_state", "checkpoints",
        "trained_generator", "runs",
        "pages", "run_files",
    },
    "usefulness": {
        "errors", "devices", "progress", "geo", "masks", "scenes.place_names", "forging", "bands", "files", "tiles", "checkpoints",
        "trained_generator", "generation", "evaluation", "measures", "pages", "runs",
    },
    "realigning": {
        "errors", "devices", "progress", "files", "geo", "masks", "scenes", "measures", "pages",
    },
    "serving": {
        "errors", "files", "devices", "geo", "vectors", "masks", "scenes", "forging", "trained_generator", "generation", "runs",
    },
    "exporting": {
        "errors", "files", "masks.classes", "tiles", "models", "backends", "checkpoints", "trained_generator", "runs", "measures",
    },
    "client": {"errors"},
    "experiments": {"errors", "config", "tiles", "training", "comparison", "run_files"},
    "demonstration": {
        "errors", "measures", "files", "config", "geo", "masks", "scenes", "tiles", "training",
        "generation", "evaluation", "checkpoints",
        "checkpoint_files",
        "trained_generator", "pages", "run_files",
    },
    "cli": {
        "errors", "stores", "devices", "plain_yaml", "config", "geo", "vectors", "masks",
        "scenes", "tiles", "training", "generation", "forging", "growing",
        "evaluation", "comparison", "usefulness", "realigning", "experiments", "demonstration", "hub", "run_files", "doctor",
        "serving", "exporting",
    },
    "doctor": {"errors", "geo", "pretrained", "training.hardware"},
    "__init__": {
        "errors", "datasets", "config", "vectors", "masks", "scenes", "tiles", "training", "trained_generator", "runs", "measures",
        "generation", "forging", "growing", "evaluation", "comparison", "usefulness", "realigning", "experiments", "demonstration",
        "hub", "serving", "exporting",
    },
}  # fmt: skip
# Packages that a room must not import, whatever it imports of ours.
FORBIDDEN = {
    "geo": {"torch"},
    "material": {"torch", "rasterio"},
    "masks": {"torch"},
    "labels": {"torch"},
    "scenes": {"torch"},
    "forging": {"torch"},
    "models": {"rasterio"},
    "errors": {"torch", "rasterio"},
    "client": {"torch", "rasterio", "fastapi", "httpx"},
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imports_of(path: Path) -> set[str]:
    """Dotted names of everything that a module imports, also inside functions, and by ``import_module("…")``."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module} if node.module != "orthoforge" else {f"orthoforge.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names |= {node.args[0].value} if isinstance(node.args[0], ast.Constant) else set()
    return names


def test_an_import_by_name_counts(tmp_path):
    (tmp_path / "module.py").write_text('import importlib\nimportlib.import_module("orthoforge.hub").save_pretrained()\n')
    assert "orthoforge.hub" in imports_of(tmp_path / "module.py")


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
    openers = {path.name for path in MODULES if re.search(r"rasterio\.open|\(DatasetReader\):", path.read_text(encoding="utf-8"))}
    assert openers == {"raster.py", "reader.py"}


def test_torchvision_stays_out():
    assert not any(name.split(".")[0] == "torchvision" for path in MODULES for name in imports_of(path))


def test_no_training_sees_the_judge_from_outside():
    """It would learn what the judge overlooks; of evaluation, `best_by` imports what it needs, and that is not the judge."""
    importers = {path.relative_to(PACKAGE).as_posix() for path in MODULES if any("geoembed" in name for name in imports_of(path))}
    assert importers == {"measures/realism/features.py"}
    callers = {room_of(path) for path in MODULES if "open_network(" in path.read_text(encoding="utf-8")}
    assert callers == {"evaluation", "measures"}
