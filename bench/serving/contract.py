"""What schemathesis draws from the OpenAPI document, sent to a server: how many requests, and what came back."""

import sys
from collections import Counter
from pathlib import Path

from bench.serving.arrivals import png, town
from bench.serving.parts import town_layer
from bench.serving.server import running

_TESTS = Path(__file__).parents[2] / "tests"


def contract(folder: Path, model: str, examples: int) -> None:
    """Raises where an answer is a 5xx or not as documented."""
    sys.path[:0] = [str(_TESTS), str(_TESTS / "serving")]
    from contract import drawn_answers

    layer = town_layer(folder)
    with running(folder, model, "--layers", str(layer)) as server:
        seen = drawn_answers(server.url, {"name": layer.stem, "form": "png"}, png(town(64)), examples)
    statuses: Counter[int] = sum(seen.values(), Counter())
    print(f"{sum(statuses.values())} requests that schemathesis drew, to {len(seen)} operations, each answered as documented: "
          f"{', '.join(f'{status}: {count}' for status, count in sorted(statuses.items()))}", flush=True)  # fmt: skip
