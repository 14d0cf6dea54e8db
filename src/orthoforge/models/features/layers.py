"""Names of the layers that the perceptual loss can compare; without torch, so that a recipe is judged at once."""

import difflib
from collections.abc import Sequence

from orthoforge.errors import ConfigError

_VGG19_BLOCKS = (2, 2, 4, 4, 4)  # convolutions in each: Simonyan & Zisserman 2015, configuration E

# Each network's layers, shallow to deep.
PERCEPTUAL_LAYERS: dict[str, tuple[str, ...]] = {
    "vgg19": (
        *(
            f"{kind}{block}_{number}"
            for block, convolutions in enumerate(_VGG19_BLOCKS, start=1)
            for number in range(1, convolutions + 1)
            for kind in ("conv", "relu")
        ),
        "logits",
    ),
    "efficientnet-lite0": ("stem", *(f"stage{number}" for number in range(1, 8)), "head", "logits"),
}

# They judge what was trained (``measures.realism``); a network trained through one would learn what it overlooks.
JUDGES = ("geoembed",)


def require_no_judge(network: str) -> None:
    """Raise ``ConfigError`` for a network that only judges."""
    if network in JUDGES:
        raise ConfigError(
            f"{network} judges images and is in no loss or discriminator: a generator trained through it would learn what it "
            f"overlooks, and its figures would flatter. Use {' or '.join(PERCEPTUAL_LAYERS)}."
        )


def require_layers(network: str, layers: Sequence[str]) -> None:
    """Raise ``ConfigError`` unless ``network`` is known and ``layers`` are some of its layers, each once."""
    require_no_judge(network)
    if network not in PERCEPTUAL_LAYERS:
        raise ConfigError(f"unknown perceptual network `{network}`; there are {' and '.join(PERCEPTUAL_LAYERS)}.")
    if not layers:
        raise ConfigError(f"no layer of {network} is named; nothing would be compared.")
    known = PERCEPTUAL_LAYERS[network]
    for layer in layers:
        if layer not in known:
            close = difflib.get_close_matches(layer, known, n=1)
            hint = f"; did you mean `{close[0]}`?" if close else "."
            raise ConfigError(f"{network} has no layer `{layer}`{hint} It has {layer_names(network)}.")
        if layers.count(layer) > 1:
            raise ConfigError(f"layer `{layer}` of {network} is named twice; name each once.")


def layer_names(network: str) -> str:
    """The layers of ``network`` in words."""
    if network == "vgg19":
        return "conv1_1 … conv5_4 (before the ReLU), relu1_1 … relu5_4 and logits"
    return "stem, stage1 … stage7, head and logits"
