"""HEAD: the headers of GET, and nothing else."""

import http.client
import json
import threading
import time

import numpy as np
import pytest
from servers import live

from conftest import make_grid, make_mask, write_tiff
from orthoforge.client import Client
from orthoforge.serving.queue import alone


@pytest.fixture(scope="module")
def layer(tmp_path_factory):
    return write_tiff(tmp_path_factory.mktemp("layers") / "town.tif", make_mask((200, 200)), make_grid((200, 200)))


@pytest.fixture(scope="module")
def server(tmp_path_factory, layer):
    with live(tmp_path_factory.mktemp("data"), layers=[layer]) as found:
        yield found


def asked(server, method, path):
    connection = http.client.HTTPConnection("127.0.0.1", server[0], timeout=20)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    again = http.client.HTTPConnection("127.0.0.1", server[0], timeout=20) if answer.will_close else connection
    again.request("GET", "/healthz")  # what was not sent does not come in the next answer's place
    assert json.loads(again.getresponse().read()) == {"status": "alive"}
    again.close()
    return answer, body


@pytest.mark.parametrize(
    "path",
    [
        "/healthz", "/readyz", "/v1/models", "/openapi.json", "/", "/v1/maps/town/tiles.json", "/nowhere", "/v1/jobs/none",
        "/v1/maps/town/tiles/17/70823/44344.png", "/v1/models?x=1",
    ],
)  # fmt: skip
def test_the_headers_are_those_of_get(server, path):
    got, body = asked(server, "GET", path)
    head, nothing = asked(server, "HEAD", path)
    assert (head.status, nothing) == (got.status, b"") and body
    of_both = [{name.lower(): value for name, value in one.getheaders() if name != "date"} for one in (head, got)]
    assert of_both[0] == of_both[1]


def test_what_is_only_posted_has_no_head(server):
    head, nothing = asked(server, "HEAD", "/v1/images")
    assert (head.status, nothing, head.getheader("Allow")) == (405, b"", "POST")


def test_what_streams_is_left_at_once(server, tmp_path):
    mask = write_tiff(tmp_path / "mask.tif", np.zeros((64, 64), np.uint8), make_grid((64, 64)))
    port, app = server
    held = threading.Event()
    app.state.serving.workers.submit(alone(lambda device: held.wait(20)))
    job = Client(f"http://127.0.0.1:{port}").job(mask)
    began = time.monotonic()
    head, nothing = asked(server, "HEAD", f"/v1/jobs/{job.id}/events")
    spent = time.monotonic() - began
    held.set()
    assert (head.status, nothing) == (200, b"") and spent < 10, "while the job waits for its turn"
    assert head.getheader("Content-Type").startswith("text/event-stream")
    job.wait(60)
