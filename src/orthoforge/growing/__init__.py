"""A larger data set: the real pairs as they are, and synthetic ones that only ever train."""

from orthoforge.growing.grow import Grown, grow

__all__ = ["Grown", "grow"]
