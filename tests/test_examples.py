"""What the documentation shows, run: scripts, examples of public names, code and tutorials."""

import doctest
import importlib.util
import inspect
import re
import shlex
from pathlib import Path

import pytest

import orthoforge
from documented import SMALL, make_land_cover, make_pairs, make_world, small_recipes, working_in
from orthoforge.cli import main

ROOT = Path(__file__).parents[1]
EXAMPLES, DOCS = ROOT / "examples", ROOT / "docs"
# What is added to a command of a tutorial: smaller tiles, a small network, few steps.
SMALLER = {
    "prepare": "--size 96",
    "train": " ".join(f"--{name} {value}" for name, value in SMALL.items()),
    "forge": "--count 1 --how transform",
    "grow": "--least-agreement 0",
    "utility": "--ratios 1 --fractions 1 --seeds 1 --steps 1",
}


@pytest.fixture(scope="module", autouse=True)
def world(tmp_path_factory):
    folder = make_world(tmp_path_factory.mktemp("documented"))
    with working_in(folder), small_recipes():
        yield folder


def run(name, *words):
    """Run the script of that name with these arguments."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main([str(word) for word in words])


def test_first_image(capsys):
    run("first_image", "--weights", "orthoforge-s", "--size", 64, "--seeds", 3, "--out", "first")
    assert capsys.readouterr().out.split() == ["styles:", "banepa_core", "first/seed3.png"]
    assert Path("first/seed3.png").is_file()


def test_your_tiles_to_a_run():
    words = ["my-data", "--mask", "mask.tif", "--out", "work", "--size", 96, "--recipe", "orthoforge-xs"]
    run("your_tiles_to_a_run", *words, "--epochs", 1, "--width", 4)
    assert Path("work/images/mask.tif").is_file()


def test_forge_and_grow(capsys):
    words = ["runs/mine", "my-data", "--out", "grown", "--count", 1, "--ratio", 0.1, "--masks", "transform", "--least-agreement", 0]
    run("forge_and_grow", *words)
    assert "synthetic pairs were added, 0 were rejected" in capsys.readouterr().out
    assert Path("grown/forged/card.html").is_file() and Path("grown/larger/synthetic.jsonl").is_file()


def test_evaluate_a_run(capsys):
    run("evaluate_a_run", "runs/mine", "tiles", "--out", "scored")
    assert "kernel distance" in (out := capsys.readouterr().out) and "psnr" in out
    assert Path("scored/report.html").is_file()


def examples_of(name):
    """The doctests in the docstring of a public name, and, of a class, in those of its methods."""
    finder = doctest.DocTestFinder(exclude_empty=True, recurse=inspect.isclass(getattr(orthoforge, name)))
    return [test for test in finder.find(getattr(orthoforge, name), name, module=False, globs={}) if test.examples]


@pytest.mark.parametrize("name", orthoforge.__all__)
def test_each_public_name_has_an_example_that_runs(name):
    tests = examples_of(name)
    assert tests, f"give the docstring of orthoforge.{name} `Examples:` with `>>>` lines"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    for test in tests:
        runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), flags=re.S)


# Those of a server are run in tests/serving.
WITH_PYTHON = [page for page in sorted(DOCS.rglob("*.md")) if blocks(page, "python") and page.stem != "draw-and-serve"]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.stem)
def test_python_on_a_page_runs(page):
    names: dict = {}
    for code in blocks(page, "python"):
        exec(code, names)


def follow(name, **smaller):
    """Run every command of a tutorial, each ``smaller`` still by what is added to it."""
    for line in "".join(blocks(DOCS / "tutorials" / f"{name}.md", "sh")).splitlines():
        words = shlex.split(line)[1:]
        assert main([*words, *SMALLER.get(words[0], "").split(), *smaller.get(words[0], "").split()]) == 0, line


def test_the_tutorial_on_buildings(tmp_path):
    with working_in(make_pairs(tmp_path)):
        follow("buildings")
        assert Path("images/austin1001.tif").is_file() and Path("austin/vienna1001_v3.tif").is_file()
        assert Path("scores/report.html").is_file()


def test_the_tutorial_on_land_cover(tmp_path):
    with working_in(make_land_cover(tmp_path)):
        follow("land-cover")
        assert Path("images/vale1002.tif").is_file() and Path("scores/report.html").is_file()


def test_the_tutorial_on_a_new_place(tmp_path):
    # Canvases are dear: of each scene there is one tile, and few of these get one each.
    with working_in(make_pairs(tmp_path, size=100)):
        follow("new-place", train="--tiles-per-place 3 --canvases-per-tile 1")
        assert Path("images/vienna1001.tif").is_file() and Path("trained/austin1001.tif").is_file()
        assert Path("compared.html").is_file()


def test_the_tutorial_on_a_larger_data_set():
    follow("larger-data-set")
    assert Path("utility/utility.html").is_file() and orthoforge.TileStore.open("tiles-larger").size_px == 96
