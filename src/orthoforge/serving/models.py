"""The generators that a server has, by name, each on every device and in every style that was asked for."""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from orthoforge.generation.chosen_styles import Style
from orthoforge.serving.problems import Problem
from orthoforge.serving.recent import Recent
from orthoforge.trained_generator import TrainedGenerator
from orthoforge.trained_generator.told import Composers

_WARM_PX = 64
_MOST_STYLED = 16  # copies with a style, each of some kB beside the weights that it shares
_MOST_PHOTOS = 32  # of 3 MB


@dataclass(frozen=True)
class Model:
    """A generator under the name that clients know it by."""

    name: str
    generator: TrainedGenerator

    def card(self) -> dict[str, Any]:
        """What a client has to know of it."""
        of = self.generator
        classes = None
        if of.classes is not None:
            colours = of.classes.rgb(np.arange(of.classes.count)).tolist()
            values = [own[0] if own else None for own in of.classes.values or ((),) * of.classes.count]
            named = enumerate(zip(of.classes.names, colours, values, strict=True))
            classes = [{"index": index, "name": name, "colour": colour, "value": value} for index, (name, colour, value) in named]
        return {
            "name": self.name, "recipe": of.recipe.name, "step": of.step, "sha256": of.sha256, "pixel_size_m": of.gsd_m,
            "bands": of.bands, "styles": list(of.styles), "classes": classes, "seed_changes_the_image": of.is_noisy,
            "attribution": of.attribution,
        }  # fmt: skip


class Models:
    """All models of a server; the first one is taken where none is named."""

    def __init__(self, generators: Mapping[str, TrainedGenerator], devices: Sequence[str]) -> None:
        self._models = {name: Model(name, generator) for name, generator in generators.items()}
        self._on: dict[tuple[str, str], TrainedGenerator] = {}
        self._styled: OrderedDict[tuple[str, str | None, str, float | None], TrainedGenerator] = OrderedDict()
        self._lock = threading.Lock()
        self.photos: Recent[np.ndarray] = Recent(_MOST_PHOTOS)
        """Photos (H, W, B) uint8 whose look was asked for, by the name of that style."""
        self.composers = Composers()
        """Of drawings that change from request to request."""
        for name, generator in generators.items():
            for device in devices:
                self._on[name, device] = generator if device == generator.device else generator.to(device)

    def all(self) -> list[Model]:
        """Each of them."""
        return list(self._models.values())

    def find(self, name: str | None) -> Model:
        """The model of that name, or the first. ``Problem`` where there is none."""
        if name is None:
            return next(iter(self._models.values()))
        if name not in self._models:
            raise Problem("not-found", f"No model is called {name[:80]!r}; there are: {', '.join(self._models)}.")
        return self._models[name]

    def require_style(self, model: Model, style: str | None) -> Style:
        """What is said of a style in an image's tags. ``Problem`` for one that the model does not have."""
        if style is not None and model.generator.styles and self.photos.get(style) is not None:
            return Style("photo", style)
        if style is not None and style not in model.generator.styles:
            known = ", ".join(model.generator.styles) or "none"
            raise Problem("invalid", f"style: {model.name} has no style {style[:80]!r}; there are: {known}.")
        return Style(*model.generator.own_style) if style is None else Style(style, style)

    def require_sun(self, model: Model, sun: float | None) -> None:
        """``Problem`` for a sun that the model cannot have."""
        if sun is not None and model.generator.library is None:
            raise Problem("invalid", f"sun: {model.name} has no material that could be lit from another side. Leave it out.")

    def on(self, model: Model, style: str | None, device: str, sun: float | None = None) -> TrainedGenerator:
        """The generator in a style, under a sun and on a device. Only that device's worker may run it."""
        key = model.name, style, device, sun
        with self._lock:
            if key not in self._styled:
                plain = self._on[model.name, device]
                photo = self.photos.get(style)
                styled = plain if style is None else plain.with_style(style if photo is None else photo)
                self._styled[key] = styled if sun is None else styled.with_sun(sun)
            self._styled.move_to_end(key)
            while len(self._styled) > _MOST_STYLED:
                self._styled.popitem(last=False)
            return self._styled[key]

    def warm_up(self, device: str) -> None:
        """Make a small image with each model: what libraries prepare at the first one is then done."""
        for model in self._models.values():
            self.on(model, None, device)(np.zeros((_WARM_PX, _WARM_PX), np.uint8))
