"""Maps that are cut to what is still needed."""

import torch

from orthoforge.models.narrowing import Narrowing, copied


def test_what_is_whole_is_not_copied():
    maps = torch.randn(1, 2, 8, 8, requires_grad=True)
    whole = slice(0, 8), slice(0, 8)
    assert copied(maps, whole) is maps
    narrow = copied(maps, (slice(1, 8), slice(0, 6)))
    assert torch.equal(narrow, maps[:, :, 1:8, :6])
    assert Narrowing((slice(0, 16), slice(0, 16)), (0, 2)).whole(maps, 1) is maps
