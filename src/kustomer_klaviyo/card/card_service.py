"""Serves opened cards from stored data, and waits for a short time only for a card that was never fetched."""

import asyncio
import hashlib
import hmac
import secrets
import time

from cachetools import LRUCache

from kustomer_klaviyo.card.card_build import read_insight
from kustomer_klaviyo.card.card_status import CardStatus, parse_card_error
from kustomer_klaviyo.card.card_view import MESSAGES, REFRESH_SECONDS, Card, render_card
from kustomer_klaviyo.connections.context import ConnectionContext
from kustomer_klaviyo.connections.registry import ConnectionRegistry
from kustomer_klaviyo.rate_limiter import RateLimiter
from kustomer_klaviyo.rate_limits import Limits
from kustomer_klaviyo.store import cards
from kustomer_klaviyo.store.cards import StoredCard
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.encryption import digest_secret

MAX_WAIT_SECONDS = 1.2
"""How long an agent waits for a card that was never fetched; then the card says that it is loading."""

POLL_SECONDS = 0.04
CONNECTION_LIMITS = Limits(burst=200, steady=6000)
CUSTOMER_LIMITS = Limits(burst=10, steady=60)
"""Opened cards per second and minute; far more than agents open."""

UNKNOWN_CUSTOMER_LIMITS = Limits(burst=20, steady=120)
"""Customers per connection that are looked up in Kustomer because they are not stored here.

Whoever holds the card secret can make up customer ids, and Kustomer's rate limit is for real ones."""

MAX_LIMITERS = 10_000
UNMATCHABLE_DIGESTS = (hashlib.sha256(secrets.token_bytes()).hexdigest(),)


def too_many_requests(context: ConnectionContext) -> Card:
    """Return the card for too many requests. Kustomer caches it for seconds, like any card."""
    status = CardStatus.TOO_MANY_REQUESTS
    account = context.connection.klaviyo_account
    return Card(status=status, message=MESSAGES[status], account=account, refresh_after=REFRESH_SECONDS)


class CardService:
    """Serves the opened cards of all connections. One per process."""

    def __init__(self, db: Database, registry: ConnectionRegistry) -> None:
        self._db = db
        self._registry = registry
        self._limiters: LRUCache[tuple[str, str], RateLimiter] = LRUCache(MAX_LIMITERS)

    def authenticate(self, connection_id: str, secret: str) -> ConnectionContext | None:
        """Return the connection that a card secret belongs to. A wrong secret gives None, in the same time."""
        context = self._registry.get(connection_id)
        known = () if context is None else context.connection.secrets.card_secrets
        digest = digest_secret(secret)
        matches = [hmac.compare_digest(digest, card_digest) for card_digest in known or UNMATCHABLE_DIGESTS]
        return context if any(matches) else None

    def exceeds_limit(self, context: ConnectionContext, customer_id: str) -> bool:
        """Count an opened card, and return whether it exceeds a limit."""
        connection_id, now = context.connection.id, time.monotonic()
        limiters = (
            self._limiter((connection_id, ""), CONNECTION_LIMITS),
            self._limiter((connection_id, customer_id), CUSTOMER_LIMITS),
        )
        if any(limiter.wait_seconds(now) > 0 for limiter in limiters):
            return True
        for limiter in limiters:
            limiter.record(now)
        return False

    async def open(self, context: ConnectionContext, customer_id: str) -> Card:
        """Return the card of a customer."""
        stored = await self._wait_for_card(context.connection.id, customer_id)
        if stored is None:
            return too_many_requests(context)
        return render_card(
            read_insight(stored.document),
            context.options,
            account=context.connection.klaviyo_account,
            error=parse_card_error(stored.error),
            is_refresh_requested=stored.is_refresh_requested,
        )

    async def _wait_for_card(self, connection_id: str, customer_id: str) -> StoredCard | None:
        stored = await self._record_open(connection_id, customer_id)
        deadline = time.monotonic() + MAX_WAIT_SECONDS
        while stored and stored.document is None and stored.is_refresh_requested and time.monotonic() < deadline:
            await asyncio.sleep(POLL_SECONDS)
            stored = await cards.read(self._db, connection_id, customer_id) or stored
        return stored

    async def _record_open(self, connection_id: str, customer_id: str) -> StoredCard | None:
        """Record that a card was opened. Returns None for too many customers who are not stored here."""
        stored = await cards.open_card(self._db, connection_id, customer_id, allow_unknown=False)
        unknown_customers = self._limiter((connection_id, "unknown customers"), UNKNOWN_CUSTOMER_LIMITS)
        if stored is not None or unknown_customers.wait_seconds(time.monotonic()) > 0:
            return stored
        unknown_customers.record(time.monotonic())
        return await cards.open_card(self._db, connection_id, customer_id)

    def _limiter(self, key: tuple[str, str], limits: Limits) -> RateLimiter:
        limiter = self._limiters.get(key)
        if limiter is None:
            limiter = self._limiters[key] = RateLimiter(limits, headroom=1.0)
        return limiter
