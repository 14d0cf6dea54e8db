"""The mask of a scene as a generator must see it: of what it was trained on, and in its resolution."""

from contextlib import AbstractContextManager
from pathlib import Path

from orthoforge.errors import GridError
from orthoforge.masks.opening import Extent, SceneMask, open_mask
from orthoforge.masks.resampled import ResampledMask
from orthoforge.trained_generator import TrainedGenerator

# Pixels more than this much larger or smaller than those of the training tiles would give houses of the wrong size.
GSD_TOLERANCE = 0.15


def open_scene_mask(
    path: Path, generator: TrainedGenerator, *, threshold: int | None, extent: Extent
) -> AbstractContextManager[SceneMask]:
    """``open_mask`` of buildings or of the run's classes; footprints at the run's resolution where ``extent`` says no other."""
    return open_mask(path, classes=generator.classes, threshold=threshold, extent=extent, gsd_m=_called_gsd_m(generator))


def other_scale(one_m: float | None, other_m: float | None) -> bool:
    """Whether pixels of these sizes would show buildings at different scales; of an unknown one nothing is said."""
    return bool(one_m and other_m and abs(one_m / other_m - 1) > GSD_TOLERANCE)


def _called_gsd_m(generator: TrainedGenerator) -> float | None:
    """The run's resolution as it is called, 0.3 m where 0.299971 m were measured on the ellipsoid.

    The image then has the grid of a mask that ``orthoforge footprints --gsd 0.3`` makes of the same buildings.
    """
    return generator.gsd_m and float(f"{generator.gsd_m:.3g}")


def at_resolution(mask: SceneMask, generator: TrainedGenerator, name: object, *, resample: bool) -> SceneMask:
    """The mask as the generator must see it: its own grid, or with ``resample`` one over the same ground in the run's resolution.

    Raises ``GridError`` where the resolutions differ and ``resample`` is false. Where one of them is unknown, they cannot differ.
    """
    pixel_m = mask.grid.pixel_m()
    if pixel_m is None or generator.gsd_m is None:
        return mask
    off = max(abs(side / generator.gsd_m - 1) for side in pixel_m)
    if off <= (1e-3 if resample else GSD_TOLERANCE):
        return mask
    if not resample:
        width_m, height_m = pixel_m
        pixels = f"{height_m:.3g} m" if abs(width_m / height_m - 1) < 0.01 else f"{width_m:.3g} × {height_m:.3g} m"
        raise GridError(
            f"{name}: its pixels are {pixels}, the run was trained at {generator.gsd_m:.3g} m; buildings would come out in the "
            f"wrong size. Pass --resample to generate at {generator.gsd_m:.3g} m."
        )
    width, height = (
        max(1, round(side * metres / generator.gsd_m))
        for side, metres in zip((mask.grid.width, mask.grid.height), pixel_m, strict=True)
    )
    return ResampledMask(mask, mask.grid.resized(height, width), classes=generator.classes is not None)
