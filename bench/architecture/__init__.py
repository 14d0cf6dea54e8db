"""How the rooms of ``src`` hang together, read from the imports: numbers, and the picture in docs/architecture.md."""
