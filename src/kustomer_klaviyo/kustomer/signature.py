"""Whether a webhook was sent by Kustomer.

Rule: developer.kustomer.com/docs/events/delivery-and-retries
"""

import hmac
from collections.abc import Iterable

HEADER = "x-kustomer-webhook-signature"


def sign(token: str, body: bytes) -> str:
    """Return the lower-case hex HMAC-SHA256 of the raw body under the webhook's token."""
    return hmac.digest(token.encode(), body, "sha256").hex()


def is_signed(body: bytes, signature: str, tokens: Iterable[str]) -> bool:
    """Say whether any of the tokens made the signature; takes the same time wherever they differ."""
    given = signature.strip().encode("utf-8", "replace")
    matches = [hmac.compare_digest(sign(token, body).encode(), given) for token in tokens]
    return any(matches)
