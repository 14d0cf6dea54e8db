"""The picture of the rooms: each lies above those that it imports; what another arrow already says is left out."""

from collections.abc import Mapping
from html import escape
from itertools import pairwise
from statistics import fmean

from bench.architecture.imports import ORDER, Graph, reachable

MEANINGS = {
    "errors": "one for each kind of fault", "files": "whole or not at all", "bands": "which of an image",
    "plain_yaml": "YAML of plain values", "models": "networks and losses", "config": "recipes",
    "networks": "those of a recipe",
    "weights": "a file into a network", "geo": "grids and rasters", "masks": "what a mask means",
    "vectors": "building footprints", "scenes": "pairs, checks, towns", "tiles": "scenes, cut and split",
    "material": "real roofs and ground", "tile_library": "tiles as material",
    "pretrained": "weights in the package", "checkpoint_state": "the form of a state",
    "checkpoints": "weights on the disk", "checkpoint_files": "whole checkpoints",
    "trained_generator": "mask in, image out", "measures": "numbers, no pages",
    "runs": "a run's folder", "trackers": "TensorBoard and others", "pages": "HTML and drawings", "generation": "whole scenes",
    "forging": "new masks", "training": "the loop", "growing": "larger data sets", "evaluation": "how good is a run?",
    "comparison": "runs side by side", "usefulness": "does it help?", "hub": "folders to publish",
    "experiments": "several trainings", "demonstration": "the whole road", "__init__": "the public names", "cli": "the commands",
    "doctor": "is all there?", "backends": "engines and graphs", "exporting": "one file for others", "stores": "S3 and others",
    "cluster": "threads, or Ray",
    "labels": "for other programs", "realigning": "masks that fit", "datasets": "pairs for a loader",
}  # fmt: skip
# Fill and edge by what a room is for; text is dark on each of them, and arrows are seen on white and on black.
KINDS = {
    "ground": ("#e4e7eb", "#7b8794"), "data": ("#d9efdc", "#4c9a5b"), "networks": ("#dbe6fb", "#4a78c4"),
    "the road": ("#fdebc8", "#c58a1b"), "judging": ("#f0defa", "#9456bd"), "doors": ("#fbdcd9", "#c4524a"),
}  # fmt: skip
KIND_OF = {
    "ground": ("errors", "cluster", "files", "bands", "plain_yaml", "config", "runs", "trackers", "pages"),
    "data": ("geo", "masks", "vectors", "scenes", "labels", "tiles", "material", "tile_library"),
    "networks": (
        "models",
        "networks",
        "weights",
        "pretrained",
        "checkpoint_state",
        "checkpoints",
        "checkpoint_files",
        "trained_generator",
        "hub",
    ),
    "the road": ("training", "generation", "forging", "growing", "datasets", "realigning"),
    "judging": ("measures", "evaluation", "comparison", "usefulness"),
    "doors": ("experiments", "demonstration", "doctor", "__init__", "cli"),
}
_ARROW = "#8b95a1"
_BOX, _THIN, _GAP, _HIGH, _ROW, _EDGE = 178, 10, 16, 44, 92, 24
_SWEEPS = 24
Points = list[tuple[float, float]]


def picture(rooms: Graph, lines: Mapping[str, int]) -> str:
    """An SVG of rooms (``lines`` of code each) and of the imports between them. Imports that run back up are drawn dashed."""
    place = {room: ORDER.index(room) for room in rooms}
    up = {(room, other) for room in rooms for other in rooms[room] if place[other] > place[room]}
    down = {room: {other for other in imported if (room, other) not in up} for room, imported in rooms.items()}
    edges = [(room, other) for room, imported in _needed(down).items() for other in imported]
    rows, routes = _rows(_levels(down), edges)
    x = _positions(rows, routes)
    width = max(x[node] for row in rows for node in row) + _BOX / 2 + _EDGE
    height = _EDGE * 2 + _ROW * (len(rows) - 1) + _HIGH + 56
    at = {node: (x[node], _EDGE + _ROW * (len(rows) - 1 - level)) for level, row in enumerate(rows) for node in row}
    parts = [_arrow(points) for points in _ported(routes, at)]
    parts += [_arrow([(at[a][0] + 30, at[a][1]), (at[b][0] + 30, at[b][1] + _HIGH)], dashed=True) for a, b in sorted(up)]
    parts += [_box(room, *at[room], lines[room]) for room in sorted(rooms, key=ORDER.index)]
    parts += _legend(height - 50)
    frame = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}"'
    return (
        f'<svg {frame} font-family="Helvetica, Arial, sans-serif">\n'
        "<title>The rooms of orthoforge: each imports only rooms below it</title>\n"
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="{_ARROW}"/></marker></defs>\n' + "\n".join(parts) + "\n</svg>\n"
    )  # fmt: skip


def _needed(graph: Graph) -> Graph:
    """Without the imports that follow from others: of a → b → c and a → c, the last."""
    return {
        node: {other for other in sorted(to) if not any(other in reachable(graph, between) for between in to - {other})}
        for node, to in graph.items()
    }


def _levels(graph: Graph) -> dict[str, int]:
    """The row of each room, from the ground: as high as those that import it allow, so that arrows are short."""
    lowest: dict[str, int] = {}
    for room in sorted(graph, key=ORDER.index):
        lowest[room] = 1 + max((lowest[other] for other in graph[room]), default=-1)
    level: dict[str, int] = {}
    for room in sorted(graph, key=ORDER.index, reverse=True):
        level[room] = min((level[other] - 1 for other in graph if room in graph[other]), default=max(lowest.values()))
    return level


def _rows(levels: Mapping[str, int], edges: list[tuple[str, str]]) -> tuple[list[list[str]], list[list[str]]]:
    """Nodes by level from the ground, and each arrow as the nodes that it passes, one in each row on its way down."""
    rows: list[list[str]] = [[] for _ in range(max(levels.values()) + 1)]
    for room in sorted(levels, key=ORDER.index):
        rows[levels[room]].append(room)
    routes = []
    for above, below in edges:
        between = [f"{above}>{below}@{level}" for level in range(levels[above] - 1, levels[below], -1)]
        for node in between:
            rows[int(node.rpartition("@")[2])].append(node)
        routes.append([above, *between, below])
    return rows, routes


def _positions(rows: list[list[str]], routes: list[list[str]]) -> dict[str, float]:
    """The middle of each node, with few crossings: nodes are sorted by the mean of their neighbours, sweep by sweep."""
    beside: dict[str, list[str]] = {node: [] for row in rows for node in row}
    for route in routes:
        for above, below in pairwise(route):
            beside[above].append(below)
            beside[below].append(above)
    x = {node: float(index) * _BOX for row in rows for index, node in enumerate(row)}
    for sweep in range(_SWEEPS):
        for row in rows if sweep % 2 else reversed(rows):
            wanted = {node: fmean(x[other] for other in beside[node]) if beside[node] else x[node] for node in row}
            row.sort(key=lambda node: (wanted[node], node))
            _spread(row, wanted, x)
    left = min(x[node] - _size(node) / 2 for node in x) - _EDGE
    return {node: middle - left for node, middle in x.items()}


def _spread(row: list[str], wanted: Mapping[str, float], x: dict[str, float]) -> None:
    """As near to the wanted places as the sizes allow, in this order: neighbours that push each other share the way."""
    groups: list[tuple[list[str], float]] = []  # nodes side by side, and the left edge of the first
    for node in row:
        group, left = [node], wanted[node] - _size(node) / 2
        while groups and groups[-1][1] + _length(groups[-1][0]) + _GAP > left:
            before, at = groups.pop()
            left = (at * len(before) + (left - _length(before) - _GAP) * len(group)) / (len(before) + len(group))
            group = before + group
        groups.append((group, left))
    for group, left in groups:
        for node in group:
            x[node] = left + _size(node) / 2
            left += _size(node) + _GAP


def _length(group: list[str]) -> float:
    return sum(map(_size, group)) + _GAP * (len(group) - 1)


def _size(node: str) -> float:
    return _THIN if "@" in node else _BOX


def _ported(routes: list[list[str]], at: Mapping[str, tuple[float, float]]) -> list[Points]:
    """The points of each arrow; those of one box begin side by side, in the order of where they go."""
    leaving: dict[str, list[int]] = {}
    arriving: dict[str, list[int]] = {}
    for index, route in enumerate(routes):
        leaving.setdefault(route[0], []).append(index)
        arriving.setdefault(route[-1], []).append(index)
    for indices in leaving.values():
        indices.sort(key=lambda index: at[routes[index][1]][0])
    for indices in arriving.values():
        indices.sort(key=lambda index: at[routes[index][-2]][0])

    def port(room: str, indices: list[int], index: int) -> float:
        return at[room][0] + (indices.index(index) - (len(indices) - 1) / 2) * min(18, (_BOX - 30) / len(indices))

    found = []
    for index, (first, *between, last) in enumerate(routes):
        points = [(port(first, leaving[first], index), at[first][1] + _HIGH)]
        for node in between:
            points += [(at[node][0], at[node][1]), (at[node][0], at[node][1] + _HIGH)]
        found.append([*points, (port(last, arriving[last], index), at[last][1] - 1)])
    return found


def _arrow(points: Points, *, dashed: bool = False) -> str:
    path = "M{:.0f} {:.0f}".format(*points[0])
    for (x1, y1), (x2, y2) in pairwise(points):
        middle = (y1 + y2) / 2
        path += f"L{x2:.0f} {y2:.0f}" if x1 == x2 else f"C{x1:.0f} {middle:.0f} {x2:.0f} {middle:.0f} {x2:.0f} {y2:.0f}"
    dashes = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<path d="{path}" fill="none" stroke="{_ARROW}" stroke-width="1.4"{dashes} marker-end="url(#tip)"/>'


def _box(room: str, x: float, y: float, lines: int) -> str:
    kind = next((kind for kind, rooms in KIND_OF.items() if room in rooms), "ground")
    fill, edge = KINDS[kind]
    name = "orthoforge" if room == "__init__" else room
    left = x - _BOX / 2
    return (
        f'<g><rect x="{left:.0f}" y="{y:.0f}" width="{_BOX}" height="{_HIGH}" rx="7" fill="{fill}" stroke="{edge}"/>'
        f'<text x="{left + 9:.0f}" y="{y + 19:.0f}" font-size="14" font-weight="bold" fill="#1f2933">{name}</text>'
        f'<text x="{left + _BOX - 9:.0f}" y="{y + 35:.0f}" font-size="10" text-anchor="end" fill="#52606d">{lines}</text>'
        f'<text x="{left + 9:.0f}" y="{y + 35:.0f}" font-size="11" fill="#323f4b">{escape(MEANINGS.get(room, ""))}</text></g>'
    )


def _legend(y: float) -> list[str]:
    parts = []
    for index, (kind, (fill, edge)) in enumerate(KINDS.items()):
        x = _EDGE + 104 * index
        parts.append(f'<rect x="{x}" y="{y:.0f}" width="14" height="14" rx="3" fill="{fill}" stroke="{edge}"/>')
        parts.append(f'<text x="{x + 20}" y="{y + 11.5:.1f}" font-size="12" fill="{_ARROW}">{kind}</text>')
    words = "An arrow says imports; those that follow from others are left out. Small numbers: lines of code."
    return [*parts, f'<text x="{_EDGE}" y="{y + 32:.0f}" font-size="12" fill="{_ARROW}">{words}</text>']
