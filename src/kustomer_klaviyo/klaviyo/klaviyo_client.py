"""The client of Klaviyo's API. It waits for a rate-limit slot, sends bytes and classifies the response."""

import random
import time
from collections.abc import Sequence
from urllib.parse import quote

import aiohttp

from kustomer_klaviyo import __version__
from kustomer_klaviyo.klaviyo.batches import Batch
from kustomer_klaviyo.klaviyo.event_request import EventRequest
from kustomer_klaviyo.klaviyo.event_wire import MEDIA_TYPE, NO_FALL_FORWARD, REVISION, encode_event, read_limits
from kustomer_klaviyo.klaviyo.klaviyo_responses import (
    ACCEPTED_EMPTY,
    CREATED,
    JOB_STARTED,
    READ,
    SCOPE_PROBE,
    UPDATED,
    WRITTEN,
    ExpectedResponse,
    classify,
)
from kustomer_klaviyo.klaviyo.profile_request import ProfileRequest
from kustomer_klaviyo.klaviyo.profile_wire import (
    encode_erasure,
    encode_merge,
    encode_profile,
    join_profiles,
    quote_filter_value,
)
from kustomer_klaviyo.klaviyo.scopes import ScopeProbe
from kustomer_klaviyo.outcomes import Outcome, Throttled, Unreachable
from kustomer_klaviyo.rate_limiter import RateLimiter
from kustomer_klaviyo.rate_limits import Limits
from kustomer_klaviyo.transport import read_bounded

TIMEOUT = aiohttp.ClientTimeout(connect=3, total=30)
MAX_RESPONSE_BYTES, MAX_LIST_BYTES = 1_000_000, 10_000_000
"""The longest response to a write that is read, and the longest one that lists profiles or events."""

TIER_XS, TIER_S, TIER_M, TIER_L, TIER_XL = (
    Limits(1, 15), Limits(3, 60), Limits(10, 150), Limits(75, 750), Limits(350, 3500),
)  # fmt: skip
"""Documented limits of the endpoints, until response headers report others."""

ACCOUNT = "/api/accounts?fields[account]=public_api_key,contact_information.organization_name"


class ClientLimiters:
    """The rate limiters of an account's endpoints. All clients of one account share them."""

    def __init__(self) -> None:
        self.events = RateLimiter(TIER_XL)
        self.bulk_events = RateLimiter(TIER_M)
        self.profile_import = RateLimiter(TIER_L)
        self.profile_patch = RateLimiter(TIER_L)
        self.profile_read = RateLimiter(TIER_L)
        self.profile_merge = RateLimiter(TIER_M)
        self.bulk_import = RateLimiter(TIER_M)
        self.bulk_import_read = RateLimiter(TIER_M)
        self.bulk_import_errors = RateLimiter(TIER_M)
        self.erasure = RateLimiter(TIER_S)


class KlaviyoClient:
    """One account's API under one private key. The key never appears in logs, errors or ``repr``."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        base_url: str = "https://a.klaviyo.com",
        key: str,
        timeout: aiohttp.ClientTimeout = TIMEOUT,
        revision: str = REVISION,
        limiters: ClientLimiters | None = None,
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
        self.limiters = limiters or ClientLimiters()
        self.account_id: str | None = None
        """The account's site ID, from the last response."""

    async def create_event(self, request: EventRequest) -> Outcome:
        """Create one event."""
        return await self._request("POST", "/api/events", encode_event(request), self.limiters.events, ACCEPTED_EMPTY)

    async def create_events(self, batch: Batch) -> Outcome:
        """Create a batch of events. Klaviyo accepts all of them or none."""
        path = "/api/event-bulk-create-jobs"
        return await self._request("POST", path, batch.body(), self.limiters.bulk_events, ACCEPTED_EMPTY)

    async def import_profile(self, request: ProfileRequest) -> Outcome:
        """Create or update a profile."""
        body = encode_profile(request)
        return await self._request("POST", "/api/profile-import", body, self.limiters.profile_import, WRITTEN)

    async def patch_profile(self, profile_id: str, request: ProfileRequest) -> Outcome:
        """Update a profile by its id, including its email and phone."""
        path, body = f"/api/profiles/{quote(profile_id, safe='')}", encode_profile(request, profile_id)
        return await self._request("PATCH", path, body, self.limiters.profile_patch, UPDATED)

    async def find_profile(self, field: str, value: str) -> Outcome:
        """Find the profile with an ``email`` or ``phone_number``; the lower-case spelling is searched, too.

        Filters are case-sensitive (developers.klaviyo.com/en/docs/filtering_), and Klaviyo may not keep the case.
        """
        spellings = ",".join(map(quote_filter_value, dict.fromkeys((value, value.lower()))))
        query = quote(f"any({field},[{spellings}])", safe="")
        path = f"/api/profiles?filter={query}&fields[profile]=email,phone_number&page[size]=1"
        return await self._request("GET", path, None, self.limiters.profile_read)

    async def merge_profiles(self, *, into: str, source: str) -> Outcome:
        """Merge one profile into another. Klaviyo deletes the source asynchronously; this cannot be undone."""
        body = encode_merge(into, source)
        return await self._request("POST", "/api/profile-merge", body, self.limiters.profile_merge, CREATED)

    async def erase_profile(self, field: str, value: str) -> Outcome:
        """Delete all data of the profile with an ``email`` or ``phone_number``. This cannot be undone."""
        body = encode_erasure(field, value)
        return await self._request(
            "POST", "/api/data-privacy-deletion-jobs", body, self.limiters.erasure, ACCEPTED_EMPTY
        )

    async def start_bulk_import(self, entries: Sequence[bytes]) -> Outcome:
        """Start a bulk import of profiles. Its result is polled."""
        body = join_profiles(entries)
        return await self._request(
            "POST", "/api/profile-bulk-import-jobs", body, self.limiters.bulk_import, JOB_STARTED
        )

    async def bulk_import(self, bulk_import_id: str) -> Outcome:
        """Read the status of a bulk import."""
        path = f"/api/profile-bulk-import-jobs/{quote(bulk_import_id, safe='')}"
        return await self._request("GET", path, None, self.limiters.bulk_import_read)

    async def recent_bulk_imports(self) -> Outcome:
        """List the latest bulk imports, newest first."""
        path = "/api/profile-bulk-import-jobs?sort=-created_at&page[size]=20"
        return await self._request("GET", path, None, self.limiters.bulk_import_read)

    async def bulk_import_errors(self, bulk_import_id: str, cursor: str | None = None) -> Outcome:
        """Read one page of a bulk import's errors."""
        path = f"/api/profile-bulk-import-jobs/{quote(bulk_import_id, safe='')}/import-errors?page[size]=100"
        path += f"&page[cursor]={quote(cursor, safe='')}" if cursor else ""
        return await self._request("GET", path, None, self.limiters.bulk_import_errors, max_bytes=MAX_LIST_BYTES)

    async def account(self) -> Outcome:
        """Read the account that the key belongs to, without its address."""
        return await self._request("GET", ACCOUNT, None, None)

    async def probe(self, probe: ScopeProbe) -> Outcome:
        """Test whether the key has a scope. Writes nothing."""
        expected = READ if probe.body is None else SCOPE_PROBE
        return await self._request(probe.method, probe.path, probe.body, None, expected)

    async def read(self, path: str, limiter: RateLimiter) -> Outcome:
        """Read a path. The caller has acquired the slot; the limiter learns the limits from the response."""
        return await self._send("GET", path, None, limiter, READ, MAX_LIST_BYTES)

    async def _request(
        self,
        method: str,
        path: str,
        body: bytes | None,
        limiter: RateLimiter | None,
        expected: ExpectedResponse = READ,
        *,
        max_bytes: int = MAX_RESPONSE_BYTES,
    ) -> Outcome:
        if limiter is not None:
            await limiter.acquire()
        return await self._send(method, path, body, limiter, expected, max_bytes)

    async def _send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        limiter: RateLimiter | None,
        expected: ExpectedResponse,
        max_bytes: int,
    ) -> Outcome:
        started_at = time.monotonic()
        try:
            async with self._session.request(
                method,
                self._base_url + path,
                data=body,
                headers=self._headers,
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                content = await read_bounded(response.content, max_bytes)
                self.account_id = response.headers.get("Cid", self.account_id)
                outcome = classify(response.status, response.headers, content, expected)
                if limiter is not None:
                    _update_limiter(limiter, response, outcome, started_at)
                return outcome
        except aiohttp.ConnectionTimeoutError:
            return Unreachable("no connection to Klaviyo in time")
        except TimeoutError:
            return Unreachable("Klaviyo did not respond in time")
        except (aiohttp.ClientError, OSError) as error:
            # Only the type of the error: its text may repeat the request.
            return Unreachable(f"the connection to Klaviyo failed ({type(error).__name__})")
        except Exception as error:  # noqa: BLE001 - a transport error is never the fault of the request's content
            return Unreachable(f"Klaviyo's response could not be handled ({type(error).__name__})")


def _update_limiter(
    limiter: RateLimiter, response: aiohttp.ClientResponse, outcome: Outcome, started_at: float
) -> None:
    limits = read_limits(response.headers)
    if limits is not None:
        limiter.update_limits(limits)
    if isinstance(outcome, Throttled):
        now, jitter = time.monotonic(), random.random()
        limiter.record_throttled(started_at=started_at, now=now, retry_after=outcome.retry_after, jitter=jitter)
    else:
        limiter.record_success(started_at=started_at)
