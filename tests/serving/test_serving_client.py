"""The client against a server on a port, and masks forged there."""

import io
import json
import zipfile

import numpy as np
import pytest
from servers import client as app_client
from servers import generator, live, pixels, png

from conftest import make_grid, make_mask, write_tiff
from orthoforge.client import Client, ServerError
from orthoforge.errors import DataError, ResourceError
from orthoforge.geo.rasters import open_raster

MASK = make_mask((48, 64))
SIZE = (512, 512)

# Threads that write blocks change the filters of warnings of the whole process, one after the other's back.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    layer = write_tiff(tmp_path_factory.mktemp("layers") / "town.tif", make_mask(SIZE), make_grid(SIZE))
    with live(tmp_path_factory.mktemp("data"), layers=[layer], keys=("a key that is long",)) as (port, _):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def client(server):
    return Client(server, key="a key that is long")


def test_images_come_as_they_are_asked_for(client, tmp_path):
    (tmp_path / "mask.png").write_bytes(png(MASK))
    wanted = generator("styled")(MASK, seed=7)
    assert np.abs(pixels(client.image(tmp_path / "mask.png", seed=7)).astype(int) - wanted).max() <= 1
    with zipfile.ZipFile(io.BytesIO(client.image(png(MASK), variants=2))) as archive:
        assert archive.namelist() == ["seed-0.tif", "seed-1.tif"]
    assert client.models()[0]["name"] == "styled"


def test_a_job_is_waited_for_and_saved(client, tmp_path):
    job = client.job(png(MASK), seed=3)
    path = client.find_job(job.id).wait(30).save(tmp_path / "image.tif")
    with open_raster(path) as raster:
        assert (raster.grid.height, raster.grid.width) == MASK.shape
    assert [file.name for file in tmp_path.iterdir()] == ["image.tif"]


def test_errors_are_told_in_the_servers_words(client, server, tmp_path):
    with pytest.raises(ServerError, match="No model is called 'x'") as told:
        client.image(png(MASK), model="x")
    assert (told.value.status, told.value.kind) == (404, "not-found")
    with pytest.raises(ServerError, match="API key"):
        Client(server).models()
    with pytest.raises(ResourceError, match="cannot be reached"):
        Client("http://127.0.0.1:9").models()
    with pytest.raises(DataError, match="nothing"):
        client.image(tmp_path / "nothing.tif")


def test_forged_masks_are_like_the_layers_and_the_same_for_a_seed(client, tmp_path):
    one = client.forged_mask(width=256, height=192, seed=5)
    mask = pixels(one)
    assert mask.shape == (192, 256) and set(np.unique(mask)) == {0, 255}
    assert client.forged_mask(width=256, height=192, seed=5) == one != client.forged_mask(width=256, height=192, seed=6)
    town = json.loads(client.forged_mask(form="geojson", width=256, height=192, seed=5))
    assert town["type"] == "FeatureCollection" and len(town["features"]) > 3
    with pytest.raises(ServerError, match="nowhere"):
        client.forged_mask(layer="nowhere")
    with pytest.raises(ServerError, match="width"):
        client.forged_mask(width=10**6)


def test_without_layers_masks_are_like_those_of_a_simulated_town(tmp_path):
    with app_client(tmp_path) as found:
        answer = found.post("/v1/masks/forged", json={"width": 128, "height": 128, "how": "recombine"})
        assert answer.status_code == 200 and pixels(answer.content).any(), answer.text
        assert found.post("/v1/masks/forged", json={"path": "/etc"}).status_code == 422
