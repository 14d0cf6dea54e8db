"""Runs side by side: the same ground, curves, settings, scores."""
