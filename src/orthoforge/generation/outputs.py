"""Where images go, what their tags say, and which of them are there already."""

import json
import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from orthoforge.errors import ConfigError, DataError, OutputExistsError
from orthoforge.generation.blocks import is_left
from orthoforge.geo.rasters import DRIVERS, open_raster, read_tags
from orthoforge.geo.signing import SOURCE_TYPE
from orthoforge.geo.stac import is_ours
from orthoforge.trained_generator import TrainedGenerator
from orthoforge.vectors import is_footprints

# Two images with the same of these are the same image.
IDENTITY = ("MODEL_SHA256", "SEED", "REQUEST_SHA256")
_MADE_OTHERWISE = {
    "MODEL_SHA256": ", made by other weights",
    "SEED": ", made with another seed",
    "REQUEST_SHA256": ", made of another mask, with other settings, or by another version of orthoforge",
}
LONGEST_NAME = 255  # in bytes, on all common disks
_SHOWN = 40
OTHER_IMAGES = (".gif", ".webp", ".jp2", ".bmp", ".vrt", ".img", ".exr", ".tga")


def output_paths(
    masks: Sequence[Path], out: Path, variants: int, *, folder: str = "", suffix: str | None = None
) -> list[list[Path]]:
    """Where the images of each mask go: to the file ``out``, or into its ``folder`` as ``STEM`` and a ``suffix`` (``.tif``).

    ``ConfigError`` when two would get one name, and for a file of another suffix.
    """
    if out.suffix.lower() in OTHER_IMAGES and not out.is_dir():
        raise ConfigError(f"{out}: images are written as .tif or .png.")
    if out.suffix.lower() in DRIVERS:
        if len(masks) > 1:
            raise ConfigError(f"{out} is one file, but {len(masks)} masks were given. Make --out a folder.")
        if suffix not in (None, out.suffix.lower(), out.suffix.lower().replace(".tiff", ".tif")):
            raise ConfigError(f"{out}: its name asks for another format than --format {suffix[1:]}. Leave one of them out.")
        return [_variants(out, variants)]
    targets = [_variants(out / folder / f"{_stem(mask)}{suffix or '.tif'}", variants) for mask in masks]
    names = [path for paths in targets for path in paths]
    if len(set(names)) < len(names):
        doubled = next(path for path in names if names.count(path) > 1)
        raise ConfigError(f"two masks are called {doubled.stem}; their images would overwrite each other. Use two --out folders.")
    return targets


def require_names(path: Path) -> None:
    """``ConfigError`` where the image's name, or one beside it, is longer than disks allow."""
    for name in (path.name, *(file.name for file in side_files(path))):
        if len(os.fsencode(name)) > LONGEST_NAME:
            raise ConfigError(
                f"{name[:_SHOWN]}…: the name has {len(os.fsencode(name))} bytes, and disks allow {LONGEST_NAME}. Rename the mask, "
                "or give a shorter --out."
            )


def synthetic_tags(generator: TrainedGenerator, seed: int, mask: Path, request: str) -> dict[str, str]:
    """Tags that say an image is synthetic and where it comes from. ``request`` is the checksum of mask, place and options."""
    tags = {
        "SYNTHETIC": "YES",
        "DIGITAL_SOURCE_TYPE": SOURCE_TYPE,
        "SOFTWARE": f"orthoforge {version('orthoforge')}",
        "MODEL_SHA256": generator.sha256,
        "MODEL_RECIPE": generator.recipe.name,
        "MODEL_STEP": str(generator.step),
        "BACKEND": generator.backend_words,
        "SEED": str(seed),
        "MASK": mask.name,
        "REQUEST_SHA256": request,
    }
    return tags | source_tags(generator)


def source_tags(generator: TrainedGenerator) -> dict[str, str]:
    """Tags that say whose pictures the generator learned from, and whose roofs and ground its images show."""
    tags = {"SOURCE_ATTRIBUTION": generator.attribution} if generator.attribution else {}
    if generator.library is None or generator.material_sha256 is None:
        return tags
    given = generator.saved.state.tiles.material
    whose = given.attribution if given else generator.attribution
    sources = f"{whose or 'no attribution was given'} ({len(generator.library)} tiles)"
    tags |= {"MATERIAL_SHA256": generator.material_sha256, "MATERIAL_SOURCES": sources}
    tags |= {"HISTOGRAMS_FROM": generator.looks.identity} if generator.looks else {}
    return tags | ({"REFINEMENT": f"{generator.refinement:g}"} if generator.refinement < 1 else {})


def share_tags(generator: TrainedGenerator, pixels_of: np.ndarray | None) -> dict[str, str]:
    """The tag that says which share of an image's pixels comes from which tile of the library: JSON, largest first, to 1e-4.

    ``pixels_of`` (N,) are the pixels of each tile.
    """
    if pixels_of is None or generator.library is None or not pixels_of.sum():
        return {}
    shares = pixels_of / pixels_of.sum()
    largest = sorted(
        ((float(share), name) for share, name in zip(shares, generator.library.names, strict=True) if share), key=_by_share
    )
    return {"MATERIAL_SHARES": json.dumps({name: round(share, 4) for share, name in largest})}


def _by_share(entry: tuple[float, str]) -> tuple[float, str]:
    return -entry[0], entry[1]


def is_made(path: Path, tags: Mapping[str, str]) -> bool:
    """Whether ``path`` holds an image with these tags. ``OutputExistsError`` when it holds anything else."""
    if not path.exists():
        return False
    try:
        there = read_tags(path)
    except DataError:
        there = {}
    if others := [name for name, value in tags.items() if name in IDENTITY and there.get(name) != value]:
        how = _MADE_OTHERWISE[others[0]] if "MODEL_SHA256" in there and all(tags[name] for name in others) else ""
        raise OutputExistsError(f"{path} exists{how}. Pass --overwrite to replace it, or choose another --out.")
    return True


def side_files(path: Path) -> list[Path]:
    """What may lie beside an image and speak of it: Content Credentials, and for a GeoTIFF a STAC item."""
    suffixes = (".c2pa",) if path.suffix.lower() == ".png" else (".c2pa", ".json")
    return [path.with_suffix(suffix) for suffix in suffixes]


def lacking(path: Path, *, located: bool, signed: bool) -> list[Path]:
    """What belongs beside the image ``path`` and is not there: a STAC item where it lies on the ground, a signature if wanted."""
    wanted = [path.with_suffix(".json")] if located and path.suffix.lower() != ".png" else []
    wanted += [path.with_suffix(".c2pa")] if signed else []
    return [file for file in wanted if not file.exists()]


def is_begun(path: Path, *, signed: bool) -> bool:
    """Whether a command that was killed left something of the image ``path``, or the image without what belongs beside it."""
    if is_left(path):
        return True
    try:
        with open_raster(path) as raster:
            return bool(lacking(path, located=raster.grid.crs is not None, signed=signed))
    except DataError:
        return False


def require_own_side_files(path: Path, sources: Sequence[Path]) -> None:
    """Raise before anything is lost: ``ConfigError`` where an image, or what lies beside it, would replace one of ``sources``.

    ``OutputExistsError`` where it would replace a ``.json`` that is no STAC item of this image.
    """
    for out in (path, *side_files(path)):
        if out.exists() and any(os.path.exists(source) and out.samefile(source) for source in sources):
            raise ConfigError(f"{out} is one of the inputs and would be replaced. Choose another --out.")
    item = path.with_suffix(".json")
    if item in side_files(path) and item.exists() and not is_ours(item, path):
        raise OutputExistsError(
            f"{item} exists and is no STAC item of {path.name}, which would be written there. Choose another --out."
        )


def _variants(path: Path, variants: int) -> list[Path]:
    return [path] if variants == 1 else [path.with_name(f"{path.stem}_v{n}{path.suffix}") for n in range(1, variants + 1)]


def _stem(mask: Path) -> str:
    """'town' for town.tif, town.geojson.gz and town.osm.pbf."""
    stem = mask.name
    while is_footprints(Path(stem)) and Path(stem).suffix:
        stem = Path(stem).stem
    return stem if is_footprints(mask) else mask.stem
