"""``realign``: the buildings of masks moved to where segmenters agree that they belong.

Rounds as of Girard, Charpiat and Tarabalka (2019, arXiv:1903.06529): what was learnt from the masks corrects them, and the next
round learns from the corrected ones. Here a segmenter of the other folds says where buildings are, and a search places each.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from orthoforge.devices import chosen_device
from orthoforge.errors import ConfigError, DataError, OutputExistsError
from orthoforge.files import lock, new_file, remove, require_place
from orthoforge.geo.pixel_sizes import PixelSizes
from orthoforge.geo.stamps import source_sha256
from orthoforge.masks.reader import MaskReader, own_reader, palette_of
from orthoforge.measures.segmenter.segmentation import SegmenterSettings, train_segmenter
from orthoforge.pages.html import write_page
from orthoforge.progress import Progress
from orthoforge.realigning.ground import pieces_of, scene_ground
from orthoforge.realigning.page import page
from orthoforge.realigning.rounds import Round, Rounds, Train
from orthoforge.realigning.rows import Row, verdict, write_rows
from orthoforge.realigning.written import Outcome, write_scene
from orthoforge.scenes.layouts import Where
from orthoforge.scenes.outlines import folder_of_drawn_masks
from orthoforge.scenes.sources import Pair, find_pairs, lonely_message

TABLE, PAGE = "realigned.csv", "realign.html"
STEPS = 200
_WORK, _SETTINGS, _MASKS = "work", "settings.json", "masks"
_WRITTEN = {".tif", ".tiff", ".png"}
_FORMAT = 1


@dataclass(frozen=True)
class Realigned:
    """What ``realign`` made: masks and a row for each building, as in ``realigned.csv``; ``lines`` say it in words."""

    out: Path
    masks: tuple[Path, ...]
    rows: tuple[Row, ...]
    lines: tuple[str, ...]
    spread_m: float
    """The standard deviation of the labels' own shifts along each axis, as it is estimated."""


def realign(
    data: str | Path,
    out: str | Path,
    *,
    reach: float = 6.0,
    rounds: int = 2,
    folds: int = 2,
    gsd: float = 0.3,
    steps: int = STEPS,
    add: bool = False,
    threshold: int | None = None,
    palette: str | Path | None = None,
    building: Sequence[str] = (),
    pixel_size: PixelSizes | float | str | Path | None = None,
    images: str | Path | None = None,
    masks: str | Path | None = None,
    image_suffix: str | None = None,
    mask_suffix: str | None = None,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    segmenter: SegmenterSettings | None = None,
    train: Train = train_segmenter,
) -> Realigned:
    """Move the buildings of masks to where segmenters see them. Writes ``out/masks``, ``out/realigned.csv`` and
    ``out/realign.html``.

    ``data`` holds images and masks of buildings in an accepted layout; ``images``, ``masks``, suffixes, ``threshold``, ``palette``,
    ``building`` and ``pixel_size`` are those of ``prepare``. The masks written have the names and grids of the given ones, and
    hold 0 and 255.

    In each of ``rounds`` the scenes are shared out among ``folds``, and in each fold a segmenter judges that was taught on the
    others for ``steps`` steps. A building may move by up to ``reach`` metres. ``gsd`` is the pixel in metres at which this happens;
    coarser images keep their own. Where the segmenter is not sure, nothing moves. With ``add`` the masks also get the buildings
    that the segmenters are sure of and the masks lack; without it they are listed only.

    The same arguments give the same masks on a processor with the same number of threads. Call it again after an interruption: what
    segmenters said is kept in ``out/work``, also for more rounds. ``segmenter`` replaces what the segmenter is, except for steps
    and seed; ``train``, called as ``train_segmenter`` is, replaces it by another.

    Raises:
        ConfigError: impossible numbers, or masks of classes without ``building``.
        DataError: a bad scene, or masks without any building.
        OutputExistsError: ``out`` holds masks made with other settings or from other files.
        LockedError: another process writes them.

    Examples:
        >>> from orthoforge import realign
        >>> moved = realign("my-data", "realigned", rounds=1, steps=1)
        realigned: round 1 of 1...
        >>> sorted({row.status for row in moved.rows} - {"found"})
        ['doubtful']
        >>> [path.name for path in moved.masks][:2]
        ['austin1.tif', 'austin2.tif']
    """
    device = chosen_device(device)
    _require_numbers(reach, rounds, folds, gsd, steps, seed)
    data, out = Path(data), Path(out)
    require_place(out, folder=True)
    settings = replace(segmenter or SegmenterSettings(), steps=steps, seed=seed)
    with folder_of_drawn_masks() as drawn, lock(out / "realign"):
        found = find_pairs(data, Where.said(images, masks, image_suffix, mask_suffix), drawn=drawn)
        if found.lonely:
            raise DataError(lonely_message(found.lonely[0], found))
        known, named = palette_of(palette, found.classes, building)
        sizes = PixelSizes.stated(pixel_size, *found.homes(data))
        reader = own_reader(known, threshold=threshold, building=named, pixel_sizes=sizes)
        if reader.classes is not None:
            raise ConfigError("realign moves buildings: say with --building which classes of the palette are building.")
        names = _names(found.pairs)
        told = _told(found.pairs, reader, reach, folds, gsd, settings, train)
        _keep_or_begin(out, told, overwrite)
        grounds = [
            scene_ground(pair, reader, gsd, out / _WORK / "scenes")
            for pair in Progress("realign").over(found.pairs, "scenes read", len(found.pairs))
        ]
        if not any(ground.ids.any() for ground in grounds):
            raise DataError(f"{data}: no mask holds a building, so there is nothing to move.")
        all_rounds = Rounds(grounds, pieces_of(grounds, folds), settings, reach, out / _WORK, train, device)
        last: Round | None = None
        for number in range(1, rounds + 1):
            print(f"{out}: round {number} of {rounds}", flush=True)
            last = all_rounds.run(number, last)
        assert last is not None
        outcomes = [
            Outcome(ground, list(all_rounds.buildings(at)), last.placed[at], all_rounds.odds(rounds, at))
            for at, ground in enumerate(grounds)
        ]
        paths = [out / _MASKS / name for name in names]
        rows = [
            row
            for outcome, path in zip(outcomes, paths, strict=True)
            for row in write_scene(outcome, reader, path, add=add, overwrite=True)
        ]
        write_rows(out / TABLE, rows)
        lines = verdict(rows, spread_m=last.spread_m, added=add)
        write_page(out / PAGE, page(lines, rows, outcomes, paths, rounds=rounds, reach_m=reach), overwrite=True)
    return Realigned(out, tuple(paths), tuple(rows), tuple(lines), last.spread_m)


def _require_numbers(reach: float, rounds: int, folds: int, gsd: float, steps: int, seed: int) -> None:
    if not (np.isfinite(gsd) and gsd > 0):
        raise ConfigError(f"gsd is {gsd:g}; it is the size of a pixel in metres, above 0.")
    if not (np.isfinite(reach) and gsd <= reach <= 64 * gsd):
        raise ConfigError(f"reach is {reach:g} m; it must be from one pixel of {gsd:g} m (--gsd) to 64 of them.")
    if rounds < 1 or steps < 1:
        raise ConfigError(f"rounds and steps are at least 1, not {rounds} and {steps}.")
    if folds < 2:
        raise ConfigError(f"folds is {folds}; no segmenter may judge the ground that it was taught on, so there are 2 or more.")
    if seed < 0:
        raise ConfigError(f"seed is {seed}; it must be 0 or more.")


def _names(pairs: Sequence[Pair]) -> list[str]:
    """What the masks are called that are written."""
    names = [pair.mask.name if pair.mask.suffix.lower() in _WRITTEN else f"{pair.mask.stem}.png" for pair in pairs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"{twice}: two parts of the data have a mask of this name. Realign the parts one by one.")
    return names


def _told(
    pairs: Sequence[Pair], reader: MaskReader, reach: float, folds: int, gsd: float, settings: SegmenterSettings, train: Train
) -> dict[str, object]:
    """What must be the same for finished work to be kept; more rounds go on from fewer."""
    return {
        "format": _FORMAT, "reach": reach, "folds": folds, "gsd": gsd, "segmenter": asdict(settings),
        "train": f"{train.__module__}.{getattr(train, '__qualname__', train)}", "threshold": reader.threshold,
        "pixel_sizes": reader.pixel_sizes.plain, "coding": reader.coding.plain() if reader.coding else None,
        "files": [[pair.name, source_sha256(pair.image), source_sha256(pair.mask)] for pair in pairs],
    }  # fmt: skip


def _keep_or_begin(out: Path, told: dict[str, object], overwrite: bool) -> None:
    file = out / _WORK / _SETTINGS
    plain = json.loads(json.dumps(told))
    former = json.loads(file.read_text("utf-8")) if file.is_file() else None
    if former == plain and not overwrite:
        return
    if not overwrite and (former is not None or (out / TABLE).exists() or (out / _MASKS).exists()):
        changed = [name for name in plain if (former or {}).get(name) != plain[name]]
        raise OutputExistsError(
            f"{out} holds masks that were made with other settings or from other files ({', '.join(changed)}). Pass --overwrite to "
            "begin anew, or choose another folder."
        )
    remove(out / _WORK)
    if former is not None:
        remove(out / _MASKS)
    with new_file(file, overwrite=True) as partial:
        partial.write_text(json.dumps(plain, indent=1), encoding="utf-8")
