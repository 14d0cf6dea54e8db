"""LPIPS from files of its published format: random weights, whose distance is computed by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lpips_files import write_lpips
from orthoforge.errors import CheckpointError, ConfigError
from orthoforge.measures.realism.lpips import KINDS, load_lpips

# Of torchvision's networks: the number of each convolution, its stride and padding, and what comes before it.
CONVOLUTIONS = {
    "alexnet": ((0, 4, 2, 0), (3, 1, 2, 3), (6, 1, 1, 3), (8, 1, 1, 0), (10, 1, 1, 0)),
    "vgg16": tuple((n, 1, 1, 2 * (n in (5, 10, 17, 24))) for n in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)),
}
COMPARED = {"alexnet": (0, 3, 6, 8, 10), "vgg16": (2, 7, 14, 21, 28)}


@pytest.fixture(scope="module", params=["alexnet", "vgg16"])
def published(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, folder, *write_lpips(folder, request.param)


def images(count=2, side=48):
    rng = np.random.default_rng(1)
    return torch.from_numpy(rng.uniform(-1, 1, (count, 3, side, side + 8))).float()


def by_hand(network, linear, tensors, fake, real):
    """Zhang et al. 2018, eq. 1, for one pair of images (1, 3, H, W), layer by layer."""
    total, layer = 0.0, 0
    mean, deviation = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    both = [(image - mean[:, None, None]) / deviation[:, None, None] for image in (fake, real)]
    for number, stride, padding, pooled in CONVOLUTIONS[network]:
        weight, bias = tensors[f"features.{number}.weight"], tensors[f"features.{number}.bias"]
        both = [F.max_pool2d(x, pooled, 2) if pooled else x for x in both]
        both = [F.relu(F.conv2d(x, weight, bias, stride, padding)) for x in both]
        if number in COMPARED[network]:
            a, b = (x[0] / (x[0].pow(2).sum(0).sqrt() + 1e-10) for x in both)
            total += ((a - b) ** 2 * linear[f"lin{layer}.model.1.weight"][0]).sum(0).mean().item()
            layer += 1
    assert layer == 5
    return total


def test_it_is_the_papers_formula(published):
    network, folder, linear, tensors, sums = published
    distance = load_lpips(folder, sha256=sums)
    fake, real = images(), images().flip(3)
    found = distance(fake, real)
    for n in range(2):
        assert found[n].item() == pytest.approx(by_hand(network, linear, tensors, fake[n : n + 1], real[n : n + 1]), rel=1e-4)
    assert found.min() > 0.01
    assert distance(fake, fake).tolist() == [0, 0]
    assert distance.circumstances()["network"].endswith(network)
    assert all(sha in distance.circumstances()["weights_sha256"] for sha in sums.values())


def test_layers_have_the_published_names_and_shapes(published):
    network, _, linear, tensors, _ = published
    convolutions = [name for name in tensors if name.startswith("features.") and name.endswith("weight")]
    assert convolutions == [f"features.{number}.weight" for number, *_ in CONVOLUTIONS[network]]
    outputs = [tensors[f"features.{number}.weight"].shape[0] for number in COMPARED[network]]
    assert outputs == [weight.shape[1] for weight in linear.values()] == list(KINDS[network].channels)


def test_the_smallest_image_is_as_said(published):
    _, folder, _, _, sums = published
    distance = load_lpips(folder, sha256=sums)
    assert torch.isfinite(distance(*(2 * [images(1, distance.least_px)]))).all()
    with pytest.raises(RuntimeError):
        distance(*(2 * [images(1, distance.least_px - 1)]))


def test_other_files_are_told_apart(published, tmp_path):
    network, folder, linear, tensors, sums = published
    kind = KINDS[network]
    with pytest.raises(ConfigError, match=rf"{kind.linear_file} .*not the published file's, {kind.linear_sha256}"):
        load_lpips(folder)
    words = r"needs `alex\.pth` and `alexnet-owt-7be5be79\.pth` or `vgg\.pth` and `vgg16-397923af\.pth`"
    with pytest.raises(ConfigError, match=words):
        load_lpips(tmp_path)
    for linear_tensors, network_tensors, words in (
        (linear | {"lin0.model.1.weight": torch.rand(1, 3, 1, 1)}, tensors, r"lin0.* is \(1, 3, 1, 1\), not"),
        (linear, {name: t for name, t in tensors.items() if name != "features.0.bias"}, "features.0.bias is missing"),
        (linear, tensors | {"features.99.weight": torch.zeros(1)}, "features.99.weight is unknown"),
        (linear | {"lin1.model.1.weight": linear["lin1.model.1.weight"] * torch.nan}, tensors, "NaN"),
    ):
        torch.save(linear_tensors, tmp_path / kind.linear_file)
        torch.save(network_tensors, tmp_path / kind.network_file)
        with pytest.raises(CheckpointError, match=words):
            load_lpips(tmp_path, sha256=dict.fromkeys(sums, ""))


def test_pickled_classes_are_not_opened(tmp_path):
    kind = KINDS["alexnet"]
    _, _, sums = write_lpips(tmp_path, "alexnet")
    torch.save(torch.nn.Linear(1, 1), tmp_path / kind.linear_file)
    with pytest.raises(CheckpointError, match="could run any code"):
        load_lpips(tmp_path, sha256=dict.fromkeys(sums, ""))
