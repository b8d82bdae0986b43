"""Limits of one request. docs/security.md has the same table."""

MAX_HEAD_BYTES = 65_536
"""Request line and headers together."""

HEAD_TIMEOUT_SECONDS = 15.0
"""Until they must have arrived completely."""

BODY_TIMEOUT_SECONDS = 30.0
"""Until the body must have arrived completely."""

RESPONSE_TIMEOUT_SECONDS = 30.0
"""Until the client must have read what was written of a response."""

MAX_BODY_BYTES = 16_384
"""The default; the forms of the console are far smaller."""

STREAMED_PATH = "/webhooks/kustomer/"
"""Webhook bodies are streamed to the intake, which has its own limits; see ``intake/receiver.py``."""

MAX_BODY_BYTES_BY_PATH = {"/card/": 4_096}
"""Other limits, by prefix of the path. The card sends empty bodies."""


def max_body_bytes(path: str) -> int:
    """Return the maximum size of a body sent to a path."""
    return next((limit for prefix, limit in MAX_BODY_BYTES_BY_PATH.items() if path.startswith(prefix)), MAX_BODY_BYTES)
