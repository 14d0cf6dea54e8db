"""Masks on other grids."""

import numpy as np
import pytest
from affine import Affine
from PIL import Image

from conftest import UTM, make_mask
from orthoforge.geo.grid import Grid, Window
from orthoforge.masks.resampled import ResampledMask


def test_a_resampled_mask_keeps_its_share_and_its_nodata():
    class Source:
        identity, grid = "", Grid(80, 100, Affine(0.5, 0, 0, 0, -0.5, 0), UTM)
        mask = make_mask((80, 100))
        held = np.ones((80, 100), bool)
        held[:20, :50] = False

        def read(self, window):
            return self.mask[window.slices], self.valid(window)

        def valid(self, window):
            return self.held[window.slices]

    for height, width in ((133, 167), (40, 50)):
        mask, valid = ResampledMask(Source(), Source.grid.resized(height, width), classes=False).read(Window(0, 0, height, width))
        assert set(np.unique(mask)) == {0, 255}
        assert (mask > 0).mean() == pytest.approx((Source.mask > 0).mean(), rel=0.05)
        expected = np.asarray(Image.fromarray(Source.held).resize((width, height), Image.Resampling.NEAREST))
        assert (valid == expected).mean() > 0.99
