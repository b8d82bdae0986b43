"""The worker of the Celery design: one job per event, which looks the customer up in Redis and posts to Klaviyo."""

import os
from datetime import UTC, datetime
from functools import cache
from typing import Any

import httpx
import redis
from celery import Celery

from kustomer_klaviyo.connections.options import ConnectionOptions
from kustomer_klaviyo.connections.rules import ConnectionRules
from kustomer_klaviyo.klaviyo.event_request import EventSettings, build_event
from kustomer_klaviyo.klaviyo.event_wire import MEDIA_TYPE, REVISION, encode_event
from kustomer_klaviyo.kustomer.interpret import interpret
from kustomer_klaviyo.kustomer.wire import decode_webhook
from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY

REDIS_URL = f"unix://{os.environ.get('BENCH_REDIS', '/nowhere')}"
RULES = ConnectionRules(ConnectionOptions(), EventSettings(org="bench"), datetime(2020, 1, 1, tzinfo=UTC))
HEADERS = {"Authorization": f"Klaviyo-API-Key {DEFAULT_KEY}", "revision": REVISION, "Content-Type": MEDIA_TYPE}

queue = Celery("bench", broker=f"redis+socket://{os.environ.get('BENCH_REDIS', '/nowhere')}")
queue.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=16,
    broker_connection_retry_on_startup=True,
)


@cache
def emails() -> Any:
    """Return the process's connection to Redis, which knows the customers' addresses."""
    return redis.Redis.from_url(REDIS_URL)


@cache
def _klaviyo() -> httpx.Client:
    return httpx.Client(base_url=os.environ["BENCH_KLAVIYO"], headers=HEADERS)


def deliver(body: str) -> None:
    """Send the facts of one webhook to Klaviyo."""
    observation = interpret(decode_webhook(body.encode()), received_at=datetime.now(UTC))
    for fact in observation.facts:
        email = emails().get(fact.conversation.customer_id).decode()
        request = build_event(fact, email=email, phone=None, settings=RULES.event_settings)
        _klaviyo().post("/api/events", content=encode_event(request)).raise_for_status()


deliver_later = queue.task(name="deliver", autoretry_for=(Exception,), retry_backoff=True)(deliver)
