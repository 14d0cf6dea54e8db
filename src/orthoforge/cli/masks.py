"""Commands that make masks: footprints."""

from pathlib import Path

from tyro.conf import Positional


def footprints(
    source: Positional[Path],
    *,
    out: Path,
    like: Path | None = None,
    extent: tuple[float, float, float, float] | None = None,
    gsd: float | None = None,
    crs: str | None = None,
    repair: bool = False,
    layer: str | None = None,
    overwrite: bool = False,
) -> None:
    """Turn building footprints into a mask, or a mask into footprints.

    Args:
        source: Footprints (GeoJSON, GeoPackage, Shapefile, GeoParquet, CSV, OpenStreetMap), or a mask with a CRS.
        out: The mask, a .tif; or the footprints, .geojson, .gpkg or .parquet.
        like: Raster on whose grid footprints become a mask.
        extent: Or the ground for them: left, bottom, right, top in their CRS; their own bounds when left out.
        gsd: Metres per pixel of the mask.
        crs: CRS of the mask, such as EPSG:32633; a metric one of their place when left out.
        repair: Mend invalid polygons in place of refusing them.
        layer: Of a GeoPackage with several.
        overwrite: Replace what is there.
    """
    from orthoforge.geo.footprints.files import footprints

    print(
        footprints(
            source, out, like=like, extent=extent, gsd=gsd, crs=crs, repair=repair, layer=layer, overwrite=overwrite
        )
    )  # fmt: skip
