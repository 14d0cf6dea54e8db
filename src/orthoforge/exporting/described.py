"""What an exported file says of itself, as JSON: how its inputs are made, what its images mean, and whom to name."""

import base64
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TypedDict

from torch import Tensor

from orthoforge.backends.graph import Graph
from orthoforge.checkpoints import SavedGenerator
from orthoforge.masks.classes import class_count
from orthoforge.models.conditions import condition_channels
from orthoforge.models.ground import GROUND_CELL, GROUND_SIDE, OVERLAP
from orthoforge.models.roofs import COLOURS, ROOF_LAYER
from orthoforge.models.styles import Style
from orthoforge.trained_generator import TrainedGenerator

KEY = "orthoforge"  # of the JSON in an ONNX file's metadata and in OpenVINO's rt_info; TorchScript has the file orthoforge.json
FORMAT = 1


class NoiseTold(TypedDict):
    """An input of noise: values in [0, 1) of so many ``channels``, ``stride`` px a cell, over ``margin_px`` more than the mask."""

    name: str
    layer: int
    stride: int
    channels: int
    margin_px: int


class ColoursTold(TypedDict):
    """How the input ``colours`` is made: of palettes of roofs and of ground, or of a canvas (``refines``)."""

    refines: bool
    building: int | None
    roofs: bool
    ground: bool
    roof_layer: int
    palette: int
    ground_cell_px: int
    ground_side: int
    ground_overlap: int


class LooksTold(TypedDict):
    """The looks of all places in turn, ``each`` of a place: float32, base64. Their shapes are (looks, 16), (looks, 16, B) and
    (looks, B, side, side)."""

    places: list[str]
    each: int
    codes: str
    roofs: str
    ground: str


class ClassesTold(TypedDict):
    """Names by index, and the colours that each has in masks."""

    names: list[str]
    colours: list[list[list[int]]]


class Described(TypedDict):
    """Everything."""

    format: int
    recipe: str
    step: int
    weights_sha256: str
    software: str
    licence: str
    attribution: str
    pixel_size_m: float | None
    bands: int
    channels: int
    classes: ClassesTold | None
    multiple_of: int
    least_px: int
    any_size: bool
    size_px: int | None
    seed: int | None
    style: str
    precision: str
    inputs: list[str]
    noise: list[NoiseTold]
    colours: ColoursTold | None
    looks: LooksTold | None


def described(
    generator: TrainedGenerator,
    graph: Graph,
    *,
    licence: str,
    size_px: int | None,
    seed: int | None,
    style: str,
    look: Style | None,
    precision: str,
) -> Described:
    """What to say of a generator's graph. ``look`` is the one that is fixed in it, ``style`` the place that it is of."""
    of, network = generator.saved, generator.network
    return {
        "format": FORMAT, "recipe": of.recipe.name, "step": of.step, "weights_sha256": of.sha256,
        "software": f"orthoforge {version('orthoforge')}", "licence": licence, "attribution": of.attribution,
        "pixel_size_m": of.gsd_m, "bands": of.bands, "channels": condition_channels(class_count(of.classes)),
        "classes": _classes(of), "multiple_of": network.stride, "least_px": network.least_px, "any_size": size_px is None,
        "size_px": size_px, "seed": seed, "style": style, "precision": precision, "inputs": graph.names,
        "noise": [
            {
                "name": one.name, "layer": one.layer, "stride": one.stride, "channels": one.channels, "margin_px": one.margin_px,
            }
            for one in graph.noise
            if one.name in graph.names
        ],
        "colours": _colours(generator), "looks": _looks(generator, look),
    }  # fmt: skip


def _classes(of: SavedGenerator) -> ClassesTold | None:
    told = of.state.tiles.classes
    if told is None:
        return None
    return {"names": list(told.names), "colours": [[list(colour) for colour in some] for some in told.colours]}


def _colours(generator: TrainedGenerator) -> ColoursTold | None:
    network = generator.network
    if network.colours is None:
        return None
    return {
        "refines": network.refines, "building": network.building, "roofs": network.colours.follows_buildings,
        "ground": network.colours.tells_ground, "roof_layer": ROOF_LAYER, "palette": COLOURS, "ground_cell_px": GROUND_CELL,
        "ground_side": GROUND_SIDE, "ground_overlap": OVERLAP,
    }  # fmt: skip


def _looks(generator: TrainedGenerator, look: Style | None) -> LooksTold | None:
    """All that the network knows, or the one that is fixed."""
    bank = generator.network.styles
    if bank is None:
        return None
    if look is not None:
        return {"places": [], "each": 1, "codes": _packed(look.code), "roofs": _packed(look.roofs), "ground": _packed(look.ground)}
    return {
        "places": list(generator.styles), "each": bank.codes.shape[1], "codes": _packed(bank.codes),
        "roofs": _packed(bank.roofs), "ground": _packed(bank.ground),
    }  # fmt: skip


def _packed(values: Tensor) -> str:
    return base64.b64encode(values.detach().cpu().float().contiguous().numpy().astype("<f4").tobytes()).decode()


def licence_of(checkpoint: Path) -> str:
    """That of a published folder, as its STAC item says; '' where none is known."""
    try:
        said = json.loads((checkpoint / "stac-item.json").read_bytes())["properties"]["license"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return said if isinstance(said, str) else ""


def as_json(told: Described | Mapping[str, object]) -> str:
    """One line."""
    return json.dumps(told, ensure_ascii=False)


def words(told: Described, names: Sequence[str]) -> str:
    """A line for the command line."""
    size = "any size" if told["any_size"] else f"{told['size_px']} px"
    return (
        f"{told['recipe']}, {told['precision']}, masks of {size} (multiples of {told['multiple_of']} px), inputs {', '.join(names)}"
    )
