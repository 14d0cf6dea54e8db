"""Masks to images: files in, georeferenced files out."""

import contextlib
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Literal

from orthoforge.devices import chosen_devices
from orthoforge.errors import ConfigError, DataError, NotBuildingsError
from orthoforge.files import require_free_space, require_place
from orthoforge.generation.beside import IMAGES, Beside, require_numbered
from orthoforge.generation.blocks import alone, bytes_done, discard, generate_blocks, pixels_of, work_folder
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
    share_tags,
    side_files,
    synthetic_tags,
)
from orthoforge.generation.scene import Scene, at_resolution, lies_nowhere
from orthoforge.geo.cog import Compression, assemble, creation_options, write_raster
from orthoforge.geo.pixel_sizes import PixelSizes, overruled_note
from orthoforge.geo.rasters import read_tags
from orthoforge.geo.signing import require_signer
from orthoforge.geo.signing import sign as write_signature
from orthoforge.geo.stac import write_stac_item
from orthoforge.labels import Instance, LabelFormat, instances_of
from orthoforge.masks.layered import MapFiles
from orthoforge.masks.opening import Extent, SceneMask, open_mask
from orthoforge.masks.reader import MaskReader, palette_of, reader_of
from orthoforge.progress import Progress
from orthoforge.runs import Run
from orthoforge.trained_generator import TrainedGenerator

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
    reader: MaskReader
    devices: list[str]
    extent: Extent
    layers: MapFiles | None
    sign: tuple[Path, Path] | None
    beside: Beside
    overwrite: bool
    overruled: dict[str, float] = field(default_factory=dict)
    """Masks whose own pixel size is another than the stated, and their metres."""


def generate(
    run: str | Path | TrainedGenerator,
    masks: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    seed: int = 0,
    style: str | Path | None = None,
    material_from: str | Path | None = None,
    variants: int = 1,
    overlap: int | None = None,
    resample: bool = False,
    deliver: Literal["mask", "run"] = "mask",
    like: str | Path | None = None,
    extent: tuple[float, float, float, float] | None = None,
    gsd: float | None = None,
    crs: str | None = None,
    footprints_crs: str | None = None,
    repair: bool = False,
    layer: str | None = None,
    layers: Sequence[str | Path] = (),
    layer_style: str | Path | None = None,
    compress: Compression = "deflate",
    quality: int = 90,
    threshold: int | None = None,
    palette: str | Path | None = None,
    building: Sequence[str] = (),
    pixel_size: PixelSizes | float | str | Path | None = None,
    sign: tuple[str | Path, str | Path] | None = None,
    format: Literal["tif", "png"] | None = None,
    keep_mask: bool = False,
    labels: Sequence[LabelFormat] = (),
    device: str = "auto",
    overwrite: bool = False,
) -> list[Path]:
    """Generate an image for each mask, of any size, without seams and in flat memory. Returns the paths written.

    ``masks`` are rasters, footprints, folders of masks, or text files that list masks. ``example`` is the mask of the package.
    ``out`` is a file (``.tif`` or ``.png``) for one mask, or a folder that gets ``STEM.tif`` for each mask. With ``variants`` each
    mask gets ``STEM_v1.tif``, ``STEM_v2.tif`` …, which differ in their seed. An image has the size, CRS and transform of its mask,
    exactly;
    with ``format="png"`` it has the size alone. Tags mark it as synthetic. A STAC item lies beside a georeferenced GeoTIFF. The
    same ``seed`` gives the same image.

    ``style`` is the look of all images: a place of the run (``TrainedGenerator.styles``), or a file with a reference image, of
    which the middle is looked at. ``"by-name"`` takes for each mask the place that its file is named by. Without a style the seed
    takes that of any place, one for all masks.

    ``material_from`` are prepared tiles. A run of ``orthoforge-material`` then composes images of the roofs and the ground of their
    training split, without training (``TrainedGenerator.with_material``). The styles are then the places of these tiles.

    Masks of classes are read by a ``palette``: as the run's classes of those names, or, by a run that knows buildings alone, as
    what ``building`` names. Masks without coordinates are taken to have the run's resolution, or that of ``pixel_size``: metres, or
    a table (``geo.pixel_sizes``), by default ``pixel_size.csv`` beside the masks or one folder above.

    ``layers`` are vector files of roads, water, trees … for a run that was trained on classes: they are painted by
    ``layer_style``, a YAML file (``masks.layer_style``; by default the one of the package), with the buildings of the mask on top.
    A mask that is a map with OpenStreetMap's tags is painted itself.

    A mask whose pixels differ from the resolution of the run is refused. With ``resample`` its image is generated at the resolution
    of the run. ``deliver`` says whether the image is then brought to the grid of the ``mask`` or stays on that of the ``run``.
    Footprints become a mask on the grid of ``like``, or on ``extent`` (left, bottom, right, top in their CRS) at ``gsd`` metres.
    ``footprints_crs`` states their CRS where their file does not. ``device`` is ``auto`` (a GPU where there is one), or
    names one or several devices, with commas.

    ``keep_mask`` writes the mask of each image on the grid of the image: footprints as pixels, classes with their colours.
    ``labels`` (``coco``, ``yolo``, ``instances``) are for other programs (``labels.LabelFolder``). With either of them a folder
    becomes a data set: ``images/STEM.tif``, ``masks/STEM.tif``, and labels beside. Of a single file ``out.tif`` the mask is
    ``out_mask.tif``.

    Call it again after an interruption: finished blocks of a scene and finished images are kept, and a kept image gets what it
    lacks beside it. An image that another process is making is waited for, and kept if it is the same one. One mask that fails does
    not stop the others; all failures are listed at the end.

    Raises:
        DataError: a mask or a reference image cannot be read or holds other values, or tiles do not fit.
        ConfigError: a style or material that the run does not have.
        GridError: a mask is rotated, or of another resolution.
        ResourceError: the disk is full, or memory is too small.
        CheckpointError: there is no such run, or its weights are damaged.
        OutputExistsError: an image is there and ``overwrite`` is false.
        LockedError: another process makes the same image for too long.

    Examples:
        >>> from orthoforge import generate
        >>> [path.as_posix() for path in generate("orthoforge-s", ["mask.tif"], "made", variants=2)]
        ['made/mask_v1.tif', 'made/mask_v2.tif']
    """
    devices = chosen_devices(device)
    generator = run if isinstance(run, TrainedGenerator) else Run.open(run).generator(devices[0])
    if material_from is not None:
        generator = generator.with_material(material_from)
    if variants < 1:
        raise ConfigError(f"variants is {variants}; it is the number of images for each mask, 1 or more.")
    if variants > 1 and not generator.is_noisy:
        raise ConfigError(f"the network of {generator.recipe.name} has no noise: its {variants} variants would be one image.")
    if like and (extent or gsd is not None or crs):
        again = " and ".join(f"--{name}" for name, value in (("extent", extent), ("gsd", gsd), ("crs", crs)) if value is not None)
        raise ConfigError(f"--like gives the grid, and {again} would say it again. Leave one of them out.")
    like, signer = None if like is None else Path(like), (Path(sign[0]), Path(sign[1])) if sign else None
    if signer:
        require_signer(*signer)
    sources = listed_masks([masks] if isinstance(masks, str | Path) else masks)
    if len(sources) * variants > _MOST_IMAGES:
        raise ConfigError(
            f"{len(sources)} masks with {variants} variants each are more than {_MOST_IMAGES} images. Ask for fewer, and for "
            "others with another seed into another folder."
        )
    beside = Beside.of(Path(out), generator.classes, keep_mask=keep_mask, labels=labels)
    targets = output_paths(
        sources, Path(out), variants, folder=IMAGES if beside.makes_a_data_set else "", suffix=f".{format}" if format else None
    )
    styles = styles_of(generator, sources, style)
    looks = {one: styled(generator, one) for one in dict.fromkeys(styles)}
    reader = _reader(generator, sources, threshold, palette, building, pixel_size)
    options = Options(
        overlap, resample, deliver, compress, quality, reader, devices,
        Extent(like, extent, gsd, crs, footprints_crs, repair, layer), MapFiles.asked(layers, layer_style, repair=repair),
        signer, beside, overwrite
    )  # fmt: skip
    _require_writable(targets, [*sources, like] if like else sources, generator, seed, options)
    for source, paths in zip(sources, targets, strict=True):
        for path in paths:
            beside.require_own(source, path, {"MODEL_SHA256": generator.sha256}, overwrite=overwrite)
    if beside.labels is not None:
        beside.labels.require_own()
    with collected(Path(out), sources) as failed, _finished(beside), Progress().task("masks", len(sources)) as step:
        for source, paths, one in zip(sources, targets, styles, strict=True):
            with failed(source):
                _generate_mask(source, paths, *looks[one], seed, options)
            step()
    if note := overruled_note(list(options.overruled), list(options.overruled.values())):
        print(f"note: {note}", file=sys.stderr)
    return [path for paths in targets for path in paths]


@contextlib.contextmanager
def _finished(beside: Beside) -> Iterator[None]:
    """What speaks of all images is written at the end, also where some masks failed."""
    yield
    if beside.labels is not None:
        beside.labels.finish()


def _reader(
    generator: TrainedGenerator,
    sources: Sequence[Path],
    threshold: int | None,
    palette: str | Path | None,
    building: Sequence[str],
    pixel_size: PixelSizes | float | str | Path | None,
) -> MaskReader:
    """What reads the masks: as the run knows them, from files as the options describe them."""
    homes = dict.fromkeys(folder for source in sources for folder in (source.parent, source.parent.parent))
    known, _ = palette_of(palette, None, building)
    sizes = PixelSizes.stated(pixel_size, *homes)
    reader = reader_of(generator.classes, threshold=threshold, palette=known, building=building, pixel_sizes=sizes)
    if known and generator.classes is None and not building:
        assert known.building is not None
        print(
            f"note: the run knows buildings alone; {known.names[known.building]!r} of the palette is taken for them.",
            file=sys.stderr,
        )
    return reader


@contextlib.contextmanager
def _saying_what_is_known(generator: TrainedGenerator) -> Iterator[None]:
    """Add to what is wrong with a mask of classes that the run knows buildings alone."""
    try:
        yield
    except NotBuildingsError as error:
        known = "buildings alone" if generator.classes is None else f"the classes {', '.join(generator.classes.names)}"
        raise DataError(f"{error} The run, {generator.recipe.name}, knows {known}.") from error


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
    gsd_m, reader = _called_gsd_m(generator), options.reader
    with (
        _saying_what_is_known(generator),
        open_mask(
            source, classes=generator.classes, threshold=reader.threshold, extent=options.extent, gsd_m=gsd_m,
            pixel_sizes=reader.pixel_sizes, coding=reader.coding, layers=options.layers,
        ) as delivered,
    ):  # fmt: skip
        if (own_m := delivered.grid.gsd_m()) is not None and reader.pixel_sizes.is_overruled(own_m, source):
            options.overruled[source.name] = own_m
        mask = at_resolution(delivered, generator, source, resample=options.resample)
        if generator.classes is None and (warning := mask_warning(delivered, source.stem)):
            print(f"warning: {warning}", file=sys.stderr)
        given = delivered
        if options.deliver == "run":
            delivered = mask
        if options.beside.labels is not None:
            require_numbered(source, given, delivered)
        instances = cache(partial(_instances, delivered, options))
        request = _request(delivered, generator, style, options, source.stem)
        for variant, path in enumerate(paths):
            tags = synthetic_tags(generator, seed + variant, source, request) | style.tags
            made = not options.overwrite and is_made(path, tags) and not is_begun(path, signed=options.sign is not None)
            if made and options.beside.is_complete(source, path):
                continue
            with alone(path):
                scene = Scene(generator, mask, delivered, seed + variant, options.overlap_px, source.stem)
                if options.overwrite or not is_made(path, tags):
                    _write_scene(path, scene, tags, source, options)
                _complete(path, scene, options)
                options.beside.write(source, path, delivered, instances, tags)
                discard(path)


def _instances(mask: SceneMask, options: Options) -> list[Instance]:
    """The objects that a mask shows; none where nobody asks for labels."""
    return instances_of(mask, options.beside.labels.categories) if options.beside.labels is not None else []


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
        made = scene.whole()
        tags = tags | share_tags(scene.generator, made.pixels_of)
        _remove_side_files(path)
        write_raster(path, made.image, grid, valid=made.valid, tags=tags, compress=compress, quality=quality, overwrite=overwrite)
        return
    scene.mask.require_sound()
    identity = {"request": tags["REQUEST_SHA256"], "model": scene.generator.sha256, "seed": scene.seed}
    blocks = generate_blocks(scene, work_folder(path), identity, options.devices, Progress(path.name))
    tags = tags | share_tags(scene.generator, pixels_of(blocks.values()))
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
    place += [] if grid.unit_m is None else [grid.unit_m]  # images from before pixel sizes were stated keep their checksum
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
