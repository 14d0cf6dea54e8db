"""Commands that judge: evaluate, utility, compare."""

from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from orthoforge.cli.options import Out


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
    bands: tuple[int, int, int] | None = None,
    seed: int = 0,
    device: str = "cpu",
    allow_trained: bool = False,
    fidelity: bool = False,
    overwrite: bool = False,
) -> None:
    """Score a run, or any folder of images, against real tiles: realism, pixel by pixel, diversity, memorisation.

    Writes report.json and report.html, every score beside a floor that makes it readable.

    Args:
        images: A run folder, one of its checkpoints such as RUN/weights/best, a published folder, or the name of weights that come
            with the package: orthoforge-material, orthoforge-s. Or a folder of images of the tiles' size: those named as a tile
            (SCENE_ROW_COLUMN, or
            SCENE where it is the only one) are also compared with it pixel by pixel.
        data: Tiles made by `orthoforge prepare`.
        out: Folder for the report.
        split: Whose tiles are the real images.
        masks: For a folder of images: masks of the same names.
        network: What realism and memorisation are seen with. geoembed learned on aerial images; `pip install "orthoforge[judge]"`.
        weights: The file of inception-v3's or geoembed's weights; torch hub's folder or the installed package's when left out.
            Nothing is downloaded.
        lpips: Folder with alex.pth and alexnet-owt-7be5be79.pth, or vgg.pth and vgg16-397923af.pth: LPIPS beside the other scores.
        threshold: Values of --masks at or above it are building; without it only 0, 1 and 255 are accepted.
        bands: Which three are looked at, as red, green and blue, where images have more, numbered from 1: 4 1 2 shows near infrared
            as red. The first three when left out.
        seed: Of all that is random in the network, in splits and in intervals.
        device: cpu or cuda.
        allow_trained: Score tiles that the run was trained on all the same; the report says so.
        fidelity: Of a run: train a segmenter on real tiles, minutes, and see whether it finds the masks' buildings in the images.
        overwrite: Replace a report that is there.
    """
    from orthoforge.evaluation.evaluate import REPORT_HTML, evaluate, summary_lines

    result = evaluate(
        images, data, out, split=split, masks=masks, network=network, weights=weights, lpips=lpips,
        threshold=threshold, bands=bands, seed=seed, device=device, allow_trained=allow_trained, fidelity=fidelity,
        overwrite=overwrite,
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
    masks: Literal["turned", "forged"] = "turned",
    device: str = "cpu",
    curve: bool = False,
    plan: bool = False,
    quick: bool = False,
    allow_leaks: bool = False,
    overwrite: bool = False,
) -> None:
    """Measure whether training on synthetic images helps a segmenter. Takes hours on two cores, less with --quick.

    The same segmenter is trained on real tiles, on real and synthetic ones, on synthetic ones alone and first, and with what costs
    nothing: strong augmentation and copy-paste. All are tested on held-out places; a gain counts only beyond the best that costs
    nothing. Writes utility.json and utility.html. Interrupted and run again, it goes on.

    Args:
        synthetic: A run folder, one of its checkpoints such as RUN/weights/best, a published folder, or the name of weights that
            come with the package (orthoforge-material, orthoforge-s): it is given masks of training tiles. Or a folder of tiles cut
            from synthetic images and masks.
        data: Real tiles made by `orthoforge prepare`.
        out: Folder for the report, the trainings' outcomes and the generated images.
        ratios: Synthetic images for each real one, at equal steps.
        fractions: Shares of the real training tiles.
        seeds: Trainings of each kind; their spread gives the intervals.
        first_seed: Where the seeds begin. A finding is confirmed with seeds that did not bring it.
        splits: Tiles to test on: test, val or both. No segmenter is steered by validation tiles; more tiles narrow the interval.
        steps: Optimizer steps of each training.
        augmentation: strong changes colours, sharpness and scale of crops, in all arms but `real`. flips turns and mirrors alone.
        own_material: Of weights with material: their images show the roofs and ground of each fraction's real tiles, and nothing
            else. They are made anew for each fraction and seed.
        masks: For --own-material: those of the fraction's tiles, turned and shifted, or new ones, forged of them.
        device: cpu or cuda.
        curve: One ratio, and 1/8, 1/4, 1/2 and all of the real tiles: what the next 50 labels would bring.
        plan: Print the smallest gain that so many seeds can show on these test tiles, and train nothing. Differences are taken to
            spread as in the experiment in --out, a short pilot; without one there, as in published ones.
        quick: One ratio, the smallest and the largest fraction, and a quarter of the steps: to see that it runs.
        allow_leaks: Go on without test tiles, with a random split, or with images that may carry test tiles; the report says so.
        overwrite: Begin anew, replacing an experiment with other settings.
    """
    from orthoforge.usefulness import utility as experiment

    if plan:
        print("\n".join(experiment.plan(data, out, seeds=seeds, splits=splits)))
        return
    result = experiment.utility(
        synthetic, data, out, ratios=ratios, fractions=fractions, seeds=seeds, first_seed=first_seed, splits=splits, steps=steps,
        augmentation=augmentation, own_material=own_material, masks=masks, device=device, curve=curve, quick=quick,
        allow_leaks=allow_leaks, overwrite=overwrite,
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
    device: str = "cpu",
    overwrite: bool = False,
) -> None:
    """Put runs beside each other in one page: pictures of the same ground, curves, settings that differ, time, cost, scores.

    Args:
        runs: Run folders, checkpoints in them such as RUN/weights/best, published folders, or names of weights that come with the
            package: orthoforge-material, orthoforge-s.
        out: The page, a .html file; the same figures go to a .json beside it.
        data: Tiles, where they are no longer at the place that the runs name.
        split: Whose tiles are shown and scored; validation where a run has no others.
        price_per_hour: Of the machine, for a column of costs.
        currency: Of that price.
        seed: Of all that is random in the networks.
        device: cpu or cuda.
        overwrite: Replace a page that is there.
    """
    from orthoforge.comparison.compare import compare

    print(
        compare(
            runs, out, data=data, split=split, price_per_hour=price_per_hour, currency=currency, seed=seed, device=device,
            overwrite=overwrite,
        )
    )  # fmt: skip
