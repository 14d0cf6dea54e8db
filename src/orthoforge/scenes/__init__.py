"""Scenes: finding pairs, checking them, and a rendered town."""
