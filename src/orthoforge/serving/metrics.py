"""What the server counts, in the text format of Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counters of one server."""

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry()
        self.requests = Counter("orthoforge_requests", "Requests by operation and status.", ["operation", "status"], registry=own)
        self.seconds = Histogram(
            "orthoforge_request_seconds",
            "From a request's first byte to its answer.",
            ["operation"],
            buckets=_SECONDS,
            registry=own,
        )
        self.forward_passes = Counter("orthoforge_forward_passes", "Runs of a network.", registry=own)
        self.made_pixels = Counter("orthoforge_made_pixels", "Pixels that networks made.", registry=own)
        self.dropped = Counter(
            "orthoforge_dropped", "Work that was dropped before a network ran: its client had left, or its deadline had passed.",
            ["why"], registry=own,
        )  # fmt: skip
        self.restarts = Counter("orthoforge_worker_restarts", "Inference workers that ended and were started again.", registry=own)
        self.decoder_restarts = Counter("orthoforge_decoder_restarts", "Processes for uploads that were replaced.", registry=own)
        self.forge_restarts = Counter("orthoforge_forge_restarts", "Processes for forged masks that were replaced.", registry=own)
        self.blocks = Counter("orthoforge_map_blocks", "Blocks of maps: made, or found on the disk.", ["how"], registry=own)
        self.cache_bytes = Gauge("orthoforge_map_cache_bytes", "Of generated blocks on the disk.", registry=own)
        self.waiting = Gauge("orthoforge_queue_waiting", "Work that waits for a device.", registry=own)
        self.jobs = Counter("orthoforge_jobs", "Jobs by how they ended.", ["state"], registry=own)

    def watch(self, waiting: Callable[[], float]) -> None:
        """Ask for the queue's length when the metrics are read."""
        self.waiting.set_function(waiting)

    def text(self) -> tuple[bytes, str]:
        """All of them, and the media type of that."""
        return generate_latest(self.registry), CONTENT_TYPE
