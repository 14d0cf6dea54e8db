"""Commands that make masks: footprints, forge, realign."""

import sys
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from orthoforge.cli.options import Out, PixelSize, said_device


def footprints(
    source: Positional[Path],
    *,
    out: Out,
    like: Path | None = None,
    extent: tuple[float, float, float, float] | None = None,
    gsd: float | None = None,
    crs: str | None = None,
    footprints_crs: str | None = None,
    repair: bool = False,
    layer: str | None = None,
    layers: tuple[Path, ...] = (),
    layer_style: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Turn building footprints into a mask, or a mask into footprints; with map layers into a mask of classes.

    Args:
        source: Footprints (GeoJSON, GeoPackage, Shapefile, GeoParquet, CSV, OpenStreetMap), or a mask with a CRS. `example`
            is the mask that comes with the package.
        out: The mask, a .tif. Or the footprints, .geojson, .gpkg or .parquet.
        like: Raster on whose grid footprints become a mask.
        extent: Ground on which footprints become a mask: left, bottom, right, top in their CRS. All of them when left out.
        gsd: Metres per pixel of the mask.
        crs: CRS of the mask, such as EPSG:32633. A metric one of their place when left out.
        footprints_crs: CRS of the coordinates of the footprints, where their file names none or a wrong one.
        repair: Mend invalid polygons instead of refusing them.
        layer: Layer of a GeoPackage that has several.
        layers: Vector files of roads, water, trees …, or an OpenStreetMap extract. They become a mask of classes in
            colours, with the buildings on top.
        layer_style: YAML file that says which layer or tag becomes which class, how wide roads are and what lies on top.
            That of the package when left out (docs/layers.md).
        overwrite: Replace a file that is there.
    """
    from orthoforge.masks.class_file import rasterize_layers
    from orthoforge.vectors.files import footprints

    if layers or layer_style is not None:
        print(
            rasterize_layers(
                source, out, layers, layer_style=layer_style, like=like, extent=extent, gsd=gsd, crs=crs,
                footprints_crs=footprints_crs, repair=repair, layer=layer, overwrite=overwrite,
            )
        )  # fmt: skip
        return
    print(
        footprints(
            source, out, like=like, extent=extent, gsd=gsd, crs=crs, footprints_crs=footprints_crs, repair=repair, layer=layer,
            overwrite=overwrite,
        )
    )  # fmt: skip


def forge(
    source: Positional[Path],
    *,
    out: Out,
    how: Literal["recombine", "streets", "transform", "drawn"] = "recombine",
    count: int = 10,
    size: int | None = None,
    gsd: float | None = None,
    density: float = 1.0,
    place: str | None = None,
    seed: int = 0,
    threshold: int | None = None,
    palette: Path | None = None,
    building: tuple[str, ...] = (),
    pixel_size: PixelSize = None,
    places: Path | None = None,
    drawn: Path | None = None,
    classes: bool = False,
    layer_style: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Make new masks that look like those of a place, and a card that says how alike they are. If it is stopped and run again, it
    goes on.

    It writes masks/, forged.jsonl, card.json and card.html.

    Args:
        source: A data set with images and masks, a folder of masks, one mask, or outlines of COCO or YOLO: all of its masks are
            drawn on. Or tiles that `orthoforge prepare` made: masks of training tiles alone. `example` is the mask that comes with
            the package.
        out: Folder to write.
        how: recombine: real footprints in new blocks. streets: buildings along new streets. transform: real masks, changed.
            drawn: your own drawings.
        count: Number of masks for each place.
        size: Side of a mask in pixels. That of the source's scenes when left out.
        gsd: Metres per pixel, so that the masks fit a run: what its tiles were prepared with. That of the source when left out.
        density: Density of buildings, as a multiple of the place's own. For recombine and streets.
        place: Make masks of this place only.
        seed: Seed of all that is random.
        threshold: Mask values from this one on are building. Without it a mask may hold only 0, 1 and 255.
        palette: JSON file with the names of the classes and their colours or values. For masks of classes.
        building: Names of the classes that are building. The one that is called so when left out. Without --palette, values of the
            masks, such as 1.
        places: Table (.csv) of file names and places, where names do not say which place a mask is of. A file places.csv in SOURCE
            is used without being named.
        drawn: Folder of drawings, for --how drawn.
        classes: Also write streets, lawns, trees and ponds, as colours that palette.json explains. Goes with --how streets.
        layer_style: YAML file with the classes and their colours. That of the package when left out (docs/layers.md).
        overwrite: Replace masks that were made with other settings.
    """
    from orthoforge.forging.forge import forge

    made = forge(
        source, out, how=how, count=count, size=size, gsd=gsd, density=density, place=place, seed=seed, threshold=threshold,
        palette=palette, building=building, pixel_size=pixel_size, places=places, drawn=drawn, classes=classes,
        layer_style=layer_style, overwrite=overwrite,
    )  # fmt: skip
    for name, why in made.skipped.items():
        print(f"skipped: {name}: {why}", file=sys.stderr)
    for name, card in made.cards.items():
        print(f"{name}: {card.summary()}")
    new = len(made.masks) - made.kept
    kept = f", {made.kept} were there already and are kept" * bool(made.kept)
    print(f"{new} new masks in {made.out / 'masks'}{kept}. How alike they are: {made.out / 'card.html'}")


def realign(
    data: Positional[Path],
    *,
    out: Out,
    reach: float = 6.0,
    rounds: int = 2,
    folds: int = 2,
    gsd: float = 0.3,
    steps: int = 200,
    add: bool = False,
    threshold: int | None = None,
    palette: Path | None = None,
    building: tuple[str, ...] = (),
    pixel_size: PixelSize = None,
    images: Path | None = None,
    masks: Path | None = None,
    image_suffix: str | None = None,
    mask_suffix: str | None = None,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
) -> None:
    """Move the buildings of masks that do not fit their images to where segmenters see them. It takes minutes to an hour on two
    cores. If it is stopped and run again, it goes on.

    It writes masks/, realigned.csv with a row for each building, and realign.html.

    Args:
        data: A data set: a folder with images/ and masks/, or in another common layout. Masks of buildings.
        out: Folder to write.
        reach: Metres that a building may be moved by.
        rounds: Rounds of teaching segmenters and moving buildings. Each is taught on the masks that the one before left.
        folds: Parts of the scenes. A segmenter that was taught on the others judges each.
        gsd: Metres per pixel at which segmenters look and buildings are moved. Coarser images keep their own.
        steps: Optimizer steps of each segmenter.
        add: Also write the buildings that the segmenters are sure of and the masks lack. Without it they are listed only.
        threshold: Mask values from this one on are building. Without it a mask may hold only 0, 1 and 255.
        palette: JSON file with the names of the classes and their colours or values, where masks are of classes.
        building: Names of those classes that are building. Without --palette, values of the masks, such as 1. The masks that are
            written hold buildings alone.
        images: Folder of the images, where the layout of DATA is not recognised, or they lie elsewhere.
        masks: Folder of the masks, a COCO file, or a folder of YOLO's labels.
        image_suffix: What names of images end in beyond the name of the scene, such as _sat.
        mask_suffix: What names of masks end in beyond the name of the scene, such as _mask.
        seed: Seed of the segmenters.
        device: auto (a GPU where there is one, else the processor), cpu, cuda, cuda:1 or mps.
        overwrite: Begin anew, and replace masks that were made with other settings.
    """
    from orthoforge.realigning.realign import PAGE, realign

    made = realign(
        data, out, reach=reach, rounds=rounds, folds=folds, gsd=gsd, steps=steps, add=add, threshold=threshold, palette=palette,
        building=building, pixel_size=pixel_size, images=images, masks=masks, image_suffix=image_suffix, mask_suffix=mask_suffix,
        seed=seed, device=said_device(device), overwrite=overwrite,
    )  # fmt: skip
    print("\n".join(made.lines))
    print(out / PAGE)
