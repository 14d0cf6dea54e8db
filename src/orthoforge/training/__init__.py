"""Training: the loop, the state that it carries, and how it is stopped."""

from orthoforge.training.session import train

__all__ = ["train"]
