"""A generator on its way to another process."""

from typing import Any

from orthoforge.trained_generator.generator import TrainedGenerator


class Sent:
    """Holds a generator. A copy in another process holds one that the same engine computes there.

    An engine cannot be copied, nor is a GPU there of the same number: what travels is computed by PyTorch on the processor.
    """

    def __init__(self, generator: TrainedGenerator) -> None:
        self.generator = generator

    def __reduce__(self) -> tuple[Any, ...]:
        here = self.generator if self.generator.device == "cpu" else self.generator.to("cpu")
        return _arrived, (here.on_backend("torch"), device_there(self.generator.device), self.generator.backend)


def device_there(names: str) -> str:
    """Which device a worker has for the devices of this process: a GPU that was given to it is the only one that it sees."""
    name = names.split(",")[0]
    return "cuda" if name.startswith("cuda") else name


def _arrived(generator: TrainedGenerator, device: str, backend: str) -> Sent:
    return Sent((generator if device == "cpu" else generator.to(device)).on_backend(backend))
