"""Forged masks of three real places beside their real ones, and their floors."""

import pytest

from orthoforge.forging.forge import forge

pytestmark = pytest.mark.real_data

# Distance to real, at most, in multiples of the median distance between two parts of the real masks.
MOST_FLOORS = 2.5


@pytest.mark.parametrize("place", ["inria_austin", "banepa_core", "zanzibar"])
def test_recombined_masks_pass_their_own_card(shared_data, tmp_path, place):
    made = forge(shared_data / "building", tmp_path / "out", place=place, count=6)
    card = made.cards[place]
    off = {verdict.name: verdict.words for verdict in card.verdicts if verdict.as_real is False}
    assert not off
    close = ("share", "area", "elongation", "orientation", "spacing")
    assert {v.name: v.multiple for v in card.verdicts if v.name in close and not v.multiple <= MOST_FLOORS} == {}
