"""`orthoforge serve` as a process that is killed and stopped."""

import os
import signal
import socket
import subprocess
import time

import httpx
from servers import png, wait_until

from conftest import make_mask
from saved_runs import save_run


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_a_killed_server_loses_no_job_and_a_stopped_one_exits_with_0(tmp_path, warm_python):
    run, data, port = save_run(tmp_path / "town").parents[1], tmp_path / "data", free_port()
    url = f"http://127.0.0.1:{port}"

    def start():
        words = ("-m", "orthoforge.cli", "serve", run, "--port", port, "--data", data, "--device", "cpu")
        process = warm_python.start(*map(str, words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        wait_until(lambda: answers(f"{url}/readyz"))
        return process

    first = start()
    assert httpx.get(f"{url}/v1/models").json()["models"][0]["name"] == "town"
    job = httpx.post(f"{url}/v1/jobs", files={"mask": png(make_mask((700, 700)))}, timeout=30).json()["id"]
    os.kill(warm_python.pid(first), signal.SIGKILL)
    first.communicate()
    second = start()
    wait_until(lambda: httpx.get(f"{url}/v1/jobs/{job}").json()["state"] == "done")
    began = time.monotonic()
    second.send_signal(signal.SIGTERM)
    words, _ = second.communicate(timeout=30)
    assert second.returncode == 0, words
    assert time.monotonic() - began < 20 and "Traceback" not in words, words
