"""The names that code outside may rely on. Adding one is a decision; taking one away breaks somebody."""

import ast
import inspect
import subprocess
import sys

import orthoforge

PUBLIC = {
    "Classes", "OrthoforgeError", "RealPairs", "Recipe", "Run", "ScoreNetwork", "SegmenterSettings", "SyntheticPairs", "TileStore",
    "TrainedGenerator",
    "check", "compare", "demo", "evaluate", "experiment", "export", "footprints", "forge", "generate", "grow", "load_generator",
    "load_recipe", "prepare", "publish", "realign", "recipe_names", "serve", "simulate", "sweep", "train", "utility",
}  # fmt: skip


def test_public_names_are_these():
    assert set(orthoforge.__all__) == PUBLIC
    assert set(dir(orthoforge)) == PUBLIC | {"__version__"}


def test_checkers_find_each_name_where_programs_do():
    read = [node for node in ast.walk(ast.parse(inspect.getsource(orthoforge))) if isinstance(node, ast.ImportFrom)]
    told = {alias.name: node.module for node in read for alias in node.names if node.module.startswith("orthoforge.")}
    assert told == {name: f"orthoforge.{home}" for name, home in orthoforge._HOMES.items()}
    assert orthoforge.__all__ == sorted(told)


def test_each_name_is_a_class_or_a_function_with_a_docstring():
    for name in PUBLIC:
        thing = getattr(orthoforge, name)
        assert callable(thing), name
        assert thing.__doc__, name


def test_commands_and_calls_share_names():
    from orthoforge.cli import COMMANDS

    assert {name for name in COMMANDS if name not in ("recipes", "doctor")} <= PUBLIC


def test_importing_the_package_is_cheap():
    code = "import sys, orthoforge, orthoforge.cli; print([m for m in ('torch', 'rasterio', 'matplotlib') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
