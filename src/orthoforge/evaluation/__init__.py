"""Scores, and the reports that show them."""
