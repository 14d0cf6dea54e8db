import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import unquote, urljoin, urlsplit

import numpy as np
import pystac
import pytest
from affine import Affine
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.validation.local_validator import LocalValidator
from rasterio.crs import CRS
from rasterio.warp import transform as transform_points
from shapely.geometry import Point, shape

from conftest import make_grid
from orthoforge.errors import DataError, OutputExistsError
from orthoforge.geo.cog import write_raster
from orthoforge.geo.grid import Grid
from orthoforge.geo.stac import footprint, is_ours, write_stac_item

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TAGS = {
    "SYNTHETIC": "YES", "DIGITAL_SOURCE_TYPE": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
    "SOFTWARE": "orthoforge 0.1.0", "MODEL_SHA256": "ab" * 32, "MODEL_RECIPE": "baseline", "MODEL_STEP": "400", "SEED": "7",
    "SOURCE_ATTRIBUTION": "© Somebody",
}  # fmt: skip
LOCAL = CRS.from_wkt('LOCAL_CS["a plan",UNIT["metre",1],AXIS["X",EAST],AXIS["Y",NORTH]]')
NO_EPSG = CRS.from_proj4("+proj=tmerc +lat_0=1 +lon_0=14.5 +k=0.9993 +x_0=5000 +y_0=0 +ellps=bessel +towgs84=1,2,3 +units=m")
GRIDS = {
    "projected": make_grid((40, 60)),
    "degrees": Grid(40, 60, Affine(1e-5, 0, 13, 0, -1e-5, 52), CRS.from_epsg(4326)),
    "no code": Grid(40, 60, Affine(2, 0, 5000, 0, -2, 700_000), NO_EPSG),
    "antimeridian": Grid(4000, 4000, Affine(10, 0, 180_000, 0, -10, 8_000_000), CRS.from_epsg(32701)),
    "wide": Grid(20, 240, Affine(1, 0, -120, 0, -1, 10), CRS.from_epsg(4326)),
    "beyond 180": Grid(20, 20, Affine(1, 0, 170, 0, -1, 10), CRS.from_epsg(4326)),
    "near the pole": Grid(100, 100, Affine(1000, 0, 300_000, 0, -1000, 50_000), CRS.from_epsg(3413)),
    "globe": Grid(180, 360, Affine(1, 0, -180, 0, -1, 90), CRS.from_epsg(4326)),
    "globe from 0": Grid(181, 360, Affine(1, 0, -0.5, 0, -1, 90.5), CRS.from_epsg(4326)),
    "web globe": Grid(
        256,
        256,
        Affine(156543.03392804097, 0, -20037508.342789244, 0, -156543.03392804097, 20037508.342789244),
        CRS.from_epsg(3857),
    ),
    "pole": Grid(100, 100, Affine(1000, 0, -50_000, 0, -1000, 40_000), CRS.from_epsg(3413)),
    "edge on the pole": Grid(100, 100, Affine(1000, 0, -50_000, 0, -1000, 0), CRS.from_epsg(3413)),
    "south pole": Grid(100, 100, Affine(10, 0, -10, 0, -10, 990), CRS.from_epsg(3031)),
    "metres as degrees": Grid(100, 100, Affine(1, 0, 500_000, 0, -1, 5_000_000), CRS.from_epsg(4326)),
    "local": Grid(40, 60, Affine(1, 0, 0, 0, -1, 0), LOCAL),
    "none": Grid(40, 60),
}
ON_EARTH = ("projected", "degrees", "no code", "antimeridian", "wide")
NOWHERE = ("pole", "edge on the pole", "south pole", "metres as degrees", "local", "none")


def make_item(folder, grid, name="a scene.tif", **options):
    path = folder / name
    path.write_bytes(b"II*\0 an image of some kind")
    return json.loads(write_stac_item(path, grid, **({"tags": TAGS, "created": NOON} | options)).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", GRIDS)
def test_the_item_follows_the_specification(tmp_path, name):
    item = make_item(tmp_path, GRIDS[name])
    assert list(LocalValidator().item_validator("1.1.0").iter_errors(item)) == []
    read = pystac.Item.from_file(tmp_path / "a scene.json")
    assert read.to_dict(include_self_link=False)["properties"] == item["properties"]
    assert read.datetime == NOON
    assert (read.id, read.assets["image"].href) == ("a scene", "./a%20scene.tif")
    assert ProjectionExtension.has_extension(read) and FileExtension.has_extension(read)


def test_the_file_is_described_by_size_checksum_and_type(tmp_path):
    path = tmp_path / "real.tif"
    write_raster(path, np.zeros((40, 60, 3), np.uint8), make_grid((40, 60)))
    item = pystac.Item.from_file(write_stac_item(path, make_grid((40, 60)), tags=TAGS))
    asset = item.assets["image"]
    file = FileExtension.ext(asset)
    assert file.size == path.stat().st_size
    assert file.checksum == "1220" + hashlib.sha256(path.read_bytes()).hexdigest()
    assert asset.media_type == pystac.MediaType.COG
    assert make_item(tmp_path, make_grid(4), "b.png")["assets"]["image"]["type"] == pystac.MediaType.PNG


@pytest.mark.parametrize("name", ["town #1 50%.tif", "a:b?c.tif", "größe.tif"])
def test_the_address_of_the_image_is_encoded_and_still_known(tmp_path, name):
    href = make_item(tmp_path, make_grid(4), name)["assets"]["image"]["href"]
    parts = urlsplit(urljoin("https://example.org/items/", href))
    assert (unquote(parts.path), parts.query, parts.fragment) == (f"/items/{name}", "", "")
    assert is_ours((tmp_path / name).with_suffix(".json"), tmp_path / name)


@pytest.mark.parametrize(("count", "names"), [(1, [None]), (2, [None] * 2), (4, ["red", "green", "blue", None])])
def test_there_are_as_many_bands_as_the_image_has(tmp_path, count, names):
    item = make_item(tmp_path, make_grid(4), bands=count)
    assert [band.get("name") for band in item["assets"]["image"]["bands"]] == names
    assert list(LocalValidator().item_validator("1.1.0").iter_errors(item)) == []


def test_the_projection_is_the_grids(tmp_path):
    for name in ("projected", "no code"):
        grid = GRIDS[name]
        (tmp_path / name).mkdir()
        make_item(tmp_path / name, grid)
        item = pystac.Item.from_file(tmp_path / name / "a scene.json")
        projection = ProjectionExtension.ext(item)
        assert projection.shape == [40, 60]
        assert Affine(*projection.transform) == grid.transform
        assert tuple(projection.bbox) == grid.bounds
        if name == "projected":
            assert projection.code == f"EPSG:{grid.crs.to_epsg()}"
            assert item.properties["gsd"] == pytest.approx(0.3, rel=1e-3)
        else:
            assert projection.code is None
            assert CRS.from_wkt(projection.wkt2) == grid.crs


@pytest.mark.parametrize("name", ON_EARTH)
def test_every_pixel_of_the_border_lies_on_the_outline(name):
    grid, outline = GRIDS[name], footprint(GRIDS[name])
    centre = grid.transform @ (grid.width / 2, grid.height / 2)
    to_degrees = [grid.crs, CRS.from_epsg(4326)]
    (lon,), (lat,) = transform_points(*to_degrees, [centre[0]], [centre[1]])
    assert outline.contains(Point(lon, lat))
    cols = np.linspace(0, grid.width, 33)
    border = [grid.transform @ (col, row) for col in cols for row in (0, grid.height)]
    metres_per_degree = 111_000
    for lon, lat in zip(*transform_points(*to_degrees, *zip(*border, strict=True)), strict=True):
        assert outline.distance(Point(lon, lat)) * metres_per_degree < 0.1


def test_a_scene_across_the_antimeridian_is_two_polygons(tmp_path):
    item = make_item(tmp_path, GRIDS["antimeridian"])
    west, south, east, north = item["bbox"]
    assert 179 < west < 180 and -180 < east < -179 and south < north < 0
    parts = shape(item["geometry"])
    assert parts.geom_type == "MultiPolygon"
    assert parts.is_valid and all(part.exterior.is_ccw for part in parts.geoms)
    assert parts.bounds[0] == -180 and parts.bounds[2] == 180


@pytest.mark.parametrize("name", ["globe", "globe from 0", "web globe"])
def test_a_grid_of_the_whole_globe_is_a_box(tmp_path, name):
    item = make_item(tmp_path, GRIDS[name])
    outline, north = shape(item["geometry"]), 85.051129 if name == "web globe" else 90
    assert outline.geom_type == "Polygon" and outline.is_valid and outline.exterior.is_ccw
    assert item["bbox"] == pytest.approx([-180, -north, 180, north])
    assert outline.area == pytest.approx(360 * 2 * north)


def test_longitudes_of_an_outline_stay_within_the_globe():
    parts = footprint(GRIDS["beyond 180"])
    assert sorted(part.bounds for part in parts.geoms) == [(-180, -10, -170, 10), (170, -10, 180, 10)]
    assert footprint(GRIDS["wide"]).bounds == (-120, -10, 120, 10)
    to_the_line = Grid(20, 10, Affine(1, 0, 170, 0, -1, 10), CRS.from_epsg(4326))
    assert footprint(to_the_line).bounds == (170, -10, 180, 10)
    near = footprint(GRIDS["near the pole"])
    (lon,), (lat,) = transform_points(CRS.from_epsg(3413), CRS.from_epsg(4326), [350_000], [0])
    assert near.is_valid and near.contains(Point(lon, lat))


@pytest.mark.parametrize("name", NOWHERE)
def test_a_grid_without_an_outline_in_degrees_has_no_geometry(tmp_path, name):
    item = make_item(tmp_path, GRIDS[name])
    assert item["geometry"] is None and "bbox" not in item
    assert item["properties"]["proj:shape"] == [GRIDS[name].height, GRIDS[name].width]
    if name in ("local", "none"):
        assert "gsd" not in item["properties"] and item["properties"]["proj:code"] is None


def test_where_it_comes_from_is_told(tmp_path):
    properties = make_item(tmp_path, make_grid(8))["properties"]
    assert properties["synthetic"] is True
    assert properties["processing:software"] == {"orthoforge": "0.1.0"}
    expected = {"model_sha256": "ab" * 32, "recipe": "baseline", "model_step": "400", "seed": "7", "attribution": "© Somebody"}
    assert properties.items() >= {f"orthoforge:{name}": value for name, value in expected.items()}.items()
    assert properties["orthoforge:digital_source_type"].endswith("/trainedAlgorithmicMedia")


def test_an_image_that_says_nothing_of_its_origin_is_not_called_synthetic(tmp_path):
    properties = make_item(tmp_path, make_grid(8), tags={})["properties"]
    assert properties["synthetic"] is False
    assert not any(name.startswith(("orthoforge:", "processing:")) for name in properties)
    assert list(LocalValidator().item_validator("1.1.0").iter_errors(json.loads((tmp_path / "a scene.json").read_text()))) == []


def test_the_item_is_the_same_but_for_its_time(tmp_path):
    first = make_item(tmp_path, make_grid(8), overwrite=True)
    later = make_item(tmp_path, make_grid(8), overwrite=True, created=datetime(2027, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))))
    assert later["properties"].pop("datetime") == "2026-12-31T23:00:00Z"
    assert first["properties"].pop("datetime") == "2026-03-01T12:00:00Z"
    assert first == later


def test_an_item_is_kept_unless_asked_and_needs_its_image(tmp_path):
    make_item(tmp_path, make_grid(8))
    with pytest.raises(OutputExistsError):
        make_item(tmp_path, make_grid(8))
    with pytest.raises(DataError, match=r"none\.tif: no such file"):
        write_stac_item(tmp_path / "none.tif", make_grid(8), tags={})


def test_an_item_is_known_as_ours_for_its_image_only(tmp_path):
    body = make_item(tmp_path, make_grid(8))
    item, image = tmp_path / "a scene.json", tmp_path / "a scene.tif"
    assert is_ours(item, image)
    assert not is_ours(item, tmp_path / "another.tif")
    assert not is_ours(item, tmp_path / "deeper" / "a scene.tif")
    (tmp_path / "stac").mkdir()
    moved = tmp_path / "stac" / "a scene.json"
    moved.write_text(json.dumps(body | {"assets": {"image": {"href": "../a scene.tif"}}}))
    assert is_ours(moved, image)

    foreign = pystac.Item("a scene", {"type": "Point", "coordinates": [0, 0]}, [0, 0, 0, 0], NOON, {"platform": "a satellite"})
    foreign.add_asset("image", pystac.Asset("./a scene.tif"))
    places = {"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {}, "geometry": None}]}
    for other in (foreign.to_dict(include_self_link=False), places, places["features"][0], body | {"assets": {}}, [], 5, None):
        item.write_text(json.dumps(other))
        assert not is_ours(item, image), other
    for content in (b"", b"{", b"\xff\xfe", b"[" * 100_000, json.dumps(body).encode() + b" " * 2**20):
        item.write_bytes(content)
        assert not is_ours(item, image), content[:20]
    item.unlink()
    assert not is_ours(item, image)
    assert not is_ours(tmp_path, image)
