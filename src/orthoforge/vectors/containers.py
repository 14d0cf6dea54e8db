"""Vector files that GDAL reads: Shapefile, FlatGeobuf and OpenStreetMap's .osm.pbf.

GDAL opens a file with whatever driver its content suggests, and some formats are but instructions to read other files. So the first
bytes must be those of the format that the suffix names, and the driver that GDAL then chose is compared before anything is read.
"""

import warnings
import zipfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import pyogrio
import pyogrio.raw
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError

from orthoforge.errors import DataError
from orthoforge.files import ZIP_ERRORS
from orthoforge.geo.rasters import require_memory
from orthoforge.vectors.attributes import OTHER_TAGS, tags_of
from orthoforge.vectors.chunks import CHUNK_FEATURES, Chunk, Source, Tags, chunk_from_wkb
from orthoforge.vectors.layers import choose
from orthoforge.vectors.limits import FREE_BYTES, MAX_RATIO, first_bytes, require_utf8, shown
from orthoforge.vectors.places import WGS84, crs_from

# Suffix: GDAL's driver, the first bytes, and at which byte they stand.
_FORMATS = {
    ".shp": ("ESRI Shapefile", b"\x00\x00\x27\x0a", 0),
    ".fgb": ("FlatGeobuf", b"fgb\x03", 0),
    ".pbf": ("OSM", b"OSMHeader", 6),
}
_CALLED = {"ESRI Shapefile": "Shapefile", "FlatGeobuf": "FlatGeobuf", "OSM": ".osm.pbf file"}
_UNREADABLE = (DataSourceError, DataLayerError, FeatureError)
# The least that a record of a .shp takes, with its head.
_LEAST_RECORD_BYTES = 12
_INDEX_HEAD_BYTES, _INDEX_ROW_BYTES, _MOST_EMPTY = 100, 8, 1_000_000
# What GDAL makes of OpenStreetMap's closed ways and multipolygons, and the tag that makes one a building.
_OSM_LAYERS = ("points", "lines", "multilinestrings", "multipolygons")
_OSM_LAYER, _OSM_BUILDING = "multipolygons", "building IS NOT NULL AND building <> 'no'"


def read_container(path: Path, *, repair: bool) -> Source:
    """The polygons of a Shapefile, a FlatGeobuf or an .osm.pbf."""
    driver = _require_container(path)
    return _source(path, str(path.resolve()), driver, repair=repair)


def read_container_layers(
    path: Path, keys: Collection[str], *, repair: bool, within: tuple[float, float, float, float] | None
) -> list[tuple[str, Source]]:
    """The layers of a Shapefile, a FlatGeobuf or an .osm.pbf, by name, and what their attributes called as one of ``keys`` say.

    ``within`` are bounds in degrees outside of which an .osm.pbf need not be read.
    """
    driver, opened = _require_container(path), str(path.resolve())
    if driver == "OSM":
        return _read_osm_layers(path, opened, keys, repair=repair, within=within)
    return [(path.stem, _source(path, opened, driver, repair=repair, keys=keys))]


def _require_container(path: Path) -> str:
    """GDAL's driver for the file, whose first bytes and index fit its name. ``DataError`` where they do not."""
    require_utf8(path)
    driver, magic, offset = _FORMATS[path.suffix.lower()]
    if first_bytes(path, offset + len(magic))[offset:] != magic:
        raise DataError(f"{path}: not a {_CALLED[driver]}. Copy or export it again.")
    if driver == "ESRI Shapefile":
        index = next((file for suffix in (".shx", ".SHX") if (file := path.with_suffix(suffix)).is_file()), None)
        if index is not None:
            _require_index(path, index.stat().st_size, lambda: np.memmap(index, np.uint8, "r"), path.stat().st_size)
    return driver


def read_zip(path: Path, *, layer: str | None, repair: bool) -> Source:
    """The Shapefile in a .zip, read without unpacking it; of several, the one that ``layer`` names or that speaks of buildings."""
    return _source(path, _zipped(path, lambda names: [choose(path, names, layer)])[0][1], "ESRI Shapefile", repair=repair)


def read_zip_layers(path: Path, keys: Collection[str], *, repair: bool) -> list[tuple[str, Source]]:
    """All Shapefiles in a .zip, by name, and what their attributes called as one of ``keys`` say."""
    return [(name, _source(path, opened, "ESRI Shapefile", repair=repair, keys=keys)) for name, opened in _zipped(path, list)]


def _zipped(path: Path, choose_of: Callable[[list[str]], list[str]]) -> list[tuple[str, str]]:
    """Of the Shapefiles in a .zip those that are chosen by name, found harmless: name, and what GDAL opens."""
    require_utf8(path)
    _, magic, _ = _FORMATS[".shp"]
    first_bytes(path, 1)
    try:
        with zipfile.ZipFile(path) as archive:
            members = _shapefiles(archive.namelist())
            if not members:
                raise DataError(f"{path}: holds no Shapefile (.shp). Unpack it and name the file with the footprints.")
            chosen = {name: members[name] for name in choose_of(list(members))}
            for member in chosen.values():
                _require_harmless(path, archive, member, magic)
    except ZIP_ERRORS as error:
        raise DataError(f"{path}: not a readable .zip file: {shown(error)}. Copy or download it again.") from error
    # Braces tell GDAL where the archive's own name ends.
    return [(name, f"/vsizip/{{{path.resolve()}}}/{member}") for name, member in chosen.items()]


def _require_harmless(path: Path, archive: zipfile.ZipFile, chosen: str, magic: bytes) -> None:
    """Raise ``DataError`` for a Shapefile in an archive that is none, unpacks to far more, or does not fit its index."""
    index = next((name for name in archive.namelist() if name.lower() == f"{chosen[:-4]}.shx".lower()), None)
    for name in (chosen, index) if index else (chosen,):
        member = archive.getinfo(name)
        if member.file_size > max(FREE_BYTES, MAX_RATIO * member.compress_size):
            raise DataError(
                f"{path}: {name} in it unpacks to more than {MAX_RATIO} times its size, which no footprints do. If the "
                "file is sound, unpack it first."
            )
        require_memory(member.file_size, f"{path}: reading {name}")
    with archive.open(chosen) as file:
        if file.read(len(magic)) != magic:
            raise DataError(f"{path}: {chosen} in it is not a Shapefile. Copy or export it again.")
    if index:
        packed = archive.getinfo(index).file_size
        shp_bytes = archive.getinfo(chosen).file_size
        _require_index(path, packed, lambda: np.frombuffer(archive.read(index), np.uint8), shp_bytes)


def _shapefiles(names: list[str]) -> dict[str, str]:
    """The Shapefiles among an archive's members, by their names; by their paths where two have one name.

    macOS adds to each file another with its attributes: the same name after ``._``, in a folder ``__MACOSX``.
    """
    found = [name for name in names if name.lower().endswith(".shp") and not PurePosixPath(name).name.startswith("._")]
    stems = [PurePosixPath(name).stem for name in found]
    return {stem if stems.count(stem) == 1 else name[:-4]: name for stem, name in zip(stems, found, strict=True)}


def _require_index(path: Path, index_bytes: int, read: Callable[[], np.ndarray], shp_bytes: int) -> None:
    """Raise ``DataError`` when a .shx speaks of more than its .shp holds: GDAL would read the same shapes again and again."""
    count = max(0, (index_bytes - _INDEX_HEAD_BYTES) // _INDEX_ROW_BYTES)
    needed = count * _LEAST_RECORD_BYTES
    if count and needed <= shp_bytes:
        rows = read()[_INDEX_HEAD_BYTES : _INDEX_HEAD_BYTES + count * _INDEX_ROW_BYTES].view(">i4").reshape(-1, 2)
        content = 2 * rows[:, 1].astype(np.int64)
        needed = int(np.maximum(content + 8, _LEAST_RECORD_BYTES).sum())
        if int((content == 0).sum()) > _MOST_EMPTY:
            raise DataError(f"{path}: most of the rows in its .shx are empty; it is damaged. Copy or export it again.")
    if needed > shp_bytes:
        raise DataError(
            f"{path}: its .shx lists {count} shapes of {needed} bytes, the .shp has {shp_bytes} bytes. One of them is damaged or "
            "of another file; copy or export both again."
        )


def _source(path: Path, opened: str, driver: str, *, repair: bool, keys: Collection[str] | None = None) -> Source:
    if driver == "OSM":
        return _read_osm(path, opened, repair=repair)
    try:
        with _quietly():
            info = pyogrio.read_info(opened)
            if info["driver"] != driver:
                raise DataError(f"{path}: holds {info['driver']} data, not a {_CALLED[driver]}. Export it again.")
            layers = pyogrio.list_layers(opened)
            every = [str(name) for name, _ in layers]
            chosen = choose(path, _with_polygons(layers), None, every=every) if keys is None else every[0]
            columns = [] if keys is None else _columns(info["fields"], keys)
            meta, _, wkb, values = pyogrio.raw.read(opened, layer=chosen, columns=columns, force_2d=True)
    except _UNREADABLE as error:
        raise DataError(f"{path}: footprints cannot be read: {shown(error)}") from error
    except IndexError as error:  # pyogrio asks for the first layer also where GDAL finds none
        raise DataError(f"{path}: holds no layer; it is empty or damaged. Copy or export it again.") from error
    if info["features"] < 0:  # more than a number of 32 bits holds
        raise DataError(f"{path}: says that it holds more features than can be; it is damaged. Copy or export it again.")
    if driver == "FlatGeobuf" and len(wkb) < info["features"]:  # GDAL stops at the end of a file cut between two features
        raise DataError(f"{path}: holds {len(wkb)} of its {info['features']} features; it was cut short. Copy or export it again.")
    try:
        crs, why_no_crs = (crs_from(meta["crs"]) if meta["crs"] else None), ""
    except ValueError as error:
        crs, why_no_crs = None, shown(error)
    tags = None if keys is None else _tags(meta["fields"], values, keys, len(wkb))
    return Source(crs, _chunks(path, wkb, repair=repair, tags=tags), why_no_crs=why_no_crs)


def _columns(fields: np.ndarray, keys: Collection[str]) -> list[str]:
    return [str(name) for name in fields if str(name).lower() in (*keys, OTHER_TAGS)]


def _tags(names: np.ndarray, values: list[np.ndarray], keys: Collection[str], count: int) -> list[Tags]:
    rows = zip(*(column.tolist() for column in values), strict=True) if len(values) else ((),) * count
    return [tags_of(dict(zip(names.tolist(), row, strict=True)), keys) for row in rows]


def _read_osm_layers(
    path: Path, opened: str, keys: Collection[str], *, repair: bool, within: tuple[float, float, float, float] | None
) -> list[tuple[str, Source]]:
    """The layers of an .osm.pbf that have features, with their tags."""
    found = []
    indexing = ["YES", "NO"]  # as in ``_read_osm``
    for layer in _OSM_LAYERS:
        while True:
            try:
                with _quietly():
                    meta, _, wkb, values = pyogrio.raw.read(
                        opened,
                        layer=layer,
                        columns=[*keys, OTHER_TAGS],
                        bbox=within,
                        force_2d=True,
                        USE_CUSTOM_INDEXING=indexing[0],
                    )
                break
            except _UNREADABLE as error:
                if len(indexing) == 1:
                    raise DataError(f"{path}: its {layer} cannot be read: {shown(error)}") from error
                del indexing[0]
        if len(wkb):
            found.append(
                (layer, Source(WGS84, _chunks(path, wkb, repair=repair, tags=_tags(meta["fields"], values, keys, len(wkb)))))
            )
    return found


def _read_osm(path: Path, opened: str, *, repair: bool) -> Source:
    """Buildings of an .osm.pbf. GDAL's fast index wants nodes in rising order, as Geofabrik's are; else the slow one is taken."""
    failure: Exception | None = None
    for fast in ("YES", "NO"):
        try:
            with _quietly():
                _, _, wkb, (of_relation, of_way) = pyogrio.raw.read(
                    opened, layer=_OSM_LAYER, columns=["osm_id", "osm_way_id"], where=_OSM_BUILDING, force_2d=True,
                    USE_CUSTOM_INDEXING=fast,
                )  # fmt: skip
        except _UNREADABLE as error:
            failure = error
            continue

        def name(index: int, relations: np.ndarray = of_relation, ways: np.ndarray = of_way) -> str:
            return f"feature {index} ({f'way {ways[index]}' if ways[index] else f'relation {relations[index]}'})"

        return Source(WGS84, _chunks(path, wkb, repair=repair, name=name), name)
    raise DataError(f"{path}: footprints cannot be read: {shown(failure)}") from failure


def _with_polygons(layers: np.ndarray) -> list[str]:
    """Names of the layers of polygons; where there are none, of those that may hold any geometry."""
    for wanted in (("Polygon", "Surface"), ("Unknown", "Geometry")):
        found = [str(name) for name, kind in layers if kind and any(word in kind for word in wanted)]
        if found:
            return found
    return []


def _chunks(
    path: Path, wkb: np.ndarray, *, repair: bool, name: Callable[[int], str] = "feature {}".format, tags: list[Tags] | None = None
) -> Iterator[Chunk]:
    for first in range(0, len(wkb), CHUNK_FEATURES):
        part = slice(first, first + CHUNK_FEATURES)
        yield chunk_from_wkb(path, wkb[part], first, repair=repair, name=name, tags=tags[part] if tags else ())


def _quietly() -> warnings.catch_warnings:
    """What matters to GDAL about a readable file does not matter here."""
    return warnings.catch_warnings(action="ignore")
