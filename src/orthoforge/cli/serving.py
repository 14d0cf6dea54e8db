"""Commands that answer over HTTP: serve."""

from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from orthoforge.cli.options import said_device


def serve(
    runs: Positional[tuple[str, ...]],
    *,
    layers: tuple[Path, ...] = (),
    host: str = "127.0.0.1",
    port: int = 8000,
    data: Path = Path("orthoforge-data"),
    keys: Path | None = None,
    cors: tuple[str, ...] = (),
    rate: int = 0,
    queue: int = 64,
    deadline: float = 60.0,
    upload_mb: int = 64,
    cache_gb: float = 4.0,
    seed: int = 0,
    device: str = "auto",
    backend: Literal["auto", "torch", "onnx", "openvino"] = "torch",
) -> None:
    """Serve images of masks, a map that is generated as one pans over it, and jobs for large scenes, over HTTP.

    Needs the extra serve. What can be asked is in http://HOST:PORT/openapi.json. SIGTERM and Ctrl-C finish what was accepted.

    Args:
        runs: Run folders, checkpoints, published folders or names of weights that come with the package. The first is asked where
            a request names none.
        layers: Footprints or masks with a CRS that become maps, each under its file's name.
        host: Address to listen on. Others than this machine can ask only when it is another one, such as 0.0.0.0.
        port: To listen on.
        data: Folder for jobs, results and generated blocks of maps. One server at a time has it.
        keys: File of API keys, one a line. Without it whoever reaches the port may ask.
        cors: Origins whose pages may ask, such as https://example.org; none unless named.
        rate: Requests a minute of each key, or of each address; 0 for any number.
        queue: Requests that may wait; further ones are told when to ask again.
        deadline: Seconds for an answer.
        upload_mb: Largest request, in MB.
        cache_gb: Disk for generated blocks of maps, in GB; those not looked at for longest go first.
        seed: Of maps, where a request says no other.
        device: auto (a GPU where there is one, else the processor), cpu, cuda or mps; several with commas, as in cuda:0,cuda:1.
        backend: What computes the networks on a processor. onnx and openvino need the extra export. auto measures which is
            fastest, once, and remembers it.
    """
    from orthoforge.serving.serve import serve

    serve(
        runs, layers=layers, host=host, port=port, data=data, keys=keys, cors=cors, rate=rate, queue=queue, deadline=deadline,
        upload_mb=upload_mb, cache_gb=cache_gb, seed=seed, device=said_device(device), backend=backend,
    )  # fmt: skip
