"""When a mask looks inverted: holes like buildings in it, and not the gaps of a dense town or the yard of a house."""

import numpy as np
import pytest

from orthoforge.masks.share import MaskShare


def warned(mask):
    share = MaskShare()
    share.add(mask.astype(np.uint8))
    return "looks inverted" in (share.warning("town") or "")


def houses():
    mask = np.zeros((200, 200), bool)
    for row in range(10, 190, 40):
        for col in range(10, 190, 40):
            mask[row : row + 18, col : col + 20] = True
    return mask


def test_houses_are_right_and_inverted_houses_are_not():
    assert not warned(houses())
    assert 0.7 < (~houses()).mean() < 0.9
    assert warned(~houses())


@pytest.mark.parametrize("gap", [(1, 1), (2, 5)])
def test_gaps_between_the_roofs_of_a_dense_town_are_no_buildings(gap):
    mask = np.ones((200, 200), bool)
    mask[:, :40] = False
    for row in range(4, 196, 12):
        for col in range(50, 190, 12):
            mask[row : row + gap[0], col : col + gap[1]] = False
    assert 0.7 < mask.mean() < 0.9
    assert not warned(mask)


def test_gaps_beside_a_street_are_no_buildings_though_they_are_large_on_average():
    mask = np.ones((200, 200), bool)
    mask[:, :50] = False
    mask[4:196:48, 60:190:14] = False
    share = MaskShare()
    share.add(mask.astype(np.uint8))
    assert mask.mean() > 0.7 and -share.turning / 4 == 40 and (~mask).sum() / 40 > 100
    assert not warned(mask)


def test_strips_say_what_the_whole_says():
    whole, strips = MaskShare(), MaskShare()
    whole.add(~houses())
    for first in range(0, 200, 50):
        strips.add((~houses())[first : first + 50], (~houses())[first - 1 : first] if first else None)
    assert strips == whole


def test_a_roof_over_most_of_a_chip_with_a_yard_is_no_inverted_mask():
    mask = np.ones((200, 200), bool)
    mask[60:140, 50:140] = False
    assert 0.7 < mask.mean() < 0.9
    assert not warned(mask)
