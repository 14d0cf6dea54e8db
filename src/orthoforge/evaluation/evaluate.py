"""``evaluate``: how real the images of a run or a folder look, how close they come, how they vary, and whether they are copies."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from orthoforge.checkpoints import names_generator
from orthoforge.errors import ConfigError, DataError, OutputExistsError
from orthoforge.evaluation import report, score_page
from orthoforge.evaluation.image_sets import ImageSet, batches, folder_images, folder_masks, generated_images
from orthoforge.evaluation.measure import MOST_WORKERS, Look, Measured, in_order, measure
from orthoforge.evaluation.paired import (
    METRICS,
    MORE_METRICS,
    made_at_other_scale,
    mean_colours,
    mean_scores,
    overlap_statement,
    score_lines,
)
from orthoforge.evaluation.realism.diversity import MASKS, diversity
from orthoforge.evaluation.realism.features import BATCH, LiteFeatures, ScoreNetwork, open_network
from orthoforge.evaluation.realism.lpips import Lpips, load_lpips
from orthoforge.evaluation.realism.memorisation import Neighbours, chosen_training_tiles, memorisation, nearest
from orthoforge.evaluation.realism.realism import LEAST_SET, is_reliable, realism
from orthoforge.evaluation.segmenter.fidelity import image_fidelity, segmenter_tiles
from orthoforge.evaluation.segmenter.segmentation import SegmenterSettings, tile_sample, train_segmenter
from orthoforge.evaluation.tile_images import TileImages
from orthoforge.evaluation.trained_ground import TrainedGround, trained_ground
from orthoforge.files import new_file
from orthoforge.models.conditions import encode_image
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import TrainedGenerator, load_generator

REPORT_JSON, REPORT_HTML = "report.json", "report.html"
FORMAT = 2
# The segmenter looks at so many tiles at most, spread over the set: more change little and take minutes.
FIDELITY_TILES = 200


@dataclass(frozen=True)
class _Subject:
    """What is scored: images, the run that makes them (none for a folder), and masks for those whose tile is not known."""

    path: Path
    made: TileImages | None
    images: ImageSet
    mask: Callable[[int], np.ndarray] | None
    ground: TrainedGround | None

    @property
    def generator(self) -> TrainedGenerator | None:
        return None if self.made is None else self.made.generator


def evaluate(
    images: str | Path,
    data: Path,
    out: Path,
    *,
    split: str = "test",
    masks: Path | None = None,
    network: str | ScoreNetwork = "efficientnet-lite0",
    weights: Path | None = None,
    lpips: Path | None = None,
    threshold: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    allow_trained: bool = False,
    fidelity: bool | SegmenterSettings = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Score images against the real ones of ``split``; writes ``report.json`` and ``report.html`` to the folder ``out``.

    ``images`` is a run, whose generator is given the tiles' masks, or a folder of images of the tiles' size, whoever made them. An
    image named as a tile (``image_sets.folder_images``) is compared with it; the others count for realism alone. ``masks`` is a
    folder of masks by the images' names. ``network`` is what realism and memorisation are seen with: a name for
    ``features.open_network`` with its ``weights``, or a network of your own. ``lpips`` is a folder with its files
    (``realism.lpips.load_lpips``), for LPIPS beside the perceptual distance. ``fidelity`` (of a run) trains a segmenter on real
    tiles that the run was not trained on, which takes minutes, and lets it look for the masks' buildings in the images.

    Returns what ``report.json`` holds (docs/evaluation.md). Raises ``DataError`` when there are too few images, sizes differ, a
    mask is missing, pixels cannot be read, or (without ``allow_trained``) the run was trained on these tiles; ``ConfigError`` for
    an unknown network or other weights, ``CheckpointError``, ``OutputExistsError``.
    """
    path, out = Path(images), Path(out)
    if not overwrite:  # said before minutes of work, not after them
        for file in (out / REPORT_JSON, out / REPORT_HTML):
            if file.exists():
                raise OutputExistsError(f"{file} exists. Pass --overwrite to replace it, or choose another --out.")
    store = TileStore.open(data)
    tile_ids = _ids_of_split(store, split).tolist()
    subject = _subject(path, store, tile_ids, split, masks, threshold=threshold, seed=seed, device=device)
    _require_enough(subject.images, tile_ids)
    _refuse_trained(subject.ground, path, len(tile_ids), split, allow_trained)
    lite = LiteFeatures(device)
    own = lite.network() if network == "efficientnet-lite0" and weights is None else None
    eyes = own or (open_network(network, weights=weights, device=device) if isinstance(network, str) else network)
    weighed = _open_lpips(lpips, store, device)
    # A run's images are made one after the other, by all threads; files are looked at side by side, by one thread each.
    workers = 1 if subject.generator or device != "cpu" else min(torch.get_num_threads(), MOST_WORKERS)
    look = Look(lite, eyes, shared=own is not None, device=device, lpips=weighed)
    measured = measure(subject.images, store, tile_ids, look, workers=workers, seed=seed)

    at = {"n": len(subject.images), "split": split, "fingerprint": store.fingerprint, "seed": seed}
    seen = eyes.circumstances() | at
    in_order = list(subject.images.tile_ids) == tile_ids
    copies = _copies(subject, store, split, measured, eyes, device, workers)
    varied = _diversity(subject, store, tile_ids, lite, seed, device)
    tiles = measured.tiles
    places = sorted({row["place"] for row in tiles})
    result: dict[str, Any] = {
        "format": FORMAT,
        "made_by": f"orthoforge {version('orthoforge')}, torch {torch.__version__}, on {device}",
        "images": {
            "source": str(path), "kind": "run" if subject.generator else "folder", "n": len(subject.images), "paired": len(tiles),
            "masks": str(masks) if masks else None,
        },
        "checkpoint": subject.generator and {
            "run": str(path), "sha256": subject.generator.sha256, "recipe": subject.generator.recipe.name,
            "step": subject.generator.step, "gsd_m": subject.generator.gsd_m,
        } | _styles(subject.generator, store, tile_ids),
        "data": {
            "tiles": str(store.path), "fingerprint": store.fingerprint,
            "trained_on_these": subject.ground.same_store if subject.ground else None,
            "trained_tiles": subject.ground.tiles if subject.ground else None, "allowed_trained": allow_trained,
            "split": split, "split_method": store.settings["split"], "n": len(tile_ids),
            "size_px": store.size_px, "gsd_m": store.gsd_m,
        },
        "seed": seed,
        "networks": {"sets of images": eyes.circumstances(), "perceptual distance": lite.circumstances()}
        | ({"LPIPS": weighed.circumstances()} if weighed else {}),
        "metrics": {name: words for name, words in (METRICS | MORE_METRICS).items() if tiles and name in tiles[0]["generated"]},
        "floor": f"mean colours by mask value, from {measured.floor_from}" if tiles else None,
        "scores": mean_scores(tiles) if tiles else None,
        "by_place": {place: mean_scores([row for row in tiles if row["place"] == place]) for place in places},
        "realism": realism(measured.fake, measured.real, paired=in_order, seed=seed) | {"circumstances": seen},
        "diversity": varied | {"circumstances": lite.circumstances() | at},
        "memorisation": copies | {"circumstances": seen},
        "fidelity": _fidelity(subject, store, fidelity, out, seed, device) if fidelity else None,
        "tiles": tiles,
    }  # fmt: skip
    result["warnings"] = _warnings(result)
    content = report.page(
        f"Evaluation of {path.name}",
        score_page.lead(result),
        *score_page.sections(result),
        *_pictures(result, subject, store, measured),
    )
    with new_file(out / REPORT_JSON, overwrite=overwrite) as partial:
        partial.write_text(json.dumps(result, indent=1, allow_nan=False), encoding="utf-8")
    report.write_page(out / REPORT_HTML, content, overwrite=overwrite)
    return result


def _fidelity(
    subject: _Subject, store: TileStore, settings: bool | SegmenterSettings, out: Path, seed: int, device: str
) -> dict[str, Any]:
    """How well the run's images follow their masks, to a segmenter that is trained here and kept in ``OUT/segmenter``."""
    made = subject.made
    if made is None:
        raise ConfigError(f"{subject.path} is a folder of images: fidelity is measured of a run, which is given the tiles' masks.")
    settings = settings if isinstance(settings, SegmenterSettings) else SegmenterSettings(seed=seed)
    training, scored = segmenter_tiles(store)
    shown = scored[np.unique(np.linspace(0, len(scored) - 1, min(FIDELITY_TILES, len(scored))).astype(int))]
    segmenter = train_segmenter(tile_sample(store, training, settings), settings, class_count=store.class_count, device=device)
    segmenter.save(out / "segmenter", overwrite=True)
    followed = image_fidelity(segmenter, store, shown, lambda tile_id: made.of_tile(store, tile_id, seed), seed=seed)
    return followed | {"segmenter": asdict(settings) | {"n": len(training)}}


def summary_lines(result: Mapping[str, Any]) -> list[str]:
    """The means of an ``evaluate`` result and what they belong to, for a terminal."""
    data = result["data"]
    lines = [f"{score_page.counted(result['images']['n'], 'image')} against {score_page.counted(data['n'], 'tile')} of split "
             f"{data['split']} in {data['tiles']}"]  # fmt: skip
    lines += (
        score_lines(result["scores"]) if result["scores"] else ["no image is named as a tile, so none is compared pixel by pixel"]
    )
    lines += score_page.realism_lines(result["realism"])
    if result["fidelity"]:
        lines.append(score_page.fidelity_line(result["fidelity"]))
    return lines + [f"warning: {text}" for text in result["warnings"]]


def _subject(
    path: Path,
    store: TileStore,
    tile_ids: Sequence[int],
    split: str,
    masks: Path | None,
    *,
    threshold: int | None,
    seed: int,
    device: str,
) -> _Subject:
    if names_generator(path) or not path.is_dir():
        generator = load_generator(path, device=device)
        if generator.classes != store.classes:
            raise DataError(
                f"{store.path}: its masks hold {_kind(store.classes)}, the run was trained on {_kind(generator.classes)}."
            )
        if masks is not None:
            raise ConfigError(f"{path} is a run: it is given the masks of the tiles. --masks is for a folder of images.")
        ground = trained_ground(path, store, tile_ids)
        made = TileImages(generator)
        return _Subject(path, made, generated_images(made, store, tile_ids, seed), None, ground)
    images = folder_images(path, store, split)
    mask = folder_masks(masks, images, threshold=threshold) if masks is not None else None
    return _Subject(path, None, images, mask, None)


def _open_lpips(folder: Path | None, store: TileStore, device: str) -> Lpips | None:
    if folder is None:
        return None
    lpips = load_lpips(folder, device=device)
    if store.size_px < lpips.least_px:
        raise ConfigError(f"{store.path}: its tiles have {store.size_px} px; LPIPS by {lpips.network} needs {lpips.least_px} px.")
    return lpips


def _ids_of_split(store: TileStore, split: str) -> np.ndarray:
    tile_ids = store.ids(split)
    if not len(tile_ids):
        counts = {name: len(store.ids(name)) for name in ("train", "val", "test")}
        others = ", ".join(f"{name} ({count})" for name, count in counts.items() if count) or "none"
        raise DataError(f"{store.path}: no tile is in split {split}. Splits with tiles: {others}. Choose one with --split.")
    return tile_ids


def _require_enough(images: ImageSet, tile_ids: Sequence[int]) -> None:
    if min(len(images), len(tile_ids)) >= LEAST_SET or any(tile_id is not None for tile_id in images.tile_ids):
        return
    raise DataError(
        f"{len(images)} image{'s' * (len(images) != 1)} and {len(tile_ids)} real tile{'s' * (len(tile_ids) != 1)} are too few, and "
        f"no image is named as a tile. Realism needs {LEAST_SET} of each, its floor 4 real ones, precision and recall 4 of each; "
        "pixel scores need one pair."
    )


def _refuse_trained(ground: TrainedGround | None, path: Path, n: int, split: str, allow: bool) -> None:
    if ground is None or allow or not ground.tiles:
        return
    which = "it was trained on split train" if ground.same_store else "its training tiles show the same ground"
    raise DataError(
        f"{path}: the run was trained on {ground.tiles} of the {n} tiles of split {split} (for example {ground.example}; {which}), "
        "so the scores would measure memory. Score tiles that were kept out, or pass --allow-trained, which the report will say."
    )


def _kind(classes: Mapping[str, Any] | None) -> str:
    return f"the classes {', '.join(classes['names'])}" if classes else "buildings only"


def _copies(
    subject: _Subject, store: TileStore, split: str, measured: Measured, eyes: ScoreNetwork, device: str, workers: int
) -> dict[str, Any]:
    """Memorisation, with the nearest tiles; or why it was not measured."""
    training = subject.ground.training if subject.ground else store
    if training is None:
        return {"ratio": None, "why": "the tiles that the run was trained on are not where its args.yaml says"}
    if split == "train" and (subject.ground is None or subject.ground.same_store):
        return {"ratio": None, "why": "the scored tiles are the training tiles, so there is no yardstick"}
    every = training.ids("train")
    chosen = chosen_training_tiles(every).tolist()
    if not chosen:
        return {"ratio": None, "why": f"{training.path} has no training tiles"}

    def vectors_of(some: range) -> tuple[list[int], np.ndarray]:
        ids = chosen[some.start : some.stop]
        pixels = np.stack([training.tile(tile_id)[0] for tile_id in ids])
        with torch.inference_mode():
            return ids, eyes.embed(encode_image(torch.from_numpy(pixels)).to(device)).float().cpu().numpy()

    searched = in_order(vectors_of, batches(len(chosen), BATCH), workers=workers)
    found: list[Neighbours] = nearest([measured.fake.array, measured.real.array], searched)
    words = {} if subject.ground else {"assumed": "that the images were made by something trained on split train of these tiles"}
    order = np.argsort(found[0].distances, kind="stable")[: score_page.SHOWN]
    shown = [
        {"image": subject.images.names[measured.fake.kept[index]], "number": int(measured.fake.kept[index]),
         "training_tile": int(found[0].tile_ids[index]), "distance": float(found[0].distances[index])}
        for index in order.tolist()
    ]  # fmt: skip
    figures = memorisation(*found, searched=len(chosen), training_tiles=len(every))
    return figures | words | {"training_fingerprint": training.fingerprint, "nearest": shown}


def _diversity(
    subject: _Subject, store: TileStore, tile_ids: Sequence[int], lite: LiteFeatures, seed: int, device: str
) -> dict[str, Any]:
    made = subject.made
    if made is None:
        return {"value": None, "why": "a folder has one image of each mask; several seeds need a run"}
    chosen = [tile_ids[index] for index in np.unique(np.linspace(0, len(tile_ids) - 1, MASKS).astype(int)).tolist()]
    return diversity(
        lambda number, some: made.of_tile(store, chosen[number], some),
        [store.tile(tile_id)[0] for tile_id in chosen],
        lambda pixels: lite(encode_image(torch.from_numpy(pixels)).to(device))[0],
        first_seed=seed,
    )


def _styles(generator: TrainedGenerator, store: TileStore, tile_ids: Sequence[int]) -> dict[str, Any]:
    """Which styles the network has, and how many of the tiles are made in that of their place. Empty without styles."""
    if not generator.styles:
        return {}
    in_own = sum(store.rows[tile_id].place in generator.styles for tile_id in tile_ids)
    return {"styles": {"places": list(generator.styles), "tiles_in_own": in_own}}


def _warnings(result: Mapping[str, Any]) -> list[str]:
    data = result["data"]
    text, is_warning = overlap_statement(data)
    warnings = [text] if is_warning else []
    if data["allowed_trained"] and data["trained_tiles"]:
        warnings.append(f"{data['trained_tiles']} scored tiles were trained on; --allow-trained was given.")
    styles = (result["checkpoint"] or {}).get("styles")
    if styles and styles["tiles_in_own"] < data["n"]:
        warnings.append(
            f"{data['n'] - styles['tiles_in_own']} of {data['n']} tiles are of places whose style the run does not know; they were "
            "made in any of its styles."
        )
    if made_at_other_scale(result):
        warnings.append(
            f"The run was trained at {result['checkpoint']['gsd_m']:.3g} m a pixel, the tiles have {data['gsd_m']:.3g} m: "
            "buildings are made in the wrong size."
        )
    if not is_reliable(result["realism"]):
        counts = result["realism"]["frechet"]
        warnings.append(score_page.few_images(counts["n_generated"], counts["n_real"]))
    return warnings


def _pictures(result: Mapping[str, Any], subject: _Subject, store: TileStore, measured: Measured) -> list[report.Html]:
    """The sections that show images."""
    tiles = result["tiles"]
    numbers = {name: number for number, name in enumerate(subject.images.names)}
    parts = []
    if tiles:
        floor, _ = mean_colours(store, np.array([row["id"] for row in tiles]))
        ranked = [(row, subject.images.read(numbers[row["image"]]), *store.tile(row["id"])) for row in score_page.ranked(tiles)]
        parts.append(score_page.worst_to_best(ranked, floor, store))
    else:
        some = np.unique(np.linspace(0, len(subject.images) - 1, score_page.SHOWN).astype(int)).tolist()
        shown = [(subject.images.names[n], subject.images.read(n), subject.mask(n) if subject.mask else None) for n in some]
        parts.append(score_page.examples(shown))
    copies = result["memorisation"].get("nearest", [])
    if copies:
        training = subject.ground.training if subject.ground else store
        assert training is not None
        rows = []
        for entry in copies:
            number, near = entry["number"], entry["training_tile"]
            tile_id = subject.images.tile_ids[number]
            real, mask = store.tile(tile_id) if tile_id is not None else (None, subject.mask(number) if subject.mask else None)
            shown_mask = mask if mask is None else store.mask_rgb(mask) if tile_id is not None else mask
            image, tile = subject.images.read(number), training.tile(near)[0]
            rows.append((entry, training.describe(near), score_page.nearest_row(image, tile, shown_mask, real)))
        parts.append(score_page.nearest_tiles(result["memorisation"], rows))
    return parts
