"""GeoParquet as others write it."""

import json
import sys

import pytest
import shapely
from rasterio.crs import CRS

from conftest import UTM
from orthoforge.errors import ConfigError, DataError
from orthoforge.vectors import load_footprints, write_footprints

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
BOXES = [shapely.box(x, 0, x + 1, 1) for x in range(5)]


def write(path, *, column="geometry", rows=BOXES, geo=True, **about):
    wkb = [None if shape is None else shapely.to_wkb(shape) for shape in rows]
    table = arrow.table({"id": list(range(len(rows))), column: arrow.array(wkb, arrow.binary())})
    if geo:
        described = {"version": "1.1.0", "primary_column": column, "columns": {column: {"encoding": "WKB"} | about}}
        table = table.replace_schema_metadata({"geo": json.dumps(described)})
    parquet.write_table(table, path, row_group_size=2)
    return path


def test_without_a_crs_it_is_longitude_and_latitude_and_null_is_unknown(tmp_path):
    found = load_footprints(write(tmp_path / "f.parquet", column="shape", rows=[BOXES[0], None, BOXES[1]]))
    assert (found.features.tolist(), found.crs) == ([0, 2], CRS.from_epsg(4326))
    assert load_footprints(write(tmp_path / "f.parquet", crs=None)).crs is None
    assert load_footprints(write(tmp_path / "f.parquet", crs=UTM.to_dict(projjson=True))).crs == UTM
    nameless = UTM.to_dict(projjson=True)
    del nameless["id"]
    assert load_footprints(write(tmp_path / "f.geoparquet", crs=nameless)).crs == UTM


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"geo": False}, "no `geo` metadata"),
        ({"encoding": "multipolygon"}, "encoded as multipolygon; WKB is read"),
        ({"crs": {"type": "Nonsense"}}, "its CRS cannot be read .*PROJJSON has a type.* --footprints-crs"),
        ({"rows": [BOXES[0], shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])]}, "feature 1 is no valid polygon"),
    ],
)
def test_what_cannot_be_read(tmp_path, options, message):
    with pytest.raises(DataError, match=message):
        load_footprints(write(tmp_path / "f.parquet", **options))


def test_what_unpacks_to_gigabytes_is_refused_before_it_does(tmp_path, monkeypatch):
    rows = [shapely.box(0, 0, 1, 1)] * 50
    monkeypatch.setattr("orthoforge.vectors.parquet.FREE_BYTES", 1000)
    monkeypatch.setattr("orthoforge.vectors.parquet.MAX_RATIO", 0)
    with pytest.raises(DataError, match="unpacks to more than 0 times its size"):
        load_footprints(write(tmp_path / "f.parquet", rows=rows))
    monkeypatch.undo()
    assert len(load_footprints(tmp_path / "f.parquet")) == 50
    monkeypatch.setattr("orthoforge.vectors.parquet.MAX_FEATURE_BYTES", 60)
    with pytest.raises(DataError, match="feature 0 has 0 MB; 0 MB are the most"):
        load_footprints(tmp_path / "f.parquet")
    monkeypatch.setattr("orthoforge.vectors.parquet._MOST_GROUP_BYTES", 20)
    with pytest.raises(DataError, match=r"row group 0 holds 0 MB of geometries.*smaller row groups"):
        load_footprints(tmp_path / "f.parquet")


def test_a_damaged_row_group_is_named(tmp_path):
    path = write(tmp_path / "f.parquet", rows=BOXES * 500)
    content = bytearray(path.read_bytes())
    content[1000 : len(content) // 2] = bytes(len(content) // 2 - 1000)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read|no valid geometry"):
        load_footprints(path)


def test_without_pyarrow_the_message_says_what_to_install(tmp_path, monkeypatch):
    path = write(tmp_path / "f.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"needs the package pyarrow\. Install it with: pip install 'orthoforge\[parquet\]'"):
        load_footprints(path)
    with pytest.raises(ConfigError, match="pyarrow"):
        write_footprints(tmp_path / "g.parquet", BOXES, UTM)
    assert [file.name for file in tmp_path.iterdir()] == ["f.parquet"]


def test_other_readers_find_what_was_written(tmp_path):
    write_footprints(tmp_path / "f.parquet", BOXES, UTM)
    about = json.loads(parquet.read_schema(tmp_path / "f.parquet").metadata[b"geo"])["columns"]["geometry"]
    assert about["encoding"] == "WKB"
    assert about["crs"]["id"] == {"authority": "EPSG", "code": 32633}
    assert about["bbox"] == [0, 0, 5, 1]
