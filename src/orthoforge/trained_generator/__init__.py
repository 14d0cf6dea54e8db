"""A checkpoint's network at work: what it is given of a mask, what it is told of buildings, and how it is asked."""

from orthoforge.models.styles import LEAST_REFERENCE_PX
from orthoforge.trained_generator.generator import TrainedGenerator, load_generator

__all__ = ["LEAST_REFERENCE_PX", "TrainedGenerator", "load_generator"]
