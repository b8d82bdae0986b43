"""Stores correctly signed webhooks that cannot be read: as received, with the entity that they are about."""

import hashlib
from collections.abc import Iterable

from kustomer_klaviyo.health.item_errors import describe_error
from kustomer_klaviyo.kustomer.signature import SignatureCheck
from kustomer_klaviyo.kustomer.unreadable_ids import EntityRef, find_entity
from kustomer_klaviyo.store.inbox import UnreadableEvent

HEAD_BYTES = 16_384
"""How many bytes of an oversized body are stored: enough to find the entity that it is about."""


def unreadable_event(
    connection_id: str, body: bytes, *, error: BaseException | None = None, with_entity: bool = True
) -> UnreadableEvent:
    """Return the event for a body that could not be read, with the error, if one was raised."""
    digest = hashlib.sha256(body).hexdigest()
    traceback = None if error is None else describe_error(error).traceback
    entity = find_entity(body) if with_entity else None
    return _event(connection_id, body, digest, entity, error_traceback=traceback)


class OversizedBody:
    """A body that is too large to hold in memory: measured and verified while it is streamed."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._signature = SignatureCheck(tokens)
        self._digest = hashlib.sha256()
        self._head = b""
        self.size = 0

    def update(self, chunk: bytes) -> None:
        """Add the next chunk."""
        self._signature.update(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)
        if len(self._head) < HEAD_BYTES:
            self._head = (self._head + chunk[:HEAD_BYTES])[:HEAD_BYTES]

    def is_signed(self, signature: str) -> bool:
        """Return whether the signature of all chunks was made with any of the tokens."""
        return self._signature.is_signed(signature)

    def event(self, connection_id: str) -> UnreadableEvent:
        """Return the event, with the beginning, the size and the digest of the body."""
        digest = self._digest.hexdigest()
        return _event(connection_id, self._head, digest, find_entity(self._head), full_size=self.size)


def _event(
    connection_id: str,
    body: bytes,
    digest: str,
    entity: EntityRef | None,
    *,
    full_size: int | None = None,
    error_traceback: str | None = None,
) -> UnreadableEvent:
    return UnreadableEvent(
        connection_id=connection_id,
        event_id=digest[:32],
        event_name="unread" if entity is None else f"kustomer.{entity.kind}.unread",
        conversation_id=entity.id if entity is not None and entity.kind == "conversation" else None,
        customer_id=entity.id if entity is not None and entity.kind == "customer" else None,
        body=body,
        full_size=full_size,
        full_digest=None if full_size is None else digest,
        error_traceback=error_traceback,
    )
