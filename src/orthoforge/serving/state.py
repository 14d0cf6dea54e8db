"""What the operations of a server share."""

from typing import TYPE_CHECKING

from starlette.requests import Request

from orthoforge.serving.limits import Keys, Rate
from orthoforge.serving.metrics import Metrics
from orthoforge.serving.models import Models
from orthoforge.serving.queue import Workers
from orthoforge.serving.settings import Settings
from orthoforge.serving.uploads import Decoders

if TYPE_CHECKING:
    from orthoforge.serving.forged import Forge
    from orthoforge.serving.job_runner import JobRunner
    from orthoforge.serving.maps import Maps


class Serving:
    """One server's parts, from its settings and generators."""

    maps: "Maps"
    forge: "Forge"
    jobs: "JobRunner"

    def __init__(self, models: Models, settings: Settings) -> None:
        self.models, self.settings = models, settings
        self.metrics = Metrics()
        self.keys, self.rate = Keys(settings.keys), Rate(settings.requests_per_minute)
        self.workers = Workers(
            settings.devices, size=settings.queue, together_s=settings.together_s, together_pixels=settings.together_pixels,
            metrics=self.metrics, warm_up=models.warm_up,
        )  # fmt: skip
        self.decoders = Decoders(
            settings.data / "uploads", count=settings.decoders, most_bytes=settings.decode_bytes, most_s=settings.decode_s,
            metrics=self.metrics,
        )  # fmt: skip
        self.is_stopping = False

    def stop(self) -> None:
        """Be ready no more, and take nothing new; what was taken is finished."""
        self.is_stopping = True
        self.workers.refuse()


def serving_of(request: Request) -> Serving:
    """The server that a request came to."""
    found: Serving = request.app.state.serving
    return found


def admitted(request: Request) -> None:
    """Let a request in: by its key, and as often as it may come. ``Problem`` otherwise."""
    serving = serving_of(request)
    serving.rate.require(serving.keys.require(request))
