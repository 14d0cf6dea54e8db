"""What is changed, one thing at a time, to learn what each choice of a recipe is worth: name → fields."""

from typing import Any

ABLATIONS: dict[str, dict[str, Any]] = {
    "transposed convolution": {"upsample": "transposed"},
    "instance norm": {"norm": "instance"},
    "least squares": {"gan_loss": "lsgan"},
    "no discriminator": {"gan_loss": "none"},
    "no average": {"ema_decay": 0.0},
}
