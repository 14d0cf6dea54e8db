"""What the tables say in words."""

import pytest

from orthoforge.evaluation.tables import overlap_statement


@pytest.mark.parametrize(
    ("same", "split", "method", "words", "is_warning"),
    [
        (True, "test", "blocks", "kept out of its training", False),
        (True, "val", "blocks", "chose its best checkpoint", False),
        (True, "train", "blocks", "measure memory", True),
        (True, "test", "random", "neighbours", True),
        (False, "test", "blocks", "unknown", True),
        (None, "test", "blocks", "What made these images is not known", True),
    ],
)
def test_the_report_says_whether_tiles_were_trained_on(same, split, method, words, is_warning):
    text, warned = overlap_statement({"trained_on_these": same, "split": split, "split_method": method})
    assert words in text
    assert warned == is_warning


@pytest.mark.parametrize(
    ("seen", "words", "is_warning"), [(0, "none shows ground", False), (3, "that 3 of these tiles show", True)]
)
def test_other_tiles_whose_ground_is_known_are_spoken_of_so(seen, words, is_warning):
    data = {"trained_on_these": False, "split": "test", "split_method": "blocks"}
    text, warned = overlap_statement(data, seen)
    assert words in text
    assert warned == is_warning
