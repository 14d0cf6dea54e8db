"""``python -m bench.architecture [--picture]``: circles, imports that run back up, the largest room, types that say nothing."""

import argparse
import re
import sys
from pathlib import Path

from bench.architecture.drawing import picture
from bench.architecture.imports import PACKAGE, circles, module_graph, room_graph, room_of, running_up

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "architecture.svg"
MOST_SHARE, MOST_UNTYPED = 0.13, 60
_UNTYPED = re.compile(r"\b(?:dict|Mapping)\[str, Any\]")


def main(argv: list[str] | None = None) -> int:
    """Print the numbers, and draw; 1 when one of them is above its limit."""
    parser = argparse.ArgumentParser(description="The rooms of src, by their imports.")
    parser.add_argument("--picture", type=Path, nargs="?", const=PICTURE, help="draw the rooms: docs/pictures/architecture.svg")
    options = parser.parse_args(argv)
    modules = module_graph()
    lines = lines_by_room()
    largest = max(lines, key=lambda room: lines[room])
    share, untyped = lines[largest] / sum(lines.values()), untyped_lines()
    found, up = circles(modules) + circles(room_graph(modules)), running_up(modules)
    print(f"circles: {len(found)} (wanted: 0)")
    print("".join(f"  {' <-> '.join(circle)}\n" for circle in found), end="")
    print(f"imports that run back up: {len(up)} (wanted: 0)")
    print("".join(f"  {module} -> {name}\n" for module, name in up), end="")
    print(
        f"largest room: {largest}, {lines[largest]} of {sum(lines.values())} lines, {share:.1%} (wanted: at most {MOST_SHARE:.0%})"
    )
    print(f"lines with dict[str, Any] or Mapping[str, Any]: {untyped} (wanted: at most {MOST_UNTYPED})")
    if options.picture:
        options.picture.write_text(picture(room_graph(modules), lines), encoding="utf-8")
        print(options.picture)
    return int(bool(found or up) or share > MOST_SHARE or untyped > MOST_UNTYPED)


def lines_by_room(package: Path = PACKAGE) -> dict[str, int]:
    """Lines of Python in each room."""
    lines: dict[str, int] = {}
    for path in package.rglob("*.py"):
        room = room_of(path.relative_to(package).with_suffix("").parts[0])
        lines[room] = lines.get(room, 0) + len(path.read_text("utf-8").splitlines())
    return lines


def untyped_lines(package: Path = PACKAGE) -> int:
    """Lines that say of a value only that it has names."""
    texts = (path.read_text("utf-8") for path in package.rglob("*.py"))
    return sum(bool(_UNTYPED.search(line)) for text in texts for line in text.splitlines())


if __name__ == "__main__":
    sys.exit(main())
