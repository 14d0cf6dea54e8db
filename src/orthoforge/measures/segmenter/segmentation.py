"""A small segmenter that learns from tiles in minutes: the eye of fidelity, and what utility is measured on.

Networks and loss are MONAI's, in ``segmenter_network``. What is random about a training is a function of the settings' seed and the
step, so a training gives the same bits twice on a CPU with the same number of threads.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from orthoforge.config import problems
from orthoforge.errors import CheckpointError, ConfigError, DataError, DivergedError
from orthoforge.files import new_file
from orthoforge.models.conditions import encode_image
from orthoforge.progress import Progress
from orthoforge.tiles.store import TileStore, crop_batch, epoch_order
from orthoforge.weights import require_fitting

Sample = Callable[[int], tuple[np.ndarray, np.ndarray]]
"""A step to images (N, C, C, 3) and masks (N, C, C), uint8: 0 and 255, or class indices."""

WEIGHTS, DESCRIPTION = "model.safetensors", "segmenter.json"
FORMAT = 1
STRIDE = 32
_BATCH = 4  # images at a time when predicting: more does not go faster on a CPU
_WARM_UP = 20  # steps
_WEIGHT_DECAY = 1e-2
# Brightness, contrast and colour of crops vary by so much: less than between two flights over one town.
_SHIFT, _CONTRAST, _COLOUR = 20.0, 0.2, 0.1


@dataclass(frozen=True)
class SegmenterSettings:
    """How a segmenter is trained: ``steps`` of ``batch_size`` crops of ``crop_px`` pixels.

    The defaults take about two minutes of one core, and more where others use it too.

    Examples:
        >>> from orthoforge import SegmenterSettings
        >>> SegmenterSettings(steps=400).crop_px
        128
    """

    steps: int = 150
    batch_size: int = 8
    crop_px: int = 128
    """Side of the crops; where tiles are smaller, whole tiles."""
    learning_rate: float = 2e-3
    """Of AdamW, at its height: it rises over the first steps and falls to 0 as a cosine."""
    width: int = 16
    """Channels at full resolution; each halving doubles them."""
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"steps": 1, "batch_size": 2, "crop_px": 1, "width": 1, "seed": 0}
        for name, limit in least.items():
            if getattr(self, name) < limit:
                raise ConfigError(f"{name} is {getattr(self, name)}; a segmenter needs {limit} or more.")
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError(f"learning_rate is {self.learning_rate}; it must be above 0.")


@dataclass(frozen=True)
class _Described:
    """What a segmenter's weights say of themselves: a form to check it against."""

    format: int
    settings: SegmenterSettings
    class_count: Annotated[int, Field(ge=1, le=255)] | None


_DESCRIBED = TypeAdapter(_Described)


class Segmenter:
    """Finds what a mask shows: ``segmenter(images) -> masks``.

    ``class_count`` is ``None`` for building masks. ``sha256`` is that of its weights and settings, as they are saved.
    """

    def __init__(self, network: nn.Module, settings: SegmenterSettings, *, class_count: int | None, device: str = "cpu") -> None:
        self.network = network.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.settings, self.class_count, self.device = settings, class_count, device
        self.sha256 = hashlib.sha256(self._payload()).hexdigest()

    @cached_property
    def _looking(self) -> Any:
        from orthoforge.measures.segmenter.network import folded_segmenter

        return folded_segmenter(self.network)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Masks (N, H, W) uint8 of images (N, H, W, 3) uint8 of any size: 0 and 255, or class indices."""
        probabilities = self.probabilities(images)
        if self.class_count is None:
            return np.where(probabilities > 0.5, np.uint8(255), np.uint8(0))
        return probabilities.argmax(axis=1).astype(np.uint8)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """How likely each pixel is building (N, H, W), or each class (N, K, H, W), float32.

        Raises ``DataError`` for another shape or type than (N, H, W, 3) uint8.
        """
        height, width = _require_images(images).shape[1:3]
        with torch.inference_mode():
            logits = [self._looking(batch)[:, :, :height, :width].float() for batch in self._batches(images)]
            if self.class_count is None:
                return torch.cat([torch.sigmoid(batch[:, 0]).cpu() for batch in logits]).numpy()
            return torch.cat([torch.softmax(batch, dim=1).cpu() for batch in logits]).numpy()

    def features(self, images: np.ndarray) -> np.ndarray:
        """What its deepest layer sees, averaged over each image: (N, D) float32, for distances between sets of images."""
        _require_images(images)
        return np.concatenate([self._embed(batch).float().cpu().numpy() for batch in self._batches(images)])

    def embed(self, images: Tensor) -> Tensor:
        """``features`` of images (N, 3, H, W) in [-1, 1]."""
        return self._embed(_padded(images).to(self.device, memory_format=torch.channels_last))

    def save(self, folder: Path, *, overwrite: bool = False) -> None:
        """Write the weights with their settings, and a description with their checksum, to ``folder``.

        Raises ``OutputExistsError`` when a segmenter is there and ``overwrite`` is false.
        """
        folder, payload = Path(folder), self._payload()
        with new_file(folder / WEIGHTS, overwrite=overwrite) as partial:
            partial.write_bytes(payload)
        with new_file(folder / DESCRIPTION, overwrite=overwrite) as partial:
            partial.write_text(json.dumps({**self._description(), "sha256": self.sha256}, indent=1) + "\n", encoding="utf-8")

    @staticmethod
    def load(folder: Path, *, device: str = "cpu") -> "Segmenter":
        """A segmenter that ``save`` wrote. ``CheckpointError`` when there is none, or a bit of it changed."""
        from orthoforge.measures.segmenter.network import segmenter_network

        weights, description = Path(folder) / WEIGHTS, Path(folder) / DESCRIPTION
        try:
            payload, said = weights.read_bytes(), json.loads(description.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise CheckpointError(f"{error.filename}: missing; a segmenter is {WEIGHTS} and {DESCRIPTION} in one folder.") from None
        except (ValueError, OSError, RecursionError) as error:
            raise CheckpointError(f"{description}: not readable: {error}") from error
        if not isinstance(said, dict) or hashlib.sha256(payload).hexdigest() != said.get("sha256"):
            raise CheckpointError(f"{weights}: its checksum does not fit: the file was cut short or changed. Train it again.")
        try:
            tensors = load(payload)
            with safe_open(weights, "pt") as file:
                body = _DESCRIBED.validate_json((file.metadata() or {}).get("segmenter", ""), strict=True)
        except ValidationError as error:
            raise CheckpointError(f"{weights}: no segmenter of this version of orthoforge: {problems(error)}.") from error
        except (SafetensorError, ConfigError) as error:
            raise CheckpointError(f"{weights}: no segmenter of this version of orthoforge: {error}") from error
        if body.format > FORMAT:
            raise CheckpointError(f"{weights}: written by a newer orthoforge (format {body.format}). Upgrade it.")
        build = partial(segmenter_network, body.class_count, width=body.settings.width, pretrained=False)
        with torch.device("meta"):
            require_fitting(build().state_dict(), tensors, str(weights))
        network = build()
        network.load_state_dict(tensors)
        return Segmenter(network, body.settings, class_count=body.class_count, device=device)

    def _embed(self, batch: Tensor) -> Tensor:
        with torch.inference_mode():
            return self._looking.deepest(batch).mean(dim=(2, 3))

    def _batches(self, images: np.ndarray) -> Iterator[Tensor]:
        for start in range(0, len(images), _BATCH):
            yield _padded(_encoded(images[start : start + _BATCH]).to(self.device))

    def _description(self) -> dict[str, object]:
        return {"format": FORMAT, "settings": dataclasses.asdict(self.settings), "class_count": self.class_count}

    def _payload(self) -> bytes:
        tensors = {name: tensor.cpu().contiguous() for name, tensor in self.network.state_dict().items()}
        return save(tensors, {"segmenter": json.dumps(self._description())})


def train_segmenter(
    sample: Sample, settings: SegmenterSettings, *, class_count: int | None = None, device: str = "cpu"
) -> Segmenter:
    """A segmenter trained on ``settings.steps`` batches of ``sample``, by Dice and cross entropy.

    ``class_count`` is for masks of indices. Leaves torch's random state as it was. Raises ``DataError`` when a batch is not what
    ``Sample`` says, ``DivergedError`` when the loss is not finite.
    """
    from orthoforge.measures.segmenter.network import segmenter_loss, segmenter_network  # MONAI takes seconds to import

    with torch.random.fork_rng(devices=[device] if torch.device(device).type == "cuda" else []):
        torch.manual_seed(settings.seed)
        network = segmenter_network(class_count, width=settings.width, pretrained=True)
        network.train().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=_WEIGHT_DECAY)
        loss_of = segmenter_loss(class_count)
        for step in Progress("segmenter").over(range(settings.steps), "steps", settings.steps):
            images, masks = _require_batch(*sample(step), step, class_count)
            target = torch.from_numpy(masks > 0 if class_count is None else masks)[:, None].to(device, torch.float32)
            loss = loss_of(network(_padded(_encoded(images).to(device)))[:, :, : masks.shape[1], : masks.shape[2]], target)
            if not torch.isfinite(loss):
                raise DivergedError(f"the segmenter's loss is {loss.item()} at step {step}. Lower its learning_rate.")
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * _rate(step, settings.steps)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Segmenter(network, settings, class_count=class_count, device=device)


def tile_sample(store: TileStore, tile_ids: np.ndarray, settings: SegmenterSettings) -> Sample:
    """Random crops of tiles in all eight orientations, varied in brightness, contrast and colour.

    Each tile comes once before any comes twice. A batch is a function of the seed and the step only. Raises ``DataError`` when
    there is no tile.
    """
    tile_ids = np.asarray(tile_ids)
    if not len(tile_ids):
        raise DataError(f"{store.path}: no tile to train a segmenter on.")
    crop_px = min(settings.crop_px, store.size_px)

    def sample(step: int) -> tuple[np.ndarray, np.ndarray]:
        positions = np.arange(step * settings.batch_size, (step + 1) * settings.batch_size)
        epochs = positions // len(tile_ids)
        orders = {epoch: epoch_order(tile_ids, seed=settings.seed, epoch=epoch) for epoch in set(epochs.tolist())}
        ids = np.array([orders[epoch][at] for epoch, at in zip(epochs.tolist(), positions % len(tile_ids), strict=True)])
        keys = [(settings.seed, position) for position in positions.tolist()]
        batch = crop_batch(store, ids, crop_px=crop_px, flips="dihedral", keys=keys)
        return _varied(batch.image, np.random.default_rng([settings.seed, step])), batch.mask

    return sample


def _varied(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each image (N, C, C, 3) with its own brightness, contrast, and strength of red, green and blue."""
    one_each = (len(images), 1, 1, 1)
    gain = rng.uniform(1 - _CONTRAST, 1 + _CONTRAST, one_each) * rng.uniform(1 - _COLOUR, 1 + _COLOUR, (*one_each[:3], 3))
    shift = rng.uniform(-_SHIFT, _SHIFT, one_each)
    return np.clip((images - np.float32(127.5)) * gain.astype(np.float32) + (shift + 127.5).astype(np.float32), 0, 255).astype(
        np.uint8
    )


def _rate(step: int, steps: int) -> float:
    return min(1.0, (step + 1) / _WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / steps))


def _encoded(images: np.ndarray) -> Tensor:
    return encode_image(torch.from_numpy(np.array(images))).contiguous(memory_format=torch.channels_last)


def _padded(images: Tensor) -> Tensor:
    """Grown on the right and below to multiples of the network's stride, by their own edge pixels."""
    height, width = images.shape[2:]
    grow = (0, -width % STRIDE, 0, -height % STRIDE)
    return nn.functional.pad(images, grow, mode="replicate") if any(grow) else images


def _require_images(images: np.ndarray) -> np.ndarray:
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8 or 0 in images.shape:
        raise DataError(f"a segmenter takes images (number, height, width, 3) of uint8; these are {images.dtype} {images.shape}.")
    return images


def _require_batch(images: np.ndarray, masks: np.ndarray, step: int, class_count: int | None) -> tuple[np.ndarray, np.ndarray]:
    _require_images(images)
    if masks.shape != images.shape[:3] or masks.dtype != np.uint8:
        raise DataError(
            f"step {step}: images are {images.shape} and their masks {masks.dtype} {masks.shape}; a mask is uint8 and as high and "
            "wide as its image."
        )
    if class_count is not None and masks.max() >= class_count:
        raise DataError(f"step {step}: a mask has the value {masks.max()}; {class_count} classes end at {class_count - 1}.")
    return images, masks
