"""How fast the server is, what it does when too much comes, and what it loses when it is stopped or killed."""
