"""A graph with weights and maps of eight bits, if its images are as near to real ones as before."""

import copy
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from orthoforge.backends.elsewhere import computed_by
from orthoforge.backends.engines import open_engine
from orthoforge.backends.inputs import NoiseLayer
from orthoforge.errors import ConfigError
from orthoforge.measures.realism.distances import kernel_distance, kernel_interval, resample
from orthoforge.measures.realism.features import LiteFeatures
from orthoforge.models.conditions import encode_image
from orthoforge.runs import TileImages
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import TrainedGenerator

CALIBRATED_ON = 16  # training tiles: their maps give the ranges
SCORED_ON = 200  # tiles that were not trained on
LEAST_SCORED = 8
_BATCH = 16


def quantised(model: bytes, generator: TrainedGenerator, noise: Sequence[NoiseLayer], tiles: str | Path) -> bytes:
    """The graph in eight bits, its ranges those of training tiles. ``ConfigError`` where its scores are worse by more than the
    interval."""
    store = TileStore.open(Path(tiles))
    kept = kept_out(store)
    int8 = calibrated(model, generator, noise, store)
    threads = torch.get_num_threads()
    rival = with_network(generator, computed_by(generator.network, open_engine("onnx", int8, threads), list(noise)))
    ours, theirs = TileImages(generator), TileImages(rival)
    require_equal(partial(ours.of_tile, store, seed=0), partial(theirs.of_tile, store, seed=0), store, kept)
    return int8


def calibrated(model: bytes, generator: TrainedGenerator, noise: Sequence[NoiseLayer], store: TileStore) -> bytes:
    """The graph in eight bits, its ranges those of training tiles; nobody has looked at its images."""
    return _static(model, _recorded(model, generator, noise, store, store.ids("train")[:CALIBRATED_ON].tolist()))


def require_equal(
    images: Callable[[int], np.ndarray], rivals: Callable[[int], np.ndarray], store: TileStore, tile_ids: Sequence[int]
) -> None:
    """``ConfigError`` where the rival images' kernel distance to the real tiles lies above that of ``images`` by more than half of
    its 95 % interval."""
    eyes = LiteFeatures().network()

    def seen(read: Callable[[int], np.ndarray]) -> np.ndarray:
        parts = [tile_ids[start : start + _BATCH] for start in range(0, len(tile_ids), _BATCH)]
        return np.concatenate(
            [eyes.embed(encode_image(torch.from_numpy(np.stack(list(map(read, some)))))).numpy() for some in parts]
        )

    real, ours, theirs = seen(lambda tile_id: store.tile(tile_id)[0]), seen(images), seen(rivals)
    groups = [str(tile_id) for tile_id in tile_ids]
    drawn = resample(groups, groups, together=True)
    assert drawn is not None, "there are several tiles"
    low, high = kernel_interval(ours, real, drawn)
    before, after = kernel_distance(ours, real), kernel_distance(theirs, real)
    if after - before > (high - low) / 2:
        raise ConfigError(
            f"int8 loses too much: the kernel distance (x 1000) to {len(tile_ids)} tiles becomes {1000 * after:.2f}, and was "
            f"{1000 * before:.2f} ({1000 * low:.2f} to {1000 * high:.2f}). Export it without int8."
        )


def kept_out(store: TileStore) -> list[int]:
    """Tiles of the other splits."""
    ids = [*store.ids("test").tolist(), *store.ids("val").tolist()][:SCORED_ON]
    if len(ids) < LEAST_SCORED:
        raise ConfigError(
            f"{store.path}: has {len(ids)} tiles that do not train; {LEAST_SCORED} are the least that tell whether int8 is as good."
        )
    return ids


def _recorded(
    model: bytes, generator: TrainedGenerator, noise: Sequence[NoiseLayer], store: TileStore, tile_ids: Sequence[int]
) -> list[dict[str, np.ndarray]]:
    """What the network is given for images of some tiles."""
    engine, given = open_engine("onnx", model, torch.get_num_threads()), list[dict[str, np.ndarray]]()

    def recording(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        given.append(dict(inputs))
        return engine(inputs)

    images = TileImages(with_network(generator, computed_by(generator.network, recording, list(noise))))
    for tile_id in tile_ids:
        images.of_tile(store, tile_id, 0)
    return given


def with_network(generator: TrainedGenerator, network: torch.nn.Module) -> TrainedGenerator:
    """The generator with another network at work."""
    other = copy.copy(generator)
    other.network = network
    return other


def _static(model: bytes, given: Sequence[dict[str, np.ndarray]]) -> bytes:
    """ONNX Runtime's static quantisation: convolutions of eight bits, each channel with a scale of its own."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Given(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left: Iterator[dict[str, np.ndarray]] = iter(given)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._left, None)

    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        before.write_bytes(model)
        quantize_static(
            before, after, Given(), quant_format=QuantFormat.QDQ, per_channel=True, op_types_to_quantize=["Conv"],
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
        return after.read_bytes()
