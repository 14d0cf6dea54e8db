"""Files that hold footprints, and files that only say so."""

import gzip
import json
import zipfile

import numpy as np
import pyogrio.raw
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS

from conftest import UTM
from orthoforge.errors import ConfigError, DataError, OutputExistsError
from orthoforge.geo.grid import Grid
from orthoforge.vectors import load_footprints, read_footprints, write_footprints

SQUARE = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]
BOW_TIE = [[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]
WGS84 = CRS.from_epsg(4326)
YARD = shapely.Polygon([(0, 0), (9, 0), (9, 9), (0, 9)], [[(3, 3), (6, 3), (6, 6), (3, 6)]])
TOWN = [YARD, shapely.box(20, 0, 25, 5)]


def polygon(*rings):
    return {"type": "Polygon", "coordinates": list(rings)}


def feature(geometry):
    return {"type": "Feature", "properties": {"name": "ä"}, "geometry": geometry}


def write_geojson(folder, *geometries, name="f.geojson", **members):
    path = folder / name
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature(geometry) for geometry in geometries]} | members))
    return path


def write_gdal(path, layers, crs="EPSG:32633", geometry_type="Polygon"):
    for name, geometries in layers.items():
        wkb = np.array([shapely.to_wkb(shape) if shape is not None else None for shape in geometries], object)
        pyogrio.raw.write(
            path, geometry=wkb, field_data=[], fields=[], layer=name, geometry_type=geometry_type, crs=crs, append=path.exists()
        )
    return path


@pytest.mark.parametrize("suffix", [".geojson", ".gpkg", ".JSON", ".parquet"])
@pytest.mark.parametrize("crs", [UTM, WGS84, CRS.from_epsg(3857), CRS.from_epsg(5514)])
def test_polygons_and_crs_survive_the_file(tmp_path, suffix, crs):
    path = tmp_path / f"f{suffix}"
    side = 2**-10 if crs.is_geographic else 1  # nothing built is 9 degrees wide
    town = [shapely.transform(house, lambda xy: xy * side) for house in TOWN]
    write_footprints(path, town, crs)
    polygons, found = read_footprints(path)
    assert found == crs
    assert [round(part.area / side**2) for part in polygons] == [72, 25]
    assert polygons[0].equals(town[0])
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    with pytest.raises(OutputExistsError):
        write_footprints(path, [], crs)


def test_a_town_without_buildings_is_a_file_too(tmp_path):
    for name in ("f.geojson", "f.gpkg", "f.parquet"):
        write_footprints(tmp_path / name, [], UTM)
        assert read_footprints(tmp_path / name) == ([], UTM)
    with pytest.raises(DataError, match=r"written as \.geojson, \.gpkg or \.parquet"):
        write_footprints(tmp_path / "f.kml", [], UTM)


def test_multipolygons_are_taken_apart_and_points_left_out(tmp_path):
    far = [[5, 5], [6, 5], [6, 6], [5, 5]]
    both = {"type": "MultiPolygon", "coordinates": [[SQUARE], [far]]}
    line = {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}
    collection = {"type": "GeometryCollection", "geometries": [line, both, polygon()]}
    path = write_geojson(tmp_path, None, {"type": "Point", "coordinates": [0, 0]}, both, collection, polygon(SQUARE))
    found = load_footprints(path)
    assert shapely.area(found.polygons).tolist() == [1, 0.5, 1, 0.5, 1]
    assert found.features.tolist() == [2, 2, 3, 3, 4]
    assert found.crs == WGS84  # GeoJSON's own
    assert found.repaired == 0

    shapes = [None, shapely.Point(0, 0), shapely.MultiPolygon(TOWN), shapely.GeometryCollection([YARD, shapely.MultiPolygon(TOWN)])]
    of_gdal = load_footprints(write_gdal(tmp_path / "f.gpkg", {"all": shapes}, geometry_type="Unknown"))
    assert of_gdal.features.tolist() == [2, 2, 3, 3, 3]


def test_heights_are_dropped_wherever_they_stand(tmp_path):
    high = [[x, y, 7.5] for x, y in SQUARE]
    mixed = [*high[:2], *SQUARE[2:]]
    polygons, _ = read_footprints(write_geojson(tmp_path, polygon(SQUARE), polygon(high), polygon(mixed)))
    assert [(part.has_z, part.area) for part in polygons] == [(False, 1)] * 3
    box = shapely.force_3d(shapely.box(0, 0, 2, 2), 5.0)
    polygons, _ = read_footprints(write_gdal(tmp_path / "f.gpkg", {"roofs": [box]}, geometry_type="Polygon Z"))
    assert [(part.has_z, part.area) for part in polygons] == [(False, 4)]


def test_many_features_keep_their_numbers_across_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr("orthoforge.vectors.geojson.CHUNK_FEATURES", 3)
    shapes = [polygon([[x + i, y] for x, y in SQUARE]) if i % 4 else None for i in range(11)]
    expected = [i for i in range(11) if i % 4]
    lines = tmp_path / "f.geojsonl"
    lines.write_text("\n".join(json.dumps(feature(shape)) for shape in shapes))
    for path in (write_geojson(tmp_path, *shapes), lines):
        found = load_footprints(path)
        assert found.features.tolist() == expected
        assert shapely.bounds(found.polygons)[:, 0].tolist() == expected
    bad = write_geojson(tmp_path, *shapes, polygon(BOW_TIE), polygon(SQUARE), polygon(SQUARE[:-1]))
    with pytest.raises(DataError, match=r"feature 13 is no valid geometry: its ring is not closed"):
        read_footprints(bad)


@pytest.mark.parametrize("name", ["f.geojsonl", "f.jsonl", "f.geojsonl.gz", "f.csv.gz", "f.ndjson", "f.geojson"])
def test_a_feature_a_line(tmp_path, name):
    lines = [json.dumps(feature(shape), ensure_ascii=False) for shape in (polygon(SQUARE), None, polygon(SQUARE))]
    lines.append(json.dumps(polygon(SQUARE)))
    text = "\n\x1e".join(lines) + "\n\n"
    opener = gzip.open if name.endswith(".gz") else open
    with opener(tmp_path / name, "wt", encoding="utf-8") as file:
        file.write(text.replace("\x1e", "") if name == "f.geojson" else text)
    found = load_footprints(tmp_path / name)
    assert (found.features.tolist(), found.crs) == ([0, 2, 3], WGS84)


def test_open_buildings_and_other_tables_of_text(tmp_path):
    rows = ["latitude,longitude,area_in_meters,confidence,geometry,full_plus_code"]
    rows += ['-1.5,36.8,4.0,0.7,"POLYGON((36.8 -1.5, 36.9 -1.5, 36.9 -1.4, 36.8 -1.5))",6GCR']
    rows += ['-1.5,36.8,4.0,0.7,"MULTIPOLYGON(((0 0,1 0,1 1,0 0)),((5 5,6 5,6 6,5 5)))",6GCR', "1,2,3,0.6,,6GCR"]
    path = tmp_path / "o.csv"
    path.write_text("\n".join(rows))
    found = load_footprints(path)
    assert (found.features.tolist(), found.crs) == ([0, 1, 1], WGS84)
    (tmp_path / "p.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert len(load_footprints(tmp_path / "p.csv.gz")) == 3

    path.write_text("\n".join([*rows, '0,0,0,0,"POLYGON((0 0, 1 0, 1 1, 0 1))",x']))
    with pytest.raises(DataError, match="feature 3 is no valid geometry: Points of LinearRing do not form a closed"):
        read_footprints(path)
    path.write_text("latitude,longitude\n1,2")
    with pytest.raises(DataError, match="no column holds outlines; it has latitude, longitude"):
        read_footprints(path)


def test_shapefiles_plain_and_zipped(tmp_path):
    (tmp_path / "s").mkdir()
    write_gdal(tmp_path / "s" / "gis_osm_buildings_a_free_1.shp", {"gis_osm_buildings_a_free_1": TOWN})
    write_gdal(tmp_path / "s" / "landuse.shp", {"landuse": TOWN[:1]})
    polygons, crs = read_footprints(tmp_path / "s" / "gis_osm_buildings_a_free_1.shp")
    assert ([part.area for part in polygons], crs) == ([72, 25], UTM)
    archive = tmp_path / "a {b}!c.shp.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in (tmp_path / "s").iterdir():
            packed.write(file, f"deep/er/{file.name}")
    assert len(load_footprints(archive)) == 2  # the one that speaks of buildings
    assert len(load_footprints(archive, layer="landuse")) == 1
    with pytest.raises(DataError, match=r"has no layer 'roofs'; it has .*landuse"):
        read_footprints(archive, layer="roofs")

    with zipfile.ZipFile(tmp_path / "b.zip", "w") as packed:
        packed.writestr("read.me", "nothing")
    with pytest.raises(DataError, match="holds no Shapefile"):
        read_footprints(tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as packed:
        packed.writestr("f.shp", "<OGRVRTDataSource>")
    with pytest.raises(DataError, match=r"f\.shp in it is not a Shapefile"):
        read_footprints(tmp_path / "c.zip")


def test_flatgeobuf(tmp_path):
    polygons, crs = read_footprints(write_gdal(tmp_path / "f.fgb", {"f": TOWN}))
    assert (sorted(part.area for part in polygons), crs) == ([25, 72], UTM)


def test_a_damaged_flatgeobuf(tmp_path):
    whole = write_gdal(tmp_path / "f.fgb", {"f": TOWN}).read_bytes()
    cut = tmp_path / "cut.fgb"
    messages = set()
    for length in range(8, len(whole), 4):
        cut.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"cut\.fgb: (holds|footprints cannot be read)") as caught:
            read_footprints(cut)
        messages.add(str(caught.value).removeprefix(f"{cut}: ").partition(";")[0])
    assert {"holds no layer", "holds 0 of its 2 features", "holds 1 of its 2 features"} < messages


def test_the_layer_of_a_geopackage(tmp_path):
    lines = [shapely.LineString([(0, 0), (1, 1)])]
    path = write_gdal(tmp_path / "one.gpkg", {"streets": lines}, geometry_type="LineString")
    with pytest.raises(DataError, match="has no layer of polygons; it has streets"):
        read_footprints(path)
    write_gdal(path, {"houses": TOWN})
    assert len(load_footprints(path)) == 2  # the only one with polygons
    write_gdal(path, {"plots": TOWN[:1]})
    with pytest.raises(DataError, match="2 layers of polygons; say with --layer which one holds the buildings: houses, plots"):
        read_footprints(path)
    assert len(load_footprints(path, layer="plots")) == 1
    with pytest.raises(DataError, match="has no layer 'roofs'; it has streets, houses, plots"):
        read_footprints(path, layer="roofs")
    write_gdal(path, {"OSM_Buildings": [*TOWN, shapely.box(50, 50, 51, 51)]})
    assert len(load_footprints(path)) == 3
    with pytest.raises(ConfigError, match="--layer chooses a layer of a GeoPackage"):
        read_footprints(write_geojson(tmp_path, polygon(SQUARE)), layer="houses")


def test_only_what_lies_in_an_extent_is_kept(tmp_path):
    path = write_gdal(tmp_path / "f.gpkg", {"f": [shapely.box(x, 0, x + 5, 5) for x in range(500_000, 500_100, 10)]})
    assert load_footprints(path, within=(500_012, -9, 500_031, 9)).features.tolist() == [1, 2, 3]
    from_degrees = Grid(10, 10, crs=WGS84)
    assert len(load_footprints(path, within=from_degrees)) == 0
    west, south, east, north = 14.9999, -0.0001, 15.0003, 0.0001  # 500 000 m is 15° east
    near = Grid(10, 10, Affine((east - west) / 10, 0, west, 0, (south - north) / 10, north), WGS84)
    assert load_footprints(path, within=near).features.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        (polygon(BOW_TIE), r"feature 1 is no valid polygon: Self-intersection\[0\.5 0\.5\]"),
        (polygon(SQUARE[:-1]), r"feature 1 is no valid geometry: its ring is not closed"),
        (polygon(SQUARE, [[2, 2], [3, 2], [3, 3], [4, 4]]), "feature 1 .* ring is not closed: it starts at"),
        (polygon([[0, 0], [1, 0]]), "feature 1 is no valid geometry"),
        ({"type": "Blob"}, "feature 1 is no valid geometry: no geometry is called 'Blob'"),
        ({"type": "Polygon"}, "feature 1 is no valid geometry"),
        ({"type": "Polygon", "coordinates": None}, "feature 1 is no valid geometry: it holds None where a list is expected"),
        ({"type": "Polygon", "coordinates": [None]}, "feature 1 is no valid geometry: it holds None"),
        ({"type": "MultiPolygon", "coordinates": {}}, "feature 1 is no valid geometry: it holds {}"),
        ({"type": "MultiPolygon", "coordinates": [[SQUARE], 0]}, "feature 1 is no valid geometry: it holds 0"),
        ({"type": "GeometryCollection", "geometries": ""}, "feature 1 is no valid geometry: it holds ''"),
        (polygon([[0, 0], [10**400, 0], [1, 1], [0, 0]]), r"f\.geojson: feature 1 is no valid geometry: int too large"),
        ({"type": "Polygon", "coordinates": [[["a", "b"]]]}, "feature 1 is no valid geometry"),
        ({"type": "Polygon", "coordinates": [[[1], [2], [3], [1]]]}, "feature 1 is no valid geometry"),
        (polygon([[0, 0], [1, 0], [0, 0]]), "feature 1 is no valid"),
        (polygon([[0, 0], [float("nan"), 0], [1, 1], [0, 0]]), "feature 1 is no valid polygon: Invalid Coordinate"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_a_broken_polygon_is_named_by_its_feature(tmp_path, geometry, message):
    with pytest.raises(DataError, match=message):
        read_footprints(write_geojson(tmp_path, polygon(SQUARE), geometry))


def test_broken_polygons_are_mended_when_asked(tmp_path):
    path = write_geojson(
        tmp_path, polygon(SQUARE), polygon(BOW_TIE), polygon(SQUARE[:-1]), polygon([[0, 0], [1, 0]]), polygon(SQUARE, SQUARE[:2])
    )
    with pytest.warns(UserWarning, match="4 footprints were not valid and have been mended; of 1 of them nothing was left"):
        found = load_footprints(path, repair=True)
    assert found.repaired == 4
    assert shapely.is_valid(found.polygons).all()
    assert found.features.tolist() == [0, 1, 1, 2, 4]  # a bow tie is two triangles
    assert shapely.area(found.polygons).tolist() == [1, 0.25, 0.25, 1, 1]

    bow_tie = shapely.Polygon(BOW_TIE)
    of_gdal = write_gdal(tmp_path / "f.gpkg", {"f": [YARD, bow_tie, bow_tie]})
    with pytest.raises(DataError, match=r"feature 1 is no valid polygon: Self-intersection\[0\.5 0\.5\] \(and 1 more after it\)"):
        read_footprints(of_gdal)
    with pytest.warns(UserWarning, match="2 footprints were not valid and have been mended"):
        assert len(read_footprints(of_gdal, repair=True)[0]) == 5

    table = tmp_path / "t.csv"
    table.write_text('geometry\n"POLYGON((0 0, 1 0, 1 1, 0 1))"\n"POLYGON((0 0, 1 0, 1 1, 0 0))"')
    with pytest.warns(UserWarning, match="1 footprints were"):
        assert shapely.area(load_footprints(table, repair=True).polygons).tolist() == [1, 0.5]


def test_latitudes_beyond_the_pole_are_longitudes(tmp_path):
    ring = [[52.5, 130.4], [52.6, 130.4], [52.6, 130.5], [52.5, 130.4]]
    with pytest.raises(DataError, match=r"latitudes run from 130\.4 to 130\.5\. Longitude and latitude seem to be swapped"):
        read_footprints(write_geojson(tmp_path, polygon(ring)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("f.geojson", b"", "not a readable GeoJSON"),
        ("f.geojson", b"<html>", "not a readable GeoJSON"),
        ("f.geojson", b"[1, 2]", "not a readable GeoJSON"),
        ("f.geojson", b"\xff\xfe{}", "not a readable GeoJSON"),
        ("f.geojson", b'{"type": "FeatureCollection"}', "not a readable GeoJSON"),
        ("f.geojson", b'{"type": "FeatureCollection", "features": 5}', "not a readable GeoJSON .*its features are 5, not a list"),
        ("f.geojson", b'{"type": "FeatureCollection", "features": null}', "not a readable GeoJSON .*its features are None"),
        ("f.geojson", b'{"type": "Polygon", "coordinates": null}', "feature 0 is no valid geometry: it holds None"),
        ("f.geojsonl", b'{"type": "Polygon", "coordinates": null}', "feature 0 is no valid geometry: it holds None"),
        ("f.geojson", b'{"type": "FeatureCollection", "features": []} more', "something follows the end"),
        ("f.geojson", b'{"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": null}', "it ends too early"),
        ("f.geojson", b'{"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": null} 5', "no comma"),
        (
            "f.geojson",
            b'{"type": "FeatureCollection", "features": [], "crs": {"properties": {"name": "Mars"}}}',
            "'Mars' is no CRS",
        ),
        ("f.geojson.gz", b"\x1f\x8bnothing packed", "not a readable GeoJSON"),
        ("f.geojsonl", b'{"type": "Feature", "geometry": null}\n{"type": "Fea', "line 2 is not a GeoJSON feature"),
        ("f.geojsonl", b'{"type": "FeatureCollection", "features": []}', "line 1 .* rename the file to .geojson"),
        ("f.csv.gz", b"\x1f\x8bnothing packed", "cannot be unpacked"),
        ("f.csv", b"geometry\n\xff\xff\xff", "row 2 cannot be read"),
        ("f.gpkg", b"", "not a GeoPackage"),
        ("f.gpkg", b"SQLite format 3\0" + bytes(200), "cannot be read"),
        ("f.shp", b"x", "not a Shapefile"),
        ("f.shp", b"\x00\x00\x27\x0a", "cannot be read"),
        ("f.zip", b"PK", "not a readable .zip"),
        ("f.fgb", b"x", "not a FlatGeobuf"),
        ("f.pbf", b"OSMHeader", "not a .osm.pbf file"),
        ("f.pbf", b"\0\0\0\x0e\n\tOSMHeader", "cannot be read"),
        ("f.osm", b"<html/>", "its root is <html>"),
        ("f.osm", b"<osm><node", "not a readable OpenStreetMap file"),
        ("f.parquet", b"x", "not a Parquet file"),
        ("f.parquet", b"PAR1 and no more", "not a readable Parquet file"),
        ("f.vec", b"x", r"footprints are read as \.geojson, .*\.gpkg"),
        ("f.gpkg.gz", b"x", "unpack it first"),
    ],
)
def test_files_that_hold_no_footprints(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_footprints(tmp_path / name)
    with pytest.raises(DataError, match="no such file"):
        read_footprints(tmp_path / "none.gpkg")


def test_a_vector_vrt_under_another_name_reads_nothing_of_the_file_it_points_to(tmp_path):
    write_geojson(tmp_path, polygon(SQUARE), name="secret.geojson")
    vrt = (
        f'<OGRVRTDataSource><OGRVRTLayer name="secret"><SrcDataSource>{tmp_path}/secret.geojson</SrcDataSource>'
        "</OGRVRTLayer></OGRVRTDataSource>"
    )
    for name in (
        "leak.geojson",
        "leak.gpkg",
        "leak.shp",
        "leak.fgb",
        "leak.osm",
        "leak.pbf",
        "leak.parquet",
        "leak.zip",
        "leak.jsonl",
    ):
        (tmp_path / name).write_text(vrt)
        with pytest.raises(DataError, match=r"not a|its root is"):
            read_footprints(tmp_path / name)
    # Bytes that suit the suffix, with the instructions behind them where GDAL would still find them.
    for name, magic in (("leak.shp", b"\x00\x00\x27\x0a"), ("leak.fgb", b"fgb\x03"), ("leak.pbf", b"\0\0\0\x0e\n\tOSMHeader")):
        (tmp_path / name).write_bytes(magic + vrt.encode())
        with pytest.raises(DataError, match=r"cannot be read|holds"):
            read_footprints(tmp_path / name)
    (tmp_path / "leak.gpkg").write_bytes(b"SQLite format 3\0" + vrt.encode())
    with pytest.raises(DataError, match=r"cannot be read|holds"):
        read_footprints(tmp_path / "leak.gpkg")
