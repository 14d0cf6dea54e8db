"""Masks to images: whole scenes, block by block, to georeferenced files."""

from orthoforge.generation.batch import generate

__all__ = ["generate"]
