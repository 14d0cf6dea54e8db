"""From footprints and map layers to a file with their mask of classes."""

from collections.abc import Sequence
from pathlib import Path

from orthoforge.errors import DataError, OutputExistsError
from orthoforge.files import require_place
from orthoforge.masks.layer_style import load_style
from orthoforge.masks.layered import MapFiles
from orthoforge.masks.opening import Extent, open_mask
from orthoforge.masks.palette import write_palette
from orthoforge.masks.writing import write_mask

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
    """Write a mask of classes to a GeoTIFF of one band in the style's colours, and ``STEM.palette.json`` beside it. Returns it.

    ``source`` are footprints, a mask of buildings, or a map with OpenStreetMap's tags (then ``layers`` may be left out). The rest
    is as for ``vectors.files.rasterize_file`` and ``generate``. Raises what ``open_mask`` and
    ``write_mask`` of ``masks`` raise.
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
        write_mask(out, mask, style.classes, overwrite=overwrite)
    write_palette(out.with_name(out.stem + PALETTE_SUFFIX), style.classes, overwrite=True)
    return out
