"""The queue before a device: bounded, in turns, together where it is safe, and nothing for those who have left."""

import threading
import time

import pytest
from servers import wait_until

from orthoforge.serving import queue
from orthoforge.serving.metrics import Metrics
from orthoforge.serving.problems import Problem
from orthoforge.serving.queue import BACKGROUND, Work, Workers, alone


@pytest.fixture
def workers():
    found = Workers(("cpu",), size=4, together_s=0.05, together_pixels=100, metrics=Metrics())
    found.start()
    yield found
    found.close()


@pytest.fixture
def held(workers):
    """The worker is busy until the event is set."""
    event, began = threading.Event(), threading.Event()
    workers.submit(alone(lambda device: began.set() or event.wait(10)))
    assert began.wait(10)
    yield event
    event.set()


def counted(workers, name, **labels):
    return workers._metrics.registry.get_sample_value(f"orthoforge_{name}_total", labels)


def test_a_full_queue_refuses_and_says_when_to_ask_again(workers, held):
    taken = [workers.submit(alone(lambda device: device)) for _ in range(4)]
    with pytest.raises(Problem) as refused:
        workers.submit(alone(lambda device: device))
    assert refused.value.status == 503 and refused.value.retry_after_s >= 1
    held.set()
    assert [future.result(10) for future in taken] == ["cpu"] * 4


def test_who_has_left_is_dropped_before_anything_runs(workers, held):
    ran = []
    left = [workers.submit(alone(lambda device: ran.append(1))) for _ in range(3)]
    assert all(future.cancel() for future in left)
    assert workers.waiting == 0
    last = workers.submit(alone(lambda device: "made"))
    held.set()
    assert last.result(10) == "made" and ran == []
    assert counted(workers, "dropped", why="client left") == 3


def test_a_deadline_that_has_passed_is_told_and_nothing_runs(workers, held):
    ran = []
    late = workers.submit(alone(lambda device: ran.append(1)), deadline_s=0.01)
    time.sleep(0.03)
    held.set()
    with pytest.raises(Problem) as told:
        late.result(10)
    assert told.value.status == 504 and ran == []


def test_small_work_of_one_key_is_done_together_up_to_its_pixels(workers, held):
    batches = []

    def run(device, payloads):
        batches.append(list(payloads))
        return [10 * payload for payload in payloads]

    futures = [workers.submit(Work(run, number, "key", 30)) for number in range(4)]
    held.set()
    assert [future.result(10) for future in futures] == [0, 10, 20, 30]
    assert batches == [[0, 1, 2], [3]]


def test_background_work_waits_for_others_but_not_for_ever(workers, held):
    order = []
    first = workers.submit(alone(lambda device: order.append("job")), urgency=BACKGROUND)
    second = workers.submit(alone(lambda device: order.append("image")))
    held.set()
    second.result(10), first.result(10)
    assert order == ["image", "job"]


def test_a_worker_that_ends_is_started_again_and_is_not_ready_meanwhile():
    warm = threading.Event()
    warm.set()
    workers = Workers(
        ("cpu",), size=4, together_s=0, together_pixels=0, metrics=Metrics(), warm_up=lambda device: warm.wait(10) and None
    )
    workers.start()
    wait_until(lambda: workers.is_ready)
    warm.clear()

    def dies(device):
        raise SystemExit

    with pytest.raises(Problem) as told:
        workers.submit(alone(dies)).result(10)
    assert told.value.status == 500
    wait_until(lambda: not workers.is_ready)
    waiting = workers.submit(alone(lambda device: "made"))
    warm.set()
    assert waiting.result(10) == "made" and workers.is_ready
    assert counted(workers, "worker_restarts") == 1
    workers.close()


def test_what_was_taken_is_finished_before_the_workers_end(held, workers):
    taken = [workers.submit(alone(lambda device: "made")) for _ in range(3)]
    closing = threading.Thread(target=workers.close)
    closing.start()
    wait_until(lambda: workers._closing)
    with pytest.raises(Problem) as refused:
        workers.submit(alone(lambda device: None))
    assert refused.value.detail.startswith("The server is stopping")
    held.set()
    closing.join(10)
    assert [future.result(0) for future in taken] == ["made"] * 3


def test_after_so_many_batches_free_memory_is_given_back(workers, monkeypatch):
    given = []
    monkeypatch.setattr(queue, "_BATCHES_A_TRIM", 3)
    monkeypatch.setattr(queue, "give_back_memory", lambda: given.append(1))
    for _ in range(7):
        workers.submit(alone(lambda device: device)).result(10)
    wait_until(lambda: len(given) == 2)
