"""New masks for a generator to draw, made to look like a place's own, and the card that says how well they do."""
