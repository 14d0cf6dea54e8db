"""Candidates: synthetic pairs that are made one by one, judged, and kept or removed."""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import torch

from orthoforge.cluster import Need, Team
from orthoforge.files import lock, new_file
from orthoforge.generation.scene import BLOCK_BYTES
from orthoforge.geo.cog import write_raster
from orthoforge.growing.judging import Judge
from orthoforge.growing.making import make_image
from orthoforge.growing.mask_streams import NewMask, Stream
from orthoforge.growing.naming import Names, Places
from orthoforge.growing.planning import Plan
from orthoforge.growing.records import CandidateRow
from orthoforge.growing.staging import Staging
from orthoforge.masks.reader import MaskReader
from orthoforge.trained_generator.sent import Sent, device_there


class Asked(NamedTuple):
    """A candidate that is asked for."""

    mask: NewMask
    name: str
    seed: int


def asked_for(stream: Stream, names: Names, seeds: Iterator[int], variants: int) -> Iterator[Asked]:
    """Candidates of a stream, until its masks are used up.

    Each has a seed of its own: with one for all, every image of a place would have one style.
    """
    for mask in stream.masks:
        for _ in range(variants):
            yield Asked(mask, names.next(mask.place), next(seeds))


def fill(
    maker: "Maker", staging: Staging, asked: Iterator[Asked], quota: int, team: Team, step: Callable[[], None]
) -> list[CandidateRow]:
    """Make candidates until ``quota`` of them are accepted, or there are no more; rows of all of them, in order.

    As many are begun as are still wanted, and others when some of these were rejected: so whoever works on them, side by side or
    one after the other, they are the same ones.
    """
    rows: list[CandidateRow] = []
    added = 0
    while some := list(itertools.islice(asked, quota - added)):
        answers = team.answers(maker, [one for one in some if one.name not in staging.log], maker.need)
        for one in some:
            row = staging.log.get(one.name)
            if row is None:
                row = next(answers).result()
                staging.note(row)
                if row["accepted"]:
                    step()
            rows.append(row)
            added += row["accepted"]
    return rows


@dataclass
class Maker:
    """Makes a candidate, judges it, and leaves its files in the data set or removes them; returns its row."""

    sent: Sent
    reader: MaskReader
    places: Places
    data: Path
    work: Path
    judge: Judge | None
    least_agreement: float
    device: str

    @staticmethod
    def of(plan: Plan, staging: Staging, judge: Judge | None, *, is_far: bool) -> "Maker":
        """As the plan says; ``is_far`` where workers of a cluster get copies of it."""
        device = device_there(plan.device) if is_far else plan.device
        least = plan.settings["least_agreement"]
        return Maker(Sent(plan.generator), plan.reader, plan.places, staging.data, staging.work, judge, least, device)

    @property
    def need(self) -> Need:
        """What a candidate takes of a worker."""
        return Need(torch.get_num_threads(), BLOCK_BYTES, gpus=int(self.device.startswith("cuda")))

    def __call__(self, asked: Asked) -> CandidateRow:
        place = self.work / "candidates" / asked.name
        with lock(place, wait=f"{asked.name}: a worker of a command that was stopped still makes it; waiting for its end"):
            return self._made(*asked)

    def _made(self, mask: NewMask, name: str, seed: int) -> CandidateRow:
        image, label = self.places.pair(self.data, name)
        item = image.with_suffix(".json")
        for leftover in (image, item):
            leftover.unlink(missing_ok=True)
        generator = self.sent.generator
        given = self.reader if mask.origin["kind"] == "given" else self.reader.copies
        pixels, valid = given.read(mask.path)
        grid = given.grid(mask.path)
        tags = {"IMAGE": image.name, "IMAGE_SYNTHETIC": "YES", "MODEL_SHA256": generator.sha256, **mask.tags}
        tags |= {"SOURCE_ATTRIBUTION": generator.attribution} if generator.attribution else {}
        write_raster(label, pixels, grid, valid=valid, tags=tags, overwrite=True)
        reader = MaskReader(self.reader.classes, None)
        style = mask.place if mask.place in generator.styles else None
        make_image(
            generator, label, image, scale=mask.scale, seed=seed, style=style, reader=reader, work=self.work / "scaled",
            device=self.device,
        )  # fmt: skip
        agreement = self.judge.agreement(image, label, mask.scale, reader) if self.judge else None
        least = self.least_agreement * self.judge.real_iou if self.judge else None
        accepted = agreement is None or least is None or agreement >= least
        if not accepted:
            for file in (image, label, item):
                file.unlink(missing_ok=True)
        elif item.exists():
            _move_item(item, self.data / "stac", image.relative_to(self.data))
        return {
            "name": name, "accepted": accepted, "place": mask.place, "mask": mask.origin, "seed": seed, "style": style,
            "model_sha256": generator.sha256, "recipe": generator.recipe.name, "step": generator.step,
            "agreement": agreement, "least": least,
        }  # fmt: skip


def _move_item(item: Path, folder: Path, image: Path) -> None:
    """Put a STAC item into ``folder``: between images it would disturb readers that list them."""
    body = json.loads(item.read_bytes())
    body["assets"]["image"]["href"] = f"../{quote(image.as_posix())}"
    with new_file(folder / item.name, overwrite=True) as partial:
        partial.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    item.unlink()
