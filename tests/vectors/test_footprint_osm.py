"""OpenStreetMap's formats: the same small town in XML, in Overpass' two kinds of JSON, and in PBF."""

import json
import struct
import zlib
from pathlib import Path

import pyogrio
import pytest
import shapely
from rasterio.crs import CRS

from orthoforge.errors import DataError
from orthoforge.vectors import load_footprints

# Two houses, a block with a courtyard whose outline is two ways, a street, a shed that is no building, and one cut by the border.
NODES = {
    1: (13.0, 52.0), 2: (13.1, 52.0), 3: (13.1, 52.1), 4: (13.0, 52.1),
    5: (14.0, 52.0), 6: (14.3, 52.0), 7: (14.3, 52.3), 8: (14.0, 52.3),
    9: (14.1, 52.1), 10: (14.2, 52.1), 11: (14.2, 52.2), 12: (14.1, 52.2),
}  # fmt: skip
WAYS = {
    20: ([1, 2, 3, 4, 1], {"building": "yes"}),
    21: ([5, 6, 7], {}),
    22: ([7, 8, 5], {}),
    23: ([9, 10, 11, 12, 9], {}),
    24: ([1, 5], {"highway": "residential"}),
    25: ([1, 2, 3, 1], {"building": "no"}),
    26: ([9, 10, 11, 9], {"building": "shed"}),
    27: ([1, 2, 3], {"building": "yes"}),  # not closed: a line
}
RELATION = (30, [(21, "outer"), (22, "outer"), (23, "inner")], {"type": "multipolygon", "building": "apartments"})
AREAS = {"way 20": 0.01, "way 26": 0.005, "relation 30": 0.08}


def elements(*, geometry, cut=False):
    def drawn(way):
        return [{"lon": NODES[ref][0], "lat": NODES[ref][1]} for ref in WAYS[way][0]]

    for number, (refs, tags) in WAYS.items():
        yield {"type": "way", "id": number, "tags": tags} | ({"geometry": drawn(number)} if geometry else {"nodes": refs})
    number, members, tags = RELATION
    yield {
        "type": "relation",
        "id": number,
        "tags": tags,
        "members": [
            {"type": "way", "ref": ref, "role": role} | ({"geometry": drawn(ref)} if geometry else {}) for ref, role in members
        ],
    }
    if cut:
        yield {"type": "way", "id": 28, "tags": {"building": "yes"}, "nodes": [1, 2, 99, 1]}
        yield {
            "type": "relation", "id": 31, "tags": RELATION[2], "members": [{"type": "way", "ref": 77, "role": "outer"}],
        }  # fmt: skip
    if not geometry:  # after the ways, as `out body; >; out skel` gives them
        for number, (lon, lat) in NODES.items():
            yield {"type": "node", "id": number, "lon": lon, "lat": lat}


def overpass(path, **options):
    path.write_text(json.dumps({"version": 0.6, "osm3s": {}, "elements": list(elements(**options))}))
    return path


def tags_xml(tags):
    return "".join(f'<tag k="{key}" v="{value}"/>' for key, value in tags.items())


def xml(path):
    lines = ['<?xml version="1.0"?><osm version="0.6">']
    lines += [f'<node id="{number}" lat="{lat}" lon="{lon}"/>' for number, (lon, lat) in NODES.items()]
    for number, (refs, tags) in WAYS.items():
        lines.append(f'<way id="{number}">' + "".join(f'<nd ref="{ref}"/>' for ref in refs) + tags_xml(tags) + "</way>")
    number, members, tags = RELATION
    inside = "".join(f'<member type="way" ref="{ref}" role="{role}"/>' for ref, role in members)
    lines.append(f'<relation id="{number}">{inside}{tags_xml(tags)}</relation>')
    lines.append('<way id="29" action="delete"><nd ref="1"/><tag k="building" v="yes"/></way></osm>')
    path.write_text("\n".join(lines))
    return path


def varint(number):
    digits = bytearray()
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


def field(number, value):
    """A field of a protocol buffer: bytes, or a whole number."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def packed(numbers, *, signed=True, deltas=False):
    if deltas:
        numbers = [now - before for now, before in zip(numbers, [0, *numbers], strict=False)]
    return b"".join(varint((number << 1) ^ (number >> 63) if signed else number) for number in numbers)


def pbf(path):
    """https://wiki.openstreetmap.org/wiki/PBF_Format"""

    def blob(kind, content):
        body = field(2, len(content)) + field(3, zlib.compress(content))
        header = field(1, kind) + field(3, len(body))
        return struct.pack(">I", len(header)) + header + body

    strings = [b""]

    def keys_and_values(tags):
        if not tags:
            return b""
        for text in (*tags.keys(), *tags.values()):
            if text.encode() not in strings:
                strings.append(text.encode())
        keys, values = ([strings.index(text.encode()) for text in side] for side in (tags.keys(), tags.values()))
        return field(2, packed(keys, signed=False)) + field(3, packed(values, signed=False))

    lons, lats = ([round(place[axis] * 1e7) for place in NODES.values()] for axis in (0, 1))
    dense = field(1, packed(list(NODES), deltas=True)) + field(8, packed(lats, deltas=True)) + field(9, packed(lons, deltas=True))
    ways = b"".join(
        field(3, field(1, number) + keys_and_values(tags) + field(8, packed(refs, deltas=True)))
        for number, (refs, tags) in WAYS.items()
    )
    number, members, tags = RELATION
    strings += [b"outer", b"inner"]
    roles = packed([strings.index(role.encode()) for _, role in members], signed=False)
    of = field(9, packed([ref for ref, _ in members], deltas=True)) + field(10, packed([1] * len(members), signed=False))
    relation = field(4, field(1, number) + keys_and_values(tags) + field(8, roles) + of)
    table = field(1, b"".join(field(1, text) for text in strings))
    groups = field(2, field(2, dense)) + field(2, ways) + field(2, relation)
    header = field(4, b"OsmSchema-V0.6") + field(4, b"DenseNodes")
    path.write_bytes(blob(b"OSMHeader", header) + blob(b"OSMData", table + groups))
    return path


@pytest.mark.parametrize("kind", ["xml", "overpass", "overpass geometry", "pbf"])
def test_buildings_are_closed_ways_and_multipolygons(tmp_path, kind):
    if kind == "xml":
        path = xml(tmp_path / "f.osm")
    elif kind == "pbf":
        path = pbf(tmp_path / "f.osm.pbf")
    else:
        path = overpass(tmp_path / "f.json", geometry="geometry" in kind)
    found = load_footprints(path)
    assert found.crs == CRS.from_epsg(4326)
    assert sorted(shapely.area(found.polygons)) == pytest.approx(sorted(AREAS.values()))
    block = max(found.polygons, key=shapely.area)
    assert len(block.interiors) == 1
    assert block.bounds == pytest.approx((14.0, 52.0, 14.3, 52.3))


def test_buildings_cut_by_the_border_are_counted(tmp_path):
    path = overpass(tmp_path / "f.json", geometry=False, cut=True)
    with pytest.warns(UserWarning, match="2 buildings without a whole outline"):
        assert len(load_footprints(path)) == 3


@pytest.mark.parametrize("kind", ["xml", "pbf"])
def test_a_bad_building_is_called_by_its_number_in_openstreetmap(tmp_path, monkeypatch, kind):
    monkeypatch.setitem(WAYS, 26, ([9, 11, 10, 12, 9], {"building": "shed"}))
    path = xml(tmp_path / "f.osm") if kind == "xml" else pbf(tmp_path / "f.osm.pbf")
    with pytest.raises(DataError, match=r"feature \d \(way 26\) is no valid polygon: Self-intersection"):
        load_footprints(path)


def test_nodes_out_of_order(tmp_path):
    sample = Path(pyogrio.__file__).parent / "tests" / "fixtures" / "sample.osm.pbf"
    if not sample.is_file():
        pytest.skip("this build of pyogrio comes without its test files")
    found = load_footprints(sample)
    assert len(found) == 2
    assert shapely.is_valid(found.polygons).all()


@pytest.mark.parametrize("number", ["nan", "inf", "1" + "0" * 400])
@pytest.mark.parametrize("kind", ["xml", "overpass"])
def test_a_corner_that_is_no_place_names_its_building(tmp_path, monkeypatch, kind, number):
    value = int(number) if number.isdigit() and kind == "overpass" else float(number)
    monkeypatch.setitem(NODES, 10, (value, 52.1))
    path = xml(tmp_path / "f.osm") if kind == "xml" else overpass(tmp_path / "f.json", geometry=False)
    with pytest.raises(DataError, match=rf"{path.name}: feature 1 \(way 26\) is no valid geometry: "):
        load_footprints(path)
