"""Commands that make and look at data: check, prepare."""

from pathlib import Path
from typing import Literal

from tyro.conf import Positional


def check(
    data: Positional[Path | None] = None,
    *,
    threshold: int | None = None,
    palette: Path | None = None,
    building: tuple[str, ...] = (),
    bands: tuple[int, ...] | None = None,
    pixel_size: float | Path | None = None,
    images: Path | None = None,
    masks: Path | None = None,
    image_suffix: str | None = None,
    mask_suffix: str | None = None,
    all: bool = False,
) -> int:
    """Check image/mask pairs: names, sizes, CRS, grids, values, unreadable pixels, alignment. The exit code is 1 when there is a
    fault.

    Args:
        data: A data set: a folder with images/ and masks/, or in another common layout. It may be left out with --images and
            --masks.
        threshold: Mask values from this one on are building. Without it a mask may hold only 0, 1 and 255.
        palette: JSON file with the names of the classes and their colours or values. For masks of classes.
        building: Names of the classes that are building: the masks are then read as masks of buildings. Without --palette, values
            of the masks, such as 1.
        bands: Bands of the images to use, numbered from 1. Without it an image must have three.
        pixel_size: Metres of a pixel, for images without coordinates, such as 0.3. Or a table (.csv) of file names and metres. A
            file pixel_size.csv in DATA is used without being named.
        images: Folder of the images, where the layout of DATA is not recognised, or they lie elsewhere.
        masks: Folder of the masks, a COCO file, or a folder of YOLO's labels.
        image_suffix: What names of images end in beyond the name of the scene, such as _sat.
        mask_suffix: What names of masks end in beyond the name of the scene, such as _mask.
        all: List the scenes without findings too.
    """
    from rich.console import Console

    from orthoforge.scenes.check_table import format_report
    from orthoforge.scenes.checks import check

    report = check(
        data, threshold=threshold, palette=palette, building=building, bands=bands, pixel_size=pixel_size, images=images,
        masks=masks, image_suffix=image_suffix, mask_suffix=mask_suffix,
    )  # fmt: skip
    Console().print(format_report(report, all_scenes=all))
    return 1 if report.faults else 0


def prepare(
    data: Positional[Path],
    tiles: Positional[Path | None] = None,
    *,
    grid: int | None = None,
    gsd: float | None = None,
    size: int = 286,
    split: Literal["digits", "inria", "blocks", "random"] = "blocks",
    min_building: float = 0.0,
    palette: Path | None = None,
    building: tuple[str, ...] = (),
    layers: tuple[Path, ...] = (),
    layer_style: Path | None = None,
    threshold: int | None = None,
    bands: tuple[int, ...] | None = None,
    pixel_size: float | Path | None = None,
    images: Path | None = None,
    masks: Path | None = None,
    image_suffix: str | None = None,
    mask_suffix: str | None = None,
    attribution: str = "",
    skip_bad: bool = False,
    seed: int = 0,
    workers: int | None = None,
    overwrite: bool = False,
) -> None:
    """Cut scenes into tiles, once for all trainings. If it is stopped and run again, it goes on.

    Args:
        data: A data set: a folder with images/ and masks/, or in another common layout. It may be left out with --images and
            --masks. With --layers images/ are enough.
        tiles: Folder to write the tiles to.
        grid: Cut each scene into GRID × GRID tiles and resize them. 1 when neither --grid nor --gsd is given.
        gsd: Cut tiles at this ground resolution, in metres per pixel.
        size: Side of a tile in pixels.
        split: Which tiles train and which test. blocks: by place; no two splits touch. digits: by the last digit of the
            scene's number; 0-6 train, 7-8 validate, 9 tests, as in 2021. inria: numbers 1-5 of each city validate. random:
            by tile; neighbours leak into the test.
        min_building: Leave out tiles with a smaller share of building, from 0 to 1.
        palette: JSON file with the names of the classes and their colours or values. For masks of classes.
        building: Names of the classes that are building: the masks are then read as masks of buildings. Without --palette, values
            of the masks, such as 1.
        layers: Vector files of roads, water, trees …, or an OpenStreetMap extract. The tiles then have classes,
            with the buildings of the masks on top.
        layer_style: YAML file that says which layer or tag becomes which class, how wide roads are and what lies on top.
            That of the package when left out (docs/layers.md).
        threshold: Mask values from this one on are building. Without it a mask may hold only 0, 1 and 255.
        bands: Bands of the images to keep, numbered from 1, such as 1 2 3 4. Without it an image must have three: red,
            green and blue.
        pixel_size: Metres of a pixel, for images without coordinates, such as 0.3. Or a table (.csv) of file names and metres. A
            file pixel_size.csv in DATA is used without being named.
        images: Folder of the images, where the layout of DATA is not recognised, or they lie elsewhere.
        masks: Folder of the masks, a COCO file, or a folder of YOLO's labels.
        image_suffix: What names of images end in beyond the name of the scene, such as _sat.
        mask_suffix: What names of masks end in beyond the name of the scene, such as _mask.
        attribution: Whom to credit for the imagery. It is written into runs and generated files.
        skip_bad: Leave out scenes that cannot be read, and name them.
        seed: Seed of the random choices of the splits blocks and random.
        workers: Number of scenes read at a time. All cores when left out.
        overwrite: Replace tiles that were made with other settings.
    """
    from orthoforge.tiles.prepare import prepare

    prepare(
        data, tiles, grid=grid, gsd=gsd, size=size, split=split,
        min_building=min_building, palette=palette, building=building, layers=layers, layer_style=layer_style,
        threshold=threshold, bands=bands, pixel_size=pixel_size,
        images=images, masks=masks, image_suffix=image_suffix, mask_suffix=mask_suffix, attribution=attribution, skip_bad=skip_bad,
        seed=seed, workers=workers, overwrite=overwrite,
    )  # fmt: skip
