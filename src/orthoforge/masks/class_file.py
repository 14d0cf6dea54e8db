"""From footprints and map layers to a file with their mask of classes."""

import json
from collections.abc import Sequence
from pathlib import Path

from orthoforge.errors import DataError, OutputExistsError
from orthoforge.files import new_file, require_place
from orthoforge.masks.classes import palette_of
from orthoforge.masks.layer_style import load_style
from orthoforge.masks.layered import MapFiles
from orthoforge.masks.opening import Extent, open_mask
from orthoforge.vectors.files import write_mask

PALETTE_SUFFIX = ".palette.json"


def rasterize_layers(
    source: Path,
    out: Path,
    layers: Sequence[Path] = (),
    *,
    layer_style: Path | None = None,
    like: Path | None = None,
    extent: tuple[float, float, float, float] | None = None,
    gsd: float | None = None,
    crs: str | None = None,
    footprints_crs: str | None = None,
    repair: bool = False,
    layer: str | None = None,
    threshold: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a mask of classes to a GeoTIFF in the style's colours, and beside it ``STEM.palette.json``. Returns ``out``.

    ``source`` are footprints, a mask of buildings, or a map with OpenStreetMap's tags (then ``layers`` may be left out). The rest
    is as for ``vectors.files.rasterize_file`` and ``generate``. Raises what ``masks.opening.open_mask`` and ``write_raster`` raise.
    """
    out, style = Path(out), load_style(layer_style)
    require_place(out)
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise DataError(f"{out}: a mask of classes is written as .tif.")
    if out.exists() and not overwrite:  # said before a large file is read; the writer asks again
        raise OutputExistsError(f"{out} exists. Pass --overwrite to replace it, or choose another name.")
    files = MapFiles.asked(layers, layer_style, repair=repair) or MapFiles((), style, repair)
    ground = Extent(like, extent, gsd, crs, footprints_crs, repair, layer)
    with open_mask(Path(source), classes=style.classes, threshold=threshold, extent=ground, gsd_m=None, layers=files) as mask:
        write_mask(out, mask.grid, lambda window: style.classes.rgb(mask.read(window)[0]), overwrite=overwrite)
    palette = out.with_name(out.stem + PALETTE_SUFFIX)
    with new_file(palette, overwrite=True) as partial:
        partial.write_text(json.dumps(palette_of(style.classes), indent=1) + "\n", encoding="utf-8")
    return out
