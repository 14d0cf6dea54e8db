"""Material: real roofs and real ground, composed to a canvas for a mask that nobody has photographed."""
