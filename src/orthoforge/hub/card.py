"""The model card of a pretrained folder: README.md with the front matter that the Hugging Face hub reads.

The parts are those of Mitchell et al. 2019, "Model Cards for Model Reporting"; the front matter's fields those of the hub
(https://huggingface.co/docs/hub/model-cards).
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from orthoforge.checkpoints import SavedGenerator
from orthoforge.config import problems
from orthoforge.errors import ConfigError
from orthoforge.hub.remote import LIBRARY
from orthoforge.plain_yaml import dump_yaml, read_yaml

_TEMPLATE = Path(__file__).with_name("card.md")
_STYLE = '\nimage = generator.with_style("{place}")(mask)  # as in that place; or like a reference image (H, W, {bands}) uint8'
_TAGS = ("remote-sensing", "aerial-imagery", "orthophoto", "geospatial", "conditional-gan", "pix2pix", "synthetic-data")


@dataclass(frozen=True)
class Source:
    """A data set that the generator was trained on."""

    name: str
    license: str
    """Of images and labels, with both named where they differ."""
    attribution: str
    """Whom to credit, as the licence asks."""
    url: str = ""
    use: str = ""
    """How much of it trained."""


@dataclass(frozen=True)
class CardFacts:
    """What only people know of a generator, and what was measured of it. Everything else on the card comes from the weights."""

    summary: str = ""
    """A sentence or two under the title."""
    license: str = ""
    """Of the weights, by its SPDX identifier, as in ``Apache-2.0``."""
    sources: tuple[Source, ...] = ()
    """What it was trained on."""
    scores: tuple[dict[str, str | int | float | None], ...] = ()
    """Rows of a table, each with the same columns."""
    scored_on: str = ""
    """What the scores were measured on: tiles, split, resolution, how many, and by which command. Needed with ``scores``."""
    intended_use: tuple[str, ...] = ()
    """Besides what the card says of every generator."""
    limits: tuple[str, ...] = ()
    """Besides what the card says of every generator."""
    training_command: str = ""
    """Made from the run's settings when left out."""
    training: str = ""
    """Hardware, time, images seen."""
    tags: tuple[str, ...] = ()
    """For the hub's search, besides those that every card has."""
    repository: str = ""
    """``owner/name`` on the hub, if it is there."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.+-]*", self.license):
            raise ConfigError(f"license is {self.license!r}; give its SPDX identifier, as in Apache-2.0 or CC-BY-4.0.")
        if self.scores and not self.scored_on:
            raise ConfigError("a card's scores need `scored_on`: which tiles, which split, how many, by which command.")


_FACTS = TypeAdapter(CardFacts)
_FIELD_NAMES = tuple(field.name for field in fields(CardFacts))


def read_facts(path: Path) -> CardFacts:
    """Facts for a card from a YAML file. ``ConfigError`` for an unknown key (offers the nearest) or a value that does not fit."""
    path = Path(path)
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        raise ConfigError(f"{path}: no such file; the facts of a card are a YAML file of `key: value` lines.")
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: the facts of a card are `key: value` lines, of these keys: {', '.join(_FIELD_NAMES)}.")
    for key in values:
        if key not in _FIELD_NAMES:
            close = difflib.get_close_matches(str(key), _FIELD_NAMES, n=1)
            way_out = f"did you mean `{close[0]}`?" if close else f"A card's are {', '.join(_FIELD_NAMES)}."
            raise ConfigError(f"{path}: unknown `{key}`; {way_out}")
    try:
        return _FACTS.validate_python(values)
    except ValidationError as error:
        raise ConfigError(f"{path}: {problems(error)}.") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def model_card(
    name: str,
    facts: CardFacts,
    *,
    generator: SavedGenerator,
    properties: Mapping[str, str],
    command: str,
    looked_through: str,
) -> str:
    """The card's whole text.

    ``properties`` are rows of the table of what the generator is, ``command`` how it was trained,
    as far as its recipe tells, ``looked_through`` a sentence on a network of other images that training used.
    """
    front = {
        "license": facts.license.lower() or "unknown",
        "library_name": LIBRARY,
        "pipeline_tag": "image-to-image",
        "tags": list(dict.fromkeys([*_TAGS, *facts.tags])),
    }
    text = _TEMPLATE.read_text(encoding="utf-8").format(
        front=dump_yaml(front).strip(),
        name=name,
        summary=facts.summary.strip() or "A generator that turns masks into aerial images.",
        where=facts.repository or name,
        bands=generator.bands,
        style=_STYLE.format(place=generator.styles[0], bands=generator.bands) if "styles" in properties else "",
        properties="\n".join(f"| {title} | {_cell(value)} |" for title, value in properties.items()),
        sources=_sources(facts.sources, generator.state.tiles.attribution),
        looked_through=looked_through,
        license=_license_words(facts.license),
        scores=_scores(facts),
        intended_use="".join(f"\n- {line.strip()}" for line in facts.intended_use),
        limits="".join(f"\n- {line.strip()}" for line in facts.limits),
        command=facts.training_command.strip() or command,
        training=facts.training.strip(),
    )
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text


def _sources(sources: Sequence[Source], attribution: str) -> str:
    if not sources:
        who = (
            f"Attribution, as given with the training tiles: {attribution}" if attribution else "The training tiles name no source."
        )
        return f"{who} Their licences were not given: ask whoever trained it before you use it."
    rows = [
        (f"[{source.name}]({source.url})" if source.url else source.name, source.license, source.attribution, source.use)
        for source in sources
    ]
    columns = ("data", "licence", "attribution", "use")[: 4 if any(source.use for source in sources) else 3]
    return _table(columns, [row[: len(columns)] for row in rows])


def _license_words(license: str) -> str:
    if not license:
        return "No licence of the weights was given: without one nobody may pass them on. Ask whoever trained it."
    return f"Weights: {license}. Images that it makes follow from the training data: keep the attribution above with them."


def _scores(facts: CardFacts) -> str:
    if not facts.scores:
        return "None were given. `orthoforge evaluate` measures them on tiles of your own, with floors that make them readable."
    columns = list(dict.fromkeys(column for row in facts.scores for column in row))
    rows = [["–" if row.get(column) is None else str(row[column]) for column in columns] for row in facts.scores]
    return f"{_table(columns, rows)}\n\nMeasured on: {facts.scored_on.strip()}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(str(text).replace("|", "\\|").split())
