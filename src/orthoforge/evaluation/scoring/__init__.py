"""What `evaluate` is made of: whose images, one look at each, what follows from that, and the page."""
