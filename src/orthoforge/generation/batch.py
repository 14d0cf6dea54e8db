"""Masks to images: files in, georeferenced files out."""

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from orthoforge.errors import ConfigError
from orthoforge.files import require_free_space, require_place
from orthoforge.generation.blocks import alone, bytes_done, discard, generate_blocks, work_folder
from orthoforge.generation.chosen_styles import Style, styled, styles_of
from orthoforge.generation.failures import collected
from orthoforge.generation.mask_warning import mask_warning
from orthoforge.generation.outputs import (
    is_begun,
    is_made,
    lacking,
    listed_masks,
    output_paths,
    require_names,
    require_own_side_files,
    side_files,
    synthetic_tags,
)
from orthoforge.generation.scene import Scene, at_resolution, lies_nowhere
from orthoforge.geo.cog import Compression, assemble, creation_options, write_raster
from orthoforge.geo.rasters import read_tags
from orthoforge.geo.signing import require_signer
from orthoforge.geo.signing import sign as write_signature
from orthoforge.geo.stac import write_stac_item
from orthoforge.masks.layered import MapFiles
from orthoforge.masks.opening import Extent, SceneMask, open_mask
from orthoforge.progress import Progress
from orthoforge.runs import Run
from orthoforge.trained_generator import TrainedGenerator, require_device

# Deflate leaves at least so much of an image with texture; the blocks, kept until the image is there, take as much again.
LEAST_SHARE = 0.3
PIXELS = 2  # raised when the same request gives other pixels, so that blocks of two versions are not joined
# The names of all images are held in memory before the first is made.
_MOST_IMAGES = 10**6


@dataclass(frozen=True)
class Options:
    """How images are made and written, the same for every mask of a command."""

    overlap_px: int | None
    resample: bool
    deliver: Literal["mask", "run"]
    compress: Compression
    quality: int
    threshold: int | None
    devices: list[str]
    extent: Extent
    layers: MapFiles | None
    sign: tuple[Path, Path] | None
    overwrite: bool


def generate(
    run: str | Path | TrainedGenerator,
    masks: Sequence[Path],
    out: Path,
    *,
    seed: int = 0,
    style: str | Path | None = None,
    material_from: str | Path | None = None,
    variants: int = 1,
    overlap: int | None = None,
    resample: bool = False,
    deliver: Literal["mask", "run"] = "mask",
    like: Path | None = None,
    extent: tuple[float, float, float, float] | None = None,
    gsd: float | None = None,
    crs: str | None = None,
    footprints_crs: str | None = None,
    repair: bool = False,
    layer: str | None = None,
    layers: Sequence[Path] = (),
    layer_style: Path | None = None,
    compress: Compression = "deflate",
    quality: int = 90,
    threshold: int | None = None,
    sign: tuple[Path, Path] | None = None,
    device: str = "cpu",
    overwrite: bool = False,
) -> list[Path]:
    """Generate an image for each mask, of any size, in flat memory and without seams; returns the paths written.

    ``masks`` are rasters, footprints, folders of them, or text files that list them. ``out`` is a file (``.tif`` or ``.png``, for
    one mask) or a folder that gets ``STEM.tif`` for each, or ``STEM_v1.tif`` … with ``variants``, which differ in their seed. A
    mask's size, CRS and transform are the image's, exactly; tags mark it as synthetic; a STAC item lies beside a georeferenced
    GeoTIFF. The same ``seed`` gives the same image.

    ``style`` is the look that all images get: a place of the run (``TrainedGenerator.styles``), or a file with a reference image,
    of which the middle is looked at (``generation.chosen_styles.styled``). ``"by-name"`` takes of each mask the place that its file
    is named by. Without a style the seed takes any place's, one for all masks.

    ``material_from`` are prepared tiles whose roofs and ground a run that refines material takes in place of its own, without
    training (``TrainedGenerator.with_material``): those of their training split. The styles are then their places.

    A mask whose pixels differ from the run's resolution is refused; with ``resample`` it is generated at the run's resolution and
    delivered on the mask's own grid or on the ``run``'s. Footprints become a mask on the grid of ``like`` or on ``extent`` (left,
    bottom, right, top in their CRS) at ``gsd`` metres; ``footprints_crs`` states their CRS where their file does not. ``device``
    may name several, with commas.

    ``layers`` are vector files of roads, water, trees … for a run that was trained on classes: they are painted by ``layer_style``,
    a YAML file (``masks.layer_style``; by default the one of the package), with the mask's buildings on top. A mask that is a map
    with OpenStreetMap's tags is painted itself.

    Killed and run again, finished blocks of a scene and finished images of several masks are kept; what a kept image lacks beside
    it is written. An image that another process is making is waited for, and kept if it is the same one. Of several masks, one that
    fails does not stop the others; all failures are listed at the end.

    Raises ``DataError`` for a mask or reference image that cannot be read, or holds other values, or for tiles that do not fit,
    ``ConfigError`` for a style or material that the run does not have, ``GridError`` for a rotated mask or one of another
    resolution, ``ResourceError`` for a full disk or too little memory, ``CheckpointError``, ``OutputExistsError``, ``LockedError``.
    """
    devices = device.split(",")
    for name in devices:
        require_device(name)
    generator = run if isinstance(run, TrainedGenerator) else Run.open(run).generator(devices[0])
    if material_from is not None:
        generator = generator.with_material(material_from)
    if variants < 1:
        raise ConfigError(f"variants is {variants}; it is the number of images for each mask, 1 or more.")
    if variants > 1 and not generator.is_noisy:
        raise ConfigError(f"the network of {generator.recipe.name} has no noise: its {variants} variants would be one image.")
    if like and (extent or gsd is not None or crs):
        raise ConfigError("--like gives the grid; --extent, --gsd and --crs would say it again. Choose one or the others.")
    if sign:
        require_signer(*sign)
    sources = listed_masks(masks)
    if len(sources) * variants > _MOST_IMAGES:
        raise ConfigError(
            f"{len(sources)} masks with {variants} variants each are more than {_MOST_IMAGES} images. Ask for fewer, and for "
            "others with another seed into another folder."
        )
    targets = output_paths(sources, Path(out), variants)
    styles = styles_of(generator, sources, style)
    looks = {one: styled(generator, one) for one in dict.fromkeys(styles)}
    options = Options(
        overlap, resample, deliver, compress, quality, threshold, devices,
        Extent(like, extent, gsd, crs, footprints_crs, repair, layer),
        MapFiles.asked(layers, layer_style, repair=repair), sign, overwrite
    )  # fmt: skip
    _require_writable(targets, [*sources, like] if like else sources, generator, seed, options)
    with collected(Path(out), sources) as failed, Progress().task("masks", len(sources)) as step:
        for source, paths, one in zip(sources, targets, styles, strict=True):
            with failed(source):
                _generate_mask(source, paths, *looks[one], seed, options)
            step()
    return [path for paths in targets for path in paths]


def _require_writable(
    targets: Sequence[Sequence[Path]], inputs: Sequence[Path], generator: TrainedGenerator, seed: int, options: Options
) -> None:
    """What would stop an image from being written: said before the first mask is generated, not after the others were."""
    several = sum(map(len, targets)) > 1
    for paths in targets:
        for variant, path in enumerate(paths):
            require_names(path)
            creation_options(path, generator.bands, options.compress, options.quality)
            require_own_side_files(path, inputs)
            if options.overwrite or not path.is_file():
                require_place(path)
            if not options.overwrite:
                own = {"MODEL_SHA256": generator.sha256, "SEED": str(seed + variant)}
                begun = is_begun(path, signed=options.sign is not None)
                is_made(path, own if several or begun else {"MODEL_SHA256": ""})


def _generate_mask(
    source: Path, paths: Sequence[Path], generator: TrainedGenerator, style: Style, seed: int, options: Options
) -> None:
    """All variants of one mask. An image that is there is kept, and gets what it lacks beside it."""
    gsd_m = _called_gsd_m(generator)
    with open_mask(
        source, classes=generator.classes, threshold=options.threshold, extent=options.extent, gsd_m=gsd_m, layers=options.layers
    ) as delivered:
        mask = at_resolution(delivered, generator, source, resample=options.resample)
        if generator.classes is None and (warning := mask_warning(delivered, source.stem)):
            print(f"warning: {warning}", file=sys.stderr)
        if options.deliver == "run":
            delivered = mask
        request = _request(delivered, generator, style, options, source.stem)
        for variant, path in enumerate(paths):
            tags = synthetic_tags(generator, seed + variant, source, request) | style.tags
            if not options.overwrite and is_made(path, tags) and not is_begun(path, signed=options.sign is not None):
                continue
            with alone(path):
                scene = Scene(generator, mask, delivered, seed + variant, options.overlap_px, source.stem)
                if options.overwrite or not is_made(path, tags):
                    _write_scene(path, scene, tags, source, options)
                _complete(path, scene, options)
                discard(path)


def _called_gsd_m(generator: TrainedGenerator) -> float | None:
    """The run's resolution as it is called, 0.3 m where 0.299971 m were measured on the ellipsoid.

    The image then has the grid of a mask that ``orthoforge footprints --gsd 0.3`` makes of the same buildings.
    """
    return generator.gsd_m and float(f"{generator.gsd_m:.3g}")


def _write_scene(path: Path, scene: Scene, tags: dict[str, str], source: Path, options: Options) -> None:
    """The image, and nothing beside it."""
    grid = scene.delivered.grid
    in_one = max(grid.height, grid.width) <= scene.block_side_px(len(options.devices))
    needed = round(LEAST_SHARE * scene.generator.bands * grid.height * grid.width * (1 if in_one else 2))
    require_free_space(path.parent, needed - bytes_done(path), f"the image for {source}")
    compress, quality, overwrite = options.compress, options.quality, options.overwrite
    if in_one:
        image, valid = scene.whole()
        _remove_side_files(path)
        write_raster(path, image, grid, valid=valid, tags=tags, compress=compress, quality=quality, overwrite=overwrite)
        return
    scene.mask.require_sound()
    identity = {"request": tags["REQUEST_SHA256"], "model": scene.generator.sha256, "seed": scene.seed}
    blocks = generate_blocks(scene, work_folder(path), identity, options.devices, Progress(path.name))
    _remove_side_files(path)
    assemble(path, blocks, grid, tags=tags, compress=compress, quality=quality, overwrite=overwrite)


def _remove_side_files(path: Path) -> None:
    """What was said of the image that is about to be replaced."""
    for file in side_files(path):
        file.unlink(missing_ok=True)


def _complete(path: Path, scene: Scene, options: Options) -> None:
    """Write what the image lacks beside it. What is said of it is what its own tags say, and the time at which it was made."""
    grid = scene.delivered.grid
    for file in lacking(path, located=grid.crs is not None, signed=options.sign is not None):
        if file.suffix == ".json":
            made = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            write_stac_item(path, grid, tags=read_tags(path), bands=scene.generator.bands, created=made)
        elif options.sign:
            certificate, private_key = options.sign
            write_signature(path, certificate=certificate, private_key=private_key)


def _request(mask: SceneMask, generator: TrainedGenerator, style: Style, options: Options, name: str) -> str:
    """Checksum of what decides an image, apart from the network's weights and the seed."""
    grid = mask.grid
    place = [grid.height, grid.width, *grid.transform[:6], grid.crs.to_wkt() if grid.crs else None]
    how = [
        options.overlap_px,
        options.resample,
        options.compress,
        options.quality if options.compress in ("jpeg", "webp") else None,
    ]
    look = [style.identity] if style.identity else []  # images from before there were styles keep their checksum
    library = [{"material": generator.material_sha256}] if generator.material_sha256 else []
    named = [{"place of": name}] if lies_nowhere(grid) and (generator.is_noisy or library) else []
    return hashlib.sha256(json.dumps([PIXELS, mask.identity, place, how, *look, *library, *named]).encode()).hexdigest()
