"""What would make the host wait for a GPU, counted on a CPU."""

import contextlib
from collections import Counter
from collections.abc import Iterator

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

# A shape, or a branch, that depends on values: a GPU must have computed them first.
_WAITING = {
    "_local_scalar_dense", "item", "equal", "is_nonzero", "nonzero", "masked_select", "unique_consecutive", "_unique", "_unique2",
    "unique_dim", "unique_dim_consecutive", "bincount", "histc", "repeat_interleave.Tensor",
}  # fmt: skip
_ASKING = {
    "cpu", "numpy", "tolist", "item", "__bool__", "__int__", "__float__", "__index__", "__array__", "nonzero",
}  # fmt: skip
_BUILDING = {"tensor", "as_tensor", "asarray"}  # of Python's numbers: a copy from memory that is not pinned


class _Operations(TorchDispatchMode):
    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self.counts = counts

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = operation._schema.name.removeprefix("aten::")
        if name in _WAITING or f"{name}.{operation._overloadname}" in _WAITING:
            self.counts[name] += 1
        if name in ("index", "index_put", "index_put_", "_index_put_impl_") and _has_mask(args[1]):
            self.counts[f"{name} by a mask"] += 1
        placed = {str(each.device) for each in args if isinstance(each, torch.Tensor)} | {str(kwargs.get("device") or "")}
        if name in ("_to_copy", "copy_") and len(placed - {""}) > 1:
            self.counts[f"{name} between devices"] += 1
        return operation(*args, **kwargs)


class _Questions(TorchFunctionMode):
    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self.counts = counts

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        if name in _ASKING and isinstance(args[0], torch.Tensor):
            self.counts[f"Tensor.{name}"] += 1
        if name in _BUILDING:
            self.counts[f"torch.{name}"] += 1
        return function(*args, **(kwargs or {}))


def _has_mask(indices) -> bool:
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)


@contextlib.contextmanager
def counted() -> Iterator[Counter[str]]:
    """Within the block, how often what was asked for; backward passes included."""
    counts: Counter[str] = Counter()
    with _Questions(counts), _Operations(counts):
        yield counts
