"""Asks Kustomer's API, within the share of the organisation's limit that is ours. Thin: meaning is found elsewhere."""

import asyncio
import time
from typing import Any

import aiohttp
import msgspec

from kustomer_klaviyo.kustomer.answers import classify
from kustomer_klaviyo.outcomes import Outcome, Unreachable
from kustomer_klaviyo.throttle import Limits, Windows
from kustomer_klaviyo.transport import read_bounded

TIMEOUT = aiohttp.ClientTimeout(connect=3, total=30)
LARGEST_ANSWER = 5_000_000


class KustomerClient:
    """One organisation's API. The key never shows in logs, errors or ``repr``."""

    def __init__(
        self, session: aiohttp.ClientSession, *, base_url: str, key: str, requests_per_minute: int = 200
    ) -> None:
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._key = key
        self.windows = Windows(Limits(burst=None, steady=requests_per_minute), headroom=1.0)

    async def customer(self, customer_id: str) -> Outcome:
        """Read a customer."""
        return await self._call("GET", f"/v1/customers/{customer_id}")

    async def conversation(self, conversation_id: str) -> Outcome:
        """Read a conversation."""
        return await self._call("GET", f"/v1/conversations/{conversation_id}")

    async def organisation(self) -> Outcome:
        """Read the organisation that the key belongs to."""
        return await self._call("GET", "/v1/orgs/current")

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

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Outcome:
        await self._wait_for_turn()
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
                answer = await read_bounded(response.content, LARGEST_ANSWER)
                return classify(response.status, response.headers, answer, now=time.time())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Unreachable(f"{type(error).__name__} from Kustomer")

    async def _wait_for_turn(self) -> None:
        while (wait := self.windows.wait(time.monotonic())) > 0:
            await asyncio.sleep(wait)
        self.windows.took(time.monotonic())
