"""Pairs for a PyTorch loader: real ones out of prepared tiles, synthetic ones made on the fly or out of a grown data set."""

from orthoforge.datasets.real import RealPairs
from orthoforge.datasets.sample import Meta, Sample, Transforms
from orthoforge.datasets.synthetic import SyntheticPairs

__all__ = ["Meta", "RealPairs", "Sample", "SyntheticPairs", "Transforms"]
