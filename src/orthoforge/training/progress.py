"""How far a training is, and the form in which a checkpoint says so."""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import ConfigDict, TypeAdapter, ValidationError

from orthoforge.config import problems
from orthoforge.errors import CheckpointError
from orthoforge.training.schedules import Count, Finite, Standing


@dataclass
class Progress:
    """How far a training is. Plain values, kept in ``state.json`` and checked against this form when they come back."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    epoch: Count = 0
    """Finished epochs: rows in ``results.csv``."""
    step_in_epoch: Count = 0
    """Steps taken in the epoch under way; all of them taken means that its validation is due."""
    step: Count = 0
    """Steps taken altogether."""
    updates: dict[str, Count] = field(default_factory=dict)
    """Updates that each network has had."""
    skipped: Count = 0
    """Updates of a network that were not made in the epoch under way, because its gradients were not finite."""
    rollbacks: Count = 0
    """How often NaN or Inf sent training back; decides the random stream from then on."""
    sums: dict[str, Finite] = field(default_factory=dict)
    """Losses of the epoch under way, summed over its steps."""
    seconds: Finite = 0.0
    """Training time of the epoch under way."""
    waited: Finite = 0.0
    """Of these seconds those in which the next batch was waited for."""
    best_shortfall: Finite | None = None
    """Best validation score so far, which ``weights/best`` reached; lower is better (``schedules.shortfall``)."""
    standings: dict[str, Standing] = field(default_factory=dict)
    """Of the plateau schedules, by network (``schedules.Standing``)."""

    def plain_values(self) -> dict[str, object]:
        """The progress for ``state.json``."""
        assert all(math.isfinite(value) for value in self.sums.values())
        return dataclasses.asdict(self)

    @staticmethod
    def read(values: Mapping[str, object], source: str) -> "Progress":
        """The progress in a checkpoint's state. ``CheckpointError`` for one that this form does not know."""
        try:
            return _PROGRESS.validate_json(json.dumps(_current(values)), strict=True)
        except ValidationError as error:
            raise CheckpointError(
                f"{source}: does not say how far its training is: {problems(error)}. Other software, or another version of "
                "orthoforge, wrote or changed it; start another run from its weights with --init-from."
            ) from error


_PROGRESS = TypeAdapter(Progress)


def _current(values: Mapping[str, object]) -> dict[str, object]:
    """Under the names of today: checkpoints from before ``best_by`` hold the best SSIM itself."""
    ssim = values.get("best_ssim")
    if "best_ssim" not in values or not isinstance(ssim, float | None):
        return dict(values)
    others = {name: value for name, value in values.items() if name != "best_ssim"}
    return others | {"best_shortfall": None if ssim is None else 1 - ssim}
