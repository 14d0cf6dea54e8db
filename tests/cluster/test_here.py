"""Threads of this process work side by side, and what comes out does not show it."""

import threading
import time

import pytest
import torch

from orthoforge.cluster import Here


def results(team, work, items):
    return [answer.result() for answer in team.answers(work, items)]


def test_answers_come_in_order_and_only_a_few_items_are_taken_ahead():
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

    with Here(2, alone=True) as team:
        answers = team.answers(slow_at_first, items())
        first = next(answers).result()
        assert len(taken) <= 2 * 8 + 3, "memory has a bound"
        found = [first, *(answer.result() for answer in answers)]
    assert [number for number, *_ in found] == list(range(40))
    assert max(most) <= 2
    assert threading.get_ident() not in {thread for _, thread, _ in found}
    assert {threads for *_, threads in found} == {1}


def test_answers_that_nobody_takes_stop_the_others():
    begun = []
    with Here(2) as team:
        answers = team.answers(begun.append, range(1000))
        next(answers)
        time.sleep(0.05)
        assert len(begun) <= 2 * 8 + 3


def test_an_item_that_takes_long_does_not_keep_the_others_waiting():
    done, go = [], threading.Event()

    def first_waits(number):
        if number == 0:
            go.wait(10)
        done.append(number)
        if number == 6:
            go.set()

    with Here(2) as team:
        results(team, first_waits, range(8))
    assert done.index(0) >= 6


def test_one_worker_is_this_thread_itself_which_works_when_it_is_asked():
    threads, done = torch.get_num_threads(), []
    with Here() as team:
        first, second = team.answers(lambda n: done.append(n) or threading.get_ident(), range(2))
        assert done == []
        assert (second.result(), first.result()) == (threading.get_ident(),) * 2
        assert done == [1, 0]
    with Here(2, alone=True) as team:
        results(team, lambda n: n, range(3))
    assert torch.get_num_threads() == threads


def test_an_error_is_raised_where_it_stands_and_stops_the_others():
    done = []

    def third_fails(number):
        if number == 2:
            raise ValueError("the third")
        time.sleep(0.005)
        done.append(number)
        return number

    found = []
    with pytest.raises(ValueError, match="the third"), Here(2) as team:
        found += [answer.result() for answer in team.answers(third_fails, range(1000))]
    assert len(done) < 20
