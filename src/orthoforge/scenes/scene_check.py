"""One scene, read to its last pixel: what it is, and what is wrong with it."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np

from orthoforge.errors import OrthoforgeError
from orthoforge.geo.grid import Window, crs_name, grid_of_pair, require_north_up, require_same_grid
from orthoforge.geo.rasters import (
    Raster,
    image_without_data,
    open_raster,
    percent,
    read_image,
    require_mask_values,
)  # fmt: skip
from orthoforge.masks.classes import building_value, require_known
from orthoforge.masks.reader import MaskReader, RasterMask, Unfit
from orthoforge.masks.share import MaskShare
from orthoforge.scenes.alignment import MAX_CELLS, Shift, cast_votes, estimate
from orthoforge.scenes.place_names import place_of
from orthoforge.scenes.sources import Pair

_T = TypeVar("_T")
Severity = Literal["fault", "warning"]
# Below this share of an image pixels without data are its ragged edge, or black that is taken for none.
_MUCH_WITHOUT_DATA = 0.01


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong (a fault) or looks wrong (a warning)."""

    severity: Severity
    message: str


@dataclass(frozen=True)
class SceneCheck:
    """What is known of one scene; ``None`` where it could not be told."""

    name: str
    size: tuple[int, int] | None = None  # width, height
    bands: str | None = None  # '3×uint8'
    crs: str | None = None
    in_degrees: bool = False
    gsd_m: float | None = None
    keeps_own_gsd: bool = False  # another pixel size was stated than the file's own
    building_share: float | None = None
    shift: Shift | None = None
    findings: tuple[Finding, ...] = ()
    stated_place: str | None = None

    @property
    def place(self) -> str:
        """The town or site the scene belongs to."""
        return self.stated_place or place_of(self.name)


def check_scene(pair: Pair, reader: MaskReader, bands: Sequence[int] | None = None) -> tuple[SceneCheck, np.ndarray | None]:
    """One scene's row, and its votes for each shift summed to (625,), for its place."""
    findings: list[Finding] = []
    tally = _Tally()
    with contextlib.ExitStack() as stack:
        image = _open(open_raster(pair.image), stack, findings)
        mask = _open(reader.open(pair.mask), stack, findings)
        for raster in (image, mask.raster if mask else None):
            if raster:
                with _noted(findings):
                    require_north_up(raster.path, raster.grid)
                _note_missing_blocks(raster, findings)
                if raster.place_note:
                    findings.append(Finding("warning", raster.place_note))
        together = image is not None and mask is not None
        if image and mask:
            with _noted(findings):
                require_same_grid(pair.name, image.grid, mask.grid)
            together = (image.grid.height, image.grid.width) == (mask.grid.height, mask.grid.width)
        complete = True
        for rasters in [(image, mask)] if together else [(image, None), (None, mask)]:
            complete &= _read(*rasters, tally, findings, bands)
        with _noted(findings):
            require_mask_values(pair.mask, tally.unfit.counts)
        findings += _of_missing_data(image, mask if complete else None, tally)
        with _noted(findings):
            require_known(pair.mask, tally.unfit.codes, tally.share.pixels)
        told = mask is not None and complete and building_value(reader.classes) is not None
        if told and not any(finding.severity == "fault" for finding in findings):
            warning = reader.share_warning(tally.share, pair.name)
            findings += [Finding("warning", warning)] if warning else []
        grid = grid_of_pair(image.grid, mask.grid) if image and mask else image.grid if image else mask.grid if mask else None
        grid = grid and reader.pixel_sizes.applied(grid, pair.image)
        gsd_m = grid.gsd_m() if grid else None
        if grid and grid.crs and gsd_m is None:
            text = f"{pair.name}: {crs_name(grid.crs)} does not place it on Earth, so its GSD is unknown. Check its CRS."
            findings.append(Finding("warning", text))
        votes = np.concatenate(tally.votes) if tally.votes else np.zeros((0, 1), np.float32)
        shift = estimate(votes)
        row = SceneCheck(
            name=pair.name,
            size=(grid.width, grid.height) if grid else None,
            bands=f"{image.band_count}×{image.dtype}" if image else None,
            crs=crs_name(grid.crs) if grid else None,
            keeps_own_gsd=reader.pixel_sizes.is_overruled(gsd_m, pair.image),
            in_degrees=bool(grid and grid.crs and grid.crs.is_geographic),
            gsd_m=gsd_m,
            building_share=tally.share.share if told and tally.share.pixels else None,
            shift=shift,
            findings=tuple(findings),
            stated_place=pair.stated_place,
        )
    return row, votes.sum(axis=0) if shift else None


@dataclass
class _Tally:
    """What a mask adds up to, strip by strip."""

    unfit: Unfit = field(default_factory=Unfit)
    share: MaskShare = field(default_factory=MaskShare)
    last_row: np.ndarray | None = None
    votes: list[np.ndarray] = field(default_factory=list)
    without_data_px: int = 0
    """Pixels of the image that hold no data."""
    levels_of_alpha: set[int] = field(default_factory=set)
    """Up to three values of a band that was chosen and is declared to be alpha."""

    def add(self, building: np.ndarray) -> None:
        self.share.add(building, self.last_row)
        self.last_row = building[-1:]


def _read(
    image: Raster | None,
    mask: RasterMask | None,
    tally: _Tally,
    findings: list[Finding],
    bands: Sequence[int] | None,
) -> bool:
    """Read all pixels of one raster, or of two of one size side by side. False when some could not be read."""
    guide = image or (mask.raster if mask else None)
    if guide is None:
        return True
    intact = True
    for window in guide.strips():
        pixels = building = None
        if image:
            with _noted(findings):
                pixels = read_image(image, window, bands=bands)
                _tally_missing_data(image, window, pixels, tally, bands)
            image = image if pixels is not None else None
        if mask:
            with _noted(findings):
                building = mask.building(window, tally.unfit)
            mask = mask if building is not None else None
            intact &= building is not None
        if building is not None:
            tally.add(building)
        if pixels is not None and building is not None:
            limit = -(-MAX_CELLS * window.height // guide.grid.height)
            tally.votes.append(cast_votes(pixels, building, limit))
        if image is None and mask is None:
            break
    return intact


def _tally_missing_data(image: Raster, window: Window, pixels: np.ndarray, tally: _Tally, bands: Sequence[int] | None) -> None:
    missing = image_without_data(image, window)
    if missing is not None:
        tally.without_data_px += int(missing.sum())
    if image.has_alpha and bands and image.band_count in bands and len(tally.levels_of_alpha) < 3:
        tally.levels_of_alpha.update(np.unique(pixels[..., list(bands).index(image.band_count)])[:3].tolist())


def _of_missing_data(image: Raster | None, mask: RasterMask | None, tally: _Tally) -> list[Finding]:
    """What is said of pixels without data, and of a band that says which they are."""
    messages = []
    if image and (share := tally.without_data_px / (image.grid.height * image.grid.width)) >= _MUCH_WITHOUT_DATA:
        messages.append(f"{image.path}: {percent(share)} of the image holds no data. Cut it to where it has some.")
    if image and tally.levels_of_alpha and tally.levels_of_alpha <= {0, 255}:
        messages.append(
            f"{image.path}: band {image.band_count} is alpha, which says what is transparent, and holds no colour. Leave it out of "
            "--bands."
        )
    if mask and (note := mask.nodata_note):
        messages.append(note)
    return [Finding("warning", message) for message in messages]


def _note_missing_blocks(raster: Raster, findings: list[Finding]) -> None:
    missing, blocks = raster.missing_blocks()
    if missing:
        findings.append(
            Finding(
                "warning",
                f"{raster.path}: {missing} of {blocks} blocks were never written and read as zeros. If its writer was interrupted, "
                "export it again.",
            )
        )


def _open(manager: contextlib.AbstractContextManager[_T], stack: contextlib.ExitStack, findings: list[Finding]) -> _T | None:
    with _noted(findings):
        return stack.enter_context(manager)
    return None


@contextlib.contextmanager
def _noted(findings: list[Finding]) -> Iterator[None]:
    """Turn one of our errors inside the block into a fault."""
    try:
        yield
    except OrthoforgeError as error:
        findings.append(Finding("fault", str(error)))
