"""Numbers: how near images are to others, to real ones as a set, and to their masks. No pages, no commands."""
