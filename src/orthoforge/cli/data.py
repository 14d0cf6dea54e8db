"""Commands that make and look at data: check, prepare."""

from pathlib import Path
from typing import Literal

from tyro.conf import Positional


def check(
    data: Positional[Path],
    *,
    threshold: int | None = None,
    palette: Path | None = None,
    bands: tuple[int, ...] | None = None,
    all: bool = False,
) -> int:
    """Check image/mask pairs: names, sizes, CRS, grids, values, unreadable pixels, alignment. Exit 1 on a fault.

    Args:
        data: Inria's layout as downloaded, or a folder with images/ and masks/.
        threshold: Mask values at or above it are building; without it only 0, 1 and 255 are accepted.
        palette: JSON file of class names and their colours or values, for masks of classes.
        bands: Of the images, numbered from 1, those that are meant to be used; without it images have three.
        all: List the sound scenes too.
    """
    from rich.console import Console

    from orthoforge.scenes.check_table import format_report
    from orthoforge.scenes.checks import check

    report = check(data, threshold=threshold, palette=palette, bands=bands)
    Console().print(format_report(report, all_scenes=all))
    return 1 if report.faults else 0


def prepare(
    data: Positional[Path],
    tiles: Positional[Path],
    *,
    grid: int | None = None,
    gsd: float | None = None,
    size: int = 286,
    split: Literal["digits", "inria", "blocks", "random"] = "blocks",
    min_building: float = 0.0,
    palette: Path | None = None,
    layers: tuple[Path, ...] = (),
    layer_style: Path | None = None,
    threshold: int | None = None,
    bands: tuple[int, ...] | None = None,
    attribution: str = "",
    skip_bad: bool = False,
    seed: int = 0,
    workers: int | None = None,
    overwrite: bool = False,
) -> None:
    """Cut scenes into tiles, once, for all trainings. Killed and run again, it goes on.

    Args:
        data: Inria's layout as downloaded, or a folder with images/ and masks/; with --layers images/ are enough.
        tiles: Folder to write.
        grid: Cut each scene into GRID × GRID tiles and resize them (1 when --gsd is not given either).
        gsd: Or cut tiles at this ground resolution, in metres per pixel.
        size: Side of a tile in pixels.
        split: Who trains and who tests: blocks (by place, no two splits touch), digits (as in 2021: last digit of the scene number
            0-6 train, 7-8 validation, 9 test), inria (numbers 1-5 of each city validate), random (by tile; neighbours leak).
        min_building: Leave out tiles with a smaller share of building.
        palette: JSON file of class names and their colours or values, for masks of classes.
        layers: Vector files of roads, water, trees …, or an OpenStreetMap extract: tiles of classes, with the masks' buildings on
            top.
        layer_style: YAML file that says which layer or tag becomes which class, how wide roads are and what lies on top; the
            package's own (docs/layers.md) when left out.
        threshold: Mask values at or above it are building; without it only 0, 1 and 255 are accepted.
        bands: Of the images to keep, numbered from 1, such as 1 2 3 4; without it images have three, red, green and blue.
        attribution: Whom to credit for the imagery; travels into runs and generated files.
        skip_bad: Leave out scenes that cannot be read, and say which.
        seed: Of the random choices of blocks and random.
        workers: Scenes read at a time; all cores when left out.
        overwrite: Replace tiles made with other settings.
    """
    from orthoforge.tiles.prepare import prepare

    prepare(
        data, tiles, grid=grid, gsd=gsd, size=size, split=split, min_building=min_building, palette=palette, layers=layers,
        layer_style=layer_style, threshold=threshold, bands=bands, attribution=attribution, skip_bad=skip_bad, seed=seed,
        workers=workers, overwrite=overwrite,
    )  # fmt: skip
