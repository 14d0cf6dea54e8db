"""A mean with its standard error: one formula for every table."""

import math
from collections.abc import Iterable
from typing import TypedDict

import numpy as np


class Mean(TypedDict):
    """Of ``n`` values. Without a second one there is no ``standard_error``."""

    mean: float
    standard_error: float | None
    n: int


def mean_and_error(values: Iterable[float]) -> Mean:
    """Mean, its standard error (sample standard deviation / √n; ``None`` for one value) and n."""
    numbers = list(values)
    n = len(numbers)
    error = float(np.std(numbers, ddof=1)) / math.sqrt(n) if n > 1 else None
    return {"mean": math.fsum(numbers) / n, "standard_error": error, "n": n}
