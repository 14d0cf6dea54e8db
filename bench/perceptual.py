"""What the perceptual term adds to a training step at 256 px: its time beside that of resnet9 forward and backward, in turns.

    python -m bench.perceptual [--batch 2] [--rounds 5]

float32, channels last. The term is the real image forwards, the fake one forwards and backwards. VGG19 has random weights, which
take the same time.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from orthoforge.files import sha256_of
from orthoforge.models.features.layers import PERCEPTUAL_LAYERS
from orthoforge.models.features.vgg import VGG19
from orthoforge.models.losses import l1
from orthoforge.models.perceptual import FeatureNetwork, load_features, perceptual_l1
from orthoforge.networks import build_generator

LOWER = ("relu1_2", "relu2_2")
EVERY_BLOCK = ("relu1_2", "relu2_2", "relu3_4", "relu4_4", "relu5_4")


def random_vgg19(folder: Path, layers: tuple[str, ...]) -> FeatureNetwork:
    """VGG19's convolutional part with weights of no meaning."""
    path = folder / "vgg19.safetensors"
    if not path.exists():
        with torch.device("meta"):
            state = VGG19().features.state_dict(prefix="features.")
        save_file({name: torch.randn(tensor.shape) * 0.02 for name, tensor in state.items()}, path)
    return load_features("vgg19", layers, weights=path, sha256=sha256_of(path))


def term(features: FeatureNetwork, real: torch.Tensor) -> Callable[[], None]:
    fake = (-real).requires_grad_()
    return lambda: perceptual_l1(features, fake, real).backward()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    torch.manual_seed(0)
    real = (torch.rand(options.batch, 3, 256, 256) * 2 - 1).contiguous(memory_format=torch.channels_last)
    generator = build_generator("resnet9", 3, width=64, norm="batch", upsample="transposed")
    generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    lite = PERCEPTUAL_LAYERS["efficientnet-lite0"]
    with tempfile.TemporaryDirectory() as folder:
        works = {"resnet9": lambda: l1(generator(real), real).backward()} | {
            name: term(features, real)
            for name, features in {
                "efficientnet-lite0 stem to stage3": load_features("efficientnet-lite0", lite[:4]),
                "efficientnet-lite0 stem to stage4": load_features("efficientnet-lite0", lite[:5]),
                "efficientnet-lite0 every layer": load_features("efficientnet-lite0", lite),
                "vgg19 relu1_2, relu2_2": random_vgg19(Path(folder), LOWER),
                "vgg19 relu5_4": random_vgg19(Path(folder), ("relu5_4",)),
                "vgg19 every block": random_vgg19(Path(folder), EVERY_BLOCK),
            }.items()
        }
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(options.rounds + 1):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - began)
    whole = seconds.pop("resnet9")[1:]  # the first round warms up
    print(f"perceptual term at 256 px, batch {options.batch}, {torch.get_num_threads()} threads, float32")
    print(f"  resnet9 forward and backward: {statistics.median(whole):.2f} s; the term, as a share of that")
    for name, taken in seconds.items():
        shares = [a / b for a, b in zip(taken[1:], whole, strict=True)]
        print(f"  {name:34} {statistics.median(shares):.2f} ({min(shares):.2f} to {max(shares):.2f})")


if __name__ == "__main__":
    main()
