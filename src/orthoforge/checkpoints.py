"""Checkpoints: tensors, plain values and a checksum over every byte; and the generator that comes out of one.

``RUN/weights/`` holds ``last``, the one before it (``previous``) and ``best``. Each is a folder of three files:

* ``model.safetensors``: the generator that makes images (the averaged one where the recipe averages),
* ``train.safetensors``: everything else that the next step needs,
* ``state.json``: recipe, progress, checksums of both files and of itself.
"""

import copy
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from orthoforge.config import Recipe, recipe_from
from orthoforge.errors import CheckpointError, ConfigError, DataError, ResourceError
from orthoforge.files import require_free_space, sync, writable
from orthoforge.models.conditions import condition_channels, decode_image, encode_mask
from orthoforge.models.generators import build_generator, generator_reach, generator_stride
from orthoforge.models.noise import NoiseField, is_noisy, place_noise
from orthoforge.models.scene_norm import has_image_statistics, with_statistics_of

MODEL, TRAIN, STATE = "model.safetensors", "train.safetensors", "state.json"
FORMAT = 1
# Peak of a forward pass by family, in float32 feature maps of full resolution and first-layer width (bench/generation.py).
_PEAK_MAPS = {"resnet": 6.0, "resunet": 9.5, "unet": 2.5}
_IN_AND_OUT_BYTES = 48  # a pixel: condition and image as float32, what is made of them, and bytes


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read and whose every byte was checked."""

    folder: Path
    state: dict[str, Any]
    model: dict[str, Tensor]
    train: dict[str, Tensor]


def save_checkpoint(folder: Path, *, model: Mapping[str, Tensor], train: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write a checkpoint beside ``folder``, then put it in its place; what was there becomes ``previous`` when it was ``last``.

    Killed at any point, ``last`` or ``previous`` is whole. Raises ``ResourceError`` when the disk is full, leaving the old
    checkpoint and nothing else.
    """
    payloads = {MODEL: save(_contiguous(model)), TRAIN: save(_contiguous(train))}
    checksums = {name: hashlib.sha256(payload).hexdigest() for name, payload in payloads.items()}
    body = {"format": FORMAT, **state, "checksums": checksums}
    payloads[STATE] = _state_bytes(body)

    partial = folder.with_name(f".{folder.name}.partial")
    with writable(folder.parent):
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            require_free_space(folder.parent, sum(map(len, payloads.values())), "a checkpoint")
            for name, payload in payloads.items():
                (partial / name).write_bytes(payload)
                sync(partial / name)
            sync(partial)
            _replace(folder, partial)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _replace(folder: Path, partial: Path) -> None:
    """Put ``partial`` in ``folder``'s place. A kill between two of these lines leaves one whole checkpoint at least."""
    former = folder.with_name("previous" if folder.name == "last" else f".{folder.name}.former")
    if folder.exists():
        shutil.rmtree(former, ignore_errors=True)
        os.rename(folder, former)
    os.rename(partial, folder)
    if former.name != "previous":
        shutil.rmtree(former, ignore_errors=True)
    sync(folder.parent)


def load_checkpoint(folder: Path, *, weights_only: bool = False) -> Checkpoint:
    """Read a checkpoint whole. ``CheckpointError`` when any bit of it changed, a file is missing or its format is newer.

    With ``weights_only``, ``train.safetensors`` may be missing; ``train`` is empty then.
    """
    state = _read_state(folder)
    model = _read_tensors(folder, MODEL, state)
    without_train = weights_only and not (folder / TRAIN).exists()
    return Checkpoint(folder, state, model, {} if without_train else _read_tensors(folder, TRAIN, state))


def newest_checkpoint(run: Path) -> Path:
    """``last``, or ``previous`` where a kill left no ``last``. ``CheckpointError`` when the run has neither."""
    for name in ("last", "previous"):
        if (run / "weights" / name / STATE).is_file():
            return run / "weights" / name
    raise CheckpointError(f"{run}: no checkpoint here (looked for weights/last). Is it a run of `orthoforge train`?")


def checkpoint_folder(run: Path) -> Path:
    """The checkpoint that ``run`` means: itself, or its newest when it is a run folder."""
    return run if (run / STATE).is_file() else newest_checkpoint(run)


class TrainedGenerator:
    """Turns masks into images: ``generator(mask) -> image``.

    ``recipe``, ``gsd_m`` (metres per pixel that it was trained at, ``None`` when mixed), ``classes`` (``None`` for building masks,
    else ``names`` and ``colours`` by index), ``attribution`` of its training images and ``sha256`` of its weights say what it is.
    """

    def __init__(self, network: nn.Module, *, recipe: Recipe, state: Mapping[str, Any], sha256: str, device: str) -> None:
        self.network = network.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.recipe, self.sha256, self.device = recipe, sha256, device
        self.gsd_m: float | None = state["tiles"]["gsd_m"]
        self.classes: dict[str, list] | None = state["tiles"]["classes"]
        self.attribution: str = state["tiles"]["attribution"]
        self.step: int = state["progress"]["step"]

    def __call__(self, mask: np.ndarray, *, seed: int = 0, origin: tuple[int, int] = (0, 0)) -> np.ndarray:
        """Image (H, W, 3) uint8 for a mask (H, W) of any size: bool, or uint8 of 0/1, 0/255 or class indices.

        Padded by reflection to what the network takes, and cropped back. ``seed`` decides all that is random in the network, as a
        function of place: ``origin`` is where the mask's first (row, column) lies. The same mask, seed and origin give the same
        image on the same machine. Raises ``DataError`` for another shape, type or value.
        """
        values = self._mask_values(np.asarray(mask))
        height, width = values.shape
        place_noise(self.network, NoiseField(seed, *origin))
        try:
            with torch.inference_mode():
                image = decode_image(self.network(self._condition(values[None])))[0]
        except torch.OutOfMemoryError as error:
            raise ResourceError(
                f"generating {width}×{height} px needs more memory than {self.device} has left (about "
                f"{self.memory_bytes(height, width) / 1e9:.1f} GB). Close what else uses it, or generate on the CPU."
            ) from error
        return image[:height, :width].cpu().numpy()

    def for_scene(
        self, windows: Sequence[np.ndarray], *, seed: int = 0, origins: Sequence[tuple[int, int]] = ((0, 0),)
    ) -> "TrainedGenerator":
        """This generator with the image statistics of a scene, gathered over ``windows`` of its mask, which are of one size.

        What it then makes of a pixel depends on the mask within ``reach_px`` and on nothing else, so a scene can be generated
        window by window. A generator without norms over the image is returned as it is.
        """
        if not has_image_statistics(self.network):
            return self
        scene = copy.copy(self)
        place_noise(self.network, *(NoiseField(seed, *origin) for origin in origins))
        scene.network = with_statistics_of(self.network, self._condition(np.stack([self._mask_values(mask) for mask in windows])))
        return scene

    def to(self, device: str) -> "TrainedGenerator":
        """A copy on another device."""
        moved = copy.copy(self)
        moved.network, moved.device = copy.deepcopy(self.network).to(require_device(device)), device
        return moved

    @property
    def stride_px(self) -> int:
        """What the sides of the network's input are padded to a multiple of."""
        return generator_stride(self.recipe.generator)

    @property
    def reach_px(self) -> int:
        """How many pixels beside an output pixel the network looks at, apart from statistics of the image."""
        return generator_reach(self.recipe.generator)

    @property
    def is_noisy(self) -> bool:
        """Whether the seed changes the image."""
        return is_noisy(self.network)

    def _condition(self, masks: np.ndarray) -> Tensor:
        """(N, H, W) mask values to the network's input (N, C, H', W'), padded to its stride."""
        padded = _pad_to_stride(masks, self.stride_px)
        return encode_mask(torch.from_numpy(padded), self._class_count).to(self.device, memory_format=torch.channels_last)

    def memory_bytes(self, height: int, width: int) -> int:
        """About how much memory an image of this size takes to generate in one piece."""
        maps = _PEAK_MAPS[self.recipe.generator.rstrip("0123456789")]
        per_pixel = maps * 4 * self.recipe.generator_width + _IN_AND_OUT_BYTES
        return round(per_pixel * (height + 16) * (width + 16))

    @property
    def _class_count(self) -> int | None:
        return len(self.classes["names"]) if self.classes else None

    def _mask_values(self, mask: np.ndarray) -> np.ndarray:
        if mask.ndim != 2 or 0 in mask.shape:
            raise DataError(f"a mask has shape (height, width); this one has {mask.shape}.")
        if mask.dtype != np.bool_ and mask.dtype != np.uint8:
            raise DataError(f"a mask is bool or uint8; this one is {mask.dtype}.")
        if self._class_count is None:
            values = np.unique(mask)
            if not set(values.tolist()) <= {0, 1, 255}:
                raise DataError(f"a building mask holds 0 and 1, or 0 and 255; this one also has {values[-2:].tolist()}.")
            return np.where(mask > 0, np.uint8(255), np.uint8(0))
        if mask.max() >= self._class_count:
            raise DataError(
                f"this run knows {self._class_count} classes (0 to {self._class_count - 1}); the mask has {mask.max()}."
            )
        return mask.astype(np.uint8)


def load_generator(run: str | Path, *, device: str = "cpu") -> TrainedGenerator:
    """The generator of a run, ready to call.

    ``run`` is a run folder (its ``last`` weights are taken) or one of its checkpoints, such as ``RUN/weights/best``. Only the
    recipe in the checkpoint decides the architecture. Raises ``CheckpointError`` when there is none, or when its bytes changed,
    and ``ConfigError`` for a device that is not there.
    """
    require_device(device)
    run = Path(run)
    if run.suffix in (".pt", ".pth", ".ckpt", ".pkl"):
        raise CheckpointError(f"{run}: pickled weights can run any code when opened and are not read; safetensors are.")
    folder = checkpoint_folder(run)
    state = _read_state(folder)
    tensors = _read_tensors(folder, MODEL, state)
    recipe = recipe_of(state, folder)
    classes = state["tiles"]["classes"]
    network = new_generator(recipe, len(classes["names"]) if classes else None)
    load_weights(network, tensors, f"{folder / MODEL}")
    return TrainedGenerator(network, recipe=recipe, state=state, sha256=state["checksums"][MODEL], device=device)


def require_device(name: str) -> torch.device:
    """The device of that name. ``ConfigError`` when there is none here."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        known = name.partition(":")[0] in ("cpu", "cuda", "mps", "xpu")
        why = f" ({str(error).splitlines()[0].rstrip('.')})" if known else ""
        raise ConfigError(f"device {name!r} cannot be used here{why}. Choose cpu, or cuda where there is a GPU.") from error
    return device


def new_generator(recipe: Recipe, class_count: int | None) -> nn.Module:
    """The recipe's generator with initial weights, for building masks (``None``) or masks of ``class_count`` classes."""
    channels = condition_channels(class_count)
    return build_generator(recipe.generator, channels, width=recipe.generator_width, norm=recipe.norm, upsample=recipe.upsample)


def recipe_of(state: Mapping[str, Any], folder: Path) -> Recipe:
    """The recipe in a checkpoint's state."""
    try:
        return recipe_from(state["recipe"], source=f"{folder / STATE}")
    except ConfigError as error:
        raise CheckpointError(f"{error} It was written by another version of orthoforge.") from error


def load_weights(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copy ``tensors`` into ``network``. ``CheckpointError`` names the first one that is missing, left over or of another shape."""
    own = network.state_dict()
    for name in [*own, *tensors]:
        if name not in tensors or name not in own:
            raise CheckpointError(
                f"{source}: {name} is {'missing from' if name in own else 'only in'} the file; the recipes differ."
            )
    for name, tensor in own.items():
        if tensor.shape != tensors[name].shape:
            what = f"{name} is {tuple(tensor.shape)} in the network and {tuple(tensors[name].shape)} in the file"
            if tensor.dim() == 4 and tensor.shape[1] != tensors[name].shape[1] and name == next(iter(own)):
                what = f"generator expects {tensor.shape[1]} mask channels, file has {tensors[name].shape[1]} ({what})"
            raise CheckpointError(f"{source}: {what}.")
    network.load_state_dict(dict(tensors))


def _pad_to_stride(masks: np.ndarray, stride: int) -> np.ndarray:
    """Grow (N, H, W) to multiples of the stride, at the far edges, by reflection; edge pixels where it is too small to reflect."""
    # A network that halves twice and pads by reflection needs two quarter-resolution pixels at least; a U-Net ends in one.
    least = 2 * stride if stride == 4 else stride
    sides = masks.shape[1:]
    grow = [(0, max(least, -(-side // stride) * stride) - side) for side in sides]
    if not any(after for _, after in grow):
        return masks
    reflects = all(after < side for (_, after), side in zip(grow, sides, strict=True))
    return np.pad(masks, [(0, 0), *grow], mode="reflect" if reflects else "edge")


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _state_bytes(body: Mapping[str, Any]) -> bytes:
    """``state.json``, with its own checksum in it."""
    sha256 = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return json.dumps({**body, "sha256": sha256}, indent=1).encode()


def _read_state(folder: Path) -> dict[str, Any]:
    path = folder / STATE
    if not path.is_file():
        raise CheckpointError(f"{folder}: no checkpoint here ({STATE} is missing).")
    try:
        payload = path.read_bytes()
        body = {key: value for key, value in json.loads(payload).items() if key != "sha256"}
        # Byte for byte: JSON spells one value in several ways, so its content alone would hide some flipped bits.
        sound = payload == _state_bytes(body)
    except (ValueError, AttributeError):
        sound = False
    if not sound:
        raise CheckpointError(f"{path}: its checksum does not fit: the file was cut short or changed.{_alternative(folder)}")
    if body["format"] > FORMAT:
        raise CheckpointError(
            f"{path}: written by a newer orthoforge (format {body['format']}, this one reads {FORMAT}). Upgrade it."
        )
    return body


def _read_tensors(folder: Path, name: str, state: Mapping[str, Any]) -> dict[str, Tensor]:
    path = folder / name
    if not path.is_file():
        if name == TRAIN:
            hint = " Start another run from its weights with --init-from."
            raise CheckpointError(f"{path}: missing, so training cannot go on from here.{hint}")
        raise CheckpointError(f"{path}: missing; it holds the weights.{_alternative(folder)}")
    payload = path.read_bytes()
    if hashlib.sha256(payload).hexdigest() != state["checksums"][name]:
        raise CheckpointError(f"{path}: its checksum does not fit: the file was cut short or changed.{_alternative(folder)}")
    try:
        return load(payload)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not readable as safetensors: {error}") from error


def _alternative(folder: Path) -> str:
    """Points to what can be used instead of a damaged checkpoint."""
    before, last = folder.with_name("previous"), folder.with_name("last")
    if folder.name == "last" and (before / STATE).is_file():
        return f" The checkpoint before it is there: move {folder} away, and {before} is used."
    if folder.name != "last" and (last / STATE).is_file():
        return f" {last} is there too."
    return ""
