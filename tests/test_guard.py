"""Files that name other files and addresses: no command opens what it was not given, and none connects anywhere.

Python's own calls are watched with an audit hook, GDAL's by what they would leave behind: a server on this machine must see no
connection, and a secret's pixels and text must appear in no output.
"""

import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading

import numpy as np
import pyogrio.raw
import pytest
import shapely

from conftest import UTM, make_grid, write_tiff
from orthoforge.geo.rasters import open_raster
from orthoforge.vectors import write_footprints

SECRET = "SECRET-7f3a"
# Runs commands in a process of its own, and prints the files that Python opened in the folder of secrets, and where it connected.
WATCH = """
import json, sys
secrets, commands = sys.argv[1], json.loads(sys.argv[2])
seen = []
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        seen.append(f"{event} {arguments}")
    elif event == "open" and str(arguments[0]).startswith(secrets):
        seen.append(f"{event} {arguments[0]}")
sys.addaudithook(hook)
from orthoforge.cli import main
codes = [main(command) for command in commands]
print("SEEN", json.dumps([codes, seen]))
"""


@pytest.fixture
def listener():
    """A server that hangs up on whoever comes: its address, and who came."""
    came = []
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def accept():
            with contextlib.suppress(OSError):  # the end of the test closes it
                while True:
                    connection, who = server.accept()
                    came.append(who)
                    connection.close()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", came
        server.shutdown(socket.SHUT_RDWR)


def run(secrets, commands, folder):
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "no_proxy": "*"}
    done = subprocess.run(
        [sys.executable, "-c", WATCH, str(secrets), json.dumps([list(map(str, command)) for command in commands])],
        capture_output=True, text=True, cwd=folder, env=environment, timeout=120,
    )  # fmt: skip
    assert "SEEN" in done.stdout, done.stderr
    codes, seen = json.loads(done.stdout.split("SEEN", 1)[1])
    return codes, seen, done.stdout + done.stderr


def hostile_footprints(folder, name):
    """A file of each format that names ``name`` where a CRS stands, or where another file could."""
    ring = [[15, 50], [15.001, 50], [15.001, 50.001], [15, 50]]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    document = {"type": "FeatureCollection", "features": [feature]}
    house = [shapely.Polygon(ring)]
    for number, crs in enumerate(
        (
            {"type": "name", "properties": {"name": name}},
            {"type": "link", "properties": {"href": name, "type": "proj4"}},
            {"type": "name", "properties": {"name": f"+proj=utm +zone=33 +nadgrids={name} +type=crs"}},
        )
    ):
        (folder / f"crs{number}.geojson").write_text(json.dumps(document | {"crs": crs}))
    (folder / "name.geojson").write_text(json.dumps(name))
    (folder / "name.json").write_text(json.dumps(document | {"features": [{"$ref": name}]}))
    (folder / "vrt.json").write_text(f'<OGRVRTDataSource><OGRVRTLayer name="s"><SrcDataSource>{name}</SrcDataSource>')
    (folder / "entity.osm").write_text(f'<!DOCTYPE osm [<!ENTITY a SYSTEM "{name}">]><osm><node id="1" lat="1" lon="&a;"/></osm>')
    (folder / "dtd.osm").write_text(f'<!DOCTYPE osm SYSTEM "{name}"><osm><node id="1" lat="1" lon="1"/></osm>')  # no building
    (folder / "table.csv").write_text(f'wkt\n"{name}"\n')
    write_footprints(folder / "srs.gpkg", house, UTM)
    with sqlite3.connect(folder / "srs.gpkg") as base:
        base.execute("UPDATE gpkg_spatial_ref_sys SET organization = 'NONE', definition = ? WHERE srs_id = 32633", (name,))
    base.close()
    write_footprints(folder / "attached.gpkg", house, UTM)
    with sqlite3.connect(folder / "attached.gpkg") as base:
        base.execute("ALTER TABLE footprints RENAME TO real")
        base.execute(f"CREATE VIEW footprints AS SELECT fid, coalesce(readfile('{name}'), geom) AS geom FROM real")
    base.close()
    wkb = shapely.to_wkb(np.array(house, object))
    pyogrio.raw.write(folder / "prj.shp", geometry=wkb, field_data=[], fields=[], geometry_type="Polygon", crs="EPSG:4326")
    (folder / "prj.prj").write_text(name)
    for file, beginning in (("a.shp", b""), ("a.fgb", b""), ("a.gpkg", b""), ("a.pbf", b""), ("a.parquet", b""), ("a.zip", b"")):
        (folder / file).write_bytes(beginning + f"<OGRVRTDataSource><OGRVRTLayer><SrcDataSource>{name}".encode())
    pytest.importorskip("pyarrow")
    import pyarrow
    from pyarrow import parquet

    for number, crs in enumerate((name, {"type": "link", "href": name}, {"type": "ProjectedCRS", "id": name})):
        geo = {"primary_column": "geometry", "columns": {"geometry": {"encoding": "WKB", "crs": crs}}}
        table = pyarrow.table({"geometry": pyarrow.array(wkb, pyarrow.binary())})
        parquet.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), folder / f"geo{number}.parquet")


def test_footprints_open_nothing_that_they_name(tmp_path, listener):
    url, came = listener
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "secret.prj").write_text(f'GEOGCS["{SECRET}",DATUM["d",SPHEROID["s",6378137,298.25]],UNIT["degree",0.01745]]')
    names = [f"{url}/secret.prj", f"/vsicurl/{url}/secret.prj", f"file://{secrets}/secret.prj", "../secrets/secret.prj"]
    commands = []
    for number, name in enumerate(names):
        inputs = tmp_path / f"in{number}"
        inputs.mkdir()
        hostile_footprints(inputs, name)
        files = sorted(file for file in inputs.iterdir() if file.suffix not in (".shx", ".dbf", ".prj", ".cpg"))
        commands += [["footprints", file, "--out", tmp_path / f"{number}{file.name}.tif", "--gsd", "1"] for file in files]
        house = inputs / "prj.shp"
        for option in ("--crs", "--footprints-crs"):
            commands.append(["footprints", house, "--out", tmp_path / f"{number}{option}.tif", "--gsd", "1", option, name])
        commands.append(["footprints", name, "--out", tmp_path / "n.tif", "--gsd", "1"])
    codes, seen, said = run(secrets, commands, inputs)
    assert came == []
    assert seen == []
    assert SECRET not in said
    assert "Traceback" not in said
    assert all(SECRET.encode() not in file.read_bytes() for file in tmp_path.glob("*.tif*"))
    # None is a sound file. What else is read would have been taken from elsewhere.
    assert [command[1].name for command, code in zip(commands, codes, strict=True) if code not in (2, 3)] == []


def vrt(size, source):
    return (
        f'<VRTDataset rasterXSize="{size}" rasterYSize="{size}"><Metadata><MDI key="INTERNAL_MASK_FLAGS_1">2</MDI></Metadata>'
        f'<VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f'<SourceFilename relativeToVRT="0">{source}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>'
    )


def test_rasters_open_nothing_that_they_name(tmp_path, listener):
    url, came = listener
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    grid = make_grid(64)
    secret = np.full((64, 64), 255, np.uint8)
    secret[20:30, 20:30] = 0
    write_tiff(secrets / "secret.tif", secret, grid)
    commands = []
    for kind, source in (("path", secrets / "secret.tif"), ("address", f"/vsicurl/{url}/secret.tif")):
        data = tmp_path / kind
        for folder in ("images", "masks"):
            (data / folder).mkdir(parents=True)
        write_tiff(data / "images" / "town1.tif", np.full((64, 64, 3), 90, np.uint8), grid)
        write_tiff(data / "masks" / "town1.tif", np.pad(np.full((32, 32), 255, np.uint8), 16), grid)
        for folder in ("images", "masks"):
            for suffix in (".msk", ".ovr"):
                (data / folder / f"town1.tif{suffix}").write_text(vrt(64, source))
        (data / "vrt.tif").write_text(vrt(64, source))
        mask = data / "masks" / "town1.tif"
        commands += [
            ["check", data, "--all"], ["prepare", data, tmp_path / f"{kind}-tiles", "--grid", "1", "--size", "64"],
            ["generate", "orthoforge-s", mask, "--out", tmp_path / f"{kind}-image.tif"],
            ["footprints", mask, "--out", tmp_path / f"{kind}.geojson"],
            ["footprints", data / "vrt.tif", "--out", tmp_path / "none.geojson"],
        ]  # fmt: skip
    codes, seen, said = run(secrets, commands, tmp_path)
    assert came == []
    assert seen == []
    assert "Traceback" not in said
    assert codes[4::5] == [3, 3]
    for outlines in tmp_path.glob("*.geojson"):  # of the mask's own square, without the hole that is the secret's
        (outline,) = json.loads(outlines.read_text())["features"]
        assert len(outline["geometry"]["coordinates"]) == 1
    for image in tmp_path.glob("*-image.tif"):
        with open_raster(image) as raster:
            assert not raster.has_mask
