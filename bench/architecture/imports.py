"""Who imports whom: modules, rooms, circles, and what runs back up."""

import ast
from collections.abc import Mapping
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "orthoforge"
# From the ground up: a room imports rooms before it. What belongs together stands together (docs/decisions/rooms.md).
ORDER = (
    "errors", "files", "bands", "plain_yaml", "progress", "cluster", "stores", "devices", "models", "backends", "config",
    "weights", "geo", "vectors", "masks", "scenes", "labels", "tiles", "networks", "material", "tile_library", "pretrained",
    "checkpoint_state", "checkpoints", "checkpoint_files", "run_files", "hub", "trained_generator", "runs", "measures",
    "trackers", "pages", "generation", "forging", "datasets", "training", "growing", "evaluation", "comparison", "usefulness",
    "realigning", "exporting", "experiments", "demonstration", "serving", "client", "doctor", "__init__", "cli",
)  # fmt: skip
Graph = dict[str, set[str]]


def module_graph(package: Path = PACKAGE) -> Graph:
    """Each module, as ``geo.grid`` (``geo`` for a package's own file), and those of ours that it imports, wherever it does."""
    paths = {_name(path.relative_to(package)): path for path in sorted(package.rglob("*.py"))}
    return {module: {_module_of(name, paths) for name in imports_of(path)} - {""} for module, path in paths.items()}


def imports_of(path: Path) -> set[str]:
    """Dotted names of everything that a module imports, also inside functions and by ``import_module("…")``."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            names |= {str(node.args[0].value)} if called in ("import_module", "__import__") else set()
    return names


def _name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def _module_of(name: str, modules: Mapping[str, Path]) -> str:
    """The module that a dotted name lies in: ``geo.grid`` of ``orthoforge.geo.grid.Grid``; nothing for what is not ours."""
    package, *parts = name.split(".")
    if package != "orthoforge":
        return ""
    found = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((module for module in found if module in modules), "__init__")


def room_of(module: str) -> str:
    """The first part of a module's name."""
    return module.split(".")[0]


def room_graph(modules: Graph) -> Graph:
    """Each room and the other rooms that it imports."""
    rooms: Graph = {room_of(module): set() for module in modules}
    for module, imported in modules.items():
        rooms[room_of(module)] |= {room_of(name) for name in imported} - {room_of(module)}
    return rooms


def circles(graph: Graph) -> list[list[str]]:
    """Sets of nodes that reach each other, each sorted."""
    reached = {node: reachable(graph, node) for node in graph}
    found = {tuple(sorted(other for other in reached[node] if node in reached[other])) for node in graph if node in reached[node]}
    return [list(circle) for circle in sorted(found)]


def reachable(graph: Graph, start: str) -> set[str]:
    """All that one gets to from ``start`` by one import or more; ``start`` itself only by a circle."""
    seen: set[str] = set()
    todo = list(graph[start])
    while todo:
        node = todo.pop()
        if node not in seen:
            seen.add(node)
            todo += graph[node]
    return seen


def running_up(modules: Graph) -> list[tuple[str, str]]:
    """Imports of a room by one that lies below it in ``ORDER``: module and what it imports."""
    place = {room: index for index, room in enumerate(ORDER)}
    pairs = ((module, name) for module, imported in modules.items() for name in imported)
    return sorted((module, name) for module, name in pairs if place[room_of(module)] < place[room_of(name)])
