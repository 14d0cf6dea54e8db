"""What a grown data set says of itself, as plain values: its settings, a row a candidate, and the counts."""

from typing import Any, Literal, NotRequired, TypedDict

from orthoforge.forging.records import Parameters

Rule = Literal["digits", "inria"]
"""By a scene's number, where the run's tiles do not say it: which scenes train."""


class SceneOrigin(TypedDict):
    """A real training mask: its scene, and the window of it that trains (row, column, height, width; ``None`` for all)."""

    scene: str
    window: list[int] | None


class Origin(TypedDict):
    """Where a mask comes from. ``kind`` is ``real`` (with a scene and window), ``given`` (with a file), ``library`` (a number of a
    place of the weights' own material), or how it was forged."""

    kind: str
    scene: NotRequired[str]
    window: NotRequired[list[int] | None]
    file: NotRequired[str]
    place: NotRequired[str]
    number: NotRequired[int]
    sources: NotRequired[list[SceneOrigin]]
    seed: NotRequired[int]
    parameters: NotRequired[Parameters]


class CandidateRow(TypedDict):
    """A line of ``synthetic.jsonl``. ``agreement`` is ``None`` where nothing judged it, ``least`` what was asked of it."""

    name: str
    accepted: bool
    place: str
    mask: Origin
    seed: int
    style: str | None
    model_sha256: str
    recipe: str
    step: int
    agreement: float | None
    least: float | None


class GrowSettings(TypedDict):
    """What decides a grown data set, as ``grown.json`` holds it."""

    model_sha256: str
    ratio: float
    variants: int
    masks: str
    split: Rule | None
    least_agreement: float
    seed: int
    threshold: int | None
    layout: list[str]
    given: list[list[str | int]]  # names and checksums of the masks of a folder (once, sizes and times)
    tiles: str | None  # fingerprint
    tiles_split: str | None
    segmenter: dict[str, Any] | None
    sources: dict[str, list[str] | list[list[int]]]
    material_sha256: NotRequired[str]
    refinement: NotRequired[float]
    histograms: NotRequired[str]
    sun: NotRequired[float]
    pixel_sizes: NotRequired[list[list[str | float]]]
    coding: NotRequired[dict[str, Any]]
    places: NotRequired[list[list[str]]]


class Counts(TypedDict):
    """Pairs: synthetic ones wanted, added (in all and by place) and rejected, and real ones."""

    wanted: int
    added: int
    rejected: int
    real: int
    places: dict[str, int]


class Summary(TypedDict):
    """What is said of a data set that is complete."""

    counts: Counts
    real_iou: float | None
    notes: list[str]


class Done(TypedDict, total=False):
    """``grown.json``, or a part of it: it may come from anywhere. ``labels`` are the formats of labels that were written."""

    entries: list[str]
    labels: list[str]
    settings: GrowSettings
    counts: Counts
    real_iou: float | None
    notes: list[str]
