"""Several keys for one account, the current one first: while one is replaced, whichever works is used."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import structlog

from kustomer_klaviyo.outcomes import LockedOut, Outcome

Client = TypeVar("Client")
NO_KEY, NO_SCOPE = 401, 403

log = structlog.get_logger()


class Keys(Generic[Client]):
    """One client for each key of a connection."""

    def __init__(self, clients: Sequence[Client]) -> None:
        self._clients = list(clients)
        self._first = self._clients[0]

    @property
    def current(self) -> Client:
        """The client of the key in use."""
        return self._clients[0]

    @property
    def is_on_fallback(self) -> bool:
        """Whether the key that should be in use was refused, and another one is used."""
        return self._clients[0] is not self._first

    async def use(self, send: Callable[[Client], Awaitable[Outcome]]) -> Outcome:
        """Try the key in use; where it is refused, the others, and keep to the one that is let in.

        A key that merely lacks a scope is used on for all else.
        """
        outcome = await send(self._clients[0])
        if not _is_shut_out(outcome):
            return outcome
        for client in self._clients[1:]:
            other = await send(client)
            if _is_shut_out(other):
                continue
            if outcome.status == NO_KEY:
                log.warning("klaviyo.key_refused", now_using="another key of the connection")
                self._clients.remove(client)
                self._clients.insert(0, client)
            return other
        return outcome

    async def use_for_all(self, send: Callable[[Client], Awaitable[list[Outcome]]]) -> list[Outcome]:
        """Do the same for several requests that belong together: where the key is refused for one, it is for all."""
        outcomes: list[Outcome] = []

        async def send_all(client: Client) -> Outcome:
            outcomes[:] = await send(client)
            return next((one for one in outcomes if _is_shut_out(one)), outcomes[-1])

        await self.use(send_all)
        return outcomes


def _is_shut_out(outcome: Outcome) -> bool:
    """Say whether it is the key that is the matter: any other key would find the same of all else."""
    return isinstance(outcome, LockedOut) and outcome.status in (NO_KEY, NO_SCOPE)
