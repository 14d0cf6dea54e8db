"""A path may be text in every call of the package."""

import inspect
import types
import typing
from collections.abc import Sequence
from pathlib import Path

import pytest

import orthoforge
from conftest import make_dataset, make_grid, make_mask, write_tiff
from made_runs import make_run
from orthoforge.geo.rasters import open_raster, read_mask

CALLS = [name for name in orthoforge.__all__ if inspect.isfunction(getattr(orthoforge, name))]
METHODS = ["TileStore.open", "Run.open", "RealPairs.__init__", "SyntheticPairs.__init__", "SyntheticPairs.grown"]


def takes(hint, kind):
    """Whether values of a type are among those of a hint, also inside of sequences."""
    if hint is kind:
        return True
    parts = typing.get_args(hint) if isinstance(hint, types.UnionType) or typing.get_origin(hint) else ()
    return any(takes(part, kind) for part in parts)


@pytest.mark.parametrize("name", CALLS + METHODS)
def test_wherever_a_path_is_taken_text_is(name):
    function = orthoforge
    for part in name.split("."):
        function = getattr(function, part)
    hints = typing.get_type_hints(function)
    taking = {parameter: hint for parameter, hint in hints.items() if parameter != "return" and takes(hint, Path)}
    assert [parameter for parameter, hint in taking.items() if not takes(hint, str)] == []


def test_the_check_above_finds_what_takes_paths_alone():
    assert takes(Sequence[Path] | None, Path) and not takes(Sequence[Path] | None, str)
    assert takes(str | Path, str) and takes(tuple[str | Path, Path], str)


def test_a_road_by_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_dataset(Path("data"), [f"town{n}" for n in range(1, 11)], 64, crs=None)
    assert not orthoforge.check("data").faults
    store = orthoforge.prepare("data", "tiles", grid=2, size=32, split="digits")
    assert orthoforge.TileStore.open("tiles").fingerprint == store.fingerprint
    make_run(Path("run"), store)
    assert orthoforge.Run.open("run").tiles() is not None
    (image,) = orthoforge.generate("run", "data/masks/town1.tif", "out.tif")
    assert image == Path("out.tif")
    assert len(orthoforge.generate("run", ["data/masks/town1.tif", Path("data/masks/town2.tif")], "out")) == 2
    assert orthoforge.grow("run", "data", "grown", ratio=0.2, least_agreement=0).added
    write_tiff(Path("mask.tif"), make_mask(64), make_grid(64))
    outlines = orthoforge.footprints("mask.tif", "mask.geojson")
    orthoforge.footprints(str(outlines), "again.tif", like="mask.tif")
    with open_raster("again.tif") as again, open_raster("mask.tif") as mask:
        assert again.grid == mask.grid and (read_mask(again) == read_mask(mask)).mean() > 0.9
