"""Maps of simulated towns: streets where the image has streets, and masks of classes to train on."""

from pathlib import Path

import numpy as np
import pytest

from orthoforge.geo.rasters import open_raster, read_mask
from orthoforge.masks.layer_style import load_style
from orthoforge.masks.palette import load_classes
from orthoforge.masks.reader import open_raster_mask
from orthoforge.scenes.simulate import PLACES, simulate, simulate_maps
from orthoforge.scenes.town.model import Town
from orthoforge.scenes.town.plan import plan_town

GSD_M, SIDE_PX = 0.6, 340
STYLE = load_style()
NAMES = STYLE.classes.names


def town_of(place: str, index: int) -> Town:
    """The plan behind a simulated scene."""
    import zlib

    seed = int(np.random.SeedSequence([0, index]).generate_state(1)[0])
    rng = np.random.default_rng([zlib.crc32(place.encode()), seed])
    return plan_town(PLACES[place], SIDE_PX * GSD_M, SIDE_PX * GSD_M, rng)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("maps")
    simulate_maps(out, places=["hohental", "portwick"], scenes_per_place=1, size_px=SIDE_PX, gsd_m=GSD_M)
    return out


def labels_of(path: Path) -> np.ndarray:
    with open_raster_mask(path, classes=load_classes(path.parent / "palette.json")) as mask:
        return mask.labels()


def test_streets_and_water_are_where_the_town_has_them(made: Path) -> None:
    """The image is drawn from the plan itself, the map from lines with widths."""
    seen = set()
    for place in ("hohental", "portwick"):
        labels, town = labels_of(made / "land-cover" / f"{place}1.tif"), town_of(place, 0)
        x, y = np.meshgrid(*[(np.arange(SIDE_PX) + 0.5) * GSD_M] * 2)
        kerb = town.streets.survey(x, y)["kerb"]
        water = np.full_like(x, np.inf) if town.water is None else town.water.distance(x, y)
        road, covered = labels == NAMES.index("road"), np.isin(labels, [NAMES.index("trees"), NAMES.index("building")])
        dry = ~covered & (water > 4)
        assert road[dry & (kerb < -GSD_M / 2)].mean() > 0.98
        assert (kerb < GSD_M)[dry & road].mean() > 0.9 or place == "portwick"  # its yards are asphalt too
        if np.isfinite(water).any() and (water < 0).any():
            seen.add(place)
            assert (labels == NAMES.index("water"))[(water < -GSD_M) & ~road].mean() > 0.97
            assert not (labels == NAMES.index("water"))[water > 3].any() or place == "portwick"
    assert seen


def test_a_map_is_of_the_scene_that_simulate_draws(made: Path, tmp_path: Path) -> None:
    simulate(tmp_path, places=["hohental"], scenes_per_place=1, size_px=SIDE_PX, gsd_m=GSD_M)
    with open_raster(tmp_path / "train" / "gt" / "hohental1.tif") as raster:
        mask, grid = read_mask(raster), raster.grid
    with open_raster(made / "land-cover" / "hohental1.tif") as raster:
        assert raster.grid == grid
    labels = labels_of(made / "land-cover" / "hohental1.tif")
    assert np.array_equal(labels == STYLE.building, mask > 0)
    assert {NAMES[index] for index in np.unique(labels)} >= {"building", "road", "trees", "grass", "ground"}
