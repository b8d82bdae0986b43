"""The client of Kustomer's API. It keeps to its share of the organisation's rate limit, and classifies responses."""

import random
import time
from typing import Any

import aiohttp
import msgspec

from kustomer_klaviyo.kustomer.kustomer_responses import classify, clock_skew, is_unavailable
from kustomer_klaviyo.outcomes import Outcome, Throttled, Unreachable, Unreadable
from kustomer_klaviyo.rate_limiter import RateLimiter
from kustomer_klaviyo.rate_limits import Limits, Outage
from kustomer_klaviyo.transport import read_bounded

TIMEOUT = aiohttp.ClientTimeout(connect=3, total=30)
MAX_RESPONSE_BYTES = 5_000_000
SEARCHES_PER_MINUTE = 50
"""Half of the limit that all integrations of an organisation share
(developer.kustomer.com/docs/concepts/rate-limits)."""


class KustomerClient:
    """The API of one organisation. The key never appears in logs, errors or ``repr``."""

    def __init__(
        self, session: aiohttp.ClientSession, *, base_url: str, key: str, requests_per_minute: int = 200
    ) -> None:
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._key = key
        self.clock_skew: float | None = None
        """Seconds by which Kustomer's clock is ahead, from the ``Date`` of its last response; accurate to a second."""
        self.rate_limiter = RateLimiter(Limits(burst=None, steady=requests_per_minute), headroom=1.0)
        self.outage = Outage()
        self.search_rate_limiter = RateLimiter(Limits(burst=None, steady=min(SEARCHES_PER_MINUTE, requests_per_minute)))

    async def customer(self, customer_id: str) -> Outcome:
        """Read a customer."""
        return await self._request("GET", f"/v1/customers/{customer_id}")

    async def conversation(self, conversation_id: str) -> Outcome:
        """Read a conversation."""
        return await self._request("GET", f"/v1/conversations/{conversation_id}")

    async def merges(self, customer_id: str) -> Outcome:
        """List the merges of a customer."""
        return await self._request("GET", f"/v1/customers/{customer_id}/merges")

    async def search_customers(self, *, updated_since: str, page: int, page_size: int) -> Outcome:
        """Find the customers updated since a time, deleted ones included, oldest update first."""
        body = {
            "queryContext": "customer",
            "and": [{"customer_updated_at": {"gte": updated_since}}],
            "sort": [{"customer_updated_at": "asc"}],
            "includeDeleted": True,
        }
        path = f"/v1/customers/search?page={page}&pageSize={page_size}"
        return await self._request("POST", path, body, operation_limiter=self.search_rate_limiter, is_read=True)

    async def customer_metadata(self) -> Outcome:
        """Read the definitions of the customer attributes, custom ones included."""
        return await self._request("GET", "/v1/metadata/customer")

    async def brands(self) -> Outcome:
        """List the organisation's brands."""
        return await self._request("GET", "/v1/brands?pageSize=100")

    async def organisation(self) -> Outcome:
        """Read the organisation that the key belongs to."""
        return await self._request("GET", "/v1/orgs/current")

    async def token(self) -> Outcome:
        """Read the API key, with its roles."""
        return await self._request("GET", "/v1/auth/tokens/current")

    async def user(self) -> Outcome:
        """Read the key's user, with its roles."""
        return await self._request("GET", "/v1/users/current")

    async def webhooks(self) -> Outcome:
        """List the outbound webhooks."""
        return await self._request("GET", "/v1/outbound-webhooks")

    async def webhook(self, webhook_id: str) -> Outcome:
        """Read an outbound webhook, with its token."""
        return await self._request("GET", f"/v1/outbound-webhooks/{webhook_id}")

    async def create_webhook(self, *, name: str, url: str, events: tuple[str, ...]) -> Outcome:
        """Create an outbound webhook; the response contains the token that signs its deliveries."""
        body = {"name": name, "url": url, "events": list(events), "headers": [], "enabled": True}
        return await self._request("POST", "/v1/outbound-webhooks", body)

    async def delete_webhook(self, webhook_id: str) -> Outcome:
        """Delete an outbound webhook."""
        return await self._request("DELETE", f"/v1/outbound-webhooks/{webhook_id}")

    async def available_apps(self) -> Outcome:
        """List the registered app versions."""
        return await self._request("GET", "/v1/apps/available?pageSize=100")

    async def register_app(self, definition: dict[str, Any]) -> Outcome:
        """Register a version of an app; it cannot be deleted."""
        return await self._request("POST", "/v1/apps/available", definition)

    async def installed_apps(self) -> Outcome:
        """List the installed apps."""
        return await self._request("GET", "/v1/apps?pageSize=100")

    async def install_app(self, name: str, version: str) -> Outcome:
        """Install a registered version of an app, or upgrade to it."""
        return await self._request("POST", "/v1/apps/install", {"app": name, "version": version})

    async def setting(self, app: str, category: str, name: str) -> Outcome:
        """Read a setting of an app; for a secret only whether it is set."""
        return await self._request("GET", f"/v1/settings/{app}/{category}/{name}")

    async def put_setting(self, app: str, category: str, name: str, value: str) -> Outcome:
        """Set a setting of an app."""
        return await self._request("PUT", f"/v1/settings/{app}/{category}/{name}", {"value": value})

    async def _request(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        operation_limiter: RateLimiter | None = None,
        is_read: bool = False,
    ) -> Outcome:
        """Send a request within the rate limits; ``operation_limiter`` is the additional limit of one operation."""
        for limiter in filter(None, (operation_limiter, self.rate_limiter)):
            await limiter.acquire()
        started_at = time.monotonic()
        outcome = await self._send(method, path, body, is_read=is_read or method == "GET")
        self._record_outcome(outcome, operation_limiter or self.rate_limiter, started_at)
        return outcome

    async def _send(self, method: str, path: str, body: dict[str, Any] | None, *, is_read: bool) -> Outcome:
        headers = {"Authorization": f"Bearer {self._key}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            async with self._session.request(
                method,
                self._base_url + path,
                data=None if body is None else msgspec.json.encode(body),
                headers=headers,
                timeout=TIMEOUT,
                allow_redirects=False,
            ) as response:
                self.clock_skew = clock_skew(response.headers.get("Date"), now=time.time())
                content = await read_bounded(response.content, MAX_RESPONSE_BYTES)
                if response.status < 300 and len(content) >= MAX_RESPONSE_BYTES:
                    detail = f"Kustomer's response is unreadable ({response.status}): it is too large"
                    return Unreadable(detail, response.status)
                now = time.time() + (self.clock_skew or 0.0)
                return classify(response.status, response.headers, content, now=now, is_read=is_read)
        except aiohttp.ClientPayloadError as error:
            return Unreadable(f"Kustomer's response is unreadable: {type(error).__name__}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Unreachable(f"{type(error).__name__} from Kustomer")
        except Exception as error:  # noqa: BLE001 - an unexpected error is not the request's fault
            return Unreachable(f"Kustomer's response could not be handled ({type(error).__name__})")

    def _record_outcome(self, outcome: Outcome, limiter: RateLimiter, started_at: float) -> None:
        now, jitter = time.monotonic(), random.random()
        if isinstance(outcome, Throttled):
            limiter.record_throttled(started_at=started_at, now=now, retry_after=outcome.retry_after, jitter=jitter)
        else:
            limiter.record_success(started_at=started_at)
        if is_unavailable(outcome):
            self.outage.record_failure(started_at=started_at, now=now, jitter=jitter)
        else:
            self.outage.record_success(started_at=started_at)
