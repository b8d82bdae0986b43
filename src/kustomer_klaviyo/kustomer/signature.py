"""Whether a webhook was sent by Kustomer.

Rule: developer.kustomer.com/docs/events/delivery-and-retries
"""

import hmac
from collections.abc import Iterable

HEADER = "x-kustomer-webhook-signature"

TEST_EVENT = "kustomer-klaviyo.test"
"""The name of the event that set-up sends round by the public address."""


def sign(token: str, body: bytes) -> str:
    """Return the lower-case hex HMAC-SHA256 of the raw body under the webhook's token."""
    return hmac.digest(token.encode(), body, "sha256").hex()


def is_signed(body: bytes, signature: str, tokens: Iterable[str]) -> bool:
    """Say whether any of the tokens made the signature; takes the same time wherever they differ."""
    return _is_among(signature, [sign(token, body) for token in tokens])


class SignatureCheck:
    """The same for a body that comes in pieces and is not held."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._macs = [hmac.new(token.encode(), digestmod="sha256") for token in tokens]

    def take(self, piece: bytes) -> None:
        """Go on with the next piece."""
        for mac in self._macs:
            mac.update(piece)

    def is_signed(self, signature: str) -> bool:
        """Say whether any of the tokens made the signature of all pieces."""
        return _is_among(signature, [mac.hexdigest() for mac in self._macs])


def _is_among(signature: str, right: Iterable[str]) -> bool:
    given = signature.strip().encode("utf-8", "replace")
    matches = [hmac.compare_digest(one.encode(), given) for one in right]
    return any(matches)
