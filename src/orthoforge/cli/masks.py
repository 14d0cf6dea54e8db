"""Commands that make masks: footprints, forge."""

import sys
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from orthoforge.cli.options import Out


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
        source: Footprints (GeoJSON, GeoPackage, Shapefile, GeoParquet, CSV, OpenStreetMap), or a mask with a CRS.
        out: The mask, a .tif; or the footprints, .geojson, .gpkg or .parquet.
        like: Raster on whose grid footprints become a mask.
        extent: Or the ground for them: left, bottom, right, top in their CRS; their own bounds when left out.
        gsd: Metres per pixel of the mask.
        crs: CRS of the mask, such as EPSG:32633; a metric one of their place when left out.
        footprints_crs: CRS that the footprints' own coordinates are in, where their file names none or a wrong one.
        repair: Mend invalid polygons in place of refusing them.
        layer: Of a GeoPackage with several.
        layers: Vector files of roads, water, trees …, or an OpenStreetMap extract: a mask of classes in colours, buildings on top.
        layer_style: YAML file that says which layer or tag becomes which class, how wide roads are and what lies on top; the
            package's own (docs/layers.md) when left out.
        overwrite: Replace what is there.
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
    density: float = 1.0,
    place: str | None = None,
    seed: int = 0,
    threshold: int | None = None,
    drawn: Path | None = None,
    classes: bool = False,
    layer_style: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Make new masks that look like a place's own, and a card that says how alike they are. Killed and run again, it goes on.

    Writes masks/, forged.jsonl, card.json and card.html.

    Args:
        source: A data set with images and masks, or a folder of masks.
        out: Folder to write.
        how: recombine real footprints into new blocks, build towns along new streets, transform real masks, or take drawn ones.
        count: Masks for each place.
        size: Side in pixels; that of the source's scenes when left out.
        density: Of buildings, as a multiple of the place's own; for recombine and streets.
        place: Only this one.
        seed: Of all that is random.
        threshold: Mask values at or above it are building; without it only 0, 1 and 255 are accepted.
        drawn: Folder of drawings, for --how drawn.
        classes: Of --how streets: write streets, lawns, trees and ponds too, as colours that palette.json explains.
        layer_style: YAML file with the classes and colours; the package's own (docs/layers.md) when left out.
        overwrite: Replace masks made with other settings.
    """
    from orthoforge.forging.forge import forge

    made = forge(
        source, out, how=how, count=count, size=size, density=density, place=place, seed=seed, threshold=threshold, drawn=drawn,
        classes=classes, layer_style=layer_style, overwrite=overwrite,
    )  # fmt: skip
    for name, why in made.skipped.items():
        print(f"skipped: {name}: {why}", file=sys.stderr)
    for name, card in made.cards.items():
        print(f"{name}: {card.summary()}")
    print(made.out / "card.html")
