"""The script that reads the rooms: what it counts on small graphs, and what it counts in the source tree."""

import re

from bench.architecture.__main__ import MOST_SHARE, MOST_UNTYPED, PICTURE, lines_by_room, untyped_lines
from bench.architecture.drawing import picture
from bench.architecture.imports import ORDER, circles, imports_of, module_graph, room_graph, running_up


def test_a_module_asked_for_by_name_is_an_import(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        'from importlib import import_module\nfrom orthoforge.geo import grid\nimport_module("orthoforge.hub").publish()\n'
    )
    assert imports_of(file) >= {"orthoforge.geo.grid", "orthoforge.hub"}


def test_circles_and_imports_that_run_back_up_are_found():
    graph = {"errors": set(), "geo": {"errors", "tiles"}, "tiles": {"geo.grid"}, "geo.grid": {"geo"}}
    assert circles(graph) == [["geo", "geo.grid", "tiles"]]
    assert circles(room_graph(graph)) == [["geo", "tiles"]]
    assert running_up(graph) == [("geo", "tiles")]


def test_the_source_tree():
    modules, lines = module_graph(), lines_by_room()
    assert set(lines) <= set(ORDER), "say in bench.architecture.imports.ORDER where the new room stands"
    assert circles(modules) + circles(room_graph(modules)) == []
    assert running_up(modules) == []
    assert max(lines.values()) <= MOST_SHARE * sum(lines.values())
    assert untyped_lines() <= MOST_UNTYPED


def test_the_picture_is_of_these_rooms_and_arrows():
    drawn, kept = picture(room_graph(module_graph()), lines_by_room()), PICTURE.read_text("utf-8")
    # Line counts move with every commit, and boxes with their rows: names and the number of arrows say enough.
    names = [re.findall(r'font-weight="bold"[^>]*>(\w+)<', text) for text in (drawn, kept)]
    assert names[0] == names[1], "draw it anew: python -m bench.architecture --picture"
    assert drawn.count("marker-end") == kept.count("marker-end"), "draw it anew: python -m bench.architecture --picture"
