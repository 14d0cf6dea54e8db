"""How many images a second a server makes, beside the bare generator, and when twice as many come: ``python -m bench.serving``.

Client and server are one process; arrivals are open-loop, at twice the capacity that was measured before.
"""

import io
import tempfile
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import uvicorn
from PIL import Image

from orthoforge.serving.app import make_app
from orthoforge.serving.settings import Settings
from orthoforge.trained_generator import load_generator

SIDE_PX, BURST, SECONDS = 256, 12, 12.0


def main():
    generator = load_generator("orthoforge-s")
    mask = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    for row in range(10, SIDE_PX - 30, 48):
        mask[row : row + 24, 10:-10:40] = mask[row : row + 24, 20:-10:40] = 255
    generator(mask)
    began = time.monotonic()
    for seed in range(BURST):
        generator(mask, seed=seed)
    print(f"bare generator: {BURST / (time.monotonic() - began):.2f} images/s")
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    with tempfile.TemporaryDirectory() as folder:
        app = make_app({"s": generator}, Settings(Path(folder), queue=16))
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not (server.started and app.state.serving.workers.is_ready):
            time.sleep(0.1)
        url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1/images"
        with httpx.Client(limits=httpx.Limits(max_connections=200), timeout=60) as client:
            measure(client, url, buffer.getvalue())
        server.should_exit = True
        thread.join()


def measure(client, url, data):
    def ask(answers):
        began = time.monotonic()
        status = client.post(url, files={"mask": data}).status_code
        answers.append((status, time.monotonic() - began))

    def asked(count, apart_s):
        answers: list[tuple[int, float]] = []
        threads, began = [], time.monotonic()
        for _ in range(count):
            threads.append(threading.Thread(target=ask, args=(answers,)))
            threads[-1].start()
            time.sleep(apart_s)
        for thread in threads:
            thread.join()
        return answers, time.monotonic() - began

    asked(1, 0)
    answers, took = asked(BURST, 0)
    capacity = len(answers) / took
    print(f"server: {capacity:.2f} images/s")
    answers, took = asked(round(2 * capacity * SECONDS), 1 / (2 * capacity))
    seconds = [second for status, second in answers if status == 200]
    refused = sum(status == 503 for status, _ in answers)
    p50, p95 = np.quantile(seconds, [0.5, 0.95])
    print(f"at twice that: {len(seconds) / took:.2f} images/s of {len(answers)} asked, {refused} refused")
    print(f"p50 {p50:.2f} s, p95 {p95:.2f} s")
    assert len(seconds) + refused == len(answers)


if __name__ == "__main__":
    main()
