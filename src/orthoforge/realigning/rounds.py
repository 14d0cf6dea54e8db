"""Rounds: segmenters of other folds look at each scene, its buildings move, and those masks teach the next round."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from orthoforge.files import new_file
from orthoforge.geo.grid import Window
from orthoforge.measures.segmenter.segmentation import SegmenterSettings
from orthoforge.progress import Progress
from orthoforge.realigning.ground import Piece, SceneGround
from orthoforge.realigning.learning import Ground, ground_sample, log_odds
from orthoforge.realigning.search import (
    SPREADS_M,
    Building,
    Evidence,
    Placed,
    buildings_of,
    common_shifts,
    drawn,
    evidence_of,
    missing_of,
    place,
    spread_scores,
)


class Taught(Protocol):
    """A segmenter."""

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """How likely each pixel is building, (N, H, W)."""


Train = Callable[..., Taught]
"""Called as ``train_segmenter`` is."""


@dataclass(frozen=True)
class Round:
    """What a round found: of each scene its buildings and where they belong, and how far labels lie off in all of them."""

    placed: tuple[Placed, ...]
    spread_m: float


@dataclass(frozen=True)
class Rounds:
    """What all rounds share. ``work`` keeps what segmenters said."""

    grounds: Sequence[SceneGround]
    pieces: Sequence[Piece]
    settings: SegmenterSettings
    reach_m: float
    work: Path
    train: Train
    device: str

    def buildings(self, scene: int) -> dict[int, Building]:
        """Those of a scene that have a pixel at the resolution of the search, by their number in its mask."""
        return buildings_of(self.grounds[scene].ids)

    def run(self, number: int, before: Round | None) -> Round:
        """Round ``number``, from 1, with the masks that the one before left, and the buildings that it found them to lack."""
        for fold in sorted({piece.fold for piece in self.pieces}):
            self._look(number, fold, before)
        return self._search(number)

    def odds(self, number: int, scene: int) -> np.ndarray:
        """What was said of a scene in a round, (H, W) float32."""
        folder = self._folder(number)
        found = np.empty(self.grounds[scene].shape, np.float32)
        for piece in self.pieces:
            if piece.scene == scene:
                found[piece.window.slices] = np.load(folder / self._file(piece))
        return found

    def _look(self, number: int, fold: int, before: Round | None) -> None:
        """Let a segmenter that was taught on the other folds say what it sees in one."""
        folder = self._folder(number)
        missing = [piece for piece in self.pieces if piece.fold == fold and not (folder / self._file(piece)).is_file()]
        if not missing:
            return
        others = [piece for piece in self.pieces if piece.fold != fold]
        masks = {scene: self._mask(scene, number, before) for scene in {piece.scene for piece in others}}
        learnt = [
            Ground(self.grounds[piece.scene].image[piece.window.slices], masks[piece.scene][piece.window.slices])
            for piece in others
        ]
        settings = replace(self.settings, seed=self.settings.seed + 2000 * (number - 1) + fold)
        segmenter = self.train(ground_sample(learnt, settings), settings, device=self.device)
        for piece in Progress(f"round {number}, fold {fold + 1}").over(missing, "scenes looked at", len(missing)):
            said = log_odds(self.grounds[piece.scene].image[piece.window.slices], segmenter.probabilities)
            with new_file(folder / self._file(piece), overwrite=True) as partial, open(partial, "wb") as file:
                np.save(file, said.astype(np.float16))

    def _search(self, number: int) -> Round:
        scores = np.zeros(len(SPREADS_M))
        for scene, ground in enumerate(self.grounds):
            _, evidence = self._evidence(number, scene)
            scores += spread_scores(evidence, reach_px=self._reach_px(ground), gsd_m=ground.gsd_m)
        spread_m = SPREADS_M[int(scores.argmax())]
        found = []
        for scene, ground in enumerate(self.grounds):
            buildings, evidence = self._evidence(number, scene)
            reach_px, gsd_m = self._reach_px(ground), ground.gsd_m
            common = common_shifts(buildings, evidence, reach_px=reach_px, gsd_m=gsd_m, spread_m=spread_m)
            found.append(
                place(buildings, evidence, common, ground.shape, reach_px=reach_px, gsd_m=gsd_m, spread_m=spread_m)
            )  # fmt: skip
        return Round(tuple(found), spread_m)

    def _evidence(self, number: int, scene: int) -> tuple[list[Building], list[Evidence]]:
        ground, odds = self.grounds[scene], self.odds(number, scene)
        buildings = list(self.buildings(scene).values())
        reach_px = self._reach_px(ground)
        return buildings, [evidence_of(one, odds, reach_px=reach_px, gsd_m=ground.gsd_m) for one in buildings]

    def _mask(self, scene: int, number: int, before: Round | None) -> np.ndarray:
        """What round ``number`` is taught."""
        ground = self.grounds[scene]
        if before is None:
            return np.where(ground.ids > 0, np.uint8(255), np.uint8(0))
        mask = drawn(list(self.buildings(scene).values()), before.placed[scene].shift, ground.shape)
        mask[missing_of(self.odds(number - 1, scene), mask, gsd_m=ground.gsd_m) > 0] = 255
        return mask

    def _folder(self, number: int) -> Path:
        return self.work / f"round-{number}"

    def _reach_px(self, ground: SceneGround) -> int:
        return max(1, round(self.reach_m / ground.gsd_m))

    def _file(self, piece: Piece) -> str:
        window: Window = piece.window
        return f"{self.grounds[piece.scene].name}.{window.row}.{window.col}.npy"
