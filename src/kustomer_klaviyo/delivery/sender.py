"""Sends calls to Klaviyo in their time, with whichever of the connection's keys Klaviyo accepts."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from kustomer_klaviyo.klaviyo.batches import Batch
from kustomer_klaviyo.klaviyo.client import KlaviyoClient
from kustomer_klaviyo.klaviyo.event_request import EventCall
from kustomer_klaviyo.klaviyo.key_ring import Keys
from kustomer_klaviyo.klaviyo.profile_request import ProfileCall
from kustomer_klaviyo.outcomes import Outcome
from kustomer_klaviyo.rate_limits import Windows

FALLBACK = "Klaviyo refuses the current key; the one before it is used. Put in a new key."


class Sender:
    """One connection's way to Klaviyo: a client per key, the current key first."""

    def __init__(self, clients: Sequence[KlaviyoClient]) -> None:
        self._keys = Keys(clients)

    @property
    def note(self) -> str | None:
        """What an admin should know of the keys."""
        return FALLBACK if self._keys.is_on_fallback else None

    async def send_event(self, call: EventCall) -> Outcome:
        """Send one event, when the limits let it."""
        return await self._keys.use(lambda client: _timely(client.event_windows, lambda: client.create_event(call)))

    async def send_events(self, batch: Batch) -> Outcome:
        """Send a batch through the bulk endpoint, when the limits let it."""
        return await self._keys.use(lambda client: _timely(client.bulk_windows, lambda: client.create_events(batch)))

    @property
    def seconds_to_import(self) -> float:
        """How long the limits keep the next single import of a profile waiting."""
        return self._keys.current.profile_import_windows.wait(time.monotonic())

    async def import_profile(self, call: ProfileCall) -> Outcome:
        """Create or update a profile, when the limits let it."""
        return await self._keys.use(
            lambda client: _timely(client.profile_import_windows, lambda: client.import_profile(call))
        )

    async def patch_profile(self, profile_id: str, call: ProfileCall) -> Outcome:
        """Change a profile known by its id, when the limits let it."""
        return await self._keys.use(
            lambda client: _timely(client.profile_patch_windows, lambda: client.patch_profile(profile_id, call))
        )

    async def find_profile(self, field: str, value: str) -> Outcome:
        """Read the profile with an identifier, when the limits let it."""
        return await self._keys.use(
            lambda client: _timely(client.profile_read_windows, lambda: client.find_profile(field, value))
        )

    async def merge_profiles(self, *, into: str, source: str) -> Outcome:
        """Merge two profiles, when the limits let it."""
        return await self._keys.use(
            lambda client: _timely(
                client.profile_merge_windows, lambda: client.merge_profiles(into=into, source=source)
            )
        )

    async def erase_profile(self, field: str, value: str) -> Outcome:
        """Have a person erased, when the limits let it."""
        return await self._keys.use(
            lambda client: _timely(client.erasure_windows, lambda: client.erase_profile(field, value))
        )

    async def import_profiles(self, entries: Sequence[bytes]) -> Outcome:
        """Begin a bulk import, when the limits let it.

        Only with the current key: one that lacks the scope is no reason to prefer another, since single imports do.
        """
        client = self._keys.current
        return await _timely(client.bulk_import_windows, lambda: client.import_profiles(entries))

    async def profile_import(self, import_id: str) -> Outcome:
        """Ask how a bulk import fares, when the limits let it."""
        return await self._keys.use(
            lambda client: _timely(client.bulk_import_read_windows, lambda: client.profile_import(import_id))
        )

    async def recent_imports(self) -> Outcome:
        """List the latest bulk imports, when the limits let it."""
        return await self._keys.use(lambda client: _timely(client.bulk_import_read_windows, client.recent_imports))

    async def import_errors(self, import_id: str, cursor: str | None) -> Outcome:
        """Read a page of what a bulk import could not import, when the limits let it."""
        return await self._keys.use(
            lambda client: _timely(client.import_errors_windows, lambda: client.import_errors(import_id, cursor))
        )


async def _timely(windows: Windows, send: Callable[[], Awaitable[Outcome]]) -> Outcome:
    while (wait := windows.wait(time.monotonic())) > 0:
        await asyncio.sleep(wait)
    windows.took(time.monotonic())
    return await send()
