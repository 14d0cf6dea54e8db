"""Labels of a grown data set, real pairs and synthetic ones, in the formats of other programs."""

from collections.abc import Sequence
from pathlib import Path

from orthoforge.geo.rasters import open_raster
from orthoforge.growing.planning import Plan
from orthoforge.growing.records import CandidateRow, Rule
from orthoforge.growing.staging import Staging
from orthoforge.labels import OTHER, Categories, LabelFolder, LabelFormat, instances_of
from orthoforge.progress import Progress
from orthoforge.scenes.sources import Pair, number_of
from orthoforge.tiles.splits import Site, assign_splits
from orthoforge.tiles.store import TileStore

_WORK = "labels"


def add_labels(plan: Plan, staging: Staging, rows: Sequence[CandidateRow], formats: Sequence[LabelFormat]) -> None:
    """Write those of ``formats`` that a finished data set lacks. They are complete when they come into it.

    Synthetic pairs train. A real scene is in the split that all its tiles are in, or that the rule gives it; one whose tiles are in
    several is labelled, and in no list of YOLO.
    """
    lacking = [name for name in dict.fromkeys(formats) if name not in staging.labelled]
    if not lacking:
        return
    root = staging.work / _WORK
    folder = LabelFolder(root, lacking, Categories.of(plan.generator.classes))
    places, reader = plan.places, plan.reader.copies
    splits = scene_splits(plan.pairs, plan.store, plan.settings["split"])
    pairs = [(*_carried(plan, pair), splits[pair.name]) for pair in plan.pairs]
    made = [places.pair(Path(), row["name"]) for row in rows if row["accepted"]]
    pairs += [(image, mask, "train") for image, mask in made]
    with Progress("labels").task("images", len(pairs)) as step:
        for image, mask, split in pairs:
            with open_raster(staging.out / image) as raster:
                grid, synthetic = raster.grid, raster.tags().get("SYNTHETIC") == "YES"
            with reader.open(staging.out / mask) as opened:
                found = instances_of(opened, folder.categories)
            folder.add(root / image, grid, found, split="train" if synthetic else split, synthetic=synthetic)
            step()
    folder.finish()
    staging.take_in(root, lacking)
    print(f"{staging.out}: {', '.join(lacking)} labels of {len(pairs)} images.")
    if mixed := sum(split == OTHER for _, _, split in pairs):
        print(f"  note: the tiles of {mixed} scenes are in several splits or in none: their labels are there, under {OTHER}.")


def _carried(plan: Plan, pair: Pair) -> tuple[Path, Path]:
    """Where a real pair lies in the new data set, from its root: as ``carry_over`` puts it there."""
    image, mask = (file.name if plan.keeps_layout else f"{pair.name}{file.suffix}" for file in (pair.image, pair.mask))
    if plan.reader.coding:
        mask = f"{pair.mask.stem if plan.keeps_layout else pair.name}.tif"
    return Path(plan.places.images, image), Path(plan.places.masks, mask)


def scene_splits(pairs: Sequence[Pair], store: TileStore | None, rule: Rule | None) -> dict[str, str]:
    """The split of each scene: ``train``, ``val`` or ``test``; ``other`` of one in several, or in none that is known."""
    found: dict[str, set[str]] = {pair.name: set() for pair in pairs}
    for row in store.rows if store else ():
        if row.scene in found:
            found[row.scene].add(row.split or OTHER)
    numbered = [pair for pair in pairs if number_of(pair.name) is not None]
    if rule is not None:
        nowhere = (0.0, 0.0, 1.0, 1.0)  # the rules look at names alone
        sites = [Site(pair.name, pair.place, pair.name, nowhere, nowhere) for pair in numbered]
        for pair, split in zip(numbered, assign_splits(sites, rule), strict=True):
            found[pair.name].add(split)
    return {name: next(iter(splits)) if len(splits) == 1 and "buffer" not in splits else OTHER for name, splits in found.items()}
