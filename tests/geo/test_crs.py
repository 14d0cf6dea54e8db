"""CRSs from text: what is read, and that nothing else is opened."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from orthoforge.geo.crs import crs_from_text

UTM = CRS.from_epsg(32633)


@pytest.mark.parametrize(
    "text",
    [
        "EPSG:32633", " epsg:32633\n", "urn:ogc:def:crs:EPSG::32633", "urn:ogc:def:crs:EPSG:9.8:32633",
        "http://www.opengis.net/def/crs/EPSG/0/32633", UTM.to_wkt(), json.dumps(UTM.to_dict(projjson=True)),
        json.dumps(UTM.to_dict(projjson=True), indent=2),
    ],
)  # fmt: skip
def test_codes_names_and_definitions_are_read(text):
    assert crs_from_text(text).to_epsg() == 32633


@pytest.mark.parametrize(
    ("text", "authority"),
    [
        ("OGC:CRS84", ("OGC", "CRS84")),
        ("urn:ogc:def:crs:OGC:1.3:CRS84", ("OGC", "CRS84")),
        ("http://www.opengis.net/def/crs/OGC/1.3/CRS84", ("OGC", "CRS84")),
        ("ESRI:54009", ("ESRI", "54009")),
        ("EPSG:27700+5701", ("EPSG", "7405")),
        ("urn:ogc:def:crs,crs:EPSG::27700,crs:EPSG::5701", ("EPSG", "7405")),
    ],
)
def test_other_registries_and_compound_names(text, authority):
    assert crs_from_text(text).to_authority() == authority


def test_a_file_with_a_definition_is_not_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("place.wkt", "X:Y", "EPSG:x", "OGC:file"):
        (tmp_path / name).write_text(UTM.to_wkt())
        assert CRS.from_user_input(str(tmp_path / name)).to_epsg() == 32633  # GDAL would
        for text in (name, str(tmp_path / name), f"file://{tmp_path / name}", f"/vsigzip/{tmp_path / name}"):
            with pytest.raises(ValueError, match="is no CRS"):
                crs_from_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "nonsense", "32633", "+proj=utm +zone=33", "+init=epsg:32633", "http://example.org/crs.wkt", "/vsicurl/http://x/y",
        "EPSG:999999", "EPSG:-1", "urn:ogc:def:crs:EPSG::", "PROJCS[", "GEOGCS" + "[" * 5000, "{}", "{" + '"a":[' * 20000, "[1]",
        '{"type": "ProjectedCRS"}', '{"type": "../x"}', "\0", "WGS84", "x" * 200_000, f"EPSG:{'9' * 9}", "EPSG:" + "9" * 30,
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_a_reason(text):
    with pytest.raises(ValueError, match="CRS"):
        crs_from_text(text)


@pytest.mark.parametrize("grid", ["/etc/hostname", "../x.gsb", "https://example.org/x.gsb", "@/x", "a.gsb,/b.gsb", r"C:\x.gsb"])
def test_a_definition_must_not_name_a_file(grid):
    bound = CRS.from_user_input("+proj=longlat +ellps=bessel +nadgrids=here.gsb").to_wkt(version="WKT2_2019")
    old = CRS.from_user_input("+proj=longlat +ellps=bessel +nadgrids=here.gsb").to_wkt()
    for text in (bound, old):
        assert "here.gsb" in text
        assert crs_from_text(text).is_geographic  # a bare name is one of PROJ's own grids
        with pytest.raises(ValueError, match="file"):
            crs_from_text(text.replace("here.gsb", grid))


def test_web_mercator_keeps_its_null_grid():
    assert crs_from_text(CRS.from_epsg(3857).to_wkt()).to_epsg() == 3857


@given(st.text(max_size=60) | st.from_regex(r"(EPSG|OGC|urn:ogc:def:crs):[ -~]{0,20}", fullmatch=True))
def test_any_text_is_a_crs_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        assert isinstance(crs_from_text(text), CRS)
