"""What one request may cost, whoever sends it. The table in docs/security.md says the same."""

HEAD_BYTES = 65_536
"""Of a request's line and headers together."""

HEAD_SECONDS = 15.0
"""For them to arrive whole."""

BODY_SECONDS = 30.0
"""For the body to arrive whole."""

ANSWER_SECONDS = 30.0
"""For what was written of an answer to be read."""

BODY_BYTES = 16_384
"""The largest body of every address that the table does not name: the forms of this service are far smaller."""

READ_BY_ITSELF = "/webhooks/kustomer/"
"""Webhooks are counted by the intake, which keeps what is signed and too large; see ``intake/receiver.py``."""

LARGEST_BODIES = {"/card/": 4_096}
"""Other limits than the usual one, by the beginning of the path. The card's request has an empty body."""


def largest_body(path: str) -> int:
    """Return how many bytes a body sent to a path may have. There is no path without a limit."""
    return next((limit for start, limit in LARGEST_BODIES.items() if path.startswith(start)), BODY_BYTES)
