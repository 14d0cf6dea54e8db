"""Train a small segmenter on real and synthetic pairs, and measure it on real ones that did not train.

    python examples/segmenter.py TILES RUN [--masks MASKS] [--epochs 5] [--workers 2]

TILES is a folder that ``orthoforge prepare`` made, RUN a trained run, or the name of weights that come with the package. MASKS are
masks that the run makes images of; without them those of TILES' training split.
"""

import argparse

import torch
from monai.networks.nets import BasicUNet
from torch import nn
from torch.utils.data import DataLoader

from orthoforge import RealPairs, SyntheticPairs


def mirrored(image: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Left and right exchanged, every second time. What it draws from torch follows from the pair's index and the epoch."""
    return (image.flip(-1), mask.flip(-1)) if torch.rand(()) < 0.5 else (image, mask)


def train(
    tiles: str, run: str, masks: str | None, *, epochs: int, workers: int, crop_px: int, batch_size: int, width: int
) -> float:
    """Train, and return the IoU of buildings on validation tiles."""
    real = RealPairs(tiles, crop_px=crop_px, flips="dihedral", transforms=mirrored)
    made = SyntheticPairs(run, masks or tiles, crop_px=crop_px, length=len(real), transforms=mirrored)
    loader = DataLoader(real + made, batch_size=batch_size, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    bands, classes = real[0].image.shape[0], real.store.classes
    model = BasicUNet(2, bands, classes.count if classes else 2, features=[width, width, 2 * width, 4 * width, 8 * width, width])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        real.set_epoch(epoch)
        made.set_epoch(epoch)
        for image, mask, _ in loader:
            loss = criterion(model(image), mask)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}")
    building = 1 if classes is None else classes.building
    iou = validate(model, RealPairs(tiles, "val"), batch_size, building)
    print(f"IoU on real validation tiles: {iou:.3f}")
    return iou


@torch.inference_mode()
def validate(model: nn.Module, pairs: RealPairs, batch_size: int, building: int) -> float:
    """IoU of the class ``building`` over all pairs."""
    model.eval()
    both = either = 0
    for image, mask, _ in DataLoader(pairs, batch_size=batch_size):
        found = model(image).argmax(1)
        both += int(((found == building) & (mask == building)).sum())
        either += int(((found == building) | (mask == building)).sum())
    return both / max(1, either)


def main(words: list[str] | None = None) -> float:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tiles")
    parser.add_argument("run")
    parser.add_argument("--masks")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--crop-px", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--width", type=int, default=16)
    args = parser.parse_args(words)
    return train(
        args.tiles, args.run, args.masks, epochs=args.epochs, workers=args.workers, crop_px=args.crop_px,
        batch_size=args.batch_size, width=args.width,
    )  # fmt: skip


if __name__ == "__main__":
    main()
