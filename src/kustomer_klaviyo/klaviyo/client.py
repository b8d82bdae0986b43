"""Asks Klaviyo's API. Thin: it sends bytes and hands answers to ``classify``."""

import random
import time
from collections.abc import Sequence
from urllib.parse import quote

import aiohttp

from kustomer_klaviyo import __version__
from kustomer_klaviyo.klaviyo.answers import BEGUN, CREATED, NEVER, READ, TAKEN, UPDATED, WRITTEN, Documented, classify
from kustomer_klaviyo.klaviyo.batches import Batch
from kustomer_klaviyo.klaviyo.event_request import EventCall
from kustomer_klaviyo.klaviyo.event_wire import MEDIA_TYPE, NO_FALL_FORWARD, REVISION, encode_event, limits
from kustomer_klaviyo.klaviyo.profile_request import ProfileCall
from kustomer_klaviyo.klaviyo.profile_wire import encode_erasure, encode_merge, encode_profile, join_profiles, quoted
from kustomer_klaviyo.klaviyo.scopes import Probe
from kustomer_klaviyo.outcomes import Outcome, Throttled, Unreachable
from kustomer_klaviyo.rate_limits import Limits, Windows
from kustomer_klaviyo.transport import read_bounded

TIMEOUT = aiohttp.ClientTimeout(connect=3, total=30)
LARGEST_ANSWER, LARGEST_READING = 1_000_000, 10_000_000
"""Bytes that are read of an answer to a write, and of one that brings many people or events."""

TIER_XS, TIER_S, TIER_M, TIER_L, TIER_XL = (
    Limits(1, 15), Limits(3, 60), Limits(10, 150), Limits(75, 750), Limits(350, 3500),
)  # fmt: skip
"""Limits of the endpoints we use, until an answer's headers tell others."""

ACCOUNT = "/api/accounts?fields[account]=public_api_key,contact_information.organization_name"


class KlaviyoClient:
    """One account's API under one private key. The key never shows in logs, errors or ``repr``."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        base_url: str = "https://a.klaviyo.com",
        key: str,
        timeout: aiohttp.ClientTimeout = TIMEOUT,
        revision: str = REVISION,
    ) -> None:
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._timeout = timeout
        self._headers = {
            "Authorization": f"Klaviyo-API-Key {key}",
            "revision": revision,
            "Accept": MEDIA_TYPE,
            "Content-Type": MEDIA_TYPE,
            "User-Agent": f"kustomer-klaviyo/{__version__}",
            **NO_FALL_FORWARD,
        }
        self.event_windows = Windows(TIER_XL)
        self.bulk_windows = Windows(TIER_M)
        self.profile_import_windows = Windows(TIER_L)
        self.profile_patch_windows = Windows(TIER_L)
        self.profile_read_windows = Windows(TIER_L)
        self.profile_merge_windows = Windows(TIER_M)
        self.bulk_import_windows = Windows(TIER_M)
        self.bulk_import_read_windows = Windows(TIER_M)
        self.import_errors_windows = Windows(TIER_M)
        self.erasure_windows = Windows(TIER_S)
        self.account_id: str | None = None
        """The site ID of the account, as the last answer named it."""

    async def create_event(self, call: EventCall) -> Outcome:
        """Create one event."""
        return await self._call("POST", "/api/events", encode_event(call), self.event_windows, TAKEN)

    async def create_events(self, batch: Batch) -> Outcome:
        """Create many events; Klaviyo takes all of them or none."""
        return await self._call("POST", "/api/event-bulk-create-jobs", batch.body(), self.bulk_windows, TAKEN)

    async def import_profile(self, call: ProfileCall) -> Outcome:
        """Create or update a profile."""
        body = encode_profile(call)
        return await self._call("POST", "/api/profile-import", body, self.profile_import_windows, WRITTEN)

    async def patch_profile(self, profile_id: str, call: ProfileCall) -> Outcome:
        """Change a profile that is known by its id, its address and number included."""
        path = f"/api/profiles/{quote(profile_id, safe='')}"
        return await self._call("PATCH", path, encode_profile(call, profile_id), self.profile_patch_windows, UPDATED)

    async def find_profile(self, field: str, value: str) -> Outcome:
        """Read the profile that has an ``email`` or ``phone_number``; an address in lower case, too, if there is none.

        Filters heed the case (developers.klaviyo.com/en/docs/filtering_), and Klaviyo may not keep it.
        """
        spellings = ",".join(map(quoted, dict.fromkeys((value, value.lower()))))
        wanted = quote(f"any({field},[{spellings}])", safe="")
        path = f"/api/profiles?filter={wanted}&fields[profile]=email,phone_number&page[size]=1"
        return await self._call("GET", path, None, self.profile_read_windows)

    async def merge_profiles(self, *, into: str, source: str) -> Outcome:
        """Merge one profile into another, for good; the source is deleted, in Klaviyo's own time."""
        body = encode_merge(into, source)
        return await self._call("POST", "/api/profile-merge", body, self.profile_merge_windows, CREATED)

    async def erase_profile(self, field: str, value: str) -> Outcome:
        """Have Klaviyo delete all it holds of the person with an ``email`` or ``phone_number``, for good."""
        body = encode_erasure(field, value)
        return await self._call("POST", "/api/data-privacy-deletion-jobs", body, self.erasure_windows, TAKEN)

    async def import_profiles(self, entries: Sequence[bytes]) -> Outcome:
        """Begin an import of many profiles; its end is to be asked for."""
        body = join_profiles(entries)
        return await self._call("POST", "/api/profile-bulk-import-jobs", body, self.bulk_import_windows, BEGUN)

    async def profile_import(self, import_id: str) -> Outcome:
        """Ask how an import fares."""
        path = f"/api/profile-bulk-import-jobs/{quote(import_id, safe='')}"
        return await self._call("GET", path, None, self.bulk_import_read_windows)

    async def recent_imports(self) -> Outcome:
        """List the latest imports, the newest first."""
        path = "/api/profile-bulk-import-jobs?sort=-created_at&page[size]=20"
        return await self._call("GET", path, None, self.bulk_import_read_windows)

    async def import_errors(self, import_id: str, cursor: str | None = None) -> Outcome:
        """Read what an import could not import, a page at a time."""
        path = f"/api/profile-bulk-import-jobs/{quote(import_id, safe='')}/import-errors?page[size]=100"
        path += f"&page[cursor]={quote(cursor, safe='')}" if cursor else ""
        return await self._call("GET", path, None, self.import_errors_windows, largest=LARGEST_READING)

    async def account(self) -> Outcome:
        """Read the account that the key belongs to, without its address."""
        return await self._call("GET", ACCOUNT, None, None)

    async def probe(self, probe: Probe) -> Outcome:
        """Find a scope of the key out; writes nothing."""
        documented = READ if probe.body is None else NEVER
        return await self._call(probe.method, probe.path, probe.body, None, documented)

    async def read(self, path: str, windows: Windows) -> Outcome:
        """Read something; what the answer tells of limits goes into the windows."""
        return await self._call("GET", path, None, windows, largest=LARGEST_READING)

    async def _call(
        self,
        method: str,
        path: str,
        body: bytes | None,
        windows: Windows | None,
        documented: Documented = READ,
        *,
        largest: int = LARGEST_ANSWER,
    ) -> Outcome:
        began = time.monotonic()
        try:
            async with self._session.request(
                method,
                self._base_url + path,
                data=body,
                headers=self._headers,
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                answer = await read_bounded(response.content, largest)
                self.account_id = response.headers.get("Cid", self.account_id)
                outcome = classify(response.status, response.headers, answer, documented)
                self._learn(response, outcome, windows, began)
                return outcome
        except aiohttp.ConnectionTimeoutError:
            return Unreachable("no connection to Klaviyo in time")
        except TimeoutError:
            return Unreachable("Klaviyo did not answer in time")
        except (aiohttp.ClientError, OSError) as error:
            # Only the kind of error: its text may repeat what was sent.
            return Unreachable(f"the way to Klaviyo is broken ({type(error).__name__})")
        except Exception as error:  # noqa: BLE001 - whatever goes wrong on the way, it is no fault of what was sent
            return Unreachable(f"Klaviyo's answer could not be handled ({type(error).__name__})")

    @staticmethod
    def _learn(response: aiohttp.ClientResponse, outcome: Outcome, windows: Windows | None, began: float) -> None:
        if windows is None:
            return
        told = limits(response.headers)
        if told is not None:
            windows.learn(told)
        if isinstance(outcome, Throttled):
            now = time.monotonic()
            windows.throttled(began=began, now=now, asked=outcome.retry_after, spread=random.random())
        else:
            windows.passed(began=began)
