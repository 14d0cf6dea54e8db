"""Masks whose buildings are moved to where segmenters see them."""
