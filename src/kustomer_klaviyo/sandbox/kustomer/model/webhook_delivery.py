"""Sends webhooks: signed, again until they are acknowledged, at times twice or late, and not for ever.

Rules: developer.kustomer.com/docs/events/delivery-and-retries
"""

import asyncio
import hmac
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
import msgspec

from kustomer_klaviyo.sandbox.kustomer.model.documents import Document
from kustomer_klaviyo.sandbox.kustomer.model.webhook_registry import Registry, Webhook
from kustomer_klaviyo.sandbox.kustomer.options import KustomerOptions
from kustomer_klaviyo.sandbox.malform import malformed

WAITS_MINUTES = (1, 1, 2, 5, 10, 15, 30)
AT_ONCE = 64
OVERTAKEN_SECONDS = 0.2
SWAMPED = 4000
"""So many deliveries ready to leave that whoever makes more of them should pause."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one webhook; ``attempt`` counts from 0."""

    hook: Webhook
    event: str
    body: bytes
    attempt: int = 0

    def again(self) -> "Delivery":
        """Return the next attempt: the same body, and so the same event id."""
        return Delivery(self.hook, self.event, self.body, self.attempt + 1)

    def headers(self) -> dict[str, str]:
        """Return the headers, the signature over the raw body among them."""
        return dict(self.hook.headers) | {
            "Content-Type": "application/json",
            "X-Kustomer-Webhook-Event": self.event,
            "X-Kustomer-Webhook-Signature": hmac.digest(self.hook.token.encode(), self.body, "sha256").hex(),
        }


class Dispatcher:
    """Sends events to the webhooks that want them; the organisation never waits for it."""

    def __init__(self, registry: Registry, options: KustomerOptions) -> None:
        self._registry = registry
        self._options = options
        self._chance = random.Random(f"deliveries {options.seed}")
        self._session: aiohttp.ClientSession | None = None
        self._ready: asyncio.Queue[Delivery] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []
        self._timers: set[asyncio.TimerHandle] = set()
        self._malform: tuple[str, int] | None = None
        self.counts: Counter[str] = Counter()
        """``sent`` counts attempts; ``pending`` what waits, is under way or will be tried again."""

    @property
    def is_swamped(self) -> bool:
        """Whether far more is ready to leave than is leaving."""
        return self._ready.qsize() > SWAMPED

    async def start(self) -> None:
        """Begin to deliver."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=AT_ONCE),
            timeout=aiohttp.ClientTimeout(total=self._options.webhook_timeout),
        )
        self._workers = [asyncio.create_task(self._work(self._session)) for _ in range(AT_ONCE)]

    async def stop(self) -> None:
        """Stop delivering; what is under way is lost, as in a vendor's worst hour."""
        self.forget()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def forget(self) -> None:
        """Drop everything that waits, and the counts."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._malform = None
        while not self._ready.empty():
            self._ready.get_nowait()
        self.counts.clear()

    def malform(self, kind: str | None, times: int) -> None:
        """Spoil the bodies of the next events, or of none any more. They are signed all the same."""
        self._malform = None if kind is None else (kind, times)

    def _body(self, document: Document) -> bytes:
        body = msgspec.json.encode(document)
        if self._malform is None:
            return body
        kind, left = self._malform
        self._malform = (kind, left - 1) if left > 1 else None
        self.counts["malformed"] += 1
        return malformed(kind, body)

    def announce(self, event: str, make: Callable[[], Document]) -> None:
        """Send an event to every webhook that wants it; one that is switched off never hears of it."""
        hooks = self._registry.wanting(event)
        self.counts["lost"] += sum(not hook.enabled for hook in hooks)
        hooks = [hook for hook in hooks if hook.enabled]
        if not hooks:
            return
        body = self._body(make())
        for hook in hooks:
            for _ in range(1 + self._happens(self._options.duplicate_probability)):
                self._send(Delivery(hook, event, body))

    def _happens(self, probability: float) -> bool:
        return probability > 0 and self._chance.random() < probability

    def _send(self, delivery: Delivery) -> None:
        self.counts["pending"] += 1
        if self._happens(self._options.reorder_probability):
            self._later(OVERTAKEN_SECONDS * self._chance.uniform(0.5, 1), delivery)
        else:
            self._ready.put_nowait(delivery)

    def _later(self, seconds: float, delivery: Delivery) -> None:
        def put() -> None:
            self._timers.discard(timer)
            self._ready.put_nowait(delivery)

        timer = asyncio.get_running_loop().call_later(seconds, put)
        self._timers.add(timer)

    async def _work(self, session: aiohttp.ClientSession) -> None:
        while True:
            delivery = await self._ready.get()
            if not self._is_wanted(delivery.hook):
                self._lose()
            elif await self._attempt(session, delivery):
                delivery.hook.used_up = 0
                self.counts["pending"] -= 1
                self.counts["acknowledged"] += 1
            else:
                self._failed(delivery)

    def _is_wanted(self, hook: Webhook) -> bool:
        return hook.enabled and hook.id in self._registry.webhooks

    def _failed(self, delivery: Delivery) -> None:
        self.counts["failed_attempts"] += 1
        if delivery.attempt < len(WAITS_MINUTES):
            minutes = WAITS_MINUTES[delivery.attempt]
            self._later(minutes * 60 * self._options.retry_scale, delivery.again())
            return
        self._lose()
        hook = delivery.hook
        hook.used_up += 1
        hook.enabled = hook.enabled and hook.used_up < self._options.disable_after_failures

    def _lose(self) -> None:
        self.counts["pending"] -= 1
        self.counts["lost"] += 1

    async def _attempt(self, session: aiohttp.ClientSession, delivery: Delivery) -> bool:
        self.counts["sent"] += 1
        try:
            async with session.post(
                delivery.hook.url, data=delivery.body, headers=delivery.headers(), allow_redirects=False
            ) as response:
                await response.read()
                return 200 <= response.status < 300
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return False
