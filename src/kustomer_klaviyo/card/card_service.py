"""Answers whoever opens a card: from what is kept, at once; only one never fetched before is waited for, a little."""

import asyncio
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict

from kustomer_klaviyo.card.card_build import read_insight
from kustomer_klaviyo.card.card_view import COME_AGAIN_SECONDS, FACES, Card, show
from kustomer_klaviyo.connections.registry import Directory, Joined
from kustomer_klaviyo.rate_limits import Limits, Windows
from kustomer_klaviyo.store import cards
from kustomer_klaviyo.store.cards import Kept
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.encryption import digest_of_secret

LONGEST_WAIT = 1.2
"""Seconds an agent waits for a card that was never fetched; then the card says that it is on its way."""

LOOK_AGAIN_SECONDS = 0.04
OF_A_CONNECTION = Limits(burst=200, steady=6000)
OF_A_CUSTOMER = Limits(burst=10, steady=60)
"""Opens that are answered, by second and minute; far more than agents make."""

OF_STRANGERS = Limits(burst=20, steady=120)
"""Customers of whom nothing is known here and about whom Kustomer is asked, for a connection: whoever holds its secret
can make them up, and Kustomer's own limit is for those who are real."""

CUSTOMERS_WATCHED = 10_000
NOBODYS_SECRETS = (hashlib.sha256(secrets.token_bytes()).hexdigest(),)


def busy(joined: Joined) -> Card:
    """Return the card that says no more than that it was opened too often: Kustomer keeps it for seconds, as any."""
    account = joined.connection.klaviyo_account
    return Card(face="busy", says=FACES["busy"], account=account, refresh_after=COME_AGAIN_SECONDS)


class CardDesk:
    """Answers for the cards of all connections. One per process."""

    def __init__(self, database: Database, directory: Directory) -> None:
        self._database = database
        self._directory = directory
        self._windows: OrderedDict[tuple[str, str], Windows] = OrderedDict()

    def admit(self, connection_id: str, secret: str) -> Joined | None:
        """Return the connection that a secret belongs to; None for a wrong one, in the same time."""
        joined = self._directory.get(connection_id)
        known = NOBODYS_SECRETS if joined is None else joined.connection.secrets.card_secrets or NOBODYS_SECRETS
        shown = digest_of_secret(secret)
        matches = [hmac.compare_digest(shown, one) for one in known]
        return joined if any(matches) else None

    def is_too_often(self, joined: Joined, customer_id: str) -> bool:
        """Count an open, and say whether it is one too many."""
        connection_id, now = joined.connection.id, time.monotonic()
        both = (
            self._window((connection_id, ""), OF_A_CONNECTION),
            self._window((connection_id, customer_id), OF_A_CUSTOMER),
        )
        if any(windows.wait(now) > 0 for windows in both):
            return True
        for windows in both:
            windows.took(now)
        return False

    async def open(self, joined: Joined, customer_id: str) -> Card:
        """Return the card of a customer."""
        kept = await self._kept(joined.connection.id, customer_id)
        if kept is None:
            return busy(joined)
        return show(
            read_insight(kept.document),
            joined.options,
            account=joined.connection.klaviyo_account,
            trouble=kept.trouble,
            is_wanted=kept.is_wanted,
        )

    async def _kept(self, connection_id: str, customer_id: str) -> Kept | None:
        kept = await self._opened(connection_id, customer_id)
        deadline = time.monotonic() + LONGEST_WAIT
        while kept and kept.document is None and kept.is_wanted and time.monotonic() < deadline:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            kept = await cards.read(self._database, connection_id, customer_id) or kept
        return kept

    async def _opened(self, connection_id: str, customer_id: str) -> Kept | None:
        """Note that a card is opened; None for one customer too many of whom nothing is known."""
        kept = await cards.opened(self._database, connection_id, customer_id, may_ask=False)
        strangers = self._window((connection_id, "strangers"), OF_STRANGERS)
        if kept is not None or strangers.wait(time.monotonic()) > 0:
            return kept
        strangers.took(time.monotonic())
        return await cards.opened(self._database, connection_id, customer_id)

    def _window(self, key: tuple[str, str], limits: Limits) -> Windows:
        windows = self._windows.get(key)
        if windows is None:
            windows = self._windows[key] = Windows(limits, headroom=1.0)
            if len(self._windows) > CUSTOMERS_WATCHED:
                self._windows.popitem(last=False)
        self._windows.move_to_end(key)
        return windows
