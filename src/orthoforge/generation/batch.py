"""Masks to images: files in, georeferenced files out."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Literal

import torch

from orthoforge.cluster import Here, Need, team_on
from orthoforge.devices import chosen_devices
from orthoforge.errors import ConfigError
from orthoforge.files import is_unsent, require_free_space, require_place
from orthoforge.generation.beside import IMAGES, Beside, require_numbered
from orthoforge.generation.blocks import alone, bytes_done, discard, generate_blocks, pixels_of, work_folder
from orthoforge.generation.chosen_styles import EACH, Style, say_looks, say_material, seeds_of, styled, styles_of, tags_of
from orthoforge.generation.failures import collected
from orthoforge.generation.given_masks import given_masks
from orthoforge.generation.library_masks import library_masks, means_library
from orthoforge.generation.making import Maker, Wanted
from orthoforge.generation.mask_warning import mask_warning
from orthoforge.generation.options import Options
from orthoforge.generation.outputs import (
    is_begun,
    is_made,
    output_paths,
    require_names,
    require_own_side_files,
    share_tags,
    synthetic_tags,
)
from orthoforge.generation.reading import reader_for, saying_what_is_known
from orthoforge.generation.request import request_of
from orthoforge.generation.scene import BLOCK_BYTES, Scene, at_resolution
from orthoforge.generation.side_files import complete, remove_side_files
from orthoforge.geo.cog import Compression, assemble, creation_options, write_raster
from orthoforge.geo.pixel_sizes import PixelSizes, overruled_note
from orthoforge.geo.signing import require_signer
from orthoforge.labels import Instance, LabelFormat, instances_of
from orthoforge.masks.layered import MapFiles
from orthoforge.masks.opening import Extent, SceneMask, open_mask
from orthoforge.progress import Progress
from orthoforge.runs import Run
from orthoforge.scenes.outlines import folder_of_drawn_masks
from orthoforge.trained_generator import TrainedGenerator

# Deflate leaves at least so much of an image with texture; the blocks, kept until the image is there, take as much again.
LEAST_SHARE = 0.3
# The names of all images are held in memory before the first is made.
_MOST_IMAGES = 10**6


def generate(
    run: str | Path | TrainedGenerator,
    masks: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    seed: int = 0,
    style: str | Path | None = None,
    material_from: str | Path | None = None,
    refinement: float | None = None,
    histograms_from: str | Path | None = None,
    sun: float | None = None,
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
    backend: str = "torch",
    on: str | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Generate an image for each mask, of any size, without seams and in flat memory. Returns the paths written.

    ``masks`` are rasters, footprints, folders of masks, data sets, outlines of COCO or YOLO, or text files that list masks.
    ``example`` is the mask of the package, ``library`` those of the material of ``orthoforge-material``, turned and shifted by the
    seed: each image then has the style of its mask's place and a seed of its own, unless ``style`` says otherwise.
    ``out`` is a file (``.tif`` or ``.png``) for one mask, or a folder that gets ``STEM.tif`` for each mask. With ``variants`` each
    mask gets ``STEM_v1.tif``, ``STEM_v2.tif`` …, which differ in their seed. An image has the size, CRS and transform of its mask,
    exactly;
    with ``format="png"`` it has the size alone. Tags mark it as synthetic. A STAC item lies beside a georeferenced GeoTIFF. The
    same ``seed`` gives the same image.

    ``style`` is the look of all images: a place of the run (``TrainedGenerator.styles``), or a file with a reference image, of
    which the middle is looked at. ``"by-name"`` takes for each mask the place that its file is named by. ``"each"`` gives each
    mask a seed of its own, by ``seed`` and its file's name, and so a look. Without a style the seed takes that of any place, one
    for all masks.

    ``material_from`` are prepared tiles. A run of ``orthoforge-material`` then composes images of the roofs and the ground of their
    training split, without training (``TrainedGenerator.with_material``). The styles are then the places of these tiles.
    ``refinement``, 0 to 1, is the share of its network's changes that what was composed gets (``with_refinement``): by default none
    of such tiles, else all. ``histograms_from`` are prepared tiles, too: images of such a run, of whatever material, get the
    histograms of their training tiles (``TrainedGenerator.with_histograms``). ``sun`` is the azimuth of the sun in these images, in
    degrees clockwise from north (``with_sun``); by default it stands where it does in the material.

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
    names one or several devices, with commas. ``backend`` is what computes the network on a processor
    (``TrainedGenerator.on_backend``): ``torch``, ``onnx``, ``openvino``, or ``auto``, the fastest of them. Images of two backends
    are the same to a level, and the tags of each say which one made it. A generator that has another one keeps it.

    ``on`` is ``ray`` or ``ray://HOST:PORT``: the machines of a Ray cluster make the images, a mask each, into the same files
    (docs/cluster.md).

    ``keep_mask`` writes the mask of each image on the grid of the image: footprints as pixels, classes with their colours.
    ``labels`` (``coco``, ``yolo``, ``instances``) are for other programs (``labels.LabelFolder``). With either of them a folder
    becomes a data set: ``images/STEM.tif``, ``masks/STEM.tif``, and labels beside. Of a single file ``out.tif`` the mask is
    ``out_mask.tif``.

    Call it again after an interruption: finished blocks of a scene and finished images are kept, and a kept image gets what it
    lacks beside it. An image that another process is making is waited for, and kept if it is the same one. One mask that fails does
    not stop the others; all failures are listed at the end.

    Raises:
        DataError: a mask or a reference image cannot be read or holds other values, or tiles do not fit.
        ConfigError: a style, material or sun that the run does not have.
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
    # Who calls with a generator that is open has chosen its look and size, and knows no command.
    is_open = isinstance(run, TrainedGenerator)
    generator = run if isinstance(run, TrainedGenerator) else Run.open(run).generator(devices[0])
    generator = generator.composing(
        material_from=material_from, refinement=refinement, histograms_from=histograms_from, sun=sun
    )  # fmt: skip
    if material_from is not None:
        say_material(generator)
    if backend != "torch":
        generator = generator.on_backend(backend)
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
    with folder_of_drawn_masks() as drawn:
        if means_library(masks):
            given = library_masks(generator, drawn(), seed)
        else:
            given = given_masks([masks] if isinstance(masks, str | Path) else masks, drawn)
        sources = given.paths
        if len(sources) * variants > _MOST_IMAGES:
            raise ConfigError(
                f"{len(sources)} masks with {variants} variants each are more than {_MOST_IMAGES} images. Ask for fewer, and for "
                "others with another seed into another folder."
            )
        beside = Beside.of(Path(out), generator.classes, keep_mask=keep_mask, labels=labels)
        targets = output_paths(
            sources, Path(out), variants, folder=IMAGES if beside.makes_a_data_set else "", suffix=f".{format}" if format else None
        )
        styles, seeds = styles_of(generator, given, style), seeds_of(sources, EACH if given.places else style, seed)
        looks = {one: styled(generator, one) for one in dict.fromkeys(styles)}
        if not is_open:
            _say_barely_trained(generator)
            if given.places:
                print(f"{len(sources)} masks of the material of {', '.join(dict.fromkeys(given.places))}", flush=True)
            else:
                say_looks(looks[styles[0]][0], sources, style, seeds, variants)
        reader = reader_for(generator, given, threshold, palette, building, pixel_size)
        options = Options(
            overlap, resample, deliver, compress, quality, reader, devices,
            Extent(like, extent, gsd, crs, footprints_crs, repair, layer), MapFiles.asked(layers, layer_style, repair=repair),
            signer, beside, overwrite, tells_assumed=not is_open, doubts_masks=not given.places,
        )  # fmt: skip
        _require_writable(targets, [*sources, like] if like else sources, generator, seeds, options)
        for source, paths in zip(sources, targets, strict=True):
            for path in paths:
                beside.require_own(source, path, {"MODEL_SHA256": generator.sha256}, overwrite=overwrite)
        if beside.labels is not None:
            beside.labels.require_own()
        with (
            collected(Path(out), [given.told(source) for source in sources]) as failed,
            _finished(beside),
            team_on(on, here=Here()) as team,
            Progress().task("masks", len(sources)) as step,
        ):
            wanted = [Wanted(*one) for one in zip(sources, targets, styles, seeds, strict=True)]
            maker = Maker.of(_generate_mask, looks, options, is_far=team.is_far)
            need = Need(torch.get_num_threads(), BLOCK_BYTES, gpus=int(devices[0].startswith("cuda")))
            for source, answer in zip(sources, team.answers(maker, wanted, need), strict=True):
                with failed(given.told(source)):
                    options.take(answer.result())
                step()
        heard = options.heard
        if note := overruled_note(list(heard.overruled), list(heard.overruled.values())):
            print(f"note: {note}", file=sys.stderr)
        paths = [path for paths in targets for path in paths]
        if heard.kept:
            print(f"{_kept(heard.kept, len(paths))} --overwrite makes them anew.", file=sys.stderr)
        return paths


def _say_barely_trained(generator: TrainedGenerator) -> None:
    progress, epochs = generator.saved.state.progress, generator.recipe.total_epochs
    if progress.step and not progress.epoch:
        steps = f"{progress.step} step{'s' * (progress.step > 1)}"
        print(
            f"note: these weights have taken {steps}, less than one of their {epochs} epochs, so that images show little yet. "
            "`orthoforge train --resume --out RUN` goes on.",
            file=sys.stderr,
        )


def _kept(kept: Sequence[Path], asked: int) -> str:
    """'3 of 8 images were there already and are kept: a.tif, b.tif, c.tif.'"""
    are = "image was" if asked == 1 else f"of {asked} images were"
    names = ", ".join(path.name for path in kept[:3]) + (", …" if len(kept) > 3 else "")
    return f"{len(kept)} {are} there already and {'is' if asked == 1 else 'are'} kept: {names}."


def _assumed(mask: Path, gsd_m: float) -> str:
    return (
        f"{mask.name} does not say how large its pixels are. They are taken to be {gsd_m:g} m, as in the run. If they are not, "
        "pass --pixel-size METRES and --resample."
    )


@contextlib.contextmanager
def _finished(beside: Beside) -> Iterator[None]:
    """What speaks of all images is written at the end, also where some masks failed."""
    yield
    if beside.labels is not None:
        beside.labels.finish()


def _require_writable(
    targets: Sequence[Sequence[Path]], inputs: Sequence[Path], generator: TrainedGenerator, seeds: Sequence[int], options: Options
) -> None:
    """What would stop an image from being written: said before the first mask is generated, not after the others were."""
    several = sum(map(len, targets)) > 1
    for paths, seed in zip(targets, seeds, strict=True):
        for variant, path in enumerate(paths):
            require_names(path)
            creation_options(path, generator.bands, options.compress, options.quality)
            require_own_side_files(path, inputs)
            if options.overwrite or not path.is_file():
                require_place(path)
            if not options.overwrite:
                own = {"MODEL_SHA256": generator.sha256, "SEED": str(seed + variant)}
                goes_on = several or is_begun(path, signed=options.sign is not None) or is_unsent(path)
                is_made(path, own if goes_on else {"MODEL_SHA256": ""})


def _generate_mask(
    source: Path, paths: Sequence[Path], generator: TrainedGenerator, style: Style, seed: int, options: Options
) -> None:
    """All variants of one mask. An image that is there is kept, and gets what it lacks beside it."""
    gsd_m, reader = _called_gsd_m(generator), options.reader
    with (
        saying_what_is_known(generator),
        open_mask(
            source, classes=generator.classes, threshold=reader.threshold, extent=options.extent, gsd_m=gsd_m,
            pixel_sizes=reader.pixel_sizes, coding=reader.coding, layers=options.layers,
        ) as delivered,
    ):  # fmt: skip
        if (own_m := delivered.grid.gsd_m()) is not None and reader.pixel_sizes.is_overruled(own_m, source):
            options.heard.overruled[source.name] = own_m
        if delivered.grid.pixel_m() is None and gsd_m is not None:
            options.assume(_assumed(source, gsd_m))
        mask = at_resolution(delivered, generator, source, resample=options.resample)
        doubted = generator.classes is None and options.doubts_masks
        if doubted and (warning := mask_warning(delivered, source.stem, reader)):
            print(f"warning: {warning}", file=sys.stderr)
        given = delivered
        if options.deliver == "run":
            delivered = mask
        if options.beside.labels is not None:
            require_numbered(source, given, delivered)
        instances = cache(partial(_instances, delivered, options))
        request = request_of(delivered, generator, style, options, source.stem)
        for variant, path in enumerate(paths):
            tags = synthetic_tags(generator, seed + variant, source, request) | tags_of(style, generator, seed + variant)
            made = not options.overwrite and is_made(path, tags) and not is_begun(path, signed=options.sign is not None)
            if made:
                options.heard.kept.append(path)
            if made and options.beside.is_complete(source, path):
                continue
            with alone(path):
                scene = Scene(generator, mask, delivered, seed + variant, options.overlap_px, source.stem)
                if options.overwrite or not is_made(path, tags):
                    _write_scene(path, scene, tags, source, options)
                complete(path, scene, options)
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
        remove_side_files(path)
        write_raster(path, made.image, grid, valid=made.valid, tags=tags, compress=compress, quality=quality, overwrite=overwrite)
        return
    scene.mask.require_sound()
    identity = {"request": tags["REQUEST_SHA256"], "model": scene.generator.sha256, "seed": scene.seed}
    blocks = generate_blocks(scene, work_folder(path), identity, options.devices, Progress(path.name))
    tags = tags | share_tags(scene.generator, pixels_of(blocks.values()))
    remove_side_files(path)
    assemble(path, blocks, grid, tags=tags, compress=compress, quality=quality, overwrite=overwrite)
