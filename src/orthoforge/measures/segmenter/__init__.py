"""What a segmenter finds in images: fidelity to the mask."""
