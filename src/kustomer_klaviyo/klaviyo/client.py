"""Asks Klaviyo's API. Thin: it sends bytes and hands answers to ``classify``."""

import time

import aiohttp

from kustomer_klaviyo import __version__
from kustomer_klaviyo.klaviyo.answers import classify
from kustomer_klaviyo.klaviyo.batches import Batch
from kustomer_klaviyo.klaviyo.express import EventCall
from kustomer_klaviyo.klaviyo.wire import MEDIA_TYPE, REVISION, encode_event, limits
from kustomer_klaviyo.outcomes import Outcome, Throttled, Unreachable
from kustomer_klaviyo.throttle import Limits, Windows
from kustomer_klaviyo.transport import read_bounded

TIMEOUT = aiohttp.ClientTimeout(connect=3, total=30)
LARGEST_ANSWER = 1_000_000
"""Bytes of an answer that are read."""

LONGEST_HOLD = 60.0
"""Seconds an endpoint is held for a 429: its longest window. A longer wish is the delivery loop's to weigh."""

TIER_M, TIER_XL = Limits(10, 150), Limits(350, 3500)
"""Limits of the endpoints we use, until an answer's headers tell others."""

ACCOUNT = "/api/accounts?fields[account]=public_api_key,timezone,preferred_currency,locale,test_account"


class KlaviyoClient:
    """One account's API under one private key. The key never shows in logs, errors or ``repr``."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        base_url: str = "https://a.klaviyo.com",
        key: str,
        timeout: aiohttp.ClientTimeout = TIMEOUT,
    ) -> None:
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._timeout = timeout
        self._headers = {
            "Authorization": f"Klaviyo-API-Key {key}",
            "revision": REVISION,
            "Accept": MEDIA_TYPE,
            "Content-Type": MEDIA_TYPE,
            "User-Agent": f"kustomer-klaviyo/{__version__}",
        }
        self.event_windows = Windows(TIER_XL)
        self.bulk_windows = Windows(TIER_M)
        self.account_id: str | None = None
        """The site ID of the account, as the last answer named it."""

    async def create_event(self, call: EventCall) -> Outcome:
        """Create one event."""
        return await self._call("POST", "/api/events", encode_event(call), self.event_windows)

    async def create_events(self, batch: Batch) -> Outcome:
        """Create many events; Klaviyo takes all of them or none."""
        return await self._call("POST", "/api/event-bulk-create-jobs", batch.body(), self.bulk_windows)

    async def account(self) -> Outcome:
        """Read the account that the key belongs to, without its address."""
        return await self._call("GET", ACCOUNT, None, None)

    async def _call(self, method: str, path: str, body: bytes | None, windows: Windows | None) -> Outcome:
        try:
            async with self._session.request(
                method,
                self._base_url + path,
                data=body,
                headers=self._headers,
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                answer = await read_bounded(response.content, LARGEST_ANSWER)
                self.account_id = response.headers.get("Cid", self.account_id)
                outcome = classify(response.status, response.headers, answer)
                self._learn(response, outcome, windows)
                return outcome
        except aiohttp.ConnectionTimeoutError:
            return Unreachable("no connection to Klaviyo in time")
        except TimeoutError:
            return Unreachable("Klaviyo did not answer in time")
        except (aiohttp.ClientError, OSError) as error:
            # Only the kind of error: its text may repeat what was sent.
            return Unreachable(f"the way to Klaviyo is broken ({type(error).__name__})")

    @staticmethod
    def _learn(response: aiohttp.ClientResponse, outcome: Outcome, windows: Windows | None) -> None:
        if windows is None:
            return
        told = limits(response.headers)
        if told is not None:
            windows.learn(told)
        if isinstance(outcome, Throttled) and outcome.retry_after is not None:
            windows.hold(time.monotonic() + min(outcome.retry_after, LONGEST_HOLD))
