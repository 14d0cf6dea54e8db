"""``export``: a trained generator as one file for other programs."""
