"""Commands that judge: evaluate, utility, compare."""

from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from orthoforge.cli.options import Out, said_device


def evaluate(
    images: Positional[Path],
    *,
    data: Path,
    out: Out,
    split: Literal["train", "val", "test"] = "test",
    masks: Path | None = None,
    network: Literal["efficientnet-lite0", "geoembed", "inception-v3"] = "efficientnet-lite0",
    weights: Path | None = None,
    lpips: Path | None = None,
    threshold: int | None = None,
    palette: Path | None = None,
    building: tuple[str, ...] = (),
    bands: tuple[int, int, int] | None = None,
    seed: int = 0,
    device: str = "auto",
    allow_trained: bool = False,
    fidelity: bool = False,
    on: str | None = None,
    overwrite: bool = False,
) -> None:
    """Score a run, or any folder of images, against real tiles: realism, pixel scores, diversity, memorisation.

    It writes report.json and report.html. Each score stands beside a floor that makes it readable.

    Args:
        images: A run folder, one of its checkpoints such as RUN/weights/best, a published folder, or the name of weights
            that come with the package: orthoforge-material, orthoforge-landcover, orthoforge-s. Or a folder of images as large
            as the tiles. An image that is named as a tile (SCENE_ROW_COLUMN, or SCENE where it has one tile) is also compared
            with that tile pixel by pixel.
        data: Tiles made by `orthoforge prepare`.
        out: Folder for the report.
        split: The split whose tiles are the real images.
        masks: Masks of the same names, for a folder of images.
        network: The network that realism and memorisation are seen with. geoembed learned on aerial images: `pip install
            "orthoforge[judge]"`.
        weights: File with the weights of inception-v3 or geoembed. When left out, it is looked for in torch hub's folder or
            in the installed package. Nothing is downloaded.
        lpips: Folder with alex.pth and alexnet-owt-7be5be79.pth, or with vgg.pth and vgg16-397923af.pth. It adds LPIPS to
            the scores.
        threshold: Values of --masks from this one on are building. Without it a mask may hold only 0, 1 and 255.
        palette: JSON file with the names of the classes and their colours or values, where --masks are of classes.
        building: Names of those classes that are building, where the masks of the tiles are of buildings. Without --palette,
            values of the masks.
        bands: Three bands to look at as red, green and blue, numbered from 1, where images have more: 4 1 2 shows near
            infrared as red. The first three when left out.
        seed: Seed of the network, of splits and of intervals.
        device: auto (a GPU where there is one, else the processor), cpu, cuda, cuda:1 or mps.
        allow_trained: Also score tiles that the run was trained on. The report says so.
        fidelity: Train a segmenter on real tiles, which takes minutes, and see whether it finds the buildings of the masks
            in the images. Needs a run.
        on: ray, or ray://HOST:PORT. The machines of a Ray cluster make the images and look at them (docs/cluster.md). This process
            when left out.
        overwrite: Replace a report that is there.
    """
    from orthoforge.evaluation.evaluate import REPORT_HTML, evaluate, summary_lines

    result = evaluate(
        images, data, out, split=split, masks=masks, network=network, weights=weights, lpips=lpips,
        threshold=threshold, palette=palette, building=building, bands=bands, seed=seed, device=said_device(device),
        allow_trained=allow_trained, fidelity=fidelity, on=on, overwrite=overwrite,
    )  # fmt: skip
    print("\n".join(summary_lines(result)))
    print(out / REPORT_HTML)


def utility(
    synthetic: Positional[Path],
    *,
    data: Path,
    out: Out,
    ratios: tuple[float, ...] = (0.5, 1, 2, 3),
    fractions: tuple[float, ...] = (0.05, 0.1, 0.25, 1.0),
    seeds: int = 3,
    first_seed: int = 0,
    splits: tuple[Literal["val", "test"], ...] = ("test",),
    steps: int = 400,
    augmentation: Literal["strong", "flips"] = "strong",
    own_material: bool = False,
    other_places: bool = False,
    masks: Literal["turned", "forged"] = "turned",
    refinement: float | None = None,
    device: str = "auto",
    curve: bool = False,
    plan: bool = False,
    quick: bool = False,
    allow_leaks: bool = False,
    overwrite: bool = False,
) -> None:
    """Measure whether training on synthetic images helps a segmenter. It takes hours on two cores, less with --quick.

    The same segmenter is trained on real tiles, on real and synthetic ones, on synthetic ones alone and first, and with what costs
    nothing: strong augmentation and copy-paste. All are tested on held-out places. A gain counts only beyond the best that costs
    nothing. utility.json and utility.html are written. If it is stopped and run again, it goes on.

    Args:
        synthetic: A run folder, one of its checkpoints such as RUN/weights/best, a published folder, or the name of weights
            that come with the package (orthoforge-material, orthoforge-landcover, orthoforge-s). It is given masks of training
            tiles. Or a folder of tiles that were cut from synthetic pairs.
        data: Real tiles made by `orthoforge prepare`.
        out: Folder for the report, the outcomes of the trainings and the generated images.
        ratios: Numbers of synthetic images for each real one, at equal steps.
        fractions: Shares of the real training tiles.
        seeds: Number of trainings of each kind. Their spread gives the intervals.
        first_seed: The first seed. Confirm a finding with seeds that did not bring it.
        splits: Tiles to test on: test, val or both. No segmenter is steered by validation tiles. More tiles narrow the
            interval.
        steps: Optimizer steps of each training.
        augmentation: strong changes colours, sharpness and scale of crops, in all arms but the plain ones. flips turns and mirrors
            alone.
        own_material: The images show the roofs and ground of the real tiles of each fraction, and nothing else. They are made anew
            for each fraction and seed. For weights with material.
        other_places: The images are made of the masks and the material of the weights, and have the histograms of the real tiles of
            each fraction. For weights with material, where few real tiles are at hand.
        masks: The masks for --own-material. turned: those of the tiles of the fraction, turned and shifted. forged: new ones.
        refinement: For weights with material: how much the network may change what was composed of it, from 0 (nothing) to 1.
            When left out: 0 with --own-material; else what the weights say, 0 of orthoforge-material; 1 of a run.
        device: auto (a GPU where there is one, else the processor), cpu, cuda, cuda:1 or mps.
        curve: Take one ratio, and 1/8, 1/4, 1/2 and all of the real tiles: what would the next 50 labels bring?
        plan: Print the smallest gain that so many seeds can show on these test tiles, and the hours that the trainings take. It
            trains a few steps to tell, and writes nothing. Differences are taken to spread as in the experiment in --out, a short
            pilot. Without one there, as in published ones.
        quick: One ratio, the smallest and the largest fraction, and a quarter of the steps. It shows that everything runs.
        allow_leaks: Go on without test tiles, with a random split, or with images that may carry test tiles. The report
            says so.
        overwrite: Begin anew, and replace an experiment with other settings.
    """
    from orthoforge.usefulness import utility as experiment

    if plan:
        lines = experiment.plan(
            data, out, ratios=ratios, fractions=fractions, seeds=seeds, splits=splits, steps=steps, device=said_device(device),
            curve=curve, quick=quick, allow_leaks=allow_leaks,
        )  # fmt: skip
        print("\n".join(lines))
        return
    result = experiment.utility(
        synthetic, data, out, ratios=ratios, fractions=fractions, seeds=seeds, first_seed=first_seed, splits=splits, steps=steps,
        augmentation=augmentation, own_material=own_material, other_places=other_places, masks=masks, refinement=refinement,
        device=said_device(device), curve=curve, quick=quick, allow_leaks=allow_leaks, overwrite=overwrite,
    )  # fmt: skip
    print("\n".join(experiment.summary_lines(result)))
    print(out / experiment.REPORT_HTML)


def compare(
    runs: Positional[tuple[Path, ...]],
    *,
    out: Out,
    data: Path | None = None,
    split: Literal["train", "val", "test"] = "test",
    price_per_hour: float | None = None,
    currency: str = "€",
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
) -> None:
    """Put runs beside each other on one page: pictures of the same ground, curves, settings that differ, time, cost, scores.

    Args:
        runs: Run folders, checkpoints in them such as RUN/weights/best, published folders, or names of weights that come
            with the package: orthoforge-material, orthoforge-landcover, orthoforge-s.
        out: The page, a .html file. The figures also go to a .json beside it.
        data: Tiles, if they are no longer where the runs say.
        split: The split whose tiles are shown and scored. A run without tiles in it is shown on validation tiles.
        price_per_hour: Price of the machine per hour. It adds a column of costs.
        currency: Currency of that price.
        seed: Seed of all that is random in the networks.
        device: auto (a GPU where there is one, else the processor), cpu, cuda, cuda:1 or mps.
        overwrite: Replace a page that is there.
    """
    from orthoforge.comparison.compare import compare

    print(
        compare(
            runs, out, data=data, split=split, price_per_hour=price_per_hour, currency=currency, seed=seed,
            device=said_device(device), overwrite=overwrite,
        )
    )  # fmt: skip
