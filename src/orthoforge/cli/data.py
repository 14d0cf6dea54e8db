"""Commands that make and look at data: check, prepare."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from orthoforge.cli.options import PixelSize
from orthoforge.stores import Stores

if TYPE_CHECKING:
    from orthoforge.tiles.store import TileStore


def check(
    data: Positional[Path | None] = None,
    *,
    threshold: int | None = None,
    palette: Path | None = None,
    building: tuple[str, ...] = (),
    bands: tuple[int, ...] | None = None,
    pixel_size: PixelSize = None,
    images: Path | None = None,
    masks: Path | None = None,
    image_suffix: str | None = None,
    mask_suffix: str | None = None,
    places: Path | None = None,
    all: bool = False,
) -> int:
    """Check image/mask pairs: names, sizes, CRS, grids, values, unreadable pixels, alignment. The exit code is 1 when there is a
    fault.

    Args:
        data: A data set: a folder with images/ and masks/, or in another common layout; also in an object store (s3://, gs://,
            az://). It may be left out with --images and --masks.
        threshold: Mask values from this one on are building. Without it a mask may hold only 0, 1 and 255.
        palette: JSON file with the names of the classes and their colours or values. For masks of classes.
        building: Names of the classes that are building: the masks are then read as masks of buildings. Without --palette, values
            of the masks, such as 1.
        bands: Bands of the images to use, numbered from 1. Without it an image must have three.
        images: Folder of the images, where the layout of DATA is not recognised, or they lie elsewhere.
        masks: Folder of the masks, a COCO file, or a folder of YOLO's labels.
        image_suffix: What names of images end in beyond the name of the scene, such as _sat.
        mask_suffix: What names of masks end in beyond the name of the scene, such as _mask.
        places: Table (.csv) of file names and places, where names do not say which place a scene is of. A file places.csv in DATA
            is used without being named.
        all: List the scenes without findings too.
    """
    from rich.console import Console

    from orthoforge.scenes.check_table import format_report
    from orthoforge.scenes.checks import check

    with Stores() as stores:
        report = check(
            stores.read(data), threshold=threshold, palette=palette, building=building, bands=bands, pixel_size=pixel_size,
            images=stores.read(images), masks=stores.read(masks), image_suffix=image_suffix, mask_suffix=mask_suffix,
            places=places,
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
    pixel_size: PixelSize = None,
    images: Path | None = None,
    masks: Path | None = None,
    image_suffix: str | None = None,
    mask_suffix: str | None = None,
    places: Path | None = None,
    attribution: str = "",
    skip_bad: bool = False,
    seed: int = 0,
    workers: int | None = None,
    on: str | None = None,
    overwrite: bool = False,
) -> None:
    """Cut scenes into tiles, once for all trainings. If it is stopped and run again, it goes on.

    Args:
        data: A data set: a folder with images/ and masks/, or in another common layout; also in an object store (s3://, gs://,
            az://). It may be left out with --images and --masks. With --layers images/ are enough.
        tiles: Folder to write the tiles to, also in an object store.
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
        images: Folder of the images, where the layout of DATA is not recognised, or they lie elsewhere.
        masks: Folder of the masks, a COCO file, or a folder of YOLO's labels.
        image_suffix: What names of images end in beyond the name of the scene, such as _sat.
        mask_suffix: What names of masks end in beyond the name of the scene, such as _mask.
        places: Table (.csv) of file names and places, where names do not say which place a scene is of. A file places.csv in DATA
            is used without being named.
        attribution: Whom to credit for the imagery. It is written into runs and generated files.
        skip_bad: Leave out scenes that cannot be read, and name them.
        seed: Seed of the random choices of the splits blocks and random.
        workers: Number of scenes read at a time. All cores when left out.
        on: ray, or ray://HOST:PORT. The machines of a Ray cluster cut the scenes (docs/cluster.md). This process when left out.
        overwrite: Replace tiles that were made with other settings.
    """
    from orthoforge.tiles.prepare import prepare

    source: Path | None = data
    if tiles is None and images and masks:  # then the first path says where to
        source, tiles = None, data
    with Stores() as stores:
        target = stores.write(tiles, overwrite=overwrite)
        store = prepare(
            stores.read(source), target, grid=grid, gsd=gsd, size=size, split=split,
            min_building=min_building, palette=palette, building=building, layers=layers, layer_style=layer_style,
            threshold=threshold, bands=bands, pixel_size=pixel_size, images=stores.read(images), masks=stores.read(masks),
            image_suffix=image_suffix, mask_suffix=mask_suffix, places=places, attribution=attribution, skip_bad=skip_bad,
            seed=seed, workers=workers, on=on, overwrite=overwrite,
        )  # fmt: skip
    assert tiles is not None  # or prepare had refused
    print(_after_prepare(store, tiles))


def _after_prepare(store: "TileStore", tiles: Path) -> str:
    """The commands that may come next: a training, and where weights of the package fit the tiles, the way without one. Tiles of
    synthetic images alone train no generator: what they are worth is measured."""
    from orthoforge.tiles.material import suits_weights_of_the_package

    if all(row.synthetic for row in store.rows):
        return f"next: orthoforge utility {tiles} --data REAL-TILES --out useful"
    train = f"next: orthoforge train orthoforge-s --data {tiles} --out runs/first"
    if not suits_weights_of_the_package(store):
        return train
    return (
        f"{train}\nor without training: orthoforge forge {tiles} --out forged, then\n  orthoforge generate orthoforge-material "
        f"forged/masks --out images --material-from {tiles} --style each --keep-mask"
    )
