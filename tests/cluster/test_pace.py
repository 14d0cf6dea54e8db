"""A task gets items for about a second, and no worker is left without any."""

from hypothesis import given
from hypothesis import strategies as st

from orthoforge.cluster.pace import Pace


def pace(workers, *seconds):
    made = Pace(workers)
    for one in seconds:
        made.took(one)
    return made


def test_short_items_share_a_task_of_a_second_and_long_ones_have_one_each():
    assert pace(2).count(1000) == 1, "nobody knows how long they take"
    assert pace(2, 0.15).count(1000) == 6
    assert pace(2, 3.0).count(1000) == 1
    assert pace(2, 1e-6).count(1000) == 64
    assert pace(2, 0.15).count(None) == 6


def test_the_first_items_of_workers_that_import_what_they_need_do_not_count():
    assert pace(2, 5.0, 6.0, 0.1, 0.1, 0.1).count(1000) == 10


def test_what_is_left_is_shared_by_all_workers():
    assert pace(2, 0.01).count(20) == 5
    assert pace(8, 0.01).count(20) == 2
    assert [len(some) for some in pace(2, 0.25).portions(range(12))] == [3, 3, 2, 1, 1, 1, 1]


@given(st.integers(0, 300), st.integers(1, 9), st.lists(st.floats(0, 5), max_size=5))
def test_portions_are_all_items_in_order(count, workers, seconds):
    some = list(pace(workers, *seconds).portions(range(count)))
    assert [item for one in some for item in one] == list(range(count))
    assert len(some) >= min(count, 2 * workers)
    assert list(pace(workers, *seconds).portions(iter(range(count)))) or not count
