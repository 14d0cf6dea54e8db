"""A STAC Item that describes a generator, for catalogues of models.

STAC 1.1 with the extensions Machine Learning Model 1.4 (https://github.com/stac-extensions/mlm), file 2.1 and processing 1.2.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import NamedTuple

import torch

from orthoforge.checkpoints import SavedGenerator
from orthoforge.masks.classes import class_count
from orthoforge.models.conditions import condition_channels

EXTENSIONS = {
    "mlm": "https://stac-extensions.github.io/mlm/v1.4.0/schema.json",
    "file": "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "processing": "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
}
# mlm:name, as the extension's schema wants it.
NAME_PATTERN = r"[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]"
# Multihash: 0x12 is SHA2-256, 0x20 its 32 bytes.
_SHA2_256 = "1220"
_SEMANTIC_VERSION = r"\d+\.\d+\.\d+(\+[0-9a-zA-Z.-]+)?"


class ModelFile(NamedTuple):
    """The file of weights: its name, how many bytes it has, and their SHA-256."""

    name: str
    size: int
    sha256: str


def mlm_item(
    name: str,
    generator: SavedGenerator,
    *,
    recipe: Mapping[str, object],
    model: ModelFile,
    license: str,
    started_from: str | None,
    created: datetime,
) -> dict[str, object]:
    """The STAC Item of a generator as JSON's own types. It has no geometry: the training tiles' places are not recorded.

    ``recipe`` are its fields, ``model`` is the weights file; ``started_from`` what weights its training began with, empty when from
    scratch and ``None`` when that is unknown.
    """
    assert created.tzinfo is not None, created
    parameters = sum(parameter.numel() for parameter in generator.network.parameters())
    properties: dict[str, object] = {
        "datetime": created.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "title": name,
        "description": "A generator that turns masks into synthetic aerial images.",
        **({"license": license} if license else {}),
        **({"gsd": generator.gsd_m} if generator.gsd_m else {}),
        "bands": [{"name": "mask", "description": _mask_words(generator), "data_type": "uint8"}],
        "mlm:name": name,
        "mlm:architecture": "GAN",
        "mlm:tasks": ["generative"],
        "mlm:framework": "PyTorch",
        **_framework_version(),
        "mlm:total_parameters": parameters,
        "mlm:memory_size": sum(tensor.nbytes for tensor in generator.network.state_dict().values()),
        **_pretraining(started_from),
        "mlm:batch_size_suggestion": 1,
        "mlm:accelerator": None,
        "mlm:accelerator_constrained": False,
        "mlm:input": [_input(generator)],
        "mlm:output": [_output(generator.bands)],
        "mlm:hyperparameters": _hyperparameters(generator, recipe),
        "processing:software": {"orthoforge": version("orthoforge")},
    }
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(EXTENSIONS.values()),
        "id": name,
        "geometry": None,
        "properties": properties,
        "links": [],
        "assets": {
            "model": {
                "href": f"./{model.name}",
                "type": "application/octet-stream; framework=pytorch",
                "title": "Weights (safetensors)",
                "roles": ["mlm:model", "mlm:weights", "data"],
                "mlm:artifact_type": "safetensors.torch.save",
                "bands": [{"name": "mask"}],  # STAC lets properties describe bands only where an asset has some
                "file:size": model.size,
                "file:checksum": _SHA2_256 + model.sha256,
            },
            "config": {
                "href": "./config.json",
                "type": "application/json",
                "title": "Recipe and checksums",
                "roles": ["metadata"],
            },
            "card": {"href": "./README.md", "type": "text/markdown", "title": "Model card", "roles": ["metadata"]},
        },
    }


def _output(bands: int) -> dict[str, object]:
    return {
        "name": "image",
        "description": f"A synthetic aerial image: {'red, green, blue' if bands == 3 else f'{bands} bands'} from -1 to 1.",
        "tasks": ["generative"],
        "result": {"shape": [-1, bands, -1, -1], "dim_order": ["batch", "channel", "height", "width"], "data_type": "float32"},
        "post_processing_function": {"format": "python", "expression": "orthoforge.models.conditions:decode_image"},
    }


def _input(generator: SavedGenerator) -> dict[str, object]:
    stride = generator.network.stride
    channels = condition_channels(class_count(generator.classes))
    return {
        "name": "mask",
        "description": f"{_mask_words(generator)} From -1 to 1, height and width padded to multiples of {stride}.",
        "bands": ["mask"],
        "input": {
            "shape": [-1, channels, -1, -1],
            "dim_order": ["batch", "channel", "height", "width"],
            "data_type": "float32",
        },
        "value_scaling": None,
        "resize_type": "pad",
        "pre_processing_function": {"format": "python", "expression": "orthoforge.models.conditions:encode_mask"},
    }


def _mask_words(generator: SavedGenerator) -> str:
    if not generator.classes:
        return "Mask of buildings: 0 elsewhere, 255 in them."
    return f"Mask of classes by index: {', '.join(generator.classes.names)}."


def _framework_version() -> dict[str, str]:
    """The schema takes semantic versions only, which a build from source does not have."""
    return {"mlm:framework_version": str(torch.__version__)} if re.fullmatch(_SEMANTIC_VERSION, str(torch.__version__)) else {}


def _pretraining(started_from: str | None) -> dict[str, object]:
    if started_from is None:
        return {}
    return {"mlm:pretrained": bool(started_from), "mlm:pretrained_source": started_from or None}


def _hyperparameters(generator: SavedGenerator, recipe: Mapping[str, object]) -> dict[str, object]:
    fields = {name: value for name, value in recipe.items() if name not in ("description", "outcome")}
    own = {
        "step": generator.step,
        "gsd_m": generator.gsd_m,
        "reach_px": generator.network.reach,
        "stride_px": generator.network.stride,
    }
    known = {"styles": list(generator.styles)} if generator.styles else {}
    classes = {"classes": list(generator.classes.names)} if generator.classes else {}
    return {**fields, **own, **known, **classes}
