"""What ``evaluate`` found, as ``report.json`` holds it: the form of each part. docs/evaluation.md says what they mean."""

from typing import TypedDict, final

from orthoforge.evaluation.subject import Described
from orthoforge.measures.paired import MeanScores, PairScores
from orthoforge.measures.realism.diversity import Diversity
from orthoforge.measures.realism.figures import Realism
from orthoforge.measures.realism.memorisation import Memorisation
from orthoforge.measures.segmenter.fidelity import Fidelity


class TileScores(PairScores):
    """A pair: which tile, and what its images score."""

    id: int
    scene: str
    place: str
    window: list[int]
    image: str
    """The image's name."""


Circumstances = dict[str, str | int]
"""Of a figure: the network, its layer, its weights, how it resizes, how many images, of which tiles, the seed."""


class RealismSeen(Realism):
    """Realism, and through which network."""

    circumstances: Circumstances


@final
class DiversitySeen(Diversity):
    """Diversity, and through which network."""

    circumstances: Circumstances


@final
class NoDiversity(TypedDict):
    """Why it was not measured."""

    value: None
    why: str
    circumstances: Circumstances


class Nearest(TypedDict):
    """An image that lies near to a training tile."""

    image: str
    number: int
    training_tile: int
    distance: float


class Assumed(TypedDict, total=False):
    """What was taken for granted, where nothing is known of who made the images."""

    assumed: str


@final
class MemorisationSeen(Memorisation, Assumed):
    """Memorisation, the nearest images, and through which network."""

    training_fingerprint: str
    nearest: list[Nearest]
    circumstances: Circumstances


@final
class NoMemorisation(TypedDict):
    """Why it was not measured."""

    ratio: None
    why: str
    circumstances: Circumstances


class FidelitySeen(Fidelity):
    """Fidelity, and how the segmenter was trained."""

    segmenter: dict[str, float]


class PixelScores(TypedDict):
    """Means of what pairs score, over all and by place; where there is no pair there are none."""

    metrics: dict[str, str]
    floor: str | None
    scores: MeanScores | None
    by_place: dict[str, MeanScores]


class Evaluation(Described, PixelScores):
    """All of it."""

    format: int
    made_by: str
    seed: int
    networks: dict[str, dict[str, str]]
    realism: RealismSeen
    diversity: DiversitySeen | NoDiversity
    memorisation: MemorisationSeen | NoMemorisation
    fidelity: FidelitySeen | None
    tiles: list[TileScores]
    warnings: list[str]
