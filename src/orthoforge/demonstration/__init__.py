"""The whole road on simulated towns, in minutes: scenes, tiles, a run, images of scenes that it never saw, scores, a report."""

from orthoforge.demonstration.extent import Extent
from orthoforge.demonstration.from_map import run_map_demo
from orthoforge.demonstration.stages import demo, run_demo

__all__ = ["Extent", "demo", "run_demo", "run_map_demo"]
