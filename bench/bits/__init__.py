"""Whether a change leaves every bit as it was: a tiny road from end to end, and a checksum of each thing that it makes."""
