"""Candidates: synthetic pairs that are made one by one, judged, and kept or removed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from orthoforge.files import new_file
from orthoforge.geo.cog import write_raster
from orthoforge.growing.judging import Judge
from orthoforge.growing.making import make_image
from orthoforge.growing.mask_streams import NewMask, Stream
from orthoforge.growing.naming import Names
from orthoforge.growing.planning import Plan
from orthoforge.growing.records import CandidateRow
from orthoforge.growing.staging import Staging
from orthoforge.masks.reader import MaskReader


def fill(
    plan: Plan, staging: Staging, stream: Stream, names: Names, seeds: Iterator[int], judge: Judge | None, step: Any
) -> list[CandidateRow]:
    """Candidates of a stream until its quota is filled or its masks are used up; rows of all of them, in order.

    Each has a seed of its own: with one for all, every image of a place would have one style.
    """
    rows: list[CandidateRow] = []
    variants, added = plan.settings["variants"], 0
    for mask in stream.masks:
        for _ in range(variants):
            name, seed = names.next(mask.place), next(seeds)
            row = staging.log.get(name)
            if row is None:
                row = _candidate(plan, staging, mask, name, seed, judge)
                if row["accepted"]:
                    step()
            rows.append(row)
            added += row["accepted"]
            if added == stream.quota:
                return rows
    return rows


def _candidate(plan: Plan, staging: Staging, mask: NewMask, name: str, seed: int, judge: Judge | None) -> CandidateRow:
    """Make a pair, judge it, and leave its files in the data set or remove them."""
    image, label = plan.places.pair(staging.data, name)
    item = image.with_suffix(".json")
    for leftover in (image, item):
        leftover.unlink(missing_ok=True)
    generator, work = plan.generator, staging.work / "scaled"
    given = plan.reader if mask.origin["kind"] == "given" else plan.reader.copies
    pixels, valid = given.read(mask.path)
    grid = given.grid(mask.path)
    tags = {"IMAGE": image.name, "IMAGE_SYNTHETIC": "YES", "MODEL_SHA256": generator.sha256, **mask.tags}
    tags |= {"SOURCE_ATTRIBUTION": generator.attribution} if generator.attribution else {}
    write_raster(label, pixels, grid, valid=valid, tags=tags, overwrite=True)
    reader = MaskReader(plan.reader.classes, None)
    style = mask.place if mask.place in generator.styles else None
    make_image(
        generator, label, image, scale=mask.scale, seed=seed, style=style, reader=reader, work=work, device=plan.device
    )  # fmt: skip
    agreement = judge.agreement(image, label, mask.scale, reader) if judge else None
    least = plan.settings["least_agreement"] * judge.real_iou if judge else None
    accepted = agreement is None or least is None or agreement >= least
    row: CandidateRow = {
        "name": name, "accepted": accepted, "place": mask.place, "mask": mask.origin, "seed": seed, "style": style,
        "model_sha256": generator.sha256, "recipe": generator.recipe.name, "step": generator.step,
        "agreement": agreement, "least": least,
    }  # fmt: skip
    if not accepted:
        for file in (image, label, item):
            file.unlink(missing_ok=True)
    elif item.exists():
        _move_item(item, staging.data / "stac", image.relative_to(staging.data))
    staging.note(row)
    return row


def _move_item(item: Path, folder: Path, image: Path) -> None:
    """Put a STAC item into ``folder``: between images it would disturb readers that list them."""
    body = json.loads(item.read_bytes())
    body["assets"]["image"]["href"] = f"../{quote(image.as_posix())}"
    with new_file(folder / item.name, overwrite=True) as partial:
        partial.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    item.unlink()
