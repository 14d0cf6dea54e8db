"""What is changed in ``orthoforge-s``, one thing at a time, to learn what each choice is worth: name → fields."""

from typing import Any

ABLATIONS: dict[str, dict[str, Any]] = {
    "residual generator": {"generator": "resunet6", "generator_width": 32},
    "no roof colours": {"roof_colours": False},
    "no ground colours": {"ground_colours": False},
    "PatchGAN": {"discriminator": "patch", "gan_loss": "hinge"},
    "no discriminator": {"gan_loss": "none"},
    "hinge": {"gan_loss": "hinge"},
    "least squares": {"gan_loss": "lsgan"},
    "no perceptual loss": {"lambda_perceptual": 0.0},
    "ten times the perceptual loss": {"lambda_perceptual": 1.0},
    "no colour loss": {"lambda_colour": 0.0},
    "L1 of pixels": {"lambda_colour": 0.0, "lambda_l1": 5.0},
    "tiles as they come": {"balance": "none"},
    "balanced by building": {"balance": "building"},
    "left-right flips": {"flips": "horizontal"},
    "no average": {"ema_decay": 0.0},
}
