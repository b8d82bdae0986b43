"""State and behaviour of the simulated organisation. Independent of HTTP requests."""
