"""Towns that never were: streets, blocks, parcels and a building in each, from a place's measurements alone.

Ground is cut where it exceeds the size of a block the most, with streets between the pieces, main ones first; blocks are cut into
rows of parcels, and rows into parcels, as in Parish and Müller 2001 (doi:10.1145/383259.383292) and Vanegas et al. 2012
(doi:10.1111/j.1467-8659.2012.03047.x). What a parcel measures follows from the place: its front from a building's width and its
spacing, its depth from the building share.
"""

from collections.abc import Sequence

import numpy as np

from orthoforge.forging.layouts.blocks import District, as_one_row, cut_into_blocks, cut_into_districts, cut_into_rows
from orthoforge.forging.layouts.plot import Grown, Street
from orthoforge.forging.layouts.town import Town
from orthoforge.forging.statistics import PlaceStatistics

_PARCELS_A_ROW = (4, 12)
_STREET = 0.7  # a street's width, in depths of a mean building; main streets twice that
_NARROWEST_STREET = 0.2  # where no open point of the place is far from a wall
_OPEN = 1.5  # streets are narrower where less than 1 / 1.5 of the ground is open
_DEPTHS = (1.15, 2.4)  # of a parcel, in depths of a mean building; sparser places leave blocks empty instead
_DISTRICT = 9.0  # ground of one direction, in mean distances between buildings
# Over the rows, each closing gaps that the one before left, with so much of the drawn spacing.
_PASSES = (1.0, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0)
_WORTH_IT = 0.01  # a pass that builds less of what is asked for is the last of its spacing


def streets(
    real: PlaceStatistics,
    size: tuple[float, float],
    share: float,
    direction: float | Sequence[float],
    density: float,
    rng: np.random.Generator,
) -> tuple[Grown, dict[str, float]]:
    """A layout on ``size`` (height, width) units with buildings on ``share`` × ``density`` of it, along streets of ``direction``.

    ``direction`` is in radians clockwise from east; of several, ground that is large enough has districts, each with one of them.
    Sizes, proportions and spacing of the buildings are drawn from the place's. Returns the buildings, and the parameters that made
    the streets; of the districts' directions, the first.
    """
    height, width = size
    directions = np.atleast_1d(np.asarray(direction, float))
    wanted = min(share * density, 0.98)
    if wanted <= 0:
        return Grown([], 0.0, 0.0), {"direction_deg": round(float(np.degrees(directions[0])), 3)}
    spacing = real.spacing[~np.isnan(real.spacing)] / np.sqrt(max(density, 1.0))
    spacing = spacing if len(spacing) else np.array([2 * real.pixel])
    side = float(np.sqrt(real.area / real.fill).mean())
    # Every other gap is as measured, the ones between at least as wide: see ``Town.fill``.
    step = side + float(np.mean([spacing.mean(), np.maximum(spacing, rng.permutation(spacing)).mean()]))
    town = Town(real, spacing, size, wanted, rng)
    open_ = 2 * float(np.quantile(real.emptiness, 0.75)) if len(real.emptiness) else np.inf
    # Where most of the ground is built there is none left for wide streets.
    street = float(np.clip(open_, _NARROWEST_STREET * side, _STREET * side * min(1.0, _OPEN * (1 - wanted)) ** 2))
    depth = float(np.clip(town.mean_area / (wanted * step) - street / 2, _DEPTHS[0] * side, _DEPTHS[1] * side))
    districts = cut_into_districts(size, directions, _DISTRICT * float(np.sqrt(town.mean_area / wanted)), depth, rng)
    # What is deeper than a parcel has a block's whole depth, until such buildings have their share.
    deep = town.short > 0.95 * depth
    shallow = np.ones_like(deep) if deep.all() else ~deep
    for_deep = town.target * float((town.chance * real.area)[deep].sum() / town.mean_area)
    blocks, lengths = [], []
    cuts: list[Street] = []
    for district in districts:
        lengths.append(int(rng.integers(*_PARCELS_A_ROW)) * step)
        # Beyond a street of half its width the next district begins.
        ground = district.polygon.buffer(-street / 2, join_style="mitre") if len(districts) > 1 else district.polygon
        blocks += cut_into_blocks(District(ground, district.direction), size, (lengths[-1], 2 * depth), street, rng, cuts)
    rows = []
    for i in rng.permutation(len(blocks)):
        block = blocks[i]
        if town.built < for_deep and deep.any():
            town.fill(as_one_row(block), deep, for_deep)
        rows += cut_into_rows(block)
    exhausted = None
    for number, spaced in enumerate(_PASSES):
        if spaced == exhausted:
            continue
        built = town.built
        for i in rng.permutation(len(rows)):
            town.fill(rows[i], shallow, town.target, spaced, behind=number > 0)
        if number > 0 and town.built - built < _WORTH_IT * town.target:
            exhausted = spaced
    parameters = {
        "direction_deg": round(float(np.degrees(districts[0].direction)), 3), "parcel_front": round(step, 3),
        "parcel_depth": round(depth, 3), "street": round(street, 3), "block_length": round(float(np.mean(lengths)), 3),
        "blocks": len(blocks), "districts": len(districts),
    }  # fmt: skip
    between = [Street(district.polygon.exterior, street) for district in districts] if len(districts) > 1 else []
    cut_out = [block.polygon for block in blocks]
    return Grown(town.ground.inside(height, width), town.built / (height * width), wanted, cut_out, cuts + between), parameters
