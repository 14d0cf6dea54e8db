"""ONNX graphs at work in ONNX Runtime and OpenVINO, on the processor."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

import numpy as np

from orthoforge.backends.names import Backend, BackendName

_MOST_SIZES = 2  # each has weights and maps of its own
_Sizes = tuple[tuple[str, tuple[int, ...]], ...]


class Request(Protocol):
    """OpenVINO's, as far as it is used."""

    def infer(self, inputs: dict[str, np.ndarray], *, share_inputs: bool) -> dict[int, np.ndarray]: ...


@cache
def _openvino_core() -> Any:
    """OpenVINO's, one for the process.

    Each gives the thread that asks it first a stack for signals, and frees it with itself. Of several, closed in the order in
    which they were opened, the last would leave the thread a stack that is freed: the next signal, a Ctrl-C, would end the process.
    """
    import openvino

    return openvino.Core()


def open_engine(name: BackendName, model: bytes, threads: int) -> Backend:
    """The engine ``onnx`` or ``openvino`` with a model in ONNX. It computes in float32, as PyTorch does."""
    assert name != "torch", "PyTorch computes its own network"
    return _OnnxRuntime(model, threads) if name == "onnx" else OpenVino(model, threads)


class _Shared:
    """An engine is nothing that could be copied: copies of a network share it."""

    def __deepcopy__(self, _memo: object) -> "_Shared":
        return self


class _OnnxRuntime(_Shared):
    def __init__(self, model: bytes, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3  # errors alone
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        image: np.ndarray = self._session.run(None, dict(inputs))[0]
        return image


class OpenVino(_Shared):
    """Compiled for any size at first. What comes a second time in one size, as blocks of a scene do, is compiled for that size,
    which is a quarter faster (bench/backends.py).
    """

    def __init__(self, model: bytes, threads: int, precision: str = "f32") -> None:
        self._core, self._model = _openvino_core(), model
        self._settings = {
            "INFERENCE_PRECISION_HINT": precision,  # bf16 is faster where the hardware has it, but off by more than a level
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
        }
        self._of_size: OrderedDict[_Sizes, Request] = OrderedDict()
        self._before: _Sizes = ()
        self._busy = threading.Lock()  # a request holds its maps, so that one at a time is asked

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        sizes = tuple((name, value.shape) for name, value in inputs.items())
        with self._busy:
            image: np.ndarray = self._request(sizes).infer(dict(inputs), share_inputs=True)[0]
            return image.copy()  # the next call writes over it

    def _request(self, sizes: "_Sizes") -> "Request":
        key = sizes if sizes in self._of_size or sizes == self._before else ()
        self._before = sizes
        if key not in self._of_size:
            model = self._core.read_model(self._model)
            if key:
                model.reshape({name: list(shape) for name, shape in key})
            self._of_size[key] = self._core.compile_model(model, "CPU", self._settings).create_infer_request()
            if len(self._of_size) > _MOST_SIZES:
                self._of_size.popitem(last=False)
        self._of_size.move_to_end(key)
        return self._of_size[key]
