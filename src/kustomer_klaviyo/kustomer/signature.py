"""Verifies the signature of Kustomer's webhooks.

Rule: developer.kustomer.com/docs/events/delivery-and-retries
"""

import hmac
from collections.abc import Iterable

HEADER = "x-kustomer-webhook-signature"

TEST_EVENT = "kustomer-klaviyo.test"
"""The name of the event that set-up sends to the public address as a test."""


def sign(token: str, body: bytes) -> str:
    """Return the HMAC-SHA256 of the raw body with the webhook's token, in lower-case hex."""
    return hmac.digest(token.encode(), body, "sha256").hex()


def is_signed(body: bytes, signature: str, tokens: Iterable[str]) -> bool:
    """Return whether the signature was made with any of the tokens; compares in constant time."""
    return _matches_any(signature, [sign(token, body) for token in tokens])


class SignatureCheck:
    """Verifies the signature of a body that is streamed in chunks."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._macs = [hmac.new(token.encode(), digestmod="sha256") for token in tokens]

    def update(self, chunk: bytes) -> None:
        """Add the next chunk."""
        for mac in self._macs:
            mac.update(chunk)

    def is_signed(self, signature: str) -> bool:
        """Return whether the signature of all chunks was made with any of the tokens."""
        return _matches_any(signature, [mac.hexdigest() for mac in self._macs])


def _matches_any(signature: str, expected: Iterable[str]) -> bool:
    given = signature.strip().encode("utf-8", "replace")
    matches = [hmac.compare_digest(candidate.encode(), given) for candidate in expected]
    return any(matches)
