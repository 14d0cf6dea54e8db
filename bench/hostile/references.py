"""Inputs that point elsewhere: at files that nobody gave, at web addresses, out of their folder."""

import json
import shutil
import sqlite3
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.hostile.case import Command, Input, Surroundings, command
from bench.hostile.material import RECIPE, Material
from bench.hostile.rasters import commands as raster_commands
from bench.hostile.stores import read_state, run_commands, store_commands, write_manifest, write_state
from bench.hostile.texts import train
from bench.hostile.vectors import readers

SECRET = b"orthoforge-marker-of-a-file-outside"
_VRT = """<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>
<SourceFilename relativeToVRT="0">{}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"""
_OGR_VRT = '<OGRVRTDataSource><OGRVRTLayer name="houses"><SrcDataSource>{}</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>'
_PAM = "<PAMDataset><SRS>{}</SRS><GeoTransform>500000,0.3,0,5000000,0,-0.3</GeoTransform></PAMDataset>"
_PAM_PROXY = '<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{0}</MDI></Metadata></PAMDataset>'
_BOUND = (
    'BOUNDCRS[SOURCECRS[GEOGCRS["a",DATUM["a",ELLIPSOID["a",6378137,298]],CS[ellipsoidal,2],AXIS["lon",east],AXIS["lat",north],'
    'ANGLEUNIT["degree",0.0174532925199433]]],TARGETCRS[GEOGCRS["WGS 84",DATUM["WGS",ELLIPSOID["W",6378137,298.257223563]],'
    'CS[ellipsoidal,2],AXIS["lat",north],AXIS["lon",east],ANGLEUNIT["degree",0.0174532925199433]]],ABRIDGEDTRANSFORMATION["n",'
    'METHOD["NTv2",ID["EPSG",9615]],PARAMETERFILE["Latitude and longitude difference file","{}"]]]'
)
_NAMES = (
    "../../x",
    "/tmp/orthoforge-hostile-x",
    "..",
    ".",
    "a/b",
    "../../outside/made",
    "x/../../../outside/made",
    "~/x",
    "$HOME",
    "C:\\x",
    "a\nb",
)


def inputs() -> Iterator[Input]:
    """Every input that points elsewhere."""
    for part in ("images", "masks"):
        for suffix in (".msk", ".ovr"):
            for kind in ("vrt-file", "vrt-web", "vrt-zip", "vrt-self", "tiff-text"):
                yield Input(f"reference/{part}{suffix}/{kind}", "rasters", partial(_sibling, part, suffix, kind))
        for kind in _crs_texts(Surroundings(Path("x"), "http://x")):
            for suffix in (".prj", ".tif.aux.xml"):
                yield Input(f"reference/{part}{suffix}/{kind}", "rasters", partial(_raster_crs, part, suffix, kind))
        for kind in ("overviews", "vrt-as-tif", "vrt-as-png"):
            yield Input(f"reference/{part}/{kind}", "rasters", partial(_raster_other, part, kind))
    for kind in (*_crs_texts(Surroundings(Path("x"), "http://x")), "link", "number", "list"):
        for file in ("geojson", "gpkg", "shp", "parquet", "manifest"):
            if kind not in ("link", "number", "list") or file == "geojson":
                area = "tiles" if file == "manifest" else "footprints"
                yield Input(f"reference/crs-{file}/{kind}", area, partial(_vector_crs, file, kind))
        yield Input(f"reference/crs-option/{kind}", "footprints", partial(_crs_option, kind))
    for kind in (
        "vrt-as-shp",
        "vrt-as-gpkg",
        "vrt-as-json",
        "zip-escape",
        "zip-link",
        "zip-vrt",
        "gpkg-attach",
        "esri-json",
        "kml-as-json",
    ):
        yield Input(f"reference/vector/{kind}", "footprints", partial(_vector_other, kind))
    for number, _ in enumerate(_NAMES):
        yield Input(f"reference/recipe-name/{number}", "texts", partial(_recipe_name, number))
        yield Input(f"reference/scene-name/{number}", "tiles", partial(_scene_name, number))
        yield Input(f"reference/state-name/{number}", "runs", partial(_state_name, number))
    for kind in ("image", "mask", "side", "folder", "dangling", "loop"):
        yield Input(f"reference/link/{kind}", "growing", partial(_link, kind))


def _crs_texts(around: Surroundings) -> dict[str, str]:
    outside = around.outside
    return {
        "web": f"{around.url}/crs", "file": str(outside / "crs.wkt"), "relative": "../../outside/crs.wkt",
        "vsicurl": f"/vsicurl/{around.url}/crs", "nadgrids": f"+proj=longlat +ellps=clrk66 +nadgrids={outside / 'secret'}",
        "init": f"+init={outside / 'secret'}:1", "file-word": f"file:{outside / 'crs.wkt'}",
        "urn-web": f"urn:ogc:def:crs,crs:{around.url}",
        "opengis": "http://www.opengis.net/def/crs/EPSG/0/4326", "bound": _BOUND.format(outside / "secret"),
        "import": f"IMPORT_FROM_WKT_FILE:{outside / 'crs.wkt'}",
        "long": "EPSG:" + "9" * 5000, "empty": "", "word": "north", "escape": "EPSG:\x1b[31m4326", "nested": "PROJCS[" * 50_000,
    }  # fmt: skip


def _data(here: Path, material: Material) -> Path:
    shutil.copytree(material.data, here / "data")
    shutil.copytree(material.run, here / "run")
    return here / "data"


def _sibling(part: str, suffix: str, kind: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    file = around.outside / part / "town3.tif"
    targets = {
        "vrt-file": str(file), "vrt-web": f"/vsicurl/{around.url}/town3.tif", "vrt-zip": f"/vsizip/{file}/x.tif",
        "vrt-self": f"town3.tif{suffix}", "tiff-text": "",
    }  # fmt: skip
    text = _VRT.format(targets[kind]) if kind != "tiff-text" else "II*\0" + "x" * 300
    (_data(here, material) / part / f"town3.tif{suffix}").write_text(text)
    return raster_commands(here, part, 0)


def _raster_crs(part: str, suffix: str, kind: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    from xml.sax.saxutils import escape

    data, text = _data(here, material), _crs_texts(around)[kind]
    shutil.copytree(material.rasters / "side-files" / part, data / part, dirs_exist_ok=True)
    for path in (data / part).glob("town3.*"):
        if path.suffix in (".prj", ".xml", ".msk", ".ovr"):
            path.unlink()
    (data / part / f"town3{suffix}").write_text(_PAM.format(escape(text).replace("\x1b", "?")) if suffix.endswith("xml") else text)
    return raster_commands(here, part, 0)


def _raster_other(part: str, kind: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    data, file = _data(here, material), str(around.outside / part / "town3.tif")
    if kind == "overviews":
        (data / part / "town3.tif.aux.xml").write_text(_PAM_PROXY.format(file))
    else:
        (data / part / "town3.tif").unlink()
        (data / part / f"town3.{kind[-3:]}").write_text(_VRT.format(file))
    return raster_commands(here, part, 0)


def _vector_crs(file: str, kind: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    texts = _crs_texts(around)
    text = texts.get(kind, "")
    if file == "manifest":
        shutil.copytree(material.tiles, here / "tiles")
        rows = [json.loads(line) for line in (here / "tiles" / "manifest.jsonl").read_bytes().splitlines()]
        rows[0]["grid"]["crs"] = text
        write_manifest(here / "tiles", rows)
        return store_commands(here, material, 0)
    for path in material.vectors.glob("houses.*"):
        if path.suffix in (f".{file}", *((".shx", ".dbf") if file == "shp" else ())):
            shutil.copy(path, here)
    target = here / f"houses.{file}"
    if file == "geojson":
        members = {
            "link": {"type": "link", "properties": {"href": f"{around.url}/crs", "type": "proj4"}},
            "number": 4326,
            "list": ["EPSG:4326"],
        }
        named = {"type": "name", "properties": {"name": text}}
        target.write_text(json.dumps(json.loads(target.read_text()) | {"crs": members.get(kind, named)}))
    elif file == "gpkg":
        with sqlite3.connect(target) as base:
            base.execute(
                "UPDATE gpkg_spatial_ref_sys SET definition = ?, organization = 'x', organization_coordsys_id = 99", (text,)
            )
        base.close()
    elif file == "shp":
        (here / "houses.prj").write_text(text)
    else:
        _parquet_crs(target, text)
    return readers(here, material, target.name, 1)


def _parquet_crs(path: Path, crs: object) -> None:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    about = json.loads(table.schema.metadata[b"geo"])
    for column in about["columns"].values():
        column["crs"] = crs
    pyarrow.parquet.write_table(table.replace_schema_metadata({b"geo": json.dumps(about).encode()}), path)


def _crs_option(kind: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    shutil.copy(material.vectors / "houses.geojson", here)
    text = _crs_texts(around).get(kind, kind)[:100_000]
    return [command("footprints", "houses.geojson", "--out", "mask.tif", "--gsd", "0.3", f"--crs={text}", out="mask.tif")]


def _vector_other(kind: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    shutil.copy(material.vectors / "houses.shp", around.outside / "houses.shp")
    source = str(around.outside / "houses.shp")
    names = {
        "vrt-as-shp": "houses.shp",
        "vrt-as-gpkg": "houses.gpkg",
        "vrt-as-json": "houses.geojson",
        "gpkg-attach": "houses.gpkg",
    }
    target = here / names.get(kind, "houses.zip" if kind.startswith("zip") else "houses.json")
    if kind.startswith("vrt"):
        target.write_text(_OGR_VRT.format(source))
    elif kind.startswith("zip"):
        _zip(kind, target, source, material)
    elif kind == "gpkg-attach":
        shutil.copy(material.vectors / "houses.gpkg", target)
        with sqlite3.connect(target) as base:
            base.execute(f"CREATE TRIGGER t AFTER INSERT ON footprints BEGIN SELECT load_extension('{source}'); END")
        base.close()
    elif kind == "esri-json":
        target.write_text(
            json.dumps(
                {"geometryType": "esriGeometryPolygon", "features": [{"geometry": {"rings": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}}]}
            )
        )
    else:
        target.write_text(f"<kml><NetworkLink><Link><href>{around.url}/x.kml</href></Link></NetworkLink></kml>")
    return readers(here, material, target.name, 1)


def _zip(kind: str, target: Path, source: str, material: Material) -> None:
    with zipfile.ZipFile(target, "w") as archive:
        if kind == "zip-escape":
            for suffix in (".shp", ".shx", ".dbf"):
                archive.write(material.vectors / f"houses{suffix}", f"../../outside/made{suffix}")
        elif kind == "zip-vrt":
            archive.writestr("houses.shp", _OGR_VRT.format(source))
        else:
            link = zipfile.ZipInfo("houses.shp")
            link.external_attr = 0o120777 << 16
            archive.writestr(link, source)


def _recipe_name(number: int, here: Path, material: Material, around: Surroundings) -> list[Command]:
    (here / "speck.yaml").write_text(RECIPE.replace("name: speck", f"name: {json.dumps(_NAMES[number])}"))
    return train(here, material)


def _scene_name(number: int, here: Path, material: Material, around: Surroundings) -> list[Command]:
    shutil.copytree(material.tiles, here / "tiles")
    rows = [json.loads(line) for line in (here / "tiles" / "manifest.jsonl").read_bytes().splitlines()]
    rows[number % len(rows)] |= {"scene": _NAMES[number], "place": _NAMES[number]}
    write_manifest(here / "tiles", rows)
    return store_commands(here, material, number)


def _state_name(number: int, here: Path, material: Material, around: Surroundings) -> list[Command]:
    shutil.copytree(material.run, here / "run")
    state = here / "run" / "weights" / "last" / "state.json"
    body = read_state(state)
    body["recipe"]["name"] = _NAMES[number]
    body["tiles"]["places"] = [_NAMES[number]]
    write_state(state, body)
    return run_commands(here, material, number)


def _link(kind: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    data = _data(here, material)
    part = "masks" if kind == "mask" else "images"
    path, target = data / part / "town3.tif", around.outside / part / "town3.tif"
    if kind == "folder":
        shutil.rmtree(data / "images")
        path, target = data / "images", around.outside / "images"
    elif kind == "side":
        path, target = data / part / "town3.tfw", around.outside / "secret.txt"
    elif kind in ("dangling", "loop"):
        target = Path("nowhere.tif" if kind == "dangling" else path.name)
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    grow = command("grow", "run", "data", "--out", "grown", "--split", "digits", "--least-agreement", "0", names="town")
    seen = [command("check", "data", names="town3" if kind in ("dangling", "loop") else ""), grow]
    return [Command(**vars(each) | {"linked": True, "leak": SECRET if each is grow and kind != "folder" else b""}) for each in seen]
