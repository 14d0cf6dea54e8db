"""Which engine computes a generator's network."""

from functools import partial

import numpy as np
import torch

from orthoforge.backends import BackendName, choosing, names
from orthoforge.backends.elsewhere import computed_by, converted
from orthoforge.backends.engines import open_engine
from orthoforge.backends.inputs import called, example_inputs
from orthoforge.checkpoints import SavedGenerator
from orthoforge.masks.classes import class_count
from orthoforge.models.conditions import condition_channels, decode_image
from orthoforge.models.generator import Generator
from orthoforge.models.noise import NoiseField, place_noise

_MEASURED_PX = 256


def on_backend(saved: SavedGenerator, network: Generator, name: BackendName) -> Generator:
    """``network``, which PyTorch computes, computed by a backend."""
    if name == "torch":
        return network
    model, noise = converted(network, channels=channels_of(saved), bands=saved.bands)
    return computed_by(network, open_engine(name, model, torch.get_num_threads()), noise)


def channels_of(saved: SavedGenerator) -> int:
    """Of the network's condition."""
    return condition_channels(class_count(saved.classes))


def chosen_backend(name: str, saved: SavedGenerator, network: Generator, device: str) -> tuple[BackendName, str]:
    """The backend that ``name`` means here, and why it is not the named one, or is PyTorch for lack of others; '' else.

    ``ConfigError`` for a name that is none.
    """
    names.require_known(name)
    found = names.installed()
    if device != "cpu" and name != "torch":
        return "torch", f"other backends compute on the processor, not on {device}" if name != names.AUTO else ""
    if name == names.AUTO:
        if len(found) == 1:
            return "torch", f"no other backend is installed ({names.HOW_TO_INSTALL})"
        threads = torch.get_num_threads()
        return choosing.remembered(saved.sha256, found, threads, lambda: _measured(saved, network, found)), ""
    known = next(one for one in names.BACKENDS if one == name)
    if lacking := names.missing(known):
        return "torch", f"the backend {name} needs {' and '.join(lacking)} ({names.HOW_TO_INSTALL})"
    return known, ""


def _measured(saved: SavedGenerator, network: Generator, found: list[BackendName]) -> BackendName:
    side = max(network.least_px, _MEASURED_PX // network.stride * network.stride)
    inputs = example_inputs(network, side, side, channels=channels_of(saved), bands=saved.bands)

    def opened(name: BackendName) -> choosing.Draw:
        return partial(_drawn, on_backend(saved, network, name))

    def _drawn(computed: Generator) -> np.ndarray:
        place_noise(computed, NoiseField(0))
        with torch.inference_mode():
            return decode_image(called(computed, inputs))[0].numpy()

    return choosing.fastest({name: partial(opened, name) for name in found})
