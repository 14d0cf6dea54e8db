"""Files as other programs write them, and formats that are not read."""

import json
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pyogrio.raw
import pytest
import shapely

from conftest import UTM
from orthoforge.errors import ConfigError, DataError
from orthoforge.masks.opening import Extent, open_mask
from orthoforge.vectors import load_footprints, write_footprints
from orthoforge.vectors.chunks import chunk_from_wkb
from orthoforge.vectors.files import footprints

BOXES = [shapely.box(500_000 + 10 * n, 5_000_000, 500_006 + 10 * n, 5_000_006) for n in range(3)]


def shapefile(path, boxes=BOXES):
    pyogrio.raw.write(
        path, geometry=shapely.to_wkb(np.array(boxes, object)), field_data=[], fields=[], geometry_type="Polygon", crs="EPSG:32633"
    )
    return path


def test_a_zip_made_by_macos_holds_one_shapefile(tmp_path):
    path = shapefile(tmp_path / "town.shp")
    with zipfile.ZipFile(tmp_path / "town.zip", "w") as packed:
        for suffix in (".shp", ".shx", ".dbf", ".prj"):
            packed.write(path.with_suffix(suffix), f"town{suffix}")
            packed.writestr(f"__MACOSX/._town{suffix}", b"\x00\x05\x16\x07" + bytes(200))
    assert len(load_footprints(tmp_path / "town.zip")) == 3


def test_two_shapefiles_of_one_name_in_a_zip_are_told_apart_by_their_folders(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        for folder, count in (("north", 1), ("south", 3)):
            (tmp_path / folder).mkdir()
            for file in shapefile(tmp_path / folder / "houses.shp", BOXES[:count]).parent.iterdir():
                packed.write(file, f"{folder}/{file.name}")
    with pytest.raises(DataError, match="say with --layer which one holds the buildings: north/houses, south/houses"):
        load_footprints(tmp_path / "a.zip")
    assert len(load_footprints(tmp_path / "a.zip", layer="north/houses")) == 1
    assert len(load_footprints(tmp_path / "a.zip", layer="south/houses")) == 3


def ring3(x, y, side, height):
    return [(x, y, height), (x + side, y, height), (x + side, y + side, height), (x, y + side, height)]


def multipatch(path, parts_of_each):
    """A Shapefile of surfaces: for each, parts as (type, points): 0 a strip of triangles, 1 a fan, 2 a ring."""
    records, index, offset = b"", b"", 50
    every = np.array([point for parts in parts_of_each for _, points in parts for point in points], float)
    low, high = every.min(axis=0), every.max(axis=0)
    for number, parts in enumerate(parts_of_each, 1):
        points = np.array([point for _, points in parts for point in points], float)
        starts = np.cumsum([0] + [len(points) for _, points in parts])[:-1]
        content = struct.pack("<i4d2i", 31, *points[:, :2].min(0), *points[:, :2].max(0), len(parts), len(points))
        content += struct.pack(f"<{2 * len(parts)}i", *starts, *(kind for kind, _ in parts)) + points[:, :2].tobytes()
        content += struct.pack("<2d", points[:, 2].min(), points[:, 2].max()) + points[:, 2].tobytes()
        records += struct.pack(">2i", number, len(content) // 2) + content
        index += struct.pack(">2i", offset, len(content) // 2)
        offset += 4 + len(content) // 2
    for suffix, body in ((".shp", records), (".shx", index)):
        head = struct.pack(">7i", 9994, 0, 0, 0, 0, 0, 50 + len(body) // 2)
        head += struct.pack("<2i8d", 1000, 31, *low[:2], *high[:2], low[2], high[2], 0, 0)
        path.with_suffix(suffix).write_bytes(head + body)
    path.with_suffix(".prj").write_text(UTM.to_wkt())
    return path


@pytest.mark.parametrize("roof", [1, 2])
def test_a_multipatch_is_its_outline_seen_from_above(tmp_path, roof):
    houses = []
    for x in (500_000, 500_040):
        eaves, ground = ring3(x, 5_500_000, 20, 8), ring3(x, 5_500_000, 20, 0)
        walls = [(0, [ground[n], eaves[n], ground[(n + 1) % 4], eaves[(n + 1) % 4]]) for n in range(4)]
        houses.append([(roof, eaves if roof == 1 else [*eaves, eaves[0]]), *walls])
    found = load_footprints(multipatch(tmp_path / "f.shp", houses))
    assert shapely.area(found.polygons).tolist() == [400, 400]
    assert found.features.tolist() == [0, 1]
    assert found.repaired == 0
    assert found.crs == UTM


def test_surfaces_as_text_and_curves(tmp_path):
    path = tmp_path / "f.csv"
    faces = "((0 0 1,.001 0 1,.001 .001 1,0 0 1)),((0 0 1,.001 .001 1,0 .001 1,0 0 1)),((0 0 1,.001 0 1,.001 0 0,0 0 1))"
    path.write_text(f'wkt\n"TIN Z ({faces})"\n"POLYHEDRALSURFACE Z ({faces})"\n')
    assert shapely.area(load_footprints(path).polygons) == pytest.approx([1e-6, 1e-6])
    path.write_text('wkt\n"POLYGON((0 0,1 0,1 1,0 0))"\n"CURVEPOLYGON(CIRCULARSTRING(0 0,1 1,2 0,1 -1,0 0))"\n')
    with pytest.raises(DataError, match=r"f\.csv: feature 1 cannot be read: it has curves.*ogr2ogr -nlt CONVERT_TO_LINEAR"):
        load_footprints(path)
    curve = struct.pack("<BII", 1, 10, 1)
    with pytest.raises(DataError, match="feature 7 cannot be read: it has curves"):
        chunk_from_wkb(path, np.array([curve, None], object), 7, repair=True, name="feature {}".format)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("town.kml", "", r"is KML, which is not read\. Convert it: ogr2ogr {}/town\.gpkg {}/town\.kml$"),
        ("a town.GML", "", r"is GML, which is not read\. Convert it: ogr2ogr '{}/a town\.gpkg' '{}/a town\.GML'$"),
        (
            "town.dxf",
            "",
            r"is a DXF drawing.* CRS for CODE: ogr2ogr --config \S+ TRUE -a_srs EPSG:CODE {}/town\.gpkg {}/town\.dxf$",
        ),
        ("town.topojson", "", r"is TopoJSON, which is not read\. Convert it: ogr2ogr "),
        ("town.sqlite", "", "is an SQLite or SpatiaLite database, which is not read. Convert it: ogr2ogr "),
        ("town.gdb/", "", r"is an Esri file geodatabase, which is not read\. Convert it: ogr2ogr {}/town\.gpkg {}/town\.gdb$"),
        ("town.dwg", "", "is a DWG drawing, which is not read. Save it as DXF"),
        ("town.dbf", "", r"is a part of a Shapefile; name its \.shp"),
        ("town.json", '{"type": "Topology", "objects": {}, "arcs": []}', "is TopoJSON, which is not read. Convert it: ogr2ogr "),
        ("town.json", '{"geometryType": "esriGeometryPolygon", "features": []}', r"is Esri JSON.*gpkg ESRIJSON:{}/town\.json$"),
        ("town.json", '{"features": [{"attributes": {}, "geometry": {"rings": []}}]}', "is Esri JSON, which is not read"),
        ("town.json", '{"type": "CityJSON"}', "is CityJSON, which is not read"),
        ("town.json", '<?xml version="1.0"?><kml xmlns="http://www.opengis.net/kml/2.2">', "is KML, which is not read"),
        ("town.osm", '<gml:FeatureCollection xmlns:gml="http://www.opengis.net/gml">', "is GML, which is not read"),
        ("town.xyz", "", r"is neither footprints \(\.geojson, .*\.osm\.pbf\) nor a mask \(\.tif, "),
        ("none.kml", None, "none.kml: no such file"),
    ],
)
def test_formats_that_are_not_read_say_what_they_are_and_how_to_convert_them(tmp_path, name, content, message):
    path = tmp_path / name
    if name.endswith("/"):
        path.mkdir()
    elif content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=message.replace("{}", str(tmp_path))):
        footprints(path, tmp_path / "mask.tif", gsd=0.3)


def test_generate_says_the_same_of_them(tmp_path):
    (tmp_path / "town.kml").write_text("")
    with (
        pytest.raises(DataError, match=r"town\.kml: is KML"),
        open_mask(tmp_path / "town.kml", classes=None, threshold=None, extent=Extent(), gsd_m=0.3),
    ):
        pass


def test_old_macs_ends_of_lines(tmp_path):
    (tmp_path / "f.csv").write_bytes(b'id,wkt\r1,"POLYGON((0 0,1 0,1 1,0 0))"\r2,"POLYGON((0 0,1 0,\r1 1,0 0))"\r')
    assert len(load_footprints(tmp_path / "f.csv")) == 2


@pytest.mark.parametrize("suffix", [".geojson", ".gpkg", ".parquet"])
def test_names_that_are_long_or_not_utf8(tmp_path, suffix):
    write_footprints(tmp_path / f"f{suffix}", BOXES, UTM)
    long = tmp_path / ("n" * (255 - len(suffix)) + suffix)
    shutil.copy(tmp_path / f"f{suffix}", long)
    assert len(load_footprints(long)) == 3
    with pytest.raises(ConfigError, match="the file's name has 255 bytes; 235 are the most"):
        write_footprints(long, BOXES, UTM, overwrite=True)
    with pytest.raises(ConfigError, match="the file's name has 254 bytes"):
        footprints(tmp_path / f"f{suffix}", tmp_path / ("n" * 250 + ".tif"), gsd=1)
    write_footprints(tmp_path / ("n" * (235 - len(suffix)) + suffix), BOXES, UTM)
    with pytest.raises(DataError, match=r"File name too long"):
        load_footprints(tmp_path / ("n" * 300 + suffix))

    odd = Path(f"{tmp_path}/\udcff{suffix}")
    shutil.copy(tmp_path / f"f{suffix}", odd)
    if suffix == ".parquet":
        with pytest.raises(DataError, match="its name, or a folder's, is not UTF-8"):
            load_footprints(odd)
    else:
        assert len(load_footprints(odd)) == 3
    with pytest.raises(DataError, match="its name, or a folder's, is not UTF-8"):
        write_footprints(odd, BOXES, UTM, overwrite=True)
    odd_shp = Path(f"{tmp_path}/\udcff.shp")
    odd_shp.write_bytes(b"\x00\x00\x27\x0a")
    with pytest.raises(DataError, match="is not UTF-8"):
        load_footprints(odd_shp)


@pytest.mark.parametrize("name", ["f.geojson", "f.geojsonl", "f.csv", "f.gpkg", "f.shp", "f.zip", "f.fgb", "f.parquet", "f.osm"])
def test_a_file_that_may_not_be_read_is_an_error_of_ours(tmp_path, monkeypatch, name):
    path = tmp_path / name
    path.write_text(json.dumps({}))

    def denied(file, *arguments, **options):
        if str(file) == str(path):
            raise PermissionError(13, "Permission denied")
        return opened(file, *arguments, **options)

    opened = open
    monkeypatch.setattr("builtins.open", denied)
    with pytest.raises(DataError, match=rf"{name}: cannot be read \(Permission denied\)"):
        load_footprints(path)
