"""The judge from outside: its published weights give the package's own vectors, and nothing can be trained through it."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from orthoforge.config import Recipe, load_recipe
from orthoforge.errors import CheckpointError, ConfigError
from orthoforge.files import sha256_of
from orthoforge.measures.realism import geoembed
from orthoforge.measures.realism.features import open_network
from orthoforge.measures.realism.geoembed import CHANNELS, GeoEmbed, embedded, load_geoembed, pieces_per_side
from orthoforge.models.perceptual import load_features

INSTALLED = importlib.util.find_spec("geoembed") is not None
VECTORS = Path(__file__).parents[2] / "data" / "geoembed_vectors.npy"  # of `pictures`, by the package itself (1.1.2, netcl on pocl)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def pictures():
    """Two of noise, two of blocks (4, 128, 128, 3)."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (2, 128, 128, 3), dtype=np.uint8)
    blocks = np.kron(rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8), np.ones((1, 16, 16, 1), np.uint8))
    return np.concatenate([noise, blocks])


def tensors(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


@pytest.fixture(scope="module")
def random_network():
    torch.manual_seed(0)
    return GeoEmbed().eval().requires_grad_(False)


@pytest.fixture
def weights_file(random_network, tmp_path, monkeypatch):
    """Random weights as the published file has them: its names, its settings, the linear layer the other way round."""

    def write(**changed):
        state = {name: each.numpy() for name, each in random_network.state_dict().items() if not name.endswith("batches_tracked")}
        state["fc.weight"] = state["fc.weight"].T
        state |= {
            name: np.array([value], np.int32) for name, value in (("embed_dim", 256), ("base_channels", 64), ("pool_size", 4))
        }
        np.savez(tmp_path / "v3.npz", **{name: each for name, each in (state | changed).items() if each is not None})
        monkeypatch.setattr(geoembed, "SHA256", sha256_of(tmp_path / "v3.npz"))
        return tmp_path / "v3.npz"

    return write


@pytest.mark.skipif(not INSTALLED, reason="needs the package geoembed")
def test_published_weights_give_the_packages_vectors():
    network, digest = load_geoembed()
    assert digest == geoembed.SHA256
    with torch.inference_mode():
        assert np.abs(network(tensors(pictures())).numpy() - np.load(VECTORS)).max() < 1e-5


@pytest.mark.skipif(not INSTALLED or importlib.util.find_spec("netcl") is None, reason="needs the package geoembed with netcl")
def test_the_package_itself_gives_the_vectors_of_the_comparison():
    opencl = pytest.importorskip("pyopencl")
    try:
        found = opencl.get_platforms()
    except opencl.Error:
        found = []
    if not found:
        pytest.skip("needs an OpenCL device, such as pocl")
    from geoembed import Model

    vectors = Model.v3(device="cpu").encode([Image.fromarray(image) for image in pictures()])
    assert np.abs(vectors - np.load(VECTORS)).max() < 1e-5


def test_a_file_is_read_by_its_names(weights_file, random_network):
    network, _ = load_geoembed(weights_file())
    images = tensors(pictures()[2:])
    with torch.inference_mode():
        found, expected = network(images), random_network(images)
    assert torch.allclose(found, expected, atol=1e-6)
    assert torch.allclose(found.norm(dim=1), torch.ones(2))
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"fc.bias": None}, r"fc.bias is missing, not \(256,\)"),
        ({"fc.bias": np.zeros(7, np.float32)}, r"fc.bias is \(7,\), not \(256,\)"),
        ({"more": np.zeros(1)}, "more is unknown to geoembed"),
        ({"pool_size": np.array([2])}, "pool_size is not 4"),
    ],
)
def test_other_weights_are_refused(weights_file, changed, words):
    with pytest.raises(CheckpointError, match=words):
        load_geoembed(weights_file(**changed))


def test_another_or_a_missing_file_is_named(tmp_path, monkeypatch):
    path = tmp_path / "v3.npz"
    with pytest.raises(
        ConfigError, match=r"v3.npz: the weights of geoembed are not there. Run `pip install 'orthoforge\[judge\]'`"
    ):
        load_geoembed(path)
    path.write_bytes(b"cut short")
    with pytest.raises(ConfigError, match=rf"its SHA-256 is {sha256_of(path)}, that of geoembed 1.1.2 is fbd6dd8e"):
        load_geoembed(path)
    monkeypatch.setattr(geoembed, "SHA256", sha256_of(path))
    with pytest.raises(CheckpointError, match="not readable as NumPy's arrays"):
        load_geoembed(path)
    monkeypatch.setattr(geoembed, "PACKAGE", "not_installed_here")
    with pytest.raises(ConfigError, match="the weights of not_installed_here are not installed"):
        load_geoembed()


@pytest.mark.parametrize(
    ("size_px", "gsd_m", "pieces"), [(224, 0.3, 2), (112, 0.3, 1), (32, 0.3, 1), (128, 0.6, 2), (256, None, 2), (512, 0.148, 2)]
)
def test_an_image_is_cut_into_pieces_of_one_size_on_the_ground(size_px, gsd_m, pieces):
    assert pieces_per_side(size_px, gsd_m) == pieces


def test_an_images_vector_is_the_direction_of_its_pieces_mean(random_network):
    images = tensors(pictures()[1:3])
    whole = torch.cat([torch.cat([images[:1], images[1:]], dim=3), torch.cat([images[1:], images[:1]], dim=3)], dim=2)
    found = embedded(random_network, whole, 0.3)
    expected = random_network(images).mean(dim=0, keepdim=True)
    assert torch.allclose(found, CHANNELS**0.5 * expected / expected.norm(), atol=1e-4)
    assert torch.allclose(found.norm(), torch.tensor(16.0))


def test_a_network_by_name_says_what_it_saw(weights_file):
    path = weights_file()
    network = open_network("geoembed", weights=path, gsd_m=0.3)
    assert network.circumstances() == {
        "network": "geoembed", "layer": "output, mean over pieces, of length √256", "weights_sha256": sha256_of(path),
        "resizing": "pieces of some 38 m (at 0.3 m a pixel) at 128 px, bilinear with antialiasing",
    }  # fmt: skip
    assert network.embed(tensors(pictures()[:1, :40, :40])).shape == (1, CHANNELS)


def test_no_gradient_passes_through_the_judge(weights_file):
    images = tensors(pictures()[:1]).requires_grad_()
    vectors = open_network("geoembed", weights=weights_file(), gsd_m=0.3).embed(images)
    assert vectors.grad_fn is None and not vectors.requires_grad
    with pytest.raises(RuntimeError, match="does not require grad"):
        vectors.sum().backward()


@pytest.mark.parametrize(
    "settings",
    [{}, {"lambda_perceptual": 1.0}, {"discriminator": "projected", "gan_loss": "hinge"}],
    ids=["named", "loss", "discriminator"],
)
def test_no_recipe_looks_through_the_judge(settings):
    with pytest.raises(ConfigError, match="geoembed judges images and is in no loss or discriminator"):
        Recipe("through the judge", perceptual="geoembed", **settings)
    with pytest.raises(ConfigError, match="perceptual"):
        load_recipe("orthoforge-s", perceptual="geoembed")


def test_no_loss_looks_through_the_judge(weights_file):
    with pytest.raises(ConfigError, match="geoembed judges images and is in no loss or discriminator"):
        load_features("geoembed", ["stem"])
    path = weights_file()
    for network in ("efficientnet-lite0", "vgg19"):  # nor by way of its file, under another's name
        with pytest.raises(CheckpointError):
            load_features(network, ["stem" if network != "vgg19" else "relu1_1"], weights=path, sha256=sha256_of(path))
