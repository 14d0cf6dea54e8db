"""VGG19, with the parameter names of torchvision's, so that its published weights load."""

from torch import Tensor, nn

from orthoforge.models.features.layers import PERCEPTUAL_LAYERS


class VGG19(nn.Module):
    """Simonyan & Zisserman 2015, configuration E: (N, 3, H, W) to logits (N, 1000).

    Trained on 224 px. Of other sizes the classifier sees 7×7 means, so that its logits mean less the further the size is from that.
    """

    def __init__(self) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        self._names: list[str] = []  # of the steps in `features`
        inside = 3
        for layer in PERCEPTUAL_LAYERS["vgg19"]:
            if layer.startswith("conv"):
                block = int(layer[4])
                if layer.endswith("_1") and block > 1:
                    steps.append(nn.MaxPool2d(2))
                    self._names.append(f"pool{block - 1}")
                outside = min(64 * 2 ** (block - 1), 512)
                steps.append(nn.Conv2d(inside, outside, 3, padding=1))
                inside = outside
            elif layer.startswith("relu"):
                steps.append(nn.ReLU(inplace=True))
            else:
                continue
            self._names.append(layer)
        self.features = nn.Sequential(*steps, nn.MaxPool2d(2))
        self._names.append("pool5")
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096), nn.ReLU(inplace=True), nn.Dropout(),
            nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(),
            nn.Linear(4096, 1000),
        )  # fmt: skip

    def steps(self) -> dict[str, nn.Module]:
        """The network in the order of computation, by the names of its layers."""
        steps = dict(zip(self._names, self.features, strict=True))
        return steps | {"logits": nn.Sequential(self.avgpool, nn.Flatten(), self.classifier)}

    def forward(self, images: Tensor) -> Tensor:
        for step in self.steps().values():
            images = step(images)
        return images
