"""Map layers as masks of classes: widths on the ground, order of painting, windows, what is left out."""

import json
import sqlite3
import warnings
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.warp import transform as transform_points

from conftest import UTM, examples, make_grid, write_tiff
from map_files import write_geojson
from orthoforge.cli import main
from orthoforge.errors import ConfigError, DataError, GridError, OutputExistsError
from orthoforge.geo import grid as grids
from orthoforge.geo.grid import Grid, Window
from orthoforge.geo.rasters import open_raster
from orthoforge.masks.class_file import rasterize_layers
from orthoforge.masks.classes import Classes
from orthoforge.masks.layer_mask import LayerMask, load_layers, warn_of_ignored
from orthoforge.masks.layer_style import DEFAULT_STYLE, length_m, load_style
from orthoforge.masks.palette import load_classes
from orthoforge.masks.reader import open_raster_mask

STYLE = load_style()
GROUND, BUILDING, ROAD, WATER, TREES, GRASS = range(6)
WGS84, MERCATOR = CRS.from_epsg(4326), CRS.from_epsg(3857)


def moved(shape: shapely.Geometry, from_crs: CRS, to_crs: CRS) -> shapely.Geometry:
    return shapely.transform(shape, lambda xy: np.column_stack(transform_points(from_crs, to_crs, xy[:, 0], xy[:, 1])))


def grid_at(lon: float, lat: float, crs: CRS, size: int, gsd_m: float) -> Grid:
    """Square pixels of about ``gsd_m`` metres in a CRS, in degrees square in degrees, around a place."""
    (x,), (y,) = transform_points(WGS84, crs, [lon], [lat])
    one = Grid(1, 1, Affine(1e-5, 0, x, 0, -1e-5, y), crs).pixel_m()
    assert one
    pixel = gsd_m / one[1] * 1e-5
    return Grid(size, size, Affine(pixel, 0, x - size / 2 * pixel, 0, -pixel, y + size / 2 * pixel), crs)


def masked(paths: list[Path], grid: Grid) -> LayerMask:
    return load_layers(paths, STYLE, within=grid).on(grid)


@pytest.mark.parametrize("grid_crs", [WGS84, MERCATOR, CRS.from_epsg(32633)])
@pytest.mark.parametrize("file_crs", [WGS84, MERCATOR])
def test_a_road_is_as_wide_on_the_ground_as_the_style_says(tmp_path: Path, grid_crs: CRS, file_crs: CRS) -> None:
    grid = grid_at(15.0, 60.0, grid_crs, 200, 0.5)
    for direction in ("north", "east"):
        ends = [(15.0, 59.9), (15.0, 60.1)] if direction == "north" else [(14.9, 60.0), (15.1, 60.0)]
        road = moved(shapely.segmentize(shapely.LineString(ends), 0.001), WGS84, file_crs)
        path = write_geojson(tmp_path / f"{direction}.geojson", [(road, {"highway": "motorway"})], file_crs)
        labels = masked([path], grid).labels()
        across = (labels == ROAD).sum(axis=1 if direction == "north" else 0)
        pixel = grid.pixel_m()
        assert pixel
        side = pixel[0] if direction == "north" else pixel[1]
        assert abs(across.mean() - 11 / side) < 0.5
        assert np.ptp(across) <= 2  # the meridian is turned against the rows of UTM


@pytest.mark.parametrize("crs", [WGS84, MERCATOR])
def test_a_crown_is_round_on_the_ground(tmp_path: Path, crs: CRS) -> None:
    grid = grid_at(15.0, 60.0, crs, 120, 0.25)
    path = write_geojson(tmp_path / "trees.geojson", [(shapely.Point(15, 60), {"natural": "tree", "diameter_crown": "10"})])
    crown = masked([path], grid).labels() == TREES
    pixel = grid.pixel_m()
    assert pixel
    assert abs(crown.any(axis=0).sum() - 10 / pixel[0]) < 0.5 + 1
    assert abs(crown.any(axis=1).sum() - 10 / pixel[1]) < 0.5 + 1
    assert crown.sum() * pixel[0] * pixel[1] == pytest.approx(np.pi * 25, rel=0.02)


def town(seed: int, grid: Grid) -> list[tuple[shapely.Geometry, dict[str, object]]]:
    """Some of everything, anywhere on a grid and around it."""
    rng = np.random.default_rng(seed)
    left, bottom, right, top = grid.bounds
    side = right - left

    def place() -> np.ndarray:
        return rng.uniform((left - 0.2 * side, bottom - 0.2 * side), (right + 0.2 * side, top + 0.2 * side))

    kinds = [{"highway": "residential"}, {"waterway": "stream"}, {"natural": "tree_row"}]
    found = [(shapely.LineString([place(), place(), place()]), kinds[i % 3]) for i in range(6)]
    found += [(shapely.Point(*place()), {"natural": "tree"}) for _ in range(6)]
    areas = [{"natural": "water"}, {"building": "yes"}, {"landuse": "grass"}]
    found += [(shapely.Point(*place()).buffer(0.15 * side), areas[i % 3]) for i in range(5)]
    return [(shape, dict(tags)) for shape, tags in found]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> LayerMask:
    grid = make_grid((1100, 1090))  # more than one block of rasterising
    path = write_geojson(tmp_path_factory.mktemp("wide") / "town.geojson", town(3, grid), grid.crs)
    return masked([path], grid)


@examples(0.1)
@given(st.integers(0, 1080), st.integers(0, 1080), st.integers(1, 400), st.integers(1, 400))
def test_windows_are_the_whole_cut(wide: LayerMask, row: int, col: int, height: int, width: int) -> None:
    window = Window(row, col, min(height, 1100 - row), min(width, 1090 - col))
    whole = wide_labels(wide)
    assert np.unique(whole).tolist() == list(range(6))
    assert np.array_equal(wide.labels(window), whole[window.slices])


_WHOLE: dict[int, np.ndarray] = {}


def wide_labels(mask: LayerMask) -> np.ndarray:
    return _WHOLE.setdefault(id(mask), mask.labels())


def test_a_moved_grid_shows_the_same_map(tmp_path: Path) -> None:
    grid = make_grid(300)
    path = write_geojson(tmp_path / "town.geojson", town(5, grid), grid.crs)
    part = Window(40, 70, 150, 120)
    layers = load_layers([path], STYLE)
    assert np.array_equal(layers.on(grid.window(part)).labels(), layers.on(grid).labels(part))


def test_what_is_painted_later_lies_on_top(tmp_path: Path) -> None:
    grid = make_grid(60)
    left, bottom, right, top = grid.bounds
    everywhere, middle = shapely.box(left, bottom, right, top), (left + right) / 2
    street = shapely.LineString([(middle, bottom), (middle, top)])
    tags: list[tuple[shapely.Geometry, dict[str, object]]] = [
        (shapely.box(left, bottom, right, (bottom + top) / 2), {"building": "house"}),
        (shapely.Point(middle, top - 3), {"natural": "tree"}),
        (street, {"highway": "residential"}),
        (everywhere, {"natural": "water"}),
        (everywhere, {"landuse": "grass"}),
    ]
    for turned in (tags, tags[::-1]):  # the style decides, not the file
        labels = masked([write_geojson(tmp_path / "all.geojson", turned, grid.crs)], grid).labels()
        assert (labels[30:] == BUILDING).all()
        assert labels[10, 30] == TREES and labels[25, 30] == ROAD and labels[10, 5] == WATER


def test_polygons_are_painted_as_footprints_are(tmp_path: Path) -> None:
    from orthoforge.vectors import rasterize_footprints

    grid = make_grid(80)
    x, y = grid.bounds[0], grid.bounds[1]
    house = shapely.Polygon([(x + 3.1, y + 4), (x + 14.3, y + 6.7), (x + 11, y + 17.9), (x + 2, y + 12)])
    labels = masked([write_geojson(tmp_path / "a.geojson", [(house, {"building": "yes"})], grid.crs)], grid).labels()
    assert np.array_equal(labels == BUILDING, rasterize_footprints([house], grid) > 0)


def test_other_tags_are_left_out_and_counted(tmp_path: Path) -> None:
    grid = make_grid(40)
    x, y = grid.bounds[0], grid.bounds[1]
    line = shapely.LineString([(x, y + 6), (x + 12, y + 6)])
    path = write_geojson(
        tmp_path / "map.geojson",
        [
            (line, {"highway": "residential"}),
            (line, {"highway": "footway"}),
            (line, {"highway": "footway"}),
            (line, {"highway": "residential", "tunnel": "yes"}),
            (line, {"power": "line"}),
            (line, {"building": "no"}),
        ],
        grid.crs,
    )
    layers = load_layers([path], STYLE, within=grid)
    assert len(layers) == 1
    assert layers.ignored[str(path)] == {"highway=footway": 2, "tunnel=yes": 1, "layer map": 1, "building=no": 1}
    with pytest.warns(
        UserWarning, match=r"map.geojson: 5 features are of no class in the style and are left out: highway=footway \(2\)"
    ):
        warn_of_ignored(layers)


def test_features_without_tags_are_known_by_the_name_of_their_layer(tmp_path: Path) -> None:
    grid = make_grid(60)
    x, y = grid.bounds[0], grid.bounds[1]
    line = shapely.LineString([(x, y + 9), (x + 18, y + 9)])
    labels = masked([write_geojson(tmp_path / "City_Roads.geojson", [(line, {"name": "High Street"})], grid.crs)], grid).labels()
    assert (labels == ROAD).sum() == 60 * 6 / 0.3
    layers = load_layers([write_geojson(tmp_path / "strassen.geojson", [(line, {"name": "Am Markt"})], grid.crs)], STYLE)
    assert len(layers) == 0
    assert "Nothing of it is painted: name its layer in a style of your own" in layers.notes[0]


@pytest.mark.parametrize(
    ("tags", "metres"),
    [
        ({"highway": "residential"}, 6.0),
        ({"highway": "residential", "width": "9"}, 9.0),
        ({"highway": "residential", "width": "9,5 m"}, 9.5),
        ({"highway": "residential", "width": "20 ft"}, 6.096),
        ({"highway": "primary", "lanes": "4"}, 13.0),
        ({"highway": "residential", "width": "wide"}, 6.0),
        ({"highway": "residential", "width": "9000"}, 6.0),
        ({"highway": "residential", "lanes": "99999"}, 6.0),
    ],
)
def test_a_width_that_is_stated_goes_before_that_of_the_kind(tags: dict[str, str], metres: float) -> None:
    painted = STYLE.painted("map", 1, tags)
    assert painted is not None and painted.size_m == pytest.approx(metres)


def test_lengths() -> None:
    assert [length_m(text) for text in ("7", "7.5m", "0.02 km", "12'", "-3", "0", "1e3", "5;6", "")] == [
        7, 7.5, 20, pytest.approx(3.6576), None, None, None, None, None,
    ]  # fmt: skip


def test_layers_in_another_crs_lie_at_the_same_place(tmp_path: Path) -> None:
    grid = make_grid(200)
    assert grid.crs
    features = town(8, grid)
    one = masked([write_geojson(tmp_path / "a.geojson", features, grid.crs)], grid).labels()
    there = [(moved(shape, grid.crs, MERCATOR), tags) for shape, tags in features]
    other = masked([write_geojson(tmp_path / "b.geojson", there, MERCATOR)], grid).labels()
    assert np.mean(one != other) < 0.002


def test_empty_layers_paint_nothing(tmp_path: Path) -> None:
    grid = make_grid(30)
    mask = load_layers([write_geojson(tmp_path / "roads.geojson", [])], STYLE, within=grid)
    assert len(mask) == 0 and mask.notes == []
    assert (mask.on(grid).labels() == GROUND).all()
    assert (load_layers([], STYLE).on(grid).labels() == GROUND).all()


def test_a_grid_without_place_is_refused(tmp_path: Path) -> None:
    path = write_geojson(tmp_path / "roads.geojson", [(shapely.LineString([(15, 45), (15.1, 45)]), {"highway": "road"})])
    with pytest.raises(GridError, match="map layers have a place on the ground and the mask has none"):
        load_layers([path], STYLE).on(make_grid(30, crs=None))


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        ({"type": "LineString", "coordinates": [[0, 0], ["1", 2]]}, "feature 0 is no valid geometry: a coordinate is '1'"),
        ({"type": "LineString", "coordinates": [[0, 0], [float("nan"), 2]]}, "feature 0 has a coordinate that is no number"),
        ({"type": "LineString", "coordinates": 7}, "it holds 7 where a list is expected"),
        ({"type": "Point", "coordinates": [1]}, "a point of two or three numbers is expected"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]}, "its ring is not closed"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}, "feature 0 is no valid polygon"),
        ({"type": "LineString", "coordinates": [[500000, 5000000], [500100, 5000000]]}, "are no degrees"),
        ({"type": "Kringle", "coordinates": []}, "no geometry is called 'Kringle'"),
    ],
)
def test_hostile_shapes_are_refused_by_name(tmp_path: Path, geometry: dict[str, object], message: str) -> None:
    path = tmp_path / "roads.geojson"
    path.write_text(json.dumps({"type": "Feature", "geometry": geometry, "properties": {"highway": "road"}}))
    with pytest.raises(DataError, match=f"roads.geojson.*{message}"):
        load_layers([path], STYLE)


def test_shapes_of_all_kinds_are_taken_apart(tmp_path: Path) -> None:
    path = tmp_path / "map.geojson"
    many = shapely.GeometryCollection(
        [shapely.MultiPoint([(1, 1), (2, 2)]), shapely.MultiLineString([[(0, 0), (1, 1)], [(2, 2), (3, 3)]]), shapely.Point()]
    )
    features = [(many, {"natural": "tree"}), (many, {"highway": "road"})]
    layers = load_layers([write_geojson(path, features)], STYLE)  # type: ignore[arg-type]
    assert len(layers) == 2 + 2 + 2
    assert layers.ignored[str(path)] == {"highway=road": 1}  # points are no roads


def test_openstreetmap_extracts(tmp_path: Path) -> None:
    """XML and what Overpass answers: closed ways are areas, but for streets; cut ways are drawn as far as they are there."""
    elements = [
        *({"type": "node", "id": n, "lon": 15 + x * 1e-4, "lat": 45 + y * 1e-4} for n, (x, y) in
          enumerate([(0, 0), (4, 0), (4, 4), (0, 4)], 1)),
        {"type": "node", "id": 9, "lon": 15, "lat": 45, "tags": {"natural": "tree"}},
        {"type": "way", "id": 1, "nodes": [1, 2, 3, 4, 1], "tags": {"natural": "water"}},
        {"type": "way", "id": 2, "nodes": [1, 2, 3, 4, 1], "tags": {"highway": "residential", "junction": "roundabout"}},
        {"type": "way", "id": 3, "nodes": [77, 1, 2, 88], "tags": {"highway": "residential"}},
        {"type": "way", "id": 4, "nodes": [1, 2, 77, 1], "tags": {"building": "yes"}},
        {"type": "way", "id": 5, "nodes": [1, 2, 3, 1]},
        {"type": "relation", "id": 6, "tags": {"type": "multipolygon", "landuse": "forest"},
         "members": [{"type": "way", "ref": 5, "role": "outer"}]},
    ]  # fmt: skip
    overpass = tmp_path / "town.json"
    overpass.write_text(json.dumps({"elements": elements}))
    xml = tmp_path / "town.osm"
    xml.write_text("<osm>" + "".join(map(as_xml, elements)) + "</osm>")
    kinds = []
    for path in (overpass, xml):
        with pytest.warns(UserWarning, match="1 area without a whole outline"):
            layers = load_layers([path], STYLE)
        [(_, shapes)] = layers.shapes
        kinds.append([shape.geom_type for shape in shapes])
    assert kinds[0] == kinds[1] == ["Point", "Polygon", "LineString", "LineString", "Polygon"]


def as_xml(element: dict[str, object]) -> str:
    tags = "".join(f'<tag k="{key}" v="{value}"/>' for key, value in element.get("tags", {}).items())  # type: ignore[attr-defined]
    nodes = "".join(f'<nd ref="{node}"/>' for node in element.get("nodes", []))  # type: ignore[attr-defined]
    members = "".join(f'<member type="way" ref="{m["ref"]}" role="outer"/>' for m in element.get("members", []))  # type: ignore[attr-defined]
    place = f'lon="{element["lon"]}" lat="{element["lat"]}"' if "lon" in element else ""
    return f'<{element["type"]} id="{element["id"]}" {place}>{nodes}{members}{tags}</{element["type"]}>'


def test_all_layers_of_a_geopackage_are_read(tmp_path: Path) -> None:
    """Tags in columns, in GDAL's other_tags, and none at all but a layer's name."""
    import pyogrio

    path = tmp_path / "town.gpkg"
    wkb = np.array([shapely.to_wkb(shapely.LineString([(15, 45), (15.001, 45)]))], object)
    options = {"path": path, "crs": "EPSG:4326", "driver": "GPKG", "append": False}
    first = {"geometry": wkb, "field_data": [np.array(["primary"], object)], "fields": ["highway"], "geometry_type": "LineString"}
    pyogrio.raw.write(**options, **first, layer="lines")
    tree = np.array([shapely.to_wkb(shapely.Point(15, 45))], object)
    said = np.array(['"natural"=>"tree","note"=>"a \\"large\\" one","diameter_crown"=>"8"'], object)
    second = {"geometry": tree, "field_data": [said], "fields": ["other_tags"], "geometry_type": "Point"}
    pyogrio.raw.write(**options | {"append": True}, **second, layer="points")
    third = {"geometry": wkb, "field_data": [], "fields": [], "geometry_type": "LineString"}
    pyogrio.raw.write(**options | {"append": True}, **third, layer="rivers")
    with sqlite3.connect(path) as database:
        database.execute("CREATE VIEW endless AS SELECT * FROM lines")
        database.execute("INSERT INTO gpkg_contents(table_name, data_type, srs_id) VALUES ('endless', 'features', 4326)")
        database.execute("INSERT INTO gpkg_geometry_columns VALUES ('endless', 'geom', 'LINESTRING', 4326, 0, 0)")
    with pytest.warns(UserWarning, match=r"its layer endless is computed \(a view\) and is not read"):
        layers = load_layers([path], STYLE)
    assert [(group.rules.tolist(), group.sizes_m.tolist()) for group in layers._groups] == [([4], [9]), ([5], [4]), ([3], [4])]


@pytest.mark.parametrize("driver", ["ESRI Shapefile", "FlatGeobuf", "CSV"])
def test_attributes_of_other_formats(tmp_path: Path, driver: str) -> None:
    import pyogrio

    line = shapely.LineString([(15, 45), (15.001, 45)])
    path = tmp_path / f"map.{ {'ESRI Shapefile': 'shp', 'FlatGeobuf': 'fgb', 'CSV': 'csv'}[driver] }"
    if driver == "CSV":
        path.write_text(f'geometry,highway,width\n"{line.wkt}",residential,7.5\n"{line.wkt}",,\n')
    else:
        values = [np.array(["residential", None], object), np.array([7.5, np.nan])]
        pyogrio.raw.write(
            path, np.array([shapely.to_wkb(line)] * 2, object), values, ["HIGHWAY", "width"], crs="EPSG:4326", driver=driver,
            geometry_type="LineString",
        )  # fmt: skip
    layers = load_layers([path], STYLE)
    assert [(group.rules.tolist(), group.sizes_m.tolist()) for group in layers._groups] == [([4], [7.5])]
    assert layers.ignored[str(path)] == {"layer map": 1}


def test_attributes_of_geoparquet(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    line = shapely.to_wkb(shapely.LineString([(15, 45), (15.001, 45)]))
    geo = {"version": "1.0.0", "primary_column": "g", "columns": {"g": {"encoding": "WKB", "geometry_types": []}}}
    columns = {
        "highway": ["primary", None, "primary"],
        "lanes": [4, None, None],
        "width": [[1], None, None],
        "g": [line, line, None],
    }
    table = arrow.table(columns).replace_schema_metadata({"geo": json.dumps(geo)})
    parquet.write_table(table, path := tmp_path / "map.parquet")
    layers = load_layers([path], STYLE)
    assert [(group.rules.tolist(), group.sizes_m.tolist()) for group in layers._groups] == [([4], [13.0])]


def test_classes_of_a_run_are_found_by_name(tmp_path: Path) -> None:
    grid = make_grid(40)
    x, y = grid.bounds[0], grid.bounds[1]
    path = write_geojson(tmp_path / "roads.geojson", [(shapely.LineString([(x, y + 6), (x + 12, y + 6)]), {})], grid.crs)
    names = ("Building", "Land (unpaved area)", "Road", "Vegetation", "Water", "Unlabeled")
    dubai = Classes(names, tuple(((i, i, i),) for i in range(6)))
    labels = load_layers([path], STYLE).on(grid, dubai).labels()
    assert set(np.unique(labels)) == {1, 2}
    with pytest.raises(ConfigError, match=r"no class of the run is called 'road'; it has Building, Meadow.*under `also` of 'road'"):
        load_layers([path], STYLE).on(grid, Classes(("Building", "Meadow", "Land"), ((), (), ())))


def test_the_checksum_says_what_is_painted(tmp_path: Path) -> None:
    grid = make_grid(20)
    line = shapely.LineString([(15, 45), (15.1, 45)])
    path = write_geojson(tmp_path / "a.geojson", [(line, {"highway": "road"})])
    one = masked([path], grid).identity
    assert masked([path], grid).identity == one
    other = tmp_path / "style.yaml"
    other.write_text(DEFAULT_STYLE.read_text().replace("road: 5.5", "road: 5"))
    assert load_layers([path], load_style(other)).on(grid).identity != one
    other.write_text("# A comment decides nothing.\n" + DEFAULT_STYLE.read_text())
    assert load_layers([path], load_style(other)).on(grid).identity == one
    write_geojson(path, [(line, {"highway": "service"})])
    assert masked([path], grid).identity != one


@pytest.mark.parametrize(
    ("found", "wrong", "message"),
    [
        ("class: road", "class: rod", "rule 5 of `paint` paints 'rod', which is none of the classes"),
        ("width: 6", "width: -6", "width in lines of rule 5 of `paint` is -6"),
        ("width: 6", "wide: 6", "lines of rule 5 of `paint` says 'wide'; known are by, lanes, tags, width"),
        ("    areas: no", "    areas: maybe", "areas is 'maybe'; yes or no"),
        ("[92, 92, 98]", "[92, 92, 980]", "the colour of 'road' is"),
        ("[92, 92, 98]", "[74, 134, 190]", "is the colour of two classes"),
        ("natural: [wood]", "natural: {wood: 1}", "natural in tags of rule 3 of `paint` is .* a list of words"),
        ("residential: 6", "residential: wide", "highway=residential is 'wide'|residential is 'wide'"),
        ("paint:", "painted:", "the file says 'painted'"),
    ],
)
def test_a_style_that_cannot_be_meant_is_refused(tmp_path: Path, found: str, wrong: str, message: str) -> None:
    text = DEFAULT_STYLE.read_text()
    assert found in text
    path = tmp_path / "style.yaml"
    path.write_text(text.replace(found, wrong, 1))
    with pytest.raises(ConfigError, match=message):
        load_style(path)


def test_layers_without_notes_are_silent(tmp_path: Path) -> None:
    path = write_geojson(tmp_path / "a.geojson", [(shapely.LineString([(15, 45), (15.1, 45)]), {"highway": "road"})])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_ignored(load_layers([path], STYLE))


def test_a_mask_of_classes_is_written_in_colours_with_its_palette(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = make_grid(90)
    features = town(3, grid)
    path = write_geojson(tmp_path / "town.geojson", features, grid.crs)
    like = write_tiff(tmp_path / "like.tif", np.zeros((90, 90), np.uint8), grid)
    out = rasterize_layers(path, tmp_path / "classes.tif", [path], like=like)
    classes = load_classes(tmp_path / "classes.palette.json")
    assert classes == STYLE.classes
    with open_raster_mask(out, classes=classes) as mask:
        assert np.array_equal(mask.labels(), masked([path], grid).labels()) and mask.grid == grid
    with open_raster(out) as raster:
        assert raster.band_count == 1 and raster.colour_table() is not None
    monkeypatch.setattr(grids, "_STRIP_PIXELS", 1000)
    monkeypatch.setattr(grids, "_STRIP_ROWS", 16)
    strips = rasterize_layers(path, tmp_path / "strips.tif", like=like)
    with open_raster(strips) as one, open_raster(out) as other:
        assert np.array_equal(one.read(), other.read())
    with pytest.raises(OutputExistsError, match=r"classes\.tif exists"):
        rasterize_layers(path, out, like=like)


def test_the_command_takes_footprints_and_layers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = make_grid(60)
    x, y = grid.bounds[0], grid.bounds[1]
    houses = write_geojson(tmp_path / "houses.geojson", [(shapely.box(x, y, x + 9, y + 9), {})], grid.crs)
    roads = write_geojson(tmp_path / "roads.geojson", [(shapely.LineString([(x, y + 11), (x + 18, y + 11)]), {})], grid.crs)
    out = tmp_path / "town.tif"
    assert main(["footprints", str(houses), "--layers", str(roads), "--gsd", "0.3", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    with open_raster_mask(out, classes=STYLE.classes) as mask:
        shares = np.bincount(mask.labels().ravel(), minlength=6)
    assert shares[BUILDING] == 900 and shares[ROAD] > 900 and shares[GROUND] > 0
    assert main(["footprints", str(houses), "--layers", str(tmp_path / "none.gpkg"), "--gsd", "0.3", "--out", "b.tif"]) != 0
    assert "none.gpkg: no such file" in capsys.readouterr().err


@pytest.mark.parametrize("file_crs", [WGS84, MERCATOR, CRS.from_epsg(32633)])
def test_reading_what_is_near_gives_the_mask_of_the_whole_file(tmp_path: Path, file_crs: CRS) -> None:
    """A road's middle may lie outside the grid, and its edge inside."""
    grid = make_grid(100)
    assert grid.crs
    left, bottom, right, top = grid.bounds
    beside = [
        (shapely.LineString([(left - 90, bottom - 40), (left - 90, top + 40)]), {"waterway": "river", "width": "190"}),
        (shapely.LineString([(left, top + 5), (right, top + 5)]), {"highway": "motorway"}),
        (shapely.Point(right + 4, bottom + 10), {"natural": "tree", "diameter_crown": "12"}),
        (shapely.LineString([(left + 500, bottom), (left + 600, top)]), {"highway": "motorway"}),
    ]
    features = [(moved(shape, grid.crs, file_crs), tags) for shape, tags in [*town(2, grid), *beside]]
    path = write_geojson(tmp_path / "town.geojson", features, file_crs)
    near, every = load_layers([path], STYLE, within=grid), load_layers([path], STYLE)
    assert len(near) < len(every)
    labels = every.on(grid).labels()
    assert np.array_equal(near.on(grid).labels(), labels)
    assert labels[50, 0] == WATER and (labels[0] == ROAD).any()


def test_an_extract_as_it_comes_from_geofabrik() -> None:
    import pyogrio

    sample = Path(pyogrio.__file__).parent / "tests" / "fixtures" / "sample.osm.pbf"
    if not sample.is_file():
        pytest.skip("this build of pyogrio comes without its test files")
    around = grid_at(-0.229, 51.7655, MERCATOR, 50, 2.0)
    layers = load_layers([sample], STYLE, within=around)
    assert 0 < len(layers) < 30  # of the file's 28 streets and 2 houses
    assert layers.ignored[str(sample)]["highway=footway"] > 0
    labels = layers.on(around).labels()
    assert 0.01 < (labels == ROAD).mean() < 0.2 and set(np.unique(labels)) == {GROUND, BUILDING, ROAD}


def test_all_shapefiles_in_a_zip_are_read(tmp_path: Path) -> None:
    """Geofabrik's say the kind of road in a column of their own."""
    import zipfile

    import pyogrio

    line = shapely.LineString([(15, 45), (15.001, 45)])
    kinds = {"gis_osm_roads_free_1": ["service", "footway"], "gis_osm_waterways_free_1": ["canal", "river"]}
    for name, values in kinds.items():
        pyogrio.raw.write(
            tmp_path / f"{name}.shp", np.array([shapely.to_wkb(line)] * 2, object), [np.array(values, object)], ["fclass"],
            crs="EPSG:4326", driver="ESRI Shapefile", geometry_type="LineString",
        )  # fmt: skip
    with zipfile.ZipFile(tmp_path / "region.zip", "w") as archive:
        for part in sorted(tmp_path.glob("gis_*")):
            archive.write(part, part.name)
    layers = load_layers([tmp_path / "region.zip"], STYLE)
    assert [group.sizes_m.tolist() for group in layers._groups] == [[4.0], [10.0, 20.0]]


def test_a_line_that_would_take_hours_is_refused(tmp_path: Path) -> None:
    corners = np.random.default_rng(0).uniform(0, 0.01, (3000, 2))
    path = write_geojson(tmp_path / "roads.geojson", [(shapely.LineString(corners), {"highway": "road"})])
    with pytest.raises(DataError, match="feature 0 crosses itself far too often to be drawn"):
        load_layers([path], STYLE)


def test_a_line_around_the_universe_is_no_reason_to_run_out_of_memory(tmp_path: Path) -> None:
    grid = make_grid(30)
    y = moved(shapely.Point(grid.bounds[:2]), UTM, MERCATOR).y + 5
    lines = [(shapely.LineString([(-1e14, y), (1e14, y)]), {"highway": "road"})]
    path = write_geojson(tmp_path / "roads.geojson", lines, MERCATOR)
    assert load_layers([path], STYLE).on(grid).labels().shape == (30, 30)


def test_a_corner_without_a_place_is_named_by_its_feature(tmp_path: Path) -> None:
    there = shapely.LineString([(0, 5e6), (1, 5e6)]), {"power": "line"}
    nowhere = shapely.LineString([(1e9, 5e6), (-1e9, 5.1e6)]), {"highway": "road"}
    path = write_geojson(tmp_path / "roads.geojson", [there, nowhere], CRS.from_epsg(32632))
    with pytest.raises(DataError, match=r"roads\.geojson: feature 1: its corner at .* has no place in EPSG:32633"):
        load_layers([path], STYLE).on(make_grid(30))
