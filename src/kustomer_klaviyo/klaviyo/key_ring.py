"""Several API keys for one account, the current one first. While a key is replaced, the one that works is used."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import structlog

from kustomer_klaviyo.outcomes import LockedOut, Outcome

Client = TypeVar("Client")
UNAUTHORIZED, FORBIDDEN = 401, 403

log = structlog.get_logger()


class ApiKeyRing(Generic[Client]):
    """One client per API key of a connection."""

    def __init__(self, clients: Sequence[Client]) -> None:
        self._clients = list(clients)
        self._current = self._clients[0]

    @property
    def active(self) -> Client:
        """The client of the key in use, which is a fallback while Klaviyo rejects the current key."""
        return self._clients[0]

    @property
    def uses_fallback(self) -> bool:
        """Whether the current key was rejected and another one is in use."""
        return self._clients[0] is not self._current

    async def call(self, send: Callable[[Client], Awaitable[Outcome]]) -> Outcome:
        """Send with the key in use. If it is rejected, try the other keys and keep using the one that works.

        A key that only lacks a scope stays in use for everything else.
        """
        outcome = await send(self._clients[0])
        if not _is_rejected(outcome):
            return outcome
        for client in self._clients[1:]:
            other_outcome = await send(client)
            if _is_rejected(other_outcome):
                continue
            if outcome.status == UNAUTHORIZED:
                log.warning("klaviyo.key_rejected", now_using="another key of the connection")
                self._clients.remove(client)
                self._clients.insert(0, client)
            return other_outcome
        return outcome

    async def call_all(self, send: Callable[[Client], Awaitable[list[Outcome]]]) -> list[Outcome]:
        """Send several related requests with one key. If it is rejected for one of them, all are sent with another."""
        outcomes: list[Outcome] = []

        async def send_all(client: Client) -> Outcome:
            outcomes[:] = await send(client)
            return next((outcome for outcome in outcomes if _is_rejected(outcome)), outcomes[-1])

        await self.call(send_all)
        return outcomes


def _is_rejected(outcome: Outcome) -> bool:
    """Return whether Klaviyo rejected the key, so that another key may work."""
    return isinstance(outcome, LockedOut) and outcome.status in (UNAUTHORIZED, FORBIDDEN)
