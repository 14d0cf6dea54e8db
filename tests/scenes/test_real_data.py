import json
import shutil

import pytest

from orthoforge.errors import DataError
from orthoforge.geo.rasters import open_raster, read_image
from orthoforge.scenes.checks import check
from orthoforge.scenes.sources import find_pairs

pytestmark = pytest.mark.real_data


def test_all_118_building_pairs_are_sound_each_on_its_own_grid(shared_data):
    report = check(shared_data / "building")
    assert len(report.scenes) == 118
    assert report.faults == 0
    assert all(scene.building_share is not None for scene in report.scenes)
    assert {scene.crs for scene in report.scenes} == {
        "no CRS", "EPSG:4326", "EPSG:3857", "EPSG:2949", "EPSG:26914", "EPSG:26986",
    }  # fmt: skip
    # No false alarm on labels as their makers published them, and the pixel sizes that the data's own page gives.
    assert not [scene.name for scene in report.scenes if scene.shift and scene.shift.is_sure]
    gsd_m = {scene.place: scene.gsd_m for scene in report.scenes}
    assert gsd_m["banepa_core"] == pytest.approx(0.132, abs=0.001)
    assert gsd_m["zanzibar"] == pytest.approx(0.148, abs=0.001)
    assert gsd_m["massachusetts"] == pytest.approx(1.0, abs=0.001)
    grids = set()
    for pair in find_pairs(shared_data / "building").pairs:
        with open_raster(pair.image) as image, open_raster(pair.mask) as mask:
            assert image.grid == mask.grid
            if image.grid.crs:
                grids.add((image.grid.transform, image.grid.crs.to_epsg()))
    assert len(grids) == 118 - 21


def test_dubais_masks_are_read_by_their_palette_and_agree_with_the_binary_ones(shared_data, tmp_path):
    dubai = shared_data / "multiclass_dubai"
    with pytest.raises(DataError, match=r"it holds images/, masks_building/, masks_rgb/, palette\.json"):
        check(dubai)
    for kind in ("rgb", "building"):
        for folder, source in (("images", "images"), ("masks", f"masks_{kind}")):
            (tmp_path / kind / folder).mkdir(parents=True)
            for path in sorted((dubai / source).iterdir())[9:12]:  # palette PNGs as well as RGB
                shutil.copy(path, tmp_path / kind / folder)
    by_palette = check(tmp_path / "rgb", palette=dubai / "palette.json")
    binary = check(tmp_path / "building")
    assert by_palette.faults == binary.faults == 0
    assert [s.building_share for s in by_palette.scenes] == [s.building_share for s in binary.scenes]
    assert len(json.loads((dubai / "palette.json").read_text())) == 7


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("jpeg_bytes_named_tif_512.tif", r"holds JPEG data under the name of a GTiff file\. Rename it to .*\.jpg"),
        ("pan_uint16_1band_900_atlanta_ccbysa.tif", "image is uint16; three bands of uint8 are expected"),
        ("rgba_with_transparent_nodata_256.png", "image has 4 bands; three"),
    ],
)
def test_odd_files_get_their_error(shared_data, name, message):
    with (
        pytest.raises(DataError, match=message),
        open_raster(shared_data / "edge_cases" / name) as raster,
    ):
        read_image(raster)
