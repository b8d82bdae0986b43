"""Webhooks that are correctly signed and cannot be read: kept as they came, with a reason and what they were about.

Also the codes of why an event ended otherwise than processed, and the sentences that admins read.
"""

import hashlib
from collections.abc import Iterable
from enum import StrEnum

from kustomer_klaviyo.cleaning import clean
from kustomer_klaviyo.health.item_errors import describe
from kustomer_klaviyo.kustomer.signature import SignatureCheck
from kustomer_klaviyo.kustomer.unreadable_ids import Salvaged, salvage
from kustomer_klaviyo.store.inbox import UnreadEvent

HEAD_BYTES = 16_384
"""What is kept of a body that is too large: enough to see what it is about."""


class Problem(StrEnum):
    """Why an event is not processed as it came."""

    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"
    FAULT = "fault"
    """An exception of ours; its traceback is kept with the event."""


_SENTENCES = {
    Problem.UNREADABLE: "unreadable: the body is no JSON object ({detail}). It is kept as it came; after an upgrade "
    "`retry` processes it anew.",
    Problem.TOO_LARGE: "too large: the body has {detail} bytes, more than are kept.",
    Problem.FAULT: "a fault of this program ({detail}). The traceback is kept with the event and logged: please report "
    "it. After an upgrade `retry` processes the event anew.",
}


def sentence(problem: Problem, detail: str, salvaged: Salvaged | None) -> str:
    """Say for an admin why an event was not processed, and what happens instead."""
    said = _SENTENCES[problem].format(detail=clean(detail, 200))
    if salvaged is None:
        return f"{said} What it was about cannot be told from it; the object's next webhook tells it again."
    return f"{said} The {salvaged.kind} {salvaged.id} is read from Kustomer instead."


def unread(connection_id: str, body: bytes, *, error: BaseException | None = None, bare: bool = False) -> UnreadEvent:
    """Make the event of a body that could not be read, or whose reading failed; ``bare`` takes nothing out of it."""
    digest = hashlib.sha256(body).hexdigest()
    trace = None if error is None else describe(error).traceback
    return _event(connection_id, body, digest, about=None if bare else salvage(body), error=trace)


class Oversized:
    """A body that is too large to hold: measured while it streams by."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._check = SignatureCheck(tokens)
        self._digest = hashlib.sha256()
        self._head = b""
        self.size = 0

    def take(self, piece: bytes) -> None:
        """Measure the next piece."""
        self._check.take(piece)
        self._digest.update(piece)
        self.size += len(piece)
        if len(self._head) < HEAD_BYTES:
            self._head = (self._head + piece[:HEAD_BYTES])[:HEAD_BYTES]

    def is_signed(self, signature: str) -> bool:
        """Say whether any of the tokens made the signature of all that was taken."""
        return self._check.is_signed(signature)

    def event(self, connection_id: str) -> UnreadEvent:
        """Make the event of which only the beginning, the size and the digest are kept."""
        return _event(connection_id, self._head, self._digest.hexdigest(), about=salvage(self._head), size=self.size)


def _event(
    connection_id: str,
    body: bytes,
    digest: str,
    *,
    about: Salvaged | None,
    size: int | None = None,
    error: str | None = None,
) -> UnreadEvent:
    return UnreadEvent(
        connection_id=connection_id,
        event_id=digest[:32],
        name="unread" if about is None else f"kustomer.{about.kind}.unread",
        conversation_id=about.id if about is not None and about.kind == "conversation" else None,
        customer_id=about.id if about is not None and about.kind == "customer" else None,
        body=body,
        whole_size=size,
        whole_digest=None if size is None else digest,
        error=error,
    )
