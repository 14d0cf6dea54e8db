"""Images are looked at side by side, and what comes out does not show it."""

import threading
import time

import pytest
import torch

from orthoforge.evaluation.side_by_side import in_order


def test_results_come_in_order_and_only_a_few_items_are_taken_ahead():
    taken, running, most = [], [], []

    def items():
        for number in range(40):
            taken.append(number)
            yield number

    def slow_at_first(number):
        running.append(number)
        most.append(len(running))
        time.sleep(0.01 if number % 4 == 0 else 0)
        running.remove(number)
        return number, threading.get_ident(), torch.get_num_threads()

    results = in_order(slow_at_first, items(), workers=2)
    first = next(results)
    assert len(taken) <= 5, "memory has a bound"
    found = [first, *results]
    assert [number for number, *_ in found] == list(range(40))
    assert max(most) <= 2
    assert threading.get_ident() not in {thread for _, thread, _ in found}
    assert {threads for *_, threads in found} == {1}


def test_one_worker_is_this_thread_itself():
    threads = torch.get_num_threads()
    found = list(in_order(lambda n: (n, threading.get_ident()), range(3), workers=1))
    assert found == [(n, threading.get_ident()) for n in range(3)]
    list(in_order(lambda n: n, range(3), workers=2))
    assert torch.get_num_threads() == threads


def test_an_error_is_raised_where_it_stands_and_stops_the_others():
    done = []

    def third_fails(number):
        if number == 2:
            raise ValueError("the third")
        time.sleep(0.005)
        done.append(number)
        return number

    results = in_order(third_fails, range(1000), workers=2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="the third"):
        next(results)
    assert len(done) < 10
