"""Asks Kustomer's API, within the share of the organisation's limit that is ours. Thin: meaning is found elsewhere."""

import asyncio
import random
import time
from typing import Any

import aiohttp
import msgspec

from kustomer_klaviyo.kustomer.answers import ahead_by, classify, is_away
from kustomer_klaviyo.outcomes import Outcome, Throttled, Unreachable, Unreadable
from kustomer_klaviyo.rate_limits import Limits, Outage, Windows
from kustomer_klaviyo.transport import read_bounded

TIMEOUT = aiohttp.ClientTimeout(connect=3, total=30)
LARGEST_ANSWER = 5_000_000
SEARCHES_PER_MINUTE = 50
"""Half of what all integrations of an organisation share
(developer.kustomer.com/docs/concepts/rate-limits)."""


class KustomerClient:
    """One organisation's API. The key never shows in logs, errors or ``repr``."""

    def __init__(
        self, session: aiohttp.ClientSession, *, base_url: str, key: str, requests_per_minute: int = 200
    ) -> None:
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._key = key
        self.ahead: float | None = None
        """Seconds by which Kustomer's clock is ahead of ours, by the ``Date`` of its last answer; a second coarse."""
        self.windows = Windows(Limits(burst=None, steady=requests_per_minute), headroom=1.0)
        self.outage = Outage()
        self.search_windows = Windows(Limits(burst=None, steady=min(SEARCHES_PER_MINUTE, requests_per_minute)))

    async def customer(self, customer_id: str) -> Outcome:
        """Read a customer."""
        return await self._call("GET", f"/v1/customers/{customer_id}")

    async def conversation(self, conversation_id: str) -> Outcome:
        """Read a conversation."""
        return await self._call("GET", f"/v1/conversations/{conversation_id}")

    async def merges(self, customer_id: str) -> Outcome:
        """Read the merges that a customer was part of."""
        return await self._call("GET", f"/v1/customers/{customer_id}/merges")

    async def search_customers(self, *, updated_since: str, page: int, page_size: int) -> Outcome:
        """Find customers updated since a time, the deleted ones among them, the oldest update first."""
        body = {
            "queryContext": "customer",
            "and": [{"customer_updated_at": {"gte": updated_since}}],
            "sort": [{"customer_updated_at": "asc"}],
            "includeDeleted": True,
        }
        path = f"/v1/customers/search?page={page}&pageSize={page_size}"
        return await self._call("POST", path, body, windows=self.search_windows, is_read=True)

    async def customer_metadata(self) -> Outcome:
        """Read the definitions of the customers' attributes, the organisation's own among them."""
        return await self._call("GET", "/v1/metadata/customer")

    async def brands(self) -> Outcome:
        """List the organisation's brands."""
        return await self._call("GET", "/v1/brands?pageSize=100")

    async def organisation(self) -> Outcome:
        """Read the organisation that the key belongs to."""
        return await self._call("GET", "/v1/orgs/current")

    async def token(self) -> Outcome:
        """Read the key itself, its roles included."""
        return await self._call("GET", "/v1/auth/tokens/current")

    async def user(self) -> Outcome:
        """Read the user behind the key, the roles included."""
        return await self._call("GET", "/v1/users/current")

    async def webhooks(self) -> Outcome:
        """List the outbound webhooks."""
        return await self._call("GET", "/v1/outbound-webhooks")

    async def webhook(self, webhook_id: str) -> Outcome:
        """Read one outbound webhook, its token included."""
        return await self._call("GET", f"/v1/outbound-webhooks/{webhook_id}")

    async def create_webhook(self, *, name: str, url: str, events: tuple[str, ...]) -> Outcome:
        """Create an outbound webhook; the answer holds the token that signs its deliveries."""
        body = {"name": name, "url": url, "events": list(events), "headers": [], "enabled": True}
        return await self._call("POST", "/v1/outbound-webhooks", body)

    async def delete_webhook(self, webhook_id: str) -> Outcome:
        """Delete an outbound webhook."""
        return await self._call("DELETE", f"/v1/outbound-webhooks/{webhook_id}")

    async def available_apps(self) -> Outcome:
        """List the versions of apps that are registered."""
        return await self._call("GET", "/v1/apps/available?pageSize=100")

    async def register_app(self, definition: dict[str, Any]) -> Outcome:
        """Register a version of an app, for ever."""
        return await self._call("POST", "/v1/apps/available", definition)

    async def installed_apps(self) -> Outcome:
        """List the apps that are installed."""
        return await self._call("GET", "/v1/apps?pageSize=100")

    async def install_app(self, name: str, version: str) -> Outcome:
        """Install a registered version of an app, or upgrade to it."""
        return await self._call("POST", "/v1/apps/install", {"app": name, "version": version})

    async def setting(self, app: str, category: str, name: str) -> Outcome:
        """Read a setting of an app; of a secret only whether there is one."""
        return await self._call("GET", f"/v1/settings/{app}/{category}/{name}")

    async def put_setting(self, app: str, category: str, name: str, value: str) -> Outcome:
        """Set a setting of an app."""
        return await self._call("PUT", f"/v1/settings/{app}/{category}/{name}", {"value": value})

    async def _call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        windows: Windows | None = None,
        is_read: bool = False,
    ) -> Outcome:
        """Ask when the limits let it; ``windows`` are those of an operation with a limit of its own."""
        for waited_for in filter(None, (windows, self.windows)):
            await _turn(waited_for)
        began = time.monotonic()
        outcome = await self._ask(method, path, body, is_read=is_read or method == "GET")
        self._learn(outcome, windows or self.windows, began)
        return outcome

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None, *, is_read: bool) -> Outcome:
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
                self.ahead = ahead_by(response.headers.get("Date"), now=time.time())
                answer = await read_bounded(response.content, LARGEST_ANSWER)
                if response.status < 300 and len(answer) >= LARGEST_ANSWER:
                    said = f"Kustomer's answer cannot be read ({response.status}): it is larger than what is read"
                    return Unreadable(said, response.status)
                now = time.time() + (self.ahead or 0.0)
                return classify(response.status, response.headers, answer, now=now, is_read=is_read)
        except aiohttp.ClientPayloadError as error:
            return Unreadable(f"Kustomer's answer cannot be read: {type(error).__name__}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Unreachable(f"{type(error).__name__} from Kustomer")
        except Exception as error:  # noqa: BLE001 - whatever goes wrong on the way, it is no fault of what was asked
            return Unreachable(f"Kustomer's answer could not be handled ({type(error).__name__})")

    def _learn(self, outcome: Outcome, windows: Windows, began: float) -> None:
        now, spread = time.monotonic(), random.random()
        if isinstance(outcome, Throttled):
            windows.throttled(began=began, now=now, asked=outcome.retry_after, spread=spread)
        else:
            windows.passed(began=began)
        if is_away(outcome):
            self.outage.failed(began=began, now=now, spread=spread)
        else:
            self.outage.succeeded(began=began)


async def _turn(windows: Windows) -> None:
    while (wait := windows.wait(time.monotonic())) > 0:
        await asyncio.sleep(wait)
    windows.took(time.monotonic())
