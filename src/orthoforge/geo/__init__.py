"""Where pixels lie, and the files that hold them."""
