"""Outbound webhooks: the registry, and signed delivery with retries, duplicates, disorder and switching off.

Rules: developer.kustomer.com/docs/events/outbound-webhooks and .../delivery-and-retries
"""

import asyncio
import hmac
import random
import secrets
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec

from kustomer_klaviyo.sandbox.kustomer.documents import Document

RESOURCES = ("customer", "conversation", "message", "user", "team", "tag")
EVENTS = tuple(f"kustomer.{resource}.{verb}" for resource in RESOURCES for verb in ("create", "update"))
MOST_WEBHOOKS = 5
WAITS_MINUTES = (1, 1, 2, 5, 10, 15, 30)
AT_ONCE = 64
OVERTAKEN_SECONDS = 0.2


@dataclass(slots=True)
class Webhook:
    """One registered webhook."""

    id: str
    name: str
    url: str
    events: tuple[str, ...]
    created_at: str
    headers: list[Document] = field(default_factory=list)
    enabled: bool = True
    token: str = field(default_factory=lambda: secrets.token_hex(32))
    used_up: int = 0
    """Deliveries that failed for good, in a row."""


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """How deliveries behave."""

    retry_scale: float = 1.0
    timeout: float = 5.0
    duplicate_probability: float = 0.0
    reorder_probability: float = 0.0
    disable_after_failures: int = 1


class Dispatcher:
    """Sends events to the webhooks that want them; the organisation never waits for it."""

    def __init__(self, options: DeliveryOptions, *, chance: random.Random) -> None:
        self._options = options
        self._chance = chance
        self.webhooks: dict[str, Webhook] = {}
        self.counts: Counter[str] = Counter()
        self._session: aiohttp.ClientSession | None = None
        self._queue: asyncio.Queue[tuple[Webhook, str, bytes]] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to deliver."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=AT_ONCE),
            timeout=aiohttp.ClientTimeout(total=self._options.timeout),
        )
        for _ in range(AT_ONCE):
            self._keep(self._deliver_from_queue())

    async def stop(self) -> None:
        """Stop delivering; what is under way is lost, as in a vendor's worst hour."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def announce(self, name: str, envelope: Document) -> None:
        """Send an event to every webhook that wants it."""
        wanted = [hook for hook in self.webhooks.values() if hook.enabled and name in hook.events]
        if not wanted:
            return
        body = msgspec.json.encode(envelope)
        for hook in wanted:
            copies = 2 if self._chance.random() < self._options.duplicate_probability else 1
            for _ in range(copies):
                self.counts["pending"] += 1
                if self._chance.random() < self._options.reorder_probability:
                    self._keep(self._later(hook, name, body))
                else:
                    self._queue.put_nowait((hook, name, body))

    async def _later(self, hook: Webhook, name: str, body: bytes) -> None:
        await asyncio.sleep(self._chance.random() * OVERTAKEN_SECONDS)
        self._queue.put_nowait((hook, name, body))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver_from_queue(self) -> None:
        while True:
            hook, name, body = await self._queue.get()
            if await self._attempt(hook, name, body):
                self._acknowledged(hook)
            else:
                self._keep(self._retry(hook, name, body))

    async def _retry(self, hook: Webhook, name: str, body: bytes) -> None:
        for minutes in WAITS_MINUTES:
            await asyncio.sleep(minutes * 60 * self._options.retry_scale)
            if await self._attempt(hook, name, body):
                self._acknowledged(hook)
                return
        self.counts["pending"] -= 1
        self.counts["lost"] += 1
        hook.used_up += 1
        if hook.used_up >= self._options.disable_after_failures:
            hook.enabled = False

    def _acknowledged(self, hook: Webhook) -> None:
        hook.used_up = 0
        self.counts["pending"] -= 1
        self.counts["acknowledged"] += 1

    async def _attempt(self, hook: Webhook, name: str, body: bytes) -> bool:
        if self._session is None:
            return False
        self.counts["sent"] += 1
        headers = {
            "Content-Type": "application/json",
            "X-Kustomer-Webhook-Event": name,
            "X-Kustomer-Webhook-Signature": hmac.digest(hook.token.encode(), body, "sha256").hex(),
        } | {str(header["name"]): str(header["value"]) for header in hook.headers}
        try:
            async with self._session.post(hook.url, data=body, headers=headers) as response:
                await response.read()
                answered = 200 <= response.status < 300
        except (aiohttp.ClientError, TimeoutError, OSError):
            answered = False
        self.counts["failed_attempts"] += not answered
        return answered
