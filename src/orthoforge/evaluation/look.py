"""The networks through which ``evaluate`` sees images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from orthoforge.errors import ConfigError
from orthoforge.measures.realism.features import LiteFeatures, ScoreNetwork, open_network
from orthoforge.measures.realism.lpips import Lpips, load_lpips
from orthoforge.models.conditions import encode_image
from orthoforge.tiles.store import TileStore


@dataclass(frozen=True)
class Look:
    """Both networks' look at images (N, H, W, 3) uint8: the pixels in [-1, 1], maps for the perceptual distance, and vectors.

    ``shared`` says that ``eyes`` are ``lite``, so that one pass is enough.
    """

    lite: LiteFeatures
    eyes: ScoreNetwork
    shared: bool
    device: str
    lpips: Lpips | None = None
    """LPIPS itself, where its weights were given."""

    def __call__(self, pixels: np.ndarray) -> tuple[Tensor, list[Tensor], Tensor]:
        tensor = self.on_device(pixels)
        maps, vectors = self.lite(tensor)
        return tensor, maps, vectors if self.shared else self.eyes.embed(tensor)

    def maps(self, pixels: np.ndarray) -> list[Tensor]:
        """The maps alone, for the perceptual distance."""
        return self.lite(self.on_device(pixels))[0]

    def vectors(self, pixels: np.ndarray) -> np.ndarray:
        """The vectors alone (N, C) float32."""
        with torch.inference_mode():
            return self.eyes.embed(self.on_device(pixels)).float().cpu().numpy()

    def on_device(self, pixels: np.ndarray) -> Tensor:
        """Images (N, H, W, 3) uint8 as a tensor (N, 3, H, W) in [-1, 1]."""
        return encode_image(torch.from_numpy(pixels)).to(self.device)

    def circumstances(self) -> dict[str, Any]:
        """Which network measures what, and with which weights."""
        named = {"sets of images": self.eyes.circumstances(), "perceptual distance": self.lite.circumstances()}
        return named | ({"LPIPS": self.lpips.circumstances()} if self.lpips else {})


def open_look(
    network: str | ScoreNetwork, store: TileStore, *, weights: Path | None = None, lpips: Path | None = None, device: str = "cpu"
) -> Look:
    """The packaged network, and ``network`` (a name for ``features.open_network``, or one of your own) for sets of images.

    Raises ``ConfigError`` for an unknown network, other weights, or tiles too small for LPIPS.
    """
    lite = LiteFeatures(device)
    own = lite.network() if network == "efficientnet-lite0" and weights is None else None
    eyes = own or (
        open_network(network, weights=weights, device=device, gsd_m=store.gsd_m) if isinstance(network, str) else network
    )
    return Look(lite, eyes, shared=own is not None, device=device, lpips=_open_lpips(lpips, store, device))


def _open_lpips(folder: Path | None, store: TileStore, device: str) -> Lpips | None:
    if folder is None:
        return None
    lpips = load_lpips(folder, device=device)
    if store.size_px < lpips.least_px:
        raise ConfigError(f"{store.path}: its tiles have {store.size_px} px; LPIPS by {lpips.network} needs {lpips.least_px} px.")
    return lpips
