"""Webhook delivery: signatures, retries, optional duplicates and reordering, disabling of failing webhooks.

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

from kustomer_klaviyo.sandbox.corruptions import corrupt
from kustomer_klaviyo.sandbox.kustomer.model.documents import Document
from kustomer_klaviyo.sandbox.kustomer.model.webhook_registry import OutboundWebhook, WebhookRegistry
from kustomer_klaviyo.sandbox.kustomer.organisation_options import KustomerOptions

RETRY_MINUTES = (1, 1, 2, 5, 10, 15, 30)
CONCURRENCY = 64
REORDER_SECONDS = 0.2
MAX_QUEUED = 4000
"""With more deliveries queued than this, a simulation pauses."""


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """Delivery of one event to one webhook; ``attempt`` counts from 0."""

    webhook: OutboundWebhook
    event: str
    body: bytes
    attempt: int = 0

    def next_attempt(self) -> "WebhookDelivery":
        """Return the next attempt, with the same body and event id."""
        return WebhookDelivery(self.webhook, self.event, self.body, self.attempt + 1)

    def headers(self) -> dict[str, str]:
        """Return the headers, including the signature of the raw body."""
        return dict(self.webhook.headers) | {
            "Content-Type": "application/json",
            "X-Kustomer-Webhook-Event": self.event,
            "X-Kustomer-Webhook-Signature": hmac.digest(self.webhook.token.encode(), self.body, "sha256").hex(),
        }


class WebhookDispatcher:
    """Sends events to subscribed webhooks in the background."""

    def __init__(self, registry: WebhookRegistry, options: KustomerOptions) -> None:
        self._registry = registry
        self._options = options
        self._rng = random.Random(f"deliveries {options.seed}")
        self._session: aiohttp.ClientSession | None = None
        self._queue: asyncio.Queue[WebhookDelivery] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []
        self._timers: set[asyncio.TimerHandle] = set()
        self._corruption: tuple[str, int] | None = None
        self.counts: Counter[str] = Counter()
        """``sent`` counts attempts; ``pending`` counts deliveries that are queued, in flight or waiting for a retry."""
        self.on_acknowledged: Callable[[WebhookDelivery], None] = lambda _: None
        """Called for each delivery that the receiver acknowledged."""

    @property
    def is_overloaded(self) -> bool:
        """Whether deliveries are queued faster than they are sent."""
        return self._queue.qsize() > MAX_QUEUED

    async def start(self) -> None:
        """Start the delivery workers."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONCURRENCY),
            timeout=aiohttp.ClientTimeout(total=self._options.webhook_timeout),
        )
        self._workers = [asyncio.create_task(self._run_worker(self._session)) for _ in range(CONCURRENCY)]

    async def stop(self) -> None:
        """Stop the workers. Deliveries in flight are lost."""
        self.reset()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def reset(self) -> None:
        """Drop pending deliveries and reset the counts."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._corruption = None
        while not self._queue.empty():
            self._queue.get_nowait()
        self.counts.clear()

    def corrupt_next(self, corruption: str | None, times: int) -> None:
        """Corrupt the bodies of the next events; None stops it. The signatures are valid for the corrupted bodies."""
        self._corruption = None if corruption is None else (corruption, times)

    def _body(self, document: Document) -> bytes:
        body = msgspec.json.encode(document)
        if self._corruption is None:
            return body
        corruption, remaining = self._corruption
        self._corruption = (corruption, remaining - 1) if remaining > 1 else None
        self.counts["corrupted"] += 1
        return corrupt(corruption, body)

    def announce(self, event: str, make: Callable[[], Document]) -> None:
        """Send an event to every subscribed webhook. A disabled webhook never receives it."""
        webhooks = self._registry.subscribed_to(event)
        self.counts["lost"] += sum(not webhook.enabled for webhook in webhooks)
        webhooks = [webhook for webhook in webhooks if webhook.enabled]
        if not webhooks:
            return
        body = self._body(make())
        for webhook in webhooks:
            for _ in range(1 + self._is_chosen(self._options.duplicate_probability)):
                self._send(WebhookDelivery(webhook, event, body))

    def _is_chosen(self, probability: float) -> bool:
        return probability > 0 and self._rng.random() < probability

    def _send(self, delivery: WebhookDelivery) -> None:
        self.counts["pending"] += 1
        if self._is_chosen(self._options.reorder_probability):
            self._enqueue_later(REORDER_SECONDS * self._rng.uniform(0.5, 1), delivery)
        else:
            self._queue.put_nowait(delivery)

    def _enqueue_later(self, seconds: float, delivery: WebhookDelivery) -> None:
        def enqueue() -> None:
            self._timers.discard(timer)
            self._queue.put_nowait(delivery)

        timer = asyncio.get_running_loop().call_later(seconds, enqueue)
        self._timers.add(timer)

    async def _run_worker(self, session: aiohttp.ClientSession) -> None:
        while True:
            delivery = await self._queue.get()
            if not self._is_active(delivery.webhook):
                self._give_up()
            elif await self._attempt(session, delivery):
                delivery.webhook.exhausted_deliveries = 0
                self.counts["pending"] -= 1
                self.counts["acknowledged"] += 1
                self.on_acknowledged(delivery)
            else:
                self._handle_failure(delivery)

    def _is_active(self, webhook: OutboundWebhook) -> bool:
        return webhook.enabled and webhook.id in self._registry.webhooks

    def _handle_failure(self, delivery: WebhookDelivery) -> None:
        self.counts["failed_attempts"] += 1
        if delivery.attempt < len(RETRY_MINUTES):
            minutes = RETRY_MINUTES[delivery.attempt]
            self._enqueue_later(minutes * 60 * self._options.retry_scale, delivery.next_attempt())
            return
        self._give_up()
        webhook = delivery.webhook
        webhook.exhausted_deliveries += 1
        is_below_limit = webhook.exhausted_deliveries < self._options.disable_after_failures
        webhook.enabled = webhook.enabled and is_below_limit

    def _give_up(self) -> None:
        self.counts["pending"] -= 1
        self.counts["lost"] += 1

    async def _attempt(self, session: aiohttp.ClientSession, delivery: WebhookDelivery) -> bool:
        self.counts["sent"] += 1
        try:
            async with session.post(
                delivery.webhook.url, data=delivery.body, headers=delivery.headers(), allow_redirects=False
            ) as response:
                await response.read()
                return 200 <= response.status < 300
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return False
