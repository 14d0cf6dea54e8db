"""Commands that make images: generate, grow."""

import sys
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from orthoforge.cli.options import Out, PixelSize, said_device
from orthoforge.stores import Stores


def generate(
    run: Positional[str],
    masks: Positional[tuple[Path, ...]],
    *,
    out: Out,
    seed: int = 0,
    style: str | None = None,
    material_from: Path | None = None,
    refinement: float | None = None,
    histograms_from: Path | None = None,
    sun: float | None = None,
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
    layers: tuple[Path, ...] = (),
    layer_style: Path | None = None,
    compress: Literal["deflate", "zstd", "lzw", "jpeg", "webp"] = "deflate",
    quality: int = 90,
    threshold: int | None = None,
    palette: Path | None = None,
    building: tuple[str, ...] = (),
    pixel_size: PixelSize = None,
    sign: tuple[Path, Path] | None = None,
    format: Literal["tif", "png"] | None = None,
    keep_mask: bool = False,
    labels: tuple[Literal["coco", "yolo", "instances"], ...] = (),
    device: str = "auto",
    backend: Literal["auto", "torch", "onnx", "openvino"] = "torch",
    on: str | None = None,
    overwrite: bool = False,
) -> None:
    """Turn masks, or building footprints, into images with a trained run. A mask may have any size. The image has the size, CRS and
    transform of its mask.

    Large scenes are generated in blocks, without seams. If it is stopped and run again, finished blocks are kept. Of several images
    the finished ones are kept; a single one that is finished is an error without --overwrite.

    Args:
        run: A run folder, one of its checkpoints such as RUN/weights/best, a published folder, or the name of weights that
            come with the package: orthoforge-material, orthoforge-landcover, orthoforge-s.
        masks: GeoTIFF, PNG or JPEG of any size, footprints (GeoJSON, GeoPackage, …), folders of masks, data sets, a COCO file,
            a folder of YOLO's labels, or .txt files with a path a line. `example` is the mask that comes with the package,
            `library` are the masks of the material of orthoforge-material, turned and shifted by the seed.
            Or addresses in an object store: s3://, gs://, az://, https://.
        out: A .tif or .png for one mask, or a folder. Or an address in an object store.
        seed: Seed of all that is random in the network. Another seed gives another image.
        style: The look of the images, for a network with styles: a place of the run, the file of a reference image, by-name
            or each. by-name takes for each mask the place in its file name, as in PLACE_1.tif. each gives each mask a look of
            its own, by the seed and its file name. When left out, the seed chooses one look for all masks.
        material_from: Tiles of your own, a folder made by `orthoforge prepare`. Weights of orthoforge-material then compose
            images of the roofs and the ground of these tiles, without training. Only the training split is used. The styles
            are the places of the tiles.
        refinement: For weights with material: how much the network may change what was composed of it, from 0 (nothing) to 1.
            When left out: 0 with --material-from, for the network never saw your ground; else what the weights say, 0 of
            orthoforge-material (docs/pretrained.md); 1 of a run.
        histograms_from: Tiles of your own, a folder made by `orthoforge prepare`. Images of weights of orthoforge-material then
            have the histograms of these tiles: roofs and ground of the weights in the colours of your place. Each image has
            those of one tile of the training split, drawn by its seed.
        sun: For weights with material: the azimuth of the sun, in degrees clockwise from north. Roofs, ground and shadows are
            then lit from there. When left out, it stands where it does in the material.
        variants: Number of images for each mask: STEM_v1, STEM_v2 … It needs a network with noise.
        overlap: Pixels of mask around each block. When left out, it is as wide as the network looks, which leaves no seam.
        resample: Also take a mask of another resolution than the run's. The image is generated at the resolution of the
            run.
        deliver: Where a resampled image is written: on the grid of the mask, or on that of the run.
        like: Raster on whose grid footprints become a mask.
        extent: Ground on which footprints become a mask: left, bottom, right, top in their CRS. All of them when left out.
        gsd: Metres per pixel of the mask of footprints. That of the run when left out.
        crs: CRS of the mask of footprints, such as EPSG:32633. A metric one of their place when left out.
        footprints_crs: CRS of the coordinates of the footprints, where their file names none or a wrong one.
        repair: Mend invalid polygons instead of refusing them.
        layer: Layer of a GeoPackage that has several.
        layers: Vector files of roads, water, trees …, or an OpenStreetMap extract. They are painted under the
            buildings of the mask. For a run that was trained on classes.
        layer_style: YAML file that says which layer or tag becomes which class, how wide roads are and what lies on top.
            That of the package when left out (docs/layers.md).
        compress: Compression of the GeoTIFF. jpeg and webp lose something.
        quality: Quality of jpeg and webp, from 25 to 100.
        threshold: Mask values from this one on are building. Without it a mask may hold only 0, 1 and 255.
        palette: JSON file with the names of the classes and their colours or values. For masks of classes, where the run knows
            buildings alone, or codes its classes otherwise.
        building: Names of the palette's classes that are building, for a run that knows buildings alone. The one that is called
            so when left out. Without --palette, values of the masks, such as 1.
        sign: Certificate and private key, PEM files. They sign Content Credentials (C2PA) beside each image.
        format: File format of the images in a folder. A PNG has no place on the ground.
        keep_mask: Also write the mask of each image, on the grid of the image. A folder then becomes a data set with images/
            and masks/. Beside a single OUT.tif the mask is OUT_mask.tif.
        labels: Labels for other programs, one or more of coco (instance segmentation), yolo (segmentation) and instances
            (masks with a number for each building). The folder becomes a data set with images/ and the labels beside it.
        device: auto (a GPU where there is one, else the processor), cpu, cuda or mps. Several with commas: cuda:0,cuda:1.
        backend: What computes the network on a processor. onnx and openvino need the extra export, and make the same image to a
            level. auto measures which is fastest, once, and remembers it.
        on: ray, or ray://HOST:PORT. The machines of a Ray cluster make the images (docs/cluster.md). This process when left out.
        overwrite: Replace images that are there.
    """
    from orthoforge.generation import generate

    with Stores() as stores:
        target, sources = stores.write(out, overwrite=overwrite), [stores.read(mask) for mask in masks]
        paths = generate(
            run, sources, target, seed=seed, style=style, material_from=material_from, refinement=refinement,
            histograms_from=histograms_from, sun=sun, variants=variants, overlap=overlap, resample=resample, deliver=deliver,
            like=like, extent=extent, gsd=gsd, crs=crs, footprints_crs=footprints_crs, repair=repair, layer=layer,
            layers=layers, layer_style=layer_style, compress=compress, quality=quality, threshold=threshold,
            palette=palette, building=building, pixel_size=pixel_size, sign=sign, format=format, keep_mask=keep_mask,
            labels=labels, device=said_device(device), backend=backend, on=on, overwrite=overwrite,
        )  # fmt: skip
        for path in paths:
            print(stores.shown(path))
        if keep_mask and paths != [target]:
            how = f": orthoforge.SyntheticPairs.generated({str(out)!r}) reads them" if target == out else ""
            print(f"{len(paths)} pair{'s' * (len(paths) != 1)} in {stores.shown(target)}{how}", file=sys.stderr)


def grow(
    run: Positional[str],
    data: Positional[Path],
    *,
    out: Out,
    ratio: float = 1.0,
    variants: int = 1,
    masks: Literal["real", "transform", "recombine", "streets", "library"] | Path | None = None,
    split: Literal["digits", "inria"] | None = None,
    least_agreement: float | None = None,
    tiles: Path | None = None,
    material_from: Path | None = None,
    refinement: float | None = None,
    histograms_from: Path | None = None,
    sun: float | None = None,
    seed: int = 0,
    threshold: int | None = None,
    palette: Path | None = None,
    building: tuple[str, ...] = (),
    pixel_size: PixelSize = None,
    images: Path | None = None,
    real_masks: Path | None = None,
    image_suffix: str | None = None,
    mask_suffix: str | None = None,
    labels: tuple[Literal["coco", "yolo", "instances"], ...] = (),
    device: str = "auto",
    on: str | None = None,
    overwrite: bool = False,
) -> None:
    """Make a larger data set: the real pairs, and synthetic pairs that only train. If it is stopped and run again, it goes on.

    The layout stays that of DATA where it is one pair of folders of rasters. Else it is images/ and masks/.
    synthetic.jsonl lists every synthetic pair, rejected ones too. README.md is a data card.

    Args:
        run: A run folder, one of its checkpoints such as RUN/weights/best, a published folder, or the name of weights that
            come with the package: orthoforge-material, orthoforge-landcover, orthoforge-s.
        data: The data set that the tiles of the run were cut from, also in an object store. Or the folder of its images, with
            --real-masks.
        out: Folder for the larger data set, also in an object store.
        ratio: Number of synthetic pairs for each real pair that trains.
        variants: Number of images for each mask. More than one needs a network with noise.
        masks: Where masks come from. real: the training masks again. transform, recombine or streets: forged from them. library:
            those of the weights' own material. Or a folder of masks. When left out: library for orthoforge-material with --tiles
            and without --material-from, else real.
        split: Which scenes train, by their numbers. For weights without tiles, where --tiles is not given. For a run whose tiles
            are gone: the rule that it was trained by.
        least_agreement: A segmenter looks for the mask in each image. Reject an image in which it recognises less than this
            share of what it recognises in real ones. 0 leaves the segmenter out. When left out: 0.5, but 0 for masks of the
            library, and for weights that come without tiles, where --tiles is not given.
        tiles: Tiles that `orthoforge prepare` cut from DATA. They say which scenes train, and the segmenter learns from them. For
            weights that come without tiles, such as orthoforge-s. Those of the run when left out.
        material_from: Tiles of your own, a folder made by `orthoforge prepare`, which may be that of --tiles. Weights of
            orthoforge-material then compose images of the roofs and the ground of these tiles, without training.
        refinement: For weights with material: how much the network may change what was composed of it, from 0 (nothing) to 1.
            When left out: 0 with --material-from; else what the weights say, 0 of orthoforge-material; 1 of a run.
        histograms_from: Tiles of your own, which may be those of --tiles. Images of weights of orthoforge-material then have the
            histograms of these tiles: roofs and ground of the weights in the colours of your place. With masks of the library,
            those of --tiles when left out.
        sun: For weights with material: the azimuth of the sun, in degrees clockwise from north. Roofs, ground and shadows are
            then lit from there. When left out, it stands where it does in the material.
        seed: Seed of masks, order and noise.
        threshold: Mask values from this one on are building. When left out, that of the tiles of the run.
        palette: JSON file with the names of the classes and their colours or values. For masks of classes, where the run knows
            buildings alone, or codes its classes otherwise. The masks of the new data set are then as the run knows them.
        building: Names of the palette's classes that are building, for a run that knows buildings alone. Without --palette, values
            of the masks. What the tiles of the run were cut with when left out.
        images: Folder of the real images, where the layout of DATA is not recognised, or they lie elsewhere.
        real_masks: Folder of their masks, a COCO file, or a folder of YOLO's labels.
        image_suffix: What names of images end in beyond the name of the scene, such as _sat.
        mask_suffix: What names of masks end in beyond the name of the scene, such as _mask.
        labels: Labels of all pairs for other programs, one or more of coco (instance segmentation), yolo (segmentation) and
            instances (masks with a number for each building). A finished data set gets those that it lacks.
        device: auto (a GPU where there is one, else the processor), cpu, cuda or mps. Several with commas: cuda:0,cuda:1.
        on: ray, or ray://HOST:PORT. The machines of a Ray cluster make the pairs (docs/cluster.md). This process when left out.
        overwrite: Replace a data set that was grown here with other settings.
    """
    from orthoforge.growing import grow

    with Stores() as stores:
        grow(
            run, stores.read(data), stores.write(out, overwrite=overwrite), ratio=ratio, variants=variants, masks=masks,
            split=split, least_agreement=least_agreement, tiles=tiles, material_from=material_from, refinement=refinement,
            histograms_from=histograms_from, sun=sun, seed=seed, threshold=threshold, palette=palette, building=building,
            pixel_size=pixel_size, images=images, real_masks=real_masks, image_suffix=image_suffix, mask_suffix=mask_suffix,
            labels=labels, device=said_device(device), on=on, overwrite=overwrite,
        )  # fmt: skip
