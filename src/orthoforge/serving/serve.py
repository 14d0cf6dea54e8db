"""Starts a server, and stops it without losing what it has accepted."""

import contextlib
import importlib.util
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rasterio.errors import NotGeoreferencedWarning

from orthoforge.devices import chosen_devices, keep_freed_memory
from orthoforge.errors import ConfigError, DataError, LockedError
from orthoforge.files import lock, no_such_file
from orthoforge.runs import Run
from orthoforge.serving.settings import MB, Settings
from orthoforge.trained_generator import TrainedGenerator, load_generator

if TYPE_CHECKING:
    from uvicorn import Server

_NEEDED = {
    "fastapi": "fastapi",
    "uvicorn": "uvicorn",
    "python_multipart": "python-multipart",
    "prometheus_client": "prometheus-client",
}
_LOCAL = ("127.0.0.1", "localhost", "::1")
_LEAST_KEY = 16  # characters
_AFTER_DEADLINE_S = 5


def serve(
    runs: str | Path | Sequence[str | Path],
    *,
    layers: Sequence[str | Path] = (),
    host: str = "127.0.0.1",
    port: int = 8000,
    data: str | Path = Path("orthoforge-data"),
    keys: str | Path | None = None,
    cors: Sequence[str] = (),
    rate: int = 0,
    queue: int = 64,
    deadline: float = 60.0,
    upload_mb: int = 64,
    cache_gb: float = 4.0,
    seed: int = 0,
    device: str = "auto",
    backend: str = "torch",
) -> None:
    """Serve images of ``runs``, maps of ``layers`` and jobs over HTTP, until SIGTERM or Ctrl-C. What was accepted is finished then.

    Jobs, results and generated blocks of maps lie in ``data``. Jobs that had not ended when a server was killed are taken up by the
    next one. ``keys`` is a file of API keys, one a line. ``backend`` is what computes the networks, as in ``generate``.
    ``docs/serving.md`` describes the requests.

    Raises:
        ConfigError: the extra ``serve`` is missing, or settings cannot work.
        CheckpointError: a run that is none.
        DataError: layers that cannot be read.
        LockedError: another server has ``data``.

    Examples:
        >>> from orthoforge import serve
        >>> serve("runs/mine", layers=["town.gpkg"])  # it runs until it is stopped; here the map is missing
        Traceback (most recent call last):
        orthoforge.errors.DataError: town.gpkg: no such file...
    """
    if missing := [name for module, name in _NEEDED.items() if importlib.util.find_spec(module) is None]:
        raise ConfigError(f"the server needs {', '.join(missing)}. Install the extra: pip install 'orthoforge[serve]'")
    keep_freed_memory()
    devices = tuple(chosen_devices(device))
    settings = Settings(
        Path(data), devices, keys=_keys(keys), cors=tuple(cors), requests_per_minute=rate, queue=queue, deadline_s=deadline,
        upload_bytes=upload_mb * MB, cache_bytes=int(cache_gb * 1024 * MB), map_seed=seed,
    )  # fmt: skip
    _require_sound(settings)
    for layer in layers:
        if not Path(layer).is_file():
            raise DataError(no_such_file(Path(layer)))
    generators = _generators([runs] if isinstance(runs, str | Path) else runs, devices[0])
    if backend != "torch":
        generators = {name: generator.on_backend(backend) for name, generator in generators.items()}
    if host not in _LOCAL and not settings.keys:
        print(f"warning: {host} can be reached by others, and no API keys are asked for (--keys)", file=sys.stderr)
    warnings.simplefilter("ignore", NotGeoreferencedWarning)  # `open_quietly` keeps it from one thread at a time
    with _only_server(settings.data):
        server_of(generators, settings, [Path(layer) for layer in layers], host, port).run()


@contextlib.contextmanager
def _only_server(data: Path) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock(data / "server"))
        except LockedError:
            raise LockedError(f"a server runs with --data {data} already. Stop it, or give this one another --data.") from None
        yield


def server_of(
    generators: dict[str, TrainedGenerator], settings: Settings, layers: Sequence[Path], host: str, port: int
) -> "Server":
    """A server that is ready to run."""
    import uvicorn

    from orthoforge.serving.app import make_app

    class Graceful(uvicorn.Server):
        """Says that it is not ready before it stops listening."""

        def handle_exit(self, sig: int, frame: object) -> None:
            app.state.serving.stop()
            super().handle_exit(sig, frame)  # type: ignore[arg-type]

        def run(self, *arguments: object, **options: object) -> None:
            if threading.current_thread() is threading.main_thread():
                # Raised again by uvicorn when everything is finished: the exit code is then 0.
                for number in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(number, lambda *_: None)
            super().run(*arguments, **options)  # type: ignore[arg-type]

    app = make_app(generators, settings, layers)
    config = uvicorn.Config(
        app, host=host, port=port, log_level="info", server_header=False, timeout_keep_alive=10,
        timeout_graceful_shutdown=round(settings.deadline_s) + _AFTER_DEADLINE_S,
    )  # fmt: skip
    return Graceful(config)


def _generators(runs: Sequence[str | Path], device: str) -> dict[str, TrainedGenerator]:
    """Each run's generator by the name of its folder; a second one of a name gets a number."""
    if not runs:
        raise ConfigError("no run was given.")
    found: dict[str, TrainedGenerator] = {}
    for run in runs:
        generator = load_generator(run, device=device)
        name = Run.open(run).folder.resolve().name if Path(run).exists() else str(run).rsplit("/", 1)[-1]
        number = sum(other.rpartition("-")[0] == name or other == name for other in found)
        found[f"{name}-{number + 1}" if number else name] = generator
    return found


def _keys(path: str | Path | None) -> tuple[str, ...]:
    if path is None:
        return ()
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DataError(no_such_file(Path(path))) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the keys cannot be read ({error}).") from error
    keys = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    if not keys:
        raise ConfigError(f"{path}: holds no key. Write one a line, or leave --keys out.")
    if short := min(keys, key=len) if any(len(key) < _LEAST_KEY for key in keys) else "":
        raise ConfigError(f"{path}: a key has {len(short)} characters; {_LEAST_KEY} are the least, so that nobody guesses it.")
    return keys


def _require_sound(settings: Settings) -> None:
    for name, value in (("queue", settings.queue), ("deadline", settings.deadline_s), ("upload-mb", settings.upload_bytes)):
        if value <= 0:
            raise ConfigError(f"--{name} must be above 0.")
    if settings.requests_per_minute < 0 or settings.cache_bytes < 0 or settings.map_seed < 0:
        raise ConfigError("--rate, --cache-gb and --seed must be 0 or more.")
