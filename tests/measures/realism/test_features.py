"""Feature networks are what they are called, and say so; perceptual distances rank images as they must."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from orthoforge.errors import CheckpointError, ConfigError
from orthoforge.files import sha256_of
from orthoforge.measures.realism import features, inception
from orthoforge.measures.realism.features import LiteFeatures, ScoreNetwork, clean_resize, open_network, perceptual_distance
from orthoforge.measures.realism.inception import InceptionV3
from orthoforge.models.perceptual import load_features


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def lite():
    return LiteFeatures()


@pytest.fixture(scope="module")
def town():
    """Ground with roofs and texture (2, 3, 96, 96) in [-1, 1]."""
    rng = np.random.default_rng(0)
    blocks = np.kron(rng.uniform(-0.7, 0.7, (2, 3, 12, 12)), np.ones((1, 1, 8, 8)))
    return torch.from_numpy(blocks + rng.normal(0, 0.1, blocks.shape)).clamp(-1, 1).float()


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    """Random weights in the format of the published file: its names and shapes, with the classifier, without counters."""
    torch.manual_seed(0)
    state = {name: tensor for name, tensor in InceptionV3().state_dict().items() if not name.endswith("num_batches_tracked")}
    path = tmp_path_factory.mktemp("weights") / features.INCEPTION_FILE
    torch.save(state, path)
    return path


def test_lite_features_are_the_networks_own_with_batch_norm_folded_in(lite, town):
    plain = load_features("efficientnet-lite0", (*features.PERCEPTUAL_LAYERS, features.LITE_LAYER))
    expected = plain(town)
    maps, vectors = lite(town)
    for found, layer in zip(maps, expected, strict=False):
        assert torch.allclose(found, layer, atol=1e-3 * layer.abs().max().item())
    assert torch.allclose(vectors, expected[-1].mean(dim=(2, 3)), atol=1e-4)
    network = lite.network()
    assert vectors.shape == (2, network.channels)
    assert network.circumstances()["weights_sha256"] == plain.weights_sha256
    assert torch.equal(network.embed(town), vectors)


def test_perceptual_distance_by_hand():
    one = torch.tensor([[3.0, 4.0]]).view(1, 2, 1, 1)  # along (0.6, 0.8)
    other = torch.tensor([[10.0, 0.0]]).view(1, 2, 1, 1)  # along (1, 0)
    apart = 0.4**2 + 0.8**2
    assert perceptual_distance([one, one], [other, one]).tolist() == pytest.approx([apart / 2])
    dark = torch.zeros_like(one)
    assert perceptual_distance([dark], [dark]).tolist() == [0]


def test_perceptual_distance_is_zero_for_equal_images_and_grows_with_what_was_done_to_them(lite, town):
    def distance(images):
        return perceptual_distance(lite(images)[0], lite(town)[0]).mean().item()

    def blurred(times):
        images = town
        for _ in range(times):
            images = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), "reflect"), 3, 1)
        return images

    def noisy(size):
        return (town + size * torch.randn(town.shape, generator=torch.Generator().manual_seed(0))).clamp(-1, 1)

    assert distance(town) == 0
    assert 0 < distance(blurred(1)) < distance(blurred(4)) < distance(blurred(20))
    assert 0 < distance(noisy(0.05)) < distance(noisy(0.2)) < distance(noisy(0.6))
    assert distance(noisy(0.05)) < distance(town.flip(0))
    assert distance(town * torch.tensor([1.0, 0.9, 1.0]).view(3, 1, 1)) < distance(town.flip(0))


def test_clean_resize_is_pillows_bicubic_on_floats():
    images = torch.rand(1, 3, 64, 80) * 2 - 1
    for side in (37, 299):
        found = clean_resize(images, side)[0].numpy()
        for band, plane in zip(found, images[0].numpy(), strict=True):
            expected = np.asarray(Image.fromarray(plane, mode="F").resize((side, side), Image.Resampling.BICUBIC)).clip(-1, 1)
            assert np.abs(band - expected).max() < 1e-4


def test_inception_opens_the_published_format_and_names_its_circumstances(inception_file, town):
    digest = sha256_of(inception_file)
    network = open_network("inception-v3", weights=inception_file, sha256=digest[:8])
    vectors = network.embed(town)
    assert vectors.shape == (2, 2048)
    assert torch.isfinite(vectors).all() and vectors.std() > 0
    said = network.circumstances()
    assert said["weights_sha256"] == digest
    assert "299 px" in said["resizing"]
    # The same as the module itself on images that were resized before.
    module = InceptionV3().eval()
    module.load_state_dict(torch.load(inception_file, weights_only=True), strict=False)
    with torch.no_grad():
        assert torch.allclose(vectors, module(clean_resize(town, 299)), atol=1e-4)


def test_inception_has_the_published_parameters():
    with torch.device("meta"):
        module = InceptionV3()
    learnt = sum(parameter.numel() for name, parameter in module.named_parameters() if not name.startswith("fc."))
    assert learnt == 21_785_568  # of the paper's network without auxiliary and final classifier
    assert module.fc.weight.shape == (1008, 2048)
    names = module.state_dict()
    assert names["Conv2d_1a_3x3.conv.weight"].shape == (32, 3, 3, 3)
    assert names["Mixed_6e.branch7x7dbl_5.conv.weight"].shape == (192, 192, 1, 7)
    assert names["Mixed_7c.branch3x3dbl_3b.bn.running_var"].shape == (384,)


def test_inceptions_poolings_are_those_of_the_graph_of_2015():
    """At a border an average of the pixels that are there; and the largest in the last block alone."""
    assert torch.allclose(inception._average(torch.ones(1, 1, 3, 3)), torch.ones(1, 1, 3, 3))
    module = InceptionV3()
    assert (module.Mixed_7b.max_pooled, module.Mixed_7c.max_pooled) == (False, True)


def test_other_weights_are_refused(inception_file, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"does not begin with 6726825d.*cut short.*efficientnet-lite0, needs no file"):
        open_network("inception-v3", weights=inception_file)
    with pytest.raises(ConfigError, match=r"are not there.*name it with --weights"):
        open_network("inception-v3", weights=tmp_path / "nowhere.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match=r"checkpoints/pt_inception-2015-12-05-6726825d.pth: the weights"):
        open_network("inception-v3")
    with pytest.raises(ConfigError, match="unknown feature network `vgg`; there are efficientnet-lite0, geoembed and inception-v3"):
        open_network("vgg")
    with pytest.raises(ConfigError, match="are the installed ones"):
        open_network("efficientnet-lite0", weights=inception_file)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("Mixed_5b.branch1x1.conv.weight"), "Mixed_5b.branch1x1.conv.weight is missing"),
        (lambda state: state.update({"AuxLogits.fc.weight": torch.zeros(2)}), "AuxLogits.fc.weight is unknown to inception-v3"),
        (lambda state: state.update({"fc.weight": torch.zeros(1000, 2048)}), r"fc.weight is \(1000, 2048\), not \(1008, 2048\)"),
        (lambda state: state["Conv2d_1a_3x3.bn.bias"].fill_(torch.nan), "Conv2d_1a_3x3.bn.bias holds NaN"),
    ],
)
def test_weights_that_do_not_fit_are_refused(inception_file, tmp_path, change, words):
    state = torch.load(inception_file, weights_only=True)
    change(state)
    path = tmp_path / "other.pth"
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=words):
        open_network("inception-v3", weights=path, sha256=sha256_of(path))


def test_damaged_weights_are_refused(tmp_path):
    path = tmp_path / "damaged.pth"
    path.write_bytes(b"\x80\x02 nothing of the kind")
    with pytest.raises(CheckpointError, match="damaged"):
        open_network("inception-v3", weights=path, sha256=sha256_of(path))


def test_any_network_can_be_one():
    means = ScoreNetwork("means", "bands", "0" * 64, "none", 3, lambda images: images.mean(dim=(2, 3)))
    assert means.embed(torch.ones(2, 3, 4, 4)).tolist() == [[1, 1, 1]] * 2
