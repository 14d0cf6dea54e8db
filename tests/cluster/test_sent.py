"""A generator that travels makes the same images where it arrives, by the same engine."""

import pickle

import numpy as np
import pytest

from conftest import make_mask
from orthoforge.trained_generator import load_generator
from orthoforge.trained_generator.sent import Sent, device_there
from saved_runs import save_run


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_a_copy_makes_the_same_image(tmp_path, backend):
    if backend != "torch":
        pytest.importorskip("onnxruntime", reason="the extra export is not installed")
    save_run(tmp_path)
    generator, mask = load_generator(tmp_path).on_backend(backend), make_mask(64)
    arrived = pickle.loads(pickle.dumps(Sent(generator))).generator
    assert (arrived.backend, arrived.device, arrived.sha256) == (backend, "cpu", generator.sha256)
    np.testing.assert_array_equal(arrived(mask, seed=3), generator(mask, seed=3))


def test_a_worker_sees_its_own_gpu_alone():
    assert [device_there(names) for names in ("cpu", "cuda:1,cuda:2", "cuda", "mps")] == ["cpu", "cuda", "cuda", "mps"]
