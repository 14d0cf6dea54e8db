"""What a server may be asked for, and how much of it."""

from dataclasses import dataclass
from pathlib import Path

MB = 2**20


@dataclass(frozen=True)
class Settings:
    """Limits and folders of a server. ``data`` holds jobs, results and generated blocks of maps; a path from the present folder on
    is made absolute, for processes of the server have folders of their own."""

    data: Path
    devices: tuple[str, ...] = ("cpu",)

    # Who may ask, and how often.
    keys: tuple[str, ...] = ()
    """API keys; without any, whoever reaches the port may ask."""
    cors: tuple[str, ...] = ()
    """Origins whose pages may ask; none unless named."""
    requests_per_minute: int = 0
    """Of one key, or of one address without keys; 0 for no limit."""

    # What a request may hold.
    upload_bytes: int = 64 * MB
    upload_s: float = 30.0
    """For a request's body to arrive."""
    image_pixels: int = 2048**2
    """Of the mask of one request; larger ones are jobs."""
    job_pixels: int = 20_000**2
    variants: int = 16

    # The processes that decode uploads.
    decoders: int = 2
    decode_s: float = 20.0
    decode_bytes: int = 2048 * MB
    """Of address space, each."""

    forge_s: float = 30.0
    """For a forged mask."""

    # What waits.
    queue: int = 64
    deadline_s: float = 60.0
    together_s: float = 0.004
    """How long a small request waits for others to share a forward pass."""
    together_pixels: int | None = None
    """Of the masks that share one; when left out, as many as are not slower together on such a device."""
    small_pixels: int = 256**2
    """A request of at most so many may share one."""

    # Maps.
    block_px: int = 128
    """Of what is kept; what is missing is generated at once."""
    cache_bytes: int = 4096 * MB
    map_seed: int = 0
    scenes: int = 16
    """Maps of one model, style and seed that are held open."""

    # Jobs.
    jobs: int = 16
    """That may wait or run at once."""
    result_hours: float = 24.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", self.data.absolute())
