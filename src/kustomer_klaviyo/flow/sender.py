"""Sends calls to Klaviyo in their time, with whichever of the connection's keys Klaviyo accepts."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from kustomer_klaviyo.klaviyo.batches import Batch
from kustomer_klaviyo.klaviyo.client import KlaviyoClient
from kustomer_klaviyo.klaviyo.express import EventCall
from kustomer_klaviyo.outcomes import LockedOut, Outcome
from kustomer_klaviyo.throttle import Windows

log = structlog.get_logger()


class Sender:
    """One connection's way to Klaviyo: a client per key, the current key first."""

    def __init__(self, clients: Sequence[KlaviyoClient]) -> None:
        self._clients = list(clients)

    async def send_event(self, call: EventCall) -> Outcome:
        """Send one event, when the limits let it."""
        return await self._with_a_key(lambda client: _timely(client.event_windows, lambda: client.create_event(call)))

    async def send_events(self, batch: Batch) -> Outcome:
        """Send a batch through the bulk endpoint, when the limits let it."""
        return await self._with_a_key(lambda client: _timely(client.bulk_windows, lambda: client.create_events(batch)))

    async def _with_a_key(self, send: Callable[[KlaviyoClient], Awaitable[Outcome]]) -> Outcome:
        """Try the current key; where it is refused, the others, and keep to the one that works."""
        outcome = await send(self._clients[0])
        for client in self._clients[1:]:
            if not isinstance(outcome, LockedOut):
                break
            outcome = await send(client)
            if not isinstance(outcome, LockedOut):
                log.warning("klaviyo.key_refused", now_using="another key of the connection")
                self._clients.remove(client)
                self._clients.insert(0, client)
                break
        return outcome


async def _timely(windows: Windows, send: Callable[[], Awaitable[Outcome]]) -> Outcome:
    while (wait := windows.wait(time.monotonic())) > 0:
        await asyncio.sleep(wait)
    windows.took(time.monotonic())
    return await send()
