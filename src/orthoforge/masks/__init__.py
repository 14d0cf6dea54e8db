"""What a mask means: buildings or classes, and how a file that says so is opened and brought to another grid. No torch."""
