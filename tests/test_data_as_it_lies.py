"""Each group of the real data as it lies there: check, prepare, train and generate, with options and no file renamed."""

import itertools
from dataclasses import dataclass

import pytest

from orthoforge.cli import main
from orthoforge.geo.rasters import open_raster
from orthoforge.scenes.place_names import place_of
from orthoforge.tiles.store import TileStore

pytestmark = pytest.mark.real_data

PAIRS = 8
TINY = [
    "--crop-px", "32", "--generator-width", "2", "--discriminator-width", "2", "--batch-size", "4", "--epochs", "1",
    "--decay-epochs", "0",
]  # fmt: skip


@dataclass(frozen=True)
class Group:
    """What a group needs: the folder of its masks, how long its pixels are, and the resolution to cut it at."""

    gsd: float
    pixel_size: float | None = None
    masks: str = "masks"
    has_palette: bool = False
    gsd_of_mixed: bool = False


GROUPS = {
    "building": Group(0.3, 0.3, gsd_of_mixed=True),
    "building_oam": Group(0.3),
    "building_rf": Group(0.8, 0.4),
    "building_barnarp": Group(0.24, 0.12),
    "multiclass_flair": Group(0.4, 0.2, "masks_classes", has_palette=True),
    "multiclass_dronedeploy": Group(0.2, 0.1, "masks_classes", has_palette=True),
    "multiclass_dubai": Group(2, 0.5, "masks_rgb", has_palette=True),
}


@pytest.fixture(params=GROUPS)
def group(request, shared_data, tmp_path):
    """The group's folder with links to the first pairs of each place, and what it needs."""
    source, data = shared_data / request.param, tmp_path / "data"
    images = sorted((source / "images").iterdir())
    by_place = itertools.groupby(images, key=lambda path: place_of(path.stem))
    each = [list(paths) for _, paths in by_place]
    few = [path for paths in each for path in paths[: max(1, PAIRS // len(each))]]
    for folder in (path for path in source.iterdir() if path.is_dir()):
        (data / folder.name).mkdir(parents=True)
        for path in few:
            mask = next(folder.glob(f"{path.stem}.*"))
            (data / folder.name / mask.name).symlink_to(mask)
    for palette in source.glob("*.json"):
        (data / palette.name).symlink_to(palette)
    return data, GROUPS[request.param]


def test_check_prepare_train_and_generate(group, tmp_path, capsys):
    data, needs = group
    read = ["--palette", data / "palette.json"] if needs.has_palette else []
    lie = ["--masks", needs.masks] if needs.masks != "masks" else []
    sized = ["--pixel-size", needs.pixel_size] if needs.pixel_size else []

    def run(*words):
        return main([str(word) for word in words])

    assert run("check", data, *read, *lie, *sized) == 0
    tiles, made = tmp_path / "tiles", tmp_path / "run"
    coarser = ["--skip-bad"] if needs.gsd_of_mixed else []  # a place of 1 m among others of 0.3 m and finer
    assert run("prepare", data, tiles, "--gsd", needs.gsd, "--size", 48, *read, *lie, *sized, *coarser) == 0
    store = TileStore.open(tiles)
    assert store.gsd_m == pytest.approx(needs.gsd, rel=0.01)
    assert (store.class_count is not None) == needs.has_palette
    assert run("train", "tiny", "--data", tiles, "--out", made, *TINY) == 0
    mask = next((data / needs.masks).iterdir())
    # The run knows its own palette.
    assert run("generate", made, mask, "--out", tmp_path / "image.tif", "--resample", *sized) == 0
    with open_raster(mask) as raster, open_raster(tmp_path / "image.tif") as image:
        assert image.grid == raster.grid
        assert (image.band_count, image.dtype) == (3, "uint8")
        assert (image.grid.gsd_m() is not None) == (needs.pixel_size is not None or raster.grid.crs is not None)
