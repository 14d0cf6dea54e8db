"""Tiles: cut once from scenes, split by place, read in batches."""
