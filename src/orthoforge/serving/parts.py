"""What maps, jobs and all operations of a server share."""

from orthoforge.serving.limits import Keys, Rate
from orthoforge.serving.metrics import Metrics
from orthoforge.serving.models import Models
from orthoforge.serving.problems import Problem
from orthoforge.serving.queue import Workers
from orthoforge.serving.settings import Settings
from orthoforge.serving.uploads import Decoders


class Parts:
    """Models and settings, and from them: who may ask, the queue, the processes for uploads, the metrics."""

    def __init__(self, models: Models, settings: Settings) -> None:
        self.models, self.settings = models, settings
        self.metrics = Metrics()
        self.keys, self.rate = Keys(settings.keys), Rate(settings.requests_per_minute)
        together_pixels = settings.together_pixels or min(_together_pixels(device) for device in settings.devices)
        self.workers = Workers(
            settings.devices, size=settings.queue, together_s=settings.together_s, together_pixels=together_pixels,
            metrics=self.metrics, warm_up=models.warm_up,
        )  # fmt: skip
        self.decoders = Decoders(
            settings.data / "uploads", count=settings.decoders, most_bytes=settings.decode_bytes, most_s=settings.decode_s,
            most_waiting=settings.queue, metrics=self.metrics,
        )  # fmt: skip
        self.is_stopping = False

    def require_running(self) -> None:
        """``Problem`` when the server stops."""
        if self.is_stopping:
            raise Problem("stopping", "The server is stopping; ask again in 10 s.", retry_after_s=10)

    def stop(self) -> None:
        """Be ready no more, and take nothing new; what was taken is finished."""
        self.is_stopping = True
        self.workers.refuse()


def _together_pixels(device: str) -> int:
    """On a CPU eight images of 256² px leave the caches, and take a fifth longer each than four."""
    return 2**18 if device == "cpu" else 2**20
