"""What a client is told: fields of the request and the file itself, and no option of the command line."""

import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest
from servers import client, png

import orthoforge
from conftest import make_grid, make_mask, write_tiff
from orthoforge.serving.forms import ImageFields
from orthoforge.serving.wording import OPTION, WORDED, over_http

SOURCE = Path(orthoforge.__file__).parent
MASK = make_mask((48, 64))
# What reads uploads and layers, and makes images and masks of them.
READ = ("geo/rasters", "geo/grid.py", "vectors", "masks/classes.py", "masks/opening.py", "masks/resampled.py",
        "forging/new_mask.py", "forging/places.py", "trained_generator/reference_style.py", "generation/scene.py")  # fmt: skip
NEVER_SAID = (
    "exists. Pass --overwrite",  # nothing of a client's is written under a name of theirs
    "look like degrees, not like", "as --footprints-crs says", "--layer chooses a layer", "--layers give masks of classes",
    "Its resolution is changed", "for --overlap", "--overlap {}", "Pass --resample",
    "have no pixels: say how large", "leave --crs out", "of check and prepare",
)  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with client(tmp_path_factory.mktemp("data"), "styled", "classes", "normed", image_pixels=300**2, job_pixels=400**2) as found:
        yield found


def told(served, mask, *, at="images", name="mask", **fields):
    answer = served.post(f"/v1/{at}", files={name: mask}, data=fields)
    assert answer.status_code >= 400, answer.text
    return answer.json()["detail"]


def town(ring, **more):
    polygon = {"type": "Polygon", "coordinates": [ring]}
    return json.dumps({"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": polygon}]} | more).encode()


SQUARE = [[14.0, 50.0], [14.0001, 50.0], [14.0001, 50.0001], [14.0, 50.0001], [14.0, 50.0]]
METRES = [[500_000 + 100 * (x - 14), 5_000_000 + 100 * (y - 50)] for x, y in SQUARE]
BOW_TIE = [SQUARE[0], SQUARE[2], SQUARE[1], SQUARE[3], SQUARE[0]]
CODES = np.arange(8, dtype=np.uint8).repeat(8).reshape(8, 8)
THREE_BANDS = np.dstack([CODES, CODES, CODES + 1])
LEVELS = np.full((8, 8), 37, np.uint8)
LEVELS[:2] = 255
BOTH = np.array([[0, 1, 255, 255]], np.uint8)


@pytest.mark.parametrize(
    ("advice", "sent", "how"),
    [
        ("send the field `threshold` (for example", png(LEVELS), {}),
        ("or name a `model` of these classes", png(CODES), {}),
        ("send its buildings alone, as 0 and 255", png(THREE_BANDS), {}),
        ("send the field `threshold` as 1; if only 255 is, as 255", png(BOTH), {}),
        ("/v1/models lists the classes", png(np.full((8, 8, 3), 9, np.uint8)), {"model": "classes"}),
        ("name their CRS by a `crs` member", town(METRES), {"name": "footprints", "width": 64, "height": 64}),
        ("Mend it, or remove it.", town(BOW_TIE), {"name": "footprints", "width": 64, "height": 64}),
        ("Mend it, or remove it.", town(SQUARE[:-1]), {"name": "footprints", "width": 64, "height": 64}),
        ("ogr2ogr converted.geojson ESRIJSON:footprints.geojson", b'{"features": [{"attributes": {}}]}',
         {"name": "footprints", "width": 64, "height": 64}),
        ("Export its ground surfaces as GeoJSON", b'{"type": "CityJSON"}', {"name": "footprints", "width": 64, "height": 64}),
        ("400", png(np.zeros((401, 400), np.uint8)), {"at": "jobs"}),
        ("a job (POST /v1/jobs), which takes up to 160000 pixels", png(np.zeros((301, 300), np.uint8)), {}),
    ],
)  # fmt: skip
def test_advice_is_what_a_client_can_do(served, advice, sent, how):
    words = told(served, sent, **how)
    assert advice in words and not OPTION.search(words), words


def test_a_job_that_is_too_large_is_not_told_to_be_a_job(served):
    words = told(served, png(np.zeros((401, 400), np.uint8)), at="jobs")
    assert "160000 pixels are the most" in words and "POST /v1/jobs" not in words and "parts" in words
    assert "POST /v1/jobs" not in told(served, png(np.zeros((301, 300), np.uint8)), at="masks")


def test_a_layer_that_cannot_be_read_is_told_without_advice_that_nobody_can_follow(tmp_path):
    layers = [
        write_tiff(tmp_path / "levels.tif", np.resize(LEVELS, (64, 64)), make_grid((64, 64))),
        write_tiff(tmp_path / "both.tif", np.resize(BOTH, (64, 64)), make_grid((64, 64))),
        tmp_path / "bow.geojson",
    ]
    layers[2].write_bytes(town(BOW_TIE))
    with client(tmp_path / "data", layers=layers) as found:
        for name in ("levels", "both", "bow"):
            answer = found.get(f"/v1/maps/{name}/masks/tilejson.json")
            if answer.status_code == 200:  # pixels are read when they are looked at
                answer = found.get(answer.json()["tiles"][0].format(z=0, x=0, y=0))
            words = answer.json()["detail"]
            assert answer.status_code == 422 and words.startswith(f"the layer {name}:"), words
            assert not OPTION.search(words) and "threshold" not in words and "send" not in words and str(tmp_path) not in words, (
                words
            )


def test_the_deadline_says_what_helps(tmp_path):
    with client(tmp_path, deadline_s=0.0) as found:
        assert "POST /v1/jobs" in told(found, png(MASK))
        assert "job" not in told(found, png(MASK), at="jobs") and "job" not in told(found, png(MASK), at="masks")


def strings(path: Path) -> list[str]:
    """The strings of a source file that are no docstrings; what is put into them is {}."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    docs = {node.value for node in nodes if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)}
    parts = {part for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    found = []
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docs | parts:
            found.append(node.value)
        if isinstance(node, ast.JoinedStr):
            found.append("".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values))
    return found


def test_every_message_on_the_way_of_an_upload_keeps_its_advice():
    """A new message that advises an option fails here, until `wording.py` says it for HTTP."""
    said = [
        (path, words)
        for room in READ
        for path in ([SOURCE / room] if room.endswith(".py") else (SOURCE / room).rglob("*.py"))
        for words in strings(path)
        if OPTION.search(words) and not any(never in words for never in NEVER_SAID)
    ]
    assert len(said) > 8
    known = [words for words, _ in WORDED]
    for path, words in said:
        left = words
        for one in known:
            left = left.replace(one, "").replace(one.rstrip("."), "")
        assert not OPTION.search(left) or any(words.strip() in one for one in known), f"{path.name}: {words}"


def test_what_is_worded_is_said_somewhere():
    source = " ".join(words for path in SOURCE.rglob("*.py") if path.name != "wording.py" for words in strings(path))
    for words, _ in WORDED:
        pieces = [piece for piece in re.split(r"(?<=[.,]) ", words.strip()) if len(piece) > 3]
        assert all(piece.rstrip(".") in source for piece in pieces), words


def test_a_sentence_of_advice_that_no_request_can_follow_is_left_out():
    assert over_http("town.gpkg: damaged. Pass --repair-all. Or export it again.") == "town.gpkg: damaged. Or export it again."
    assert (
        over_http("there are no footprints. Convert: ogr2ogr --config X Y")
        == "there are no footprints. Convert: ogr2ogr --config X Y"
    )
    assert over_http("the model --x") == "the model `x`"
    fields = set(re.findall(r"`([a-z_]+)`", " ".join(told for _, told in WORDED)))
    assert fields <= {*ImageFields.model_fields, "crs"}
