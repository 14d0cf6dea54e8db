"""What a file may ask for: unpacked bytes, long lines, nesting, numbers, and layers that compute."""

import gzip
import json
import sqlite3
import struct
import zipfile

import numpy as np
import pyogrio.raw
import pytest
import shapely

from conftest import UTM
from orthoforge.errors import DataError
from orthoforge.vectors import json_stream, limits, load_footprints, write_footprints
from orthoforge.vectors.chunks import chunk_from_wkb

BOXES = [shapely.box(500_000 + 10 * n, 5_000_000, 500_006 + 10 * n, 5_000_006) for n in range(5)]
RING = [[0, 0], [0.001, 0], [0.001, 0.001], [0, 0]]
POLYGON = json.dumps({"type": "Polygon", "coordinates": [RING]})
DEEP = 200_000


def collection(*geometries):
    features = ", ".join(f'{{"type": "Feature", "properties": {{}}, "geometry": {geometry}}}' for geometry in geometries)
    return f'{{"type": "FeatureCollection", "features": [{features}]}}'


def ring(corner):
    return f'{{"type": "Polygon", "coordinates": [[[0, 0], {corner}, [1, 1], [0, 0]]]}}'


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        ('{"type":"GeometryCollection","geometries":[' * DEEP + "]}" * DEEP, "feature 1: it is nested too deep"),
        ("[" * DEEP, "feature 1: it is nested too deep"),
        (ring(f"[{'1' * 10**5}, 0]"), "feature 1: it holds a number of thousands of digits"),
        (ring("[true, 0]"), "feature 1 is no valid geometry: a coordinate is True, not a number"),
        (ring('["1", 0]'), "feature 1 is no valid geometry: a coordinate is '1', not a number"),
        (ring("[null, 0]"), "feature 1 is no valid geometry: a coordinate is None, not a number"),
        (ring("[1e400, 0]"), "feature 1 is no valid polygon: Invalid Coordinate"),
        (ring("[-Infinity, 0]"), "feature 1 is no valid polygon: Invalid Coordinate"),
        (f'{{"type": "{"A" * 10**5}"}}', "feature 1 is no valid geometry: no geometry is called 'AAA"),
        (f'{{"type": "Polygon", "coordinates": "{"B" * 10**5}"}}', "feature 1 is no valid geometry: it holds 'BBB"),
        ("5", "feature 1 is no valid geometry: 'int' object is not"),
        (ring('[1, 0], [0.5, 0.5], {"a": 5}'), "feature 1 is no valid geometry"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_a_hostile_feature_of_a_geojson_is_named_in_few_words(tmp_path, geometry, message):
    (tmp_path / "f.geojson").write_text(collection(POLYGON, geometry))
    with pytest.raises(DataError, match=message) as caught:
        load_footprints(tmp_path / "f.geojson")
    assert len(str(caught.value)) < 600


def test_heights_may_be_missing_in_some_points(tmp_path):
    (tmp_path / "f.geojson").write_text(collection(ring("[1, 0, null]"), ring("[1, 0, 5]")))
    assert shapely.area(load_footprints(tmp_path / "f.geojson").polygons).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("block", [1, 7, 64])
def test_a_document_read_in_pieces_is_the_same(tmp_path, monkeypatch, block):
    monkeypatch.setattr(json_stream, "_BLOCK_BYTES", block)
    monkeypatch.setattr(json_stream, "_MOST_BYTES", block)
    path = tmp_path / "f.geojson"
    text = f'\ufeff{{ "ä€\U0001f3e0": 12.5e-1 , "features" :[ {{"type": "Feature", "geometry": {POLYGON}, "properties": null}} , '
    text += f'{{"geometry": {ring("[1, 0]")}, "type":"Feature", "a": true}} ], "n": -123, "type": "FeatureCollection" }} \n'
    path.write_text(text, encoding="utf-8")
    assert shapely.area(load_footprints(path).polygons) == pytest.approx([5e-7, 0.5])
    for cut in (20, 60, 100, len(text) - 5):
        path.write_text(text[:cut], encoding="utf-8")
        with pytest.raises(DataError, match=r"not a readable GeoJSON file .*ends too early"):
            load_footprints(path)
    path.write_text(text + "{", encoding="utf-8")
    with pytest.raises(DataError, match=rf"something follows the end of the document, at character {len(text) - 1}"):
        load_footprints(path)


@pytest.mark.parametrize("name", ["f.geojson.gz", "f.geojsonl.gz", "f.csv.gz", "f.osm.gz"])
@pytest.mark.parametrize("filling", [" ", "\n", "1", ","])
def test_a_file_that_unpacks_to_far_more_than_its_size_is_refused(tmp_path, monkeypatch, name, filling):
    monkeypatch.setattr(limits, "FREE_BYTES", 2**16)
    start = {"f.csv.gz": "wkt\n", "f.osm.gz": "<osm>"}.get(name, "{" if "geojson." in name else "")
    (tmp_path / name).write_bytes(gzip.compress((start + filling * 2**19).encode()))
    with pytest.raises(
        DataError, match=r"unpacks to more than 50 times its size, which no footprints do|not a readable|line 1|row 2"
    ):
        load_footprints(tmp_path / name)
    with limits.Metered(tmp_path / name) as file, pytest.raises(DataError, match="unpacks to more than 50 times its size"):
        _exhaust(file)


@pytest.mark.parametrize(
    ("name", "start", "filling"),
    [
        ("f.geojson", '{"features": [{"a": "', "a"),
        ("f.geojson", "", " "),
        ("f.geojsonl", '{"a": "', "a"),
        ("f.csv", 'wkt\n"', "a"),
        ("f.csv", 'wkt\n"', "a\n"),
        ("f.csv", "wkt\n", '"\n",'),
        ("f.osm", '<osm><node id="', "1"),
        ("f.osm", '<osm><way id="1">', '<nd ref="1"/>'),
        ("f.osm", "<osm><!--", "a"),
    ],
)
def test_a_feature_without_an_end_is_not_waited_for(tmp_path, monkeypatch, name, start, filling):
    monkeypatch.setattr(limits, "MAX_FEATURE_BYTES", 2**17)
    from orthoforge.vectors import tables

    monkeypatch.setattr(tables, "MAX_FEATURE_BYTES", 2**17)
    (tmp_path / name).write_text(start + filling * (2**20 // len(filling)))
    with pytest.raises(DataError, match=r"MB follow byte [0-9]+ without the end of a feature|field larger than field limit"):
        load_footprints(tmp_path / name)


def test_a_star_that_crosses_itself_millions_of_times_is_not_mended(tmp_path):
    turns = np.arange(3001) * 1500 / 3001 * 2 * np.pi
    star, bow = np.stack([np.cos(turns), np.sin(turns)], axis=1), [[0, 0], [1, 1], [1, 0], [0, 1]]
    for name, ring in (("star", star.tolist()), ("bow", bow)):
        geometry = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
        (tmp_path / f"{name}.geojson").write_text(json.dumps({"type": "Feature", "properties": {}, "geometry": geometry}))
    with pytest.warns(UserWarning, match="1 footprints were not valid"):
        assert len(load_footprints(tmp_path / "bow.geojson", repair=True)) == 2
    with pytest.raises(DataError, match="feature 0 crosses itself far too often to be mended"):
        load_footprints(tmp_path / "star.geojson", repair=True)


def test_a_polygon_of_too_many_holes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("orthoforge.vectors.complexity._MOST_RINGS", 2)
    write_footprints(tmp_path / "f.geojson", [shapely.box(0, 0, 9, 9) - shapely.box(1, 1, 2, 2) - shapely.box(3, 3, 4, 4)], None)
    with pytest.raises(DataError, match="feature 0 has 2 holes; fewer than 2 are accepted"):
        load_footprints(tmp_path / "f.geojson")


@pytest.mark.parametrize("word", ["GEOMETRYCOLLECTION", "MULTIPOLYGON", "TIN"])
def test_text_nested_deep_is_an_error(tmp_path, word):
    (tmp_path / "f.csv").write_text(f'wkt\n"POLYGON((0 0,1 0,1 1,0 0))"\n"{f"{word}(" * DEEP}POINT(0 0){")" * DEEP}"\n')
    with pytest.raises(DataError, match="feature 1 cannot be read: its parts are nested more than 32 deep"):
        load_footprints(tmp_path / "f.csv")


@pytest.mark.parametrize("kind", [4, 5, 6, 7, 15, 16, 1007, 3006, 0x80000007, 0x20000007])
def test_bytes_nested_deep_are_an_error(tmp_path, kind):
    level = struct.pack("<BI", 1, kind) + (bytes(4) if kind & 0x20000000 else b"") + struct.pack("<I", 1)
    shapes = np.array([shapely.to_wkb(BOXES[0]), level * DEEP], object)
    with pytest.raises(DataError, match=r"f\.x: feature 9 cannot be read: its parts are nested more than 32 deep"):
        chunk_from_wkb(tmp_path / "f.x", shapes, 8, repair=True, name="feature {}".format)


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("dimension", [2, 3])
def test_sound_collections_and_multi_polygons_are_read_as_before(tmp_path, big_endian, dimension):
    many = shapely.force_3d(shapely.MultiPolygon([shapely.box(n, 0, n + 0.5, 1) for n in range(200)]), 5)
    nested = shapely.GeometryCollection(
        [shapely.Point(0, 0), shapely.GeometryCollection([many, shapely.LineString([(0, 0), (1, 1)])])]
    )
    for flavor in ("extended", "iso"):
        shapes = shapely.to_wkb(np.array([many, nested]), output_dimension=dimension, byte_order=not big_endian, flavor=flavor)
        found = chunk_from_wkb(tmp_path, shapes, 0, repair=False, name="feature {}".format).geometries
        assert shapely.force_2d(found).tolist() == shapely.force_2d([many, nested]).tolist()


def _exhaust(file):
    while file.read(2**16):
        file.mark()


def geopackage(path, *statements):
    write_footprints(path, BOXES, UTM)
    with sqlite3.connect(path) as base:
        for (trigger,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            base.execute(f'DROP TRIGGER "{trigger}"')
        for statement in statements:
            base.execute(*statement) if isinstance(statement, tuple) else base.execute(statement)
    base.close()
    return path


SET = "UPDATE footprints SET geom = ? WHERE fid = 3"


@pytest.mark.parametrize("blob", [b"", b"GP", "text", 5, b"GP\0\1" + bytes(4), b"GP\0\x0f" + bytes(90), b"\0\1" + bytes(60)])
def test_a_damaged_geometry_of_a_geopackage_names_its_feature(tmp_path, blob):
    with pytest.raises(DataError, match=r"f\.gpkg: feature 2 cannot be read: (its geometry is |it is cut short)"):
        load_footprints(geopackage(tmp_path / "f.gpkg", (SET, (blob,))))


@pytest.mark.parametrize("kept", [41, 60, 100, 132])
def test_a_geometry_cut_short_is_not_dropped_in_silence(tmp_path, kept):
    path = geopackage(tmp_path / "f.gpkg", f"UPDATE footprints SET geom = substr(geom, 1, {kept}) WHERE fid = 3")
    with pytest.raises(DataError, match=r"f\.gpkg: feature 2 is no valid geometry: "):
        load_footprints(path)
    with pytest.warns(UserWarning, match="1 footprints were not valid and have been mended; of 1 of them nothing was left"):
        assert load_footprints(path, repair=True).features.tolist() == [0, 1, 3, 4]


def test_features_without_geometry_keep_their_numbers(tmp_path):
    path = geopackage(
        tmp_path / "f.gpkg", "UPDATE footprints SET geom = NULL WHERE fid = 2", (SET, (b"GP\0\x11" + bytes(4) + b"x",))
    )
    assert load_footprints(path).features.tolist() == [0, 3, 4]


ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (
            [
                "ALTER TABLE footprints RENAME TO real",
                f"CREATE VIEW footprints AS {ENDLESS} SELECT x AS fid, (SELECT geom FROM real) AS geom FROM c",
            ],
            r"its layer footprints is no table but is computed \(a view\), which is not read",
        ),
        (
            [
                "ALTER TABLE gpkg_contents RENAME TO real",
                f"CREATE VIEW gpkg_contents AS {ENDLESS} SELECT real.* FROM c, real",
            ],
            "has no table gpkg_contents",
        ),
        (
            [
                "ALTER TABLE footprints RENAME TO real",
                "CREATE TABLE footprints (fid INTEGER PRIMARY KEY, geom BLOB AS (zeroblob(900000000)))",
                "INSERT INTO footprints (fid) VALUES (1)",
            ],
            "footprints cannot be read .*too big",
        ),
        (
            ["DROP TABLE footprints", "CREATE VIRTUAL TABLE footprints USING rtree(fid, a, b)"],
            "its layer footprints is no table but is computed",
        ),
        (["DELETE FROM gpkg_contents"], "has no layer of polygons; it has no layer"),
    ],
)
def test_layers_that_compute_are_not_read(tmp_path, statements, message):
    with pytest.raises(DataError, match=message):
        load_footprints(geopackage(tmp_path / "f.gpkg", *statements))


@pytest.mark.parametrize("definition", ["/etc/hostname", "http://127.0.0.1:1/", 'PROJCS["x', "/vsicurl/http://127.0.0.1:1/x"])
def test_a_crs_in_a_geopackage_is_no_file(tmp_path, definition):
    change = ("UPDATE gpkg_spatial_ref_sys SET organization = 'NONE', definition = ? WHERE srs_id = 32633", (definition,))
    with pytest.raises(DataError, match=r"its CRS cannot be read .* is no CRS"):
        load_footprints(geopackage(tmp_path / "f.gpkg", change))
    assert load_footprints(tmp_path / "f.gpkg", footprints_crs="EPSG:32633").crs == UTM


def test_an_index_that_speaks_of_more_than_its_shapefile_holds(tmp_path):
    path = tmp_path / "f.shp"
    wkb = shapely.to_wkb(np.array(BOXES, object))
    pyogrio.raw.write(path, geometry=wkb, field_data=[], fields=[], geometry_type="Polygon", crs="EPSG:32633")
    index = path.with_suffix(".shx")
    sound = index.read_bytes()
    index.write_bytes(sound[:100] + sound[100:108] * 100)
    with pytest.raises(DataError, match=r"its \.shx lists 100 shapes of \d+ bytes, the \.shp has 780 bytes"):
        load_footprints(path)
    with open(index, "r+b") as file:
        file.truncate(2**31)
    with pytest.raises(DataError, match=r"its \.shx lists 268435443 shapes of 3221225316 bytes"):
        load_footprints(path)
    with zipfile.ZipFile(tmp_path / "f.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(path, "f.shp")
        packed.writestr("f.shx", sound[:100] + sound[100:108] * 100)
    with pytest.raises(DataError, match=r"its \.shx lists 100 shapes"):
        load_footprints(tmp_path / "f.zip")


def test_a_zip_that_unpacks_to_far_more_than_its_size(tmp_path, monkeypatch):
    from orthoforge.vectors import containers

    monkeypatch.setattr(containers, "FREE_BYTES", 2**16)
    with zipfile.ZipFile(tmp_path / "f.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("f.shp", b"\x00\x00\x27\x0a" + bytes(2**20))
    with pytest.raises(DataError, match=r"f\.shp in it unpacks to more than 50 times its size"):
        load_footprints(tmp_path / "f.zip")
