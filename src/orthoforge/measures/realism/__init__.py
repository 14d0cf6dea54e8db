"""Sets of images beside sets of real ones: distances, variety, copies."""
