"""Roofs: for each building a real one of like size, length and direction, laid on its outline."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import ndimage

from orthoforge.geo.grid import Window
from orthoforge.material.chance import uniform
from orthoforge.material.library import LOW_PX, Library, Roof, smooth
from orthoforge.material.rectangles import Rectangle

MOST_STRETCH = 1.4
MOST_SHRINK = 0.55
REACH_PX = 24  # three times LOW_PX
_CANDIDATES = 8
_CHOICE = 0.12
_TONE_SCALE = 250.0
_TURN = np.radians(22)
_CUT = 0.4
_PLAIN = 6.0  # how much a varied roof is disliked where it has to be repeated
_TONE_SHARE = 0.4
_ROOF = 200


@dataclass
class Roofs:
    """Chooses and lays roofs of tiles ``allowed`` of the library."""

    library: Library
    allowed: np.ndarray
    seed: int
    _splines: dict[int, np.ndarray] = field(default_factory=dict)

    @cached_property
    def _sources(self) -> tuple[list[Roof], np.ndarray]:
        """The roofs that may be taken, and of each log width, log height, angle, fill, what speaks against it, and variety."""
        allowed = set(self.allowed.tolist())
        sources = [roof for roof in self.library.roofs if roof.tile in allowed]
        rows = [
            (
                np.log(one.rectangle.width),
                np.log(one.rectangle.height),
                one.rectangle.angle,
                one.rectangle.fill,
                _CUT * one.is_cut,
                one.variety,
            )
            for one in sources
        ]
        return sources, np.array(rows).reshape(-1, 6)

    def choose(self, target: Rectangle, anchor: tuple[int, int], tone: np.ndarray) -> Roof | None:
        """A roof for the building whose first pixel is ``anchor``, among ground of ``tone``; ``None`` where there is none."""
        sources, about = self._sources
        if not sources:
            return None
        longer, wider = np.log(target.width) - about[:, 0], np.log(target.height) - about[:, 1]
        apart = sum(np.where(more > np.log(MOST_STRETCH), 0.6 + 0.3 * more, np.abs(more)) for more in (longer, wider))
        repeated = sum(np.maximum(more - np.log(MOST_STRETCH), 0) for more in (longer, wider))
        apart = apart + _PLAIN * about[:, 5] * repeated
        turned = np.abs((about[:, 2] - target.angle + np.pi / 2) % np.pi - np.pi / 2)
        tiles = np.array([roof.tile for roof in sources])
        off = np.linalg.norm(self.library.tones[tiles] - tone, axis=1) / _TONE_SCALE
        against = apart + turned / _TURN + 0.7 * np.abs(about[:, 3] - min(target.fill, 0.98)) + about[:, 4] + off
        nearest = np.argsort(against, kind="stable")[:_CANDIDATES]
        chance = np.exp(-(against[nearest] - against[nearest[0]]) / _CHOICE).cumsum()
        at = np.searchsorted(chance, float(uniform(self.seed, _ROOF, *anchor)) * chance[-1])
        return sources[int(nearest[min(at, len(nearest) - 1)])]

    def lay(self, roof: Roof, target: Rectangle, window: Window, own: np.ndarray, tone: np.ndarray) -> np.ndarray:
        """The pixels (h, w, B) float32 of a roof laid on ``target``, which is counted in the same absolute pixels as ``window``.

        ``own`` (h, w) is where the building stands. What its source does not cover there gets the tone around.
        """
        rows, cols = np.meshgrid(
            *(np.arange(length) + first for first, length in zip(window[:2], window[2:], strict=True)), indexing="ij"
        )
        along, across = target.local(rows, cols)
        along = _stretched(along, target.width, roof.rectangle.width)
        across = _stretched(across, target.height, roof.rectangle.height)
        source = np.stack(roof.rectangle.place(along, across))
        spline = self._spline(roof.tile)
        image = np.stack(
            [ndimage.map_coordinates(band, source, order=3, prefilter=False, mode="mirror") for band in spline], axis=-1
        )
        image += _TONE_SHARE * (tone - self.library.tones[roof.tile])
        inside = ndimage.map_coordinates(self._own(roof), source, order=1, mode="constant") > 0.5
        bad = own & ~inside
        good = own & ndimage.binary_erosion(inside, border_value=1)
        if bad.any() and good.any():
            tones = smooth(image, good, LOW_PX / 2)
            image = np.where(bad[..., None], tones, image)
        return image

    def _own(self, roof: Roof) -> np.ndarray:
        """(S, S) float32: 1 on the building that a roof is of."""
        mask = self.library.masks[roof.tile]
        labels = self.library.labels[roof.tile]
        row, col = np.clip(np.round([roof.rectangle.row, roof.rectangle.col]).astype(int), 0, len(mask) - 1)
        label = labels[row, col]
        if label == 0:  # the middle of its rectangle is a yard
            rows, cols = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
            label = labels[rows[row, col], cols[row, col]]
        return (labels == label).astype(np.float32)

    def _spline(self, tile: int) -> np.ndarray:
        """(B, S, S) coefficients of cubic splines through a tile's image."""
        if tile not in self._splines:
            bands = np.moveaxis(self.library.images[tile], 2, 0).astype(np.float32)
            self._splines[tile] = np.stack(
                [ndimage.spline_filter(band, order=3, output=np.float32, mode="mirror") for band in bands]
            )
        return self._splines[tile]


def _stretched(distance: np.ndarray, target: float, source: float) -> np.ndarray:
    """Where along a source's axis of length ``source`` to look for what lies at ``distance`` from the middle of ``target``.

    Stretched by 1.4 at most; from then on both ends keep their distance from the walls, and the middle is folded. Beyond
    the walls nothing is stretched.
    """
    half, own = target / 2, source / 2
    ratio = float(np.clip(half / own, MOST_SHRINK, MOST_STRETCH))
    inner = distance / ratio
    if half / ratio > own:
        from_wall = (half - np.abs(distance)) / ratio
        period = 2 * source * 0.92
        folded = from_wall % period
        folded = np.where(folded > period / 2, period - folded, folded)
        inner = np.sign(distance) * (own - folded)
    elif half / ratio < own:  # shrunk no further: what lies beyond the middle is left out
        inner = np.sign(distance) * (own - (half - np.abs(distance)) / ratio)
    return np.where(np.abs(distance) > half, np.sign(distance) * (own + np.abs(distance) - half), inner)
