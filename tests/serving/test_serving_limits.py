"""Faults of clients and of processes: each is injected, and the server goes on."""

import asyncio
import contextlib
import errno
import json
import os
import resource
import signal
import socket
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from servers import client, live, png, wait_until
from starlette.requests import Request

from conftest import make_mask, write_tiff
from orthoforge.serving.answering import UNFORESEEN, answer
from orthoforge.serving.decoding import Order
from orthoforge.serving.limits import Keys, Rate
from orthoforge.serving.metrics import Metrics
from orthoforge.serving.problems import Problem
from orthoforge.serving.queue import alone
from orthoforge.serving.scenes import ServedScene
from orthoforge.serving.uploads import Decoders

MASK = make_mask((32, 32))

# Threads that write blocks change the filters of warnings of the whole process, one after the other's back.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


ASKS = httpx.Client()  # each would spend a tenth of a second on certificates that nobody asks for


@pytest.fixture(scope="module", autouse=True)
def connections():
    yield
    ASKS.close()


def sent(port: int, mask: bytes, timeout: float = 30) -> httpx.Response:
    return ASKS.post(f"http://127.0.0.1:{port}/v1/images", files={"mask": mask}, timeout=timeout)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with live(tmp_path_factory.mktemp("data"), upload_bytes=200_000, upload_s=1.5) as (port, app):
        yield port, app


def busy(app):
    """The worker is busy until the event is set."""
    event, began = threading.Event(), threading.Event()
    app.state.serving.workers.submit(alone(lambda device: began.set() or event.wait(20)))
    assert began.wait(10)
    return event


def dropped(app) -> float:
    value = app.state.serving.metrics.registry.get_sample_value("orthoforge_dropped_total", {"why": "client left"})
    return value or 0.0


def test_a_burst_is_answered_or_refused_and_nothing_is_lost(served):
    port, app = served
    event, answers = busy(app), []
    threads = [threading.Thread(target=lambda: answers.append(sent(port, png(MASK)))) for _ in range(40)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(answers) == 40 - 16)
    event.set()
    for thread in threads:
        thread.join()
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(refused) == 24, [answer.text[:200] for answer in answers if answer.status_code not in (200, 503)]
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    made = [answer for answer in answers if answer.status_code == 200]
    assert len(made) == 16 and len({answer.content for answer in made}) == 1


def test_a_client_that_leaves_is_dropped_before_the_network_runs(served):
    port, app = served
    event, before = busy(app), dropped(app)
    passes = app.state.serving.metrics.forward_passes._value.get()
    with pytest.raises(httpx.ReadTimeout):
        sent(port, png(MASK), timeout=0.4)
    wait_until(lambda: app.state.serving.workers.waiting == 0)
    event.set()
    wait_until(lambda: dropped(app) == before + 1)
    assert app.state.serving.metrics.forward_passes._value.get() == passes + 1  # that of `busy`


def test_a_client_that_leaves_while_it_sends_is_no_fault_of_the_server(served, caplog):
    port, app = served
    with socket.create_connection(("127.0.0.1", port)) as connection:
        head = (
            b"POST /v1/images HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n\r\n"
        )
        connection.sendall(head + b"--b\r\n")
        time.sleep(0.2)

    def told(status):
        labels = {"operation": "POST /v1/images", "status": status}
        return app.state.serving.metrics.registry.get_sample_value("orthoforge_requests_total", labels)

    wait_until(lambda: told("499"))
    assert not told("500") and "Traceback" not in caplog.text
    long = httpx.get(f"http://127.0.0.1:{port}/" + "a" * 10_000)
    assert long.status_code == 404 and len(long.content) < 1000


def test_a_slow_body_and_a_large_one(served):
    port, _ = served
    head = b"POST /v1/images HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(head + b"Content-Length: 1000\r\n\r\n--b\r\n")
        began = time.monotonic()
        assert b" 408 " in slow.recv(4096) and time.monotonic() - began < 5
    with socket.create_connection(("127.0.0.1", port)) as large:
        large.sendall(head + b"Content-Length: 99999999\r\n\r\n")
        assert b" 413 " in large.recv(4096)
    with socket.create_connection(("127.0.0.1", port)) as endless:
        part = b'--b\r\nContent-Disposition: form-data; name="mask"; filename="m"\r\n\r\n'
        endless.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(part), part))
        for _ in range(3):
            endless.sendall(b"186a0\r\n" + bytes(100_000) + b"\r\n")
        assert b" 413 " in endless.recv(4096)


def test_many_requests_leave_no_files_and_no_descriptors_open(served):
    port, app = served
    sent(port, png(MASK))
    process = psutil.Process()
    before = process.num_fds()
    for number in range(12):
        sent(port, b"broken" if number % 2 else png(MASK))
    wait_until(lambda: process.num_fds() <= before + 1)
    assert not list((app.state.serving.settings.data / "uploads").iterdir())


def test_stopping_finishes_what_was_taken(tmp_path):
    with live(tmp_path) as (port, app):
        event, answers = busy(app), []
        threads = [threading.Thread(target=lambda: answers.append(sent(port, png(MASK)).status_code)) for _ in range(3)]
        for thread in threads:
            thread.start()
        wait_until(lambda: app.state.serving.workers.waiting == 3)
        app.state.serving.stop()
        assert httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 503
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
        assert sent(port, png(MASK)).json()["type"].endswith("stopping")
        threading.Timer(0.3, event.set).start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 3


@pytest.mark.parametrize(("side", "variants"), [(32, 3), (150, 1)])
def test_stopping_finishes_all_parts_of_what_was_taken(tmp_path, monkeypatch, side, variants):
    """Variants, and blocks of a larger image, come to the workers one after the other."""
    monkeypatch.setattr(ServedScene, "block_side_px", lambda self: 64)
    with live(tmp_path) as (port, app):
        event, answers = busy(app), []

        def ask():
            form = {"files": {"mask": png(make_mask((side, side)))}, "data": {"variants": variants}}
            answers.append(httpx.post(f"http://127.0.0.1:{port}/v1/images", timeout=30, **form).status_code)

        thread = threading.Thread(target=ask)
        thread.start()
        wait_until(lambda: app.state.serving.workers.waiting == 1)
        app.state.serving.stop()
        threading.Timer(0.3, event.set).start()
    thread.join()
    assert answers == [200]


def test_keys_rates_and_origins(tmp_path):
    with client(tmp_path, keys=("right", "other"), requests_per_minute=3, cors=("https://page.example",)) as found:
        assert found.get("/healthz").status_code == 200
        missing = found.get("/v1/models")
        assert missing.status_code == 401 and missing.headers["www-authenticate"] == "Bearer"
        assert found.get("/v1/models", headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert found.post("/v1/images", files={"mask": png(MASK)}).status_code == 401
        assert found.get("/v1/models", headers={"X-API-Key": "other"}).status_code == 200
        with_key = {"Authorization": "Bearer right", "Origin": "https://page.example"}
        answers = [found.get("/v1/models", headers=with_key) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert int(answers[-1].headers["retry-after"]) <= 20
        assert answers[0].headers["access-control-allow-origin"] == "https://page.example"
        assert {"Orthoforge-Grid", "Location"} <= set(answers[0].headers["access-control-expose-headers"].split(", "))
        stranger = found.get("/healthz", headers={"Origin": "https://stranger.example"})
        assert "access-control-allow-origin" not in stranger.headers


def test_every_key_is_compared_in_constant_time(monkeypatch):
    compared = []
    monkeypatch.setattr("hmac.compare_digest", lambda one, other: compared.append(len(one) == len(other) == 32) or one == other)

    asks = Request({"type": "http", "headers": [(b"x-api-key", b"first")]})
    Keys(["first", "second"]).require(asks)
    assert compared == [True, True]


def test_a_caller_may_come_again_after_a_while(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    rate = Rate(2)
    rate.require("a"), rate.require("a"), rate.require("b")
    with pytest.raises(Problem):
        rate.require("a")
    now[0] += 30
    rate.require("a")


@pytest.fixture(scope="module")
def decoders(tmp_path_factory):
    found = Decoders(
        tmp_path_factory.mktemp("decoders") / "uploads", count=1, most_bytes=2**31, most_s=10, most_waiting=2, metrics=Metrics()
    )
    found.start()
    yield found
    found.close()


def order(folder, name="mask.png", **changes):
    return Order(str(folder), name, None, None, **({"most_pixels": 10**9} | changes))


def test_a_decoder_that_is_killed_is_replaced(decoders):
    with decoders.folder() as folder:
        (folder / "mask.png").write_bytes(png(MASK))
        asyncio.run(decoders.decode(order(folder)))
        os.kill(decoders.processes.pids[0], signal.SIGKILL)
        with pytest.raises(Problem):
            asyncio.run(decoders.decode(order(folder)))
        asyncio.run(decoders.decode(order(folder)))
        assert decoders.processes._restarts._value.get() == 1


def test_a_fault_of_the_code_is_told_by_whose_it_is(decoders, monkeypatch):
    def unforeseen(*_):
        raise KeyError("secret")

    assert answer(b"", unforeseen) == {"error": UNFORESEEN, "words": "KeyError"}

    async def said(*_):
        return answer(b"", unforeseen)

    monkeypatch.setattr(decoders.processes, "ask", said)
    ours = Problem("failed", "The mask could not be made.")
    with pytest.raises(Problem) as told:
        asyncio.run(decoders.processes.done(b"", 1, late=ours, ended=ours, unforeseen=ours))
    assert told.value is ours and ours.status == 500
    with pytest.raises(Problem) as told:  # a file that breaks the decoder is the client's to send otherwise
        asyncio.run(decoders.decode(order(Path())))
    assert told.value.status == 422 and "Export it again" in told.value.detail and "secret" not in told.value.detail


def test_a_decoder_that_takes_too_long_is_ended(decoders, monkeypatch):
    with decoders.folder() as folder:
        (folder / "mask.png").write_bytes(png(MASK))
        asyncio.run(decoders.decode(order(folder)))
        (stuck,) = decoders.processes.pids
        os.kill(stuck, signal.SIGSTOP)
        monkeypatch.setattr(decoders, "_most_s", 0.2)
        with pytest.raises(Problem) as told:
            asyncio.run(decoders.decode(order(folder)))
        assert told.value.status == 413 and not psutil.pid_exists(stuck)


def test_a_decoder_answers_a_server_of_a_thousand_connections(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1200:
        pytest.skip("this machine allows no 1024 files")
    decoders = Decoders(tmp_path / "uploads", count=1, most_bytes=2**31, most_s=10, most_waiting=2, metrics=Metrics())
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        while stack.enter_context(open(os.devnull)).fileno() < 1030:
            pass
        decoders.start()
        stack.callback(decoders.close)
        with decoders.folder() as folder:
            (folder / "mask.png").write_bytes(png(MASK))
            asyncio.run(decoders.decode(order(folder)))
            assert (folder / "labels.npy").exists()


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOMEM, "too-large"), (errno.ENOSPC, "no-room")])
def test_memory_that_the_system_refuses_is_no_full_disk(number, kind):
    def refused(line):
        raise OSError(number, os.strerror(number))

    assert answer(b"", refused)["error"] == kind


def test_a_file_that_needs_more_memory_than_a_decoder_has_is_refused(tmp_path):
    decoders = Decoders(tmp_path / "uploads", count=1, most_bytes=2**29, most_s=20, most_waiting=2, metrics=Metrics())
    decoders.start()
    with decoders.folder() as folder:
        # A block of 400 MB: GDAL unpacks it whole.
        write_tiff(folder / "mask.tif", np.zeros((20_000, 20_000), np.uint8), compress="deflate", blockysize=20_000)
        with pytest.raises(Problem) as told:
            asyncio.run(decoders.decode(order(folder, "mask.tif")))
        assert told.value.status in (413, 422)
        (folder / "mask.png").write_bytes(png(MASK))
        asyncio.run(decoders.decode(order(folder)))
    decoders.close()


def test_names_in_uploads_lead_nowhere(decoders, tmp_path):
    secret = tmp_path / "secret.tif"
    write_tiff(secret, np.full((8, 8), 255, np.uint8))
    vrt = (
        '<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f'<SourceFilename relativeToVRT="0">{secret}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>'
    )
    for words in (vrt, str(secret), f"/vsicurl/file://{secret}", "GTIFF_DIR:1:" + str(secret), "../secret.tif"):
        with decoders.folder() as folder:
            for name in ("mask.tif", "mask.png"):
                (folder / name).write_text(words)
                with pytest.raises(Problem) as told:
                    asyncio.run(decoders.decode(order(folder, name)))
                assert told.value.status == 422 and not (folder / "labels.npy").exists()


def test_footprints_of_a_file_that_is_none(decoders):
    for words in ("{", "[]", '{"type": "FeatureCollection", "features": []}', json.dumps({"type": "Feature", "geometry": None})):
        with decoders.folder() as folder:
            (folder / "footprints.geojson").write_text(words)
            with pytest.raises(Problem) as told:
                asyncio.run(decoders.decode(order(folder, "footprints.geojson", width=8, height=8, pixel_size_m=0.3)))
            assert told.value.status == 422
