"""The client against a server on a port, and masks forged there."""

import contextlib
import io
import json
import socket
import threading
import zipfile
from dataclasses import replace

import numpy as np
import psutil
import pytest
from servers import client as app_client
from servers import generator, live, pixels, png

from conftest import make_grid, make_mask, write_tiff
from orthoforge.client import Client, RemoteJob, ServerError
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
        nowhere = found.post("/v1/masks/forged", json={"width": 128}, headers={"Accept": "application/geo+json"})
        assert nowhere.status_code == 406

        # A mask that takes too long is given up: its process is ended, and another one stands ready.
        serving = found.app.state.serving
        (slow,) = serving.forge.processes.pids
        serving.settings = replace(serving.settings, forge_s=0.02)
        given_up = found.post("/v1/masks/forged", json={"width": 2048, "height": 2048, "density": 3, "how": "streets"})
        assert given_up.status_code == 504 and "less density" in given_up.json()["detail"]
        assert not psutil.pid_exists(slow) and len(serving.forge.processes.pids) == 1


@contextlib.contextmanager
def answering(*answers):
    """A server that answers each request with the next of these bytes and hangs up; its URL, and what it was sent."""
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def work():
            for answer in answers:
                connection, _ = listening.accept()
                with connection:
                    asked.append(connection.recv(65536).decode())
                    connection.sendall(answer)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
        thread.join(10)


CUT_SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nII*\0"


def test_an_image_whose_connection_was_lost_is_none(tmp_path):
    with answering(CUT_SHORT) as (url, _), pytest.raises(ResourceError, match="ended in the middle"):
        RemoteJob(Client(url), {"id": "x"}).save(tmp_path / "image.tif")
    assert not list(tmp_path.iterdir())
    with answering(CUT_SHORT) as (url, _), pytest.raises(ResourceError, match="ended in the middle"):
        Client(url).models()


def test_another_server_is_said_to_be_one():
    with (
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>") as (url, _),
        pytest.raises(ResourceError, match="another one"),
    ):
        Client(url).models()


def test_a_key_goes_to_nobody_else():
    other = b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"models": []}'
    with answering(other) as (elsewhere, seen):
        sent_on = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}/v1/models\r\nContent-Length: 0\r\n\r\n".encode()
        with answering(sent_on) as (url, asked):
            Client(url, key="a key that is long").models()
    assert "a key that is long" in asked[0] and "a key that is long" not in seen[0]


def test_a_wait_that_is_no_number_is_a_second():
    later = b"HTTP/1.1 503 Busy\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\nContent-Length: 0\r\n\r\n"
    with answering(later, b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"models": []}') as (url, _):
        assert Client(url).models() == []
