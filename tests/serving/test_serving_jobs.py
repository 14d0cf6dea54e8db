"""Jobs: made block by block, told as they go, cancelled, and not lost when the server ends however it ends."""

import json
import shutil
import threading
import time

import numpy as np
import pytest
import rasterio
from servers import client, generator, png, wait_until

from conftest import make_grid, make_image, make_mask, write_tiff
from orthoforge.geo.grid import Window
from orthoforge.serving.job_store import CANCELLED, DONE, QUEUED, JobStore
from orthoforge.serving.queue import alone
from orthoforge.serving.scenes import ServedScene
from small_disk import small_disk

MASK = make_mask((80, 100))

# Threads that write blocks change the filters of warnings of the whole process, one after the other's back.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(ServedScene, "block_side_px", lambda self: 64)


@pytest.fixture
def served(tmp_path):
    with client(tmp_path / "data") as found:
        yield found


def posted(served, mask=None, **fields):
    answer = served.post("/v1/jobs", files={"mask": png(MASK) if mask is None else mask}, data=fields)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def state(served, job):
    return served.get(f"/v1/jobs/{job}").json()["state"]


def held(served):
    event, began = threading.Event(), threading.Event()
    served.app.state.serving.workers.submit(alone(lambda device: began.set() or event.wait(20)))
    assert began.wait(10)
    return event


def test_a_job_makes_the_same_image_and_tells_its_progress(served, tmp_path):
    mask = write_tiff(tmp_path / "mask.tif", MASK, make_grid(MASK.shape)).read_bytes()
    job = posted(served, mask, seed=4, style="north")
    told = [json.loads(line[6:]) for line in served.get(f"/v1/jobs/{job}/events").text.splitlines() if line.startswith("data: ")]
    assert told[-1]["state"] == "done" and told[-1]["blocks_done"] == told[-1]["blocks"] == 4
    assert [one["blocks_done"] for one in told] == sorted(one["blocks_done"] for one in told)
    (tmp_path / "image.tif").write_bytes(served.get(f"/v1/jobs/{job}/result").content)
    with rasterio.open(tmp_path / "image.tif") as image:
        assert image.transform == make_grid(MASK.shape).transform and image.tags()["STYLE"] == "north"
        made = np.moveaxis(image.read(), 0, -1)
    origin = round(5_000_000 / -0.3), round(500_000 / 0.3)
    wanted = generator("styled").with_style("north")(MASK, seed=4, origin=origin)
    assert np.abs(made.astype(int) - wanted).max() <= 1
    part = served.get(f"/v1/jobs/{job}/result", headers={"Range": "bytes=0-3"})
    assert part.status_code == 206 and part.content == b"II*\0"
    size = (tmp_path / "image.tif").stat().st_size
    for status, wanted in [
        (206, f"bytes={size - 1}-"), (206, "bytes=-9"), (206, "bytes=0-1, 8-9"), (206, "Bytes=0-"), (416, f"bytes={size}-"),
        (416, "bytes=-0"),
        (422, "bytes=5-2"), (422, "bytes=x-"), (422, "bytes=-"), (422, "rows=0-3"), (422, "bytes=" + "9" * 99 + "-"),
    ]:  # fmt: skip
        answer = served.get(f"/v1/jobs/{job}/result", headers={"Range": wanted})
        assert answer.status_code == status, (wanted, answer.status_code)
        assert status == 206 or answer.json()["detail"].startswith("Range"), wanted
    assert [one["id"] for one in served.get("/v1/jobs").json()["jobs"]] == [job]


def test_a_job_that_is_cancelled_makes_nothing_more(served):
    event = held(served)
    running, waiting = posted(served), posted(served, seed=1)
    wait_until(lambda: state(served, running) == "running")
    assert served.get(f"/v1/jobs/{running}/result").status_code == 409
    for job in (waiting, running):
        assert served.delete(f"/v1/jobs/{job}").json()["state"] == "cancelled"
    event.set()
    last = posted(served, seed=2)
    wait_until(lambda: state(served, last) == "done")
    assert [state(served, job) for job in (running, waiting)] == ["cancelled"] * 2
    assert served.app.state.serving.metrics.registry.get_sample_value("orthoforge_jobs_total", {"state": "done"}) == 1


def test_a_job_is_left_while_it_looks_at_its_whole_mask(tmp_path, monkeypatch):
    """A scene of hundreds of millions of pixels is looked at for minutes: others are made meanwhile, and a stop need not wait."""
    looked, go_on = threading.Event(), threading.Event()

    def look(scene):
        while True:
            scene.read(Window(0, 0, 8, 8))
            looked.set()
            assert go_on.wait(20)

    monkeypatch.setattr(ServedScene, "find_buildings", lambda served: look(served.scene))
    with client(tmp_path) as found:
        job = posted(found)
        assert looked.wait(10)
        assert found.post("/v1/images", files={"mask": png(MASK)}).status_code == 200
        assert found.delete(f"/v1/jobs/{job}").json()["state"] == "cancelled"
        other = posted(found)
        threading.Timer(0.2, go_on.set).start()
        wait_until(lambda: state(found, other) == "running")
    monkeypatch.setattr(ServedScene, "find_buildings", lambda served: None)
    with client(tmp_path) as found:
        wait_until(lambda: state(found, other) == "done")


def test_a_job_goes_on_after_a_restart(tmp_path):
    with client(tmp_path) as found:
        event = held(found)
        job = posted(found, seed=9)
        wait_until(lambda: state(found, job) == "running")
        threading.Timer(0.2, event.set).start()
    with client(tmp_path) as found:
        wait_until(lambda: state(found, job) == "done")
        assert found.get(f"/v1/jobs/{job}/result").status_code == 200


def test_a_job_in_the_look_of_a_photo_goes_on_after_a_restart(tmp_path):
    photo = make_image(make_mask(96), seed=3)
    with client(tmp_path) as found:
        style = found.post("/v1/styles", files={"photo": png(photo)}).json()["style"]
        event = held(found)
        job = posted(found, style=style)
        threading.Timer(0.2, event.set).start()
    with client(tmp_path) as found:
        wait_until(lambda: state(found, job) in ("done", "failed"))
        assert found.get(f"/v1/jobs/{job}").json()["problem"] == ""


def test_what_was_accepted_is_there_after_a_kill_and_what_was_not_is_removed(tmp_path):
    store = JobStore(tmp_path)
    for name in ("one", "two", "stray"):
        store.place(name).mkdir()
    store.add("one", "me", {"seed": 1})
    store.add("two", "me", {"seed": 2})
    assert store.next().id == "one"
    again = JobStore(tmp_path)  # the first is not closed: that process is dead
    assert [again.get(name).state for name in ("one", "two")] == [QUEUED, QUEUED]
    assert not again.place("stray").exists() and again.next().id == "one"
    assert again.end("one", DONE) and not again.end("one", CANCELLED)
    again.remove_ended_before(time.time() + 1)
    assert again.get("one") is None and not again.place("one").exists() and again.unfinished() == 1
    again.close(), store.close()


def test_jobs_of_others_are_not_seen(tmp_path):
    with client(tmp_path, keys=("mine", "yours"), jobs=1) as found:
        mine, yours = {"X-API-Key": "mine"}, {"X-API-Key": "yours"}
        event = held(found)
        job = found.post("/v1/jobs", files={"mask": png(MASK)}, headers=mine).json()["id"]
        assert found.get(f"/v1/jobs/{job}", headers=yours).status_code == 404
        assert found.delete(f"/v1/jobs/{job}", headers=yours).status_code == 404
        assert found.get("/v1/jobs", headers=yours).json() == {"jobs": []}
        full = found.post("/v1/jobs", files={"mask": png(MASK)}, headers=mine)
        assert full.status_code == 503 and int(full.headers["retry-after"]) == 60
        found.delete(f"/v1/jobs/{job}", headers=mine)
        event.set()


def test_jobs_that_are_refused_leave_nothing(served):
    assert served.post("/v1/jobs", files={"mask": b"x"}).status_code == 422
    assert served.post("/v1/jobs", files={"mask": png(MASK)}, data={"variants": 2}).status_code == 422
    assert served.get("/v1/jobs/../../etc").status_code == 404 and served.get("/v1/jobs/x").status_code == 404
    folder = served.app.state.serving.jobs.store.folder
    assert not [path for path in folder.iterdir() if path.is_dir()]


def test_a_disk_that_fills_while_a_job_runs_fails_it_clearly_and_jobs_after_it_are_made(tmp_path):
    with small_disk(tmp_path / "disk", 6_000_000) as disk, client(disk) as found:
        event = held(found)
        job = posted(found, seed=1)
        wait_until(lambda: state(found, job) == "running")
        filler = disk / "filler"  # somebody else's
        filler.write_bytes(bytes(shutil.disk_usage(disk).free - 500_000))
        event.set()
        wait_until(lambda: state(found, job) == "failed")
        told = found.get(f"/v1/jobs/{job}").json()["problem"]
        assert "the disk has" in told and "MB left" in told and str(disk) not in told
        place = found.app.state.serving.jobs.store.place(job)
        assert {path.name for path in place.iterdir()} == {"grid.json", "labels.npy"}, "nothing half written"
        filler.unlink()
        later = posted(found, seed=2)
        wait_until(lambda: state(found, later) == "done")


def test_a_full_disk_is_told_and_no_path_of_the_servers(tmp_path):
    with small_disk(tmp_path / "disk", 6_000_000) as disk, client(disk) as found:
        (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free))
        for way in ("jobs", "images"):
            full = found.post(f"/v1/{way}", files={"mask": png(MASK)})
            assert full.status_code == 507 and full.json()["type"].endswith("no-room"), full.text
            assert str(disk) not in full.text
