"""What the OpenAPI document promises: no other answer comes, and every error that it names does."""

import contextlib
import dataclasses
import math
import re
import threading
from pathlib import Path

import jsonschema
import pytest
from contract import drawn_answers
from fastapi.testclient import TestClient
from servers import generator, live, png, settings, wait_until

from conftest import make_grid, make_mask, write_tiff
from orthoforge.errors import ResourceError
from orthoforge.serving.app import make_app
from orthoforge.serving.job_runner import RESULT
from orthoforge.serving.job_store import DONE
from orthoforge.serving.limits import BodyLimits, Keys, Rate
from orthoforge.serving.queue import alone

MASK = png(make_mask((32, 32)))
EXAMPLES = 4  # `python -m bench.serving contract` draws more

# Threads that write blocks change the filters of warnings of the whole process, one after the other's back.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture(scope="module")
def layer(tmp_path_factory):
    return write_tiff(tmp_path_factory.mktemp("layers") / "town.tif", make_mask((200, 200)), make_grid((200, 200)))


def test_what_schemathesis_draws_is_answered_as_documented(tmp_path, layer):
    async def forged(fields, form):  # forging itself takes seconds, and is tested with the client
        return b"{}" if form == "geojson" else MASK

    with live(tmp_path, layers=[layer], image_pixels=64**2, job_pixels=64**2) as (port, app):
        app.state.serving.forge.mask = forged
        seen = drawn_answers(f"http://127.0.0.1:{port}", {"name": "town", "form": "png"}, MASK, EXAMPLES)
    assert len(seen) == 19 and {200, 404, 422} <= {status for counts in seen.values() for status in counts}
    assert not [name for name in seen if any(status >= 500 and status != 504 for status in seen[name])], seen


def test_every_operation_refuses_a_query_that_it_does_not_know(tmp_path, layer):
    app = make_app({"styled": generator("styled")}, settings(tmp_path), [layer])
    with TestClient(app, raise_server_exceptions=False) as client:
        document = client.get("/openapi.json").json()
        for path, operations in document["paths"].items():
            if not path.startswith("/v1/"):
                continue
            here = path.format(name="town", job_id="x", z=17, x=70823, y=44344, form="png")
            for method, operation in operations.items():
                known = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]
                for query in [{"styel": "north"}, *([[(name, "1"), (name, "1")] for name in known[:1]])]:
                    answer = client.request(method.upper(), here, params=query)
                    assert answer.status_code == 422 and "422" in operation["responses"], (method, path, answer.text)
                    (error,) = {one["field"] for one in answer.json()["errors"]}
                    assert error == (known[0] if query != {"styel": "north"} else "styel")
                    assert all(name in answer.json()["detail"] for name in known), answer.text


class Provoked:
    """Requests to a server in which one thing at a time goes wrong."""

    def __init__(self, app, client):
        self.serving, self.app, self.client = app.state.serving, app, client
        self.serial = 0
        self.job = self._running_job()
        lon, lat, _ = client.get("/v1/maps/town/tilejson.json").json()["center"]
        self.tile = int((lon + 180) / 360 * 2**17), int((1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * 2**17)

    def ask(self, method, path, kind):
        self.serial += 1
        wrong = kind == "not-found"
        here = {"{name}": "nowhere" if wrong else "town", "{job_id}": "nobody" if wrong else self.job, "{form}": "png"}
        here |= {"{z}": "north" if kind == "invalid" else "17", "{x}": str(self.tile[0]), "{y}": str(self.tile[1])}
        for name, value in here.items():
            path = path.replace(name, value)
        # Each asks for another world: none finds what one before it made.
        query = {"seed": self.serial} if "/maps/town" in path and "/masks" not in path else {}
        if kind == "invalid":
            query = {"styel": "north"}
        options = {"params": query, "headers": {"Accept": "text/html"} if kind == "not-acceptable" else {}}
        if kind == "no-range":
            options["headers"] = {"Range": "bytes=99-"}
        if path.endswith("forged"):
            options["json"] = {"width": 1 if kind == "invalid" else 64, "height": 64, "layer": "nowhere" if wrong else "town"}
        elif method == "POST":
            form = {"seed": -1 if kind == "invalid" else self.serial} | ({"model": "nowhere"} if wrong else {})
            if path.endswith("styles"):  # it takes no seed
                form = {name: value for name, value in form.items() if name == "model"}
            elif path.endswith("masks"):
                form = {name: value for name, value in form.items() if name != "seed"}
            options |= {"files": {"photo" if path.endswith("styles") else "mask": MASK}, "data": form}
            if kind in ("bad-form", "no-form"):
                del options["files"], options["data"]
                media_type = "multipart/form-data" if kind == "bad-form" else "image/png"
                options |= {"content": b"x", "headers": {"Content-Type": media_type}}
        return self.client.request(method, path, **options)

    @contextlib.contextmanager
    def going_wrong(self, kind, patch):
        serving, limits = self.serving, self._limits()
        with patch.context() as here:
            if kind == "no-key":
                here.setattr(serving, "keys", Keys(("a-key-that-nobody-knows",)))
            elif kind == "too-often":
                rate = Rate(1)
                rate.require("testclient")
                here.setattr(serving, "rate", rate)
            elif kind == "slow-body":
                here.setattr(limits, "_most_s", -1.0)
            elif kind == "too-large":
                here.setattr(limits, "_most_bytes", 10)
            elif kind == "busy":
                here.setattr(serving.workers, "_size", 0)
                here.setattr(serving.forge.processes, "_most", 0)
            elif kind == "stopping":
                here.setattr(serving, "is_stopping", True)
                here.setattr(serving.workers, "_refusing", True)
            elif kind == "not-ready":
                here.setattr(serving.workers, "_ready", set())
            elif kind == "no-range":
                (serving.jobs.store.place(self.job) / RESULT).write_bytes(b"II*")
                done = dataclasses.replace(serving.jobs.store.get(self.job), state=DONE)
                here.setattr(serving.jobs.store, "get", lambda job_id: done)
            elif kind == "deadline":
                here.setattr(serving, "settings", dataclasses.replace(serving.settings, deadline_s=0.0))
            elif kind in ("failed", "no-room"):
                error = RuntimeError("a fault of ours") if kind == "failed" else ResourceError("/data: the disk is full.")
                here.setattr(serving.models, "find", _raising(error))
                here.setattr(serving.forge, "mask", _raising(error))
            yield

    def _limits(self):
        layer = self.app.middleware_stack
        while not isinstance(layer, BodyLimits):
            layer = layer.app
        return layer

    def _running_job(self):
        self.release = threading.Event()
        self.serving.workers.submit(alone(lambda device: self.release.wait(120)))
        return self.client.post("/v1/jobs", files={"mask": MASK}).json()["id"]


def _raising(error):
    def fail(*_, **__):
        raise error

    return fail


def test_every_error_that_the_document_names_can_be_seen(tmp_path, layer, monkeypatch):
    app = make_app({"styled": generator("styled")}, settings(tmp_path), [layer])
    missing, seen = [], 0
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        document = client.get("/openapi.json").json()
        schema = document["components"]["schemas"]["Problem"]
        provoked = Provoked(app, client)
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                for status, response in operation["responses"].items():
                    told = response.get("content", {}).get("application/problem+json", {})
                    for kind in told.get("examples", {}):
                        with provoked.going_wrong(kind, monkeypatch):
                            answer = provoked.ask(method.upper(), path, kind)
                        seen += 1
                        if answer.status_code != int(status) or not answer.json()["type"].endswith(f":{kind}"):
                            missing.append((method, path, kind, answer.status_code, answer.text[:200]))
                            continue
                        jsonschema.validate(answer.json(), schema)
                        assert (status in ("429", "503")) == ("retry-after" in answer.headers), (path, kind)
        provoked.release.set()
    assert not missing and seen > 80


def test_every_operation_has_a_line_of_curl_in_the_docs(tmp_path):
    lines = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    curls = [line.strip() for line in lines if line.startswith("    curl ")]
    for path, operations in make_app({"styled": generator("styled")}, settings(tmp_path)).openapi()["paths"].items():
        address = re.compile(r"http://127\.0\.0\.1:8000" + re.sub(r"\\\{\w+\\\}", r"[^/ ?]+", re.escape(path)) + r"(?=[ ?']|$)")
        for method in operations:
            of_method = {
                "get": lambda line: not re.search(r" -(F|X|d) ", line), "post": lambda line: re.search(r" -[Fd] ", line),
                "delete": lambda line: "-X DELETE" in line,
            }[method]  # fmt: skip
            assert [line for line in curls if address.search(line) and of_method(line)], f"no curl for {method} {path}"
