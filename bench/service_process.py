"""A process to be measured: the service itself, or a design it is compared with.

Kinds: ``intake``, only the webhook endpoint; ``ours``, the whole service; ``cards``, the same with the card installed;
and for comparison ``job_per_event``, and ``plain``, the whole service with a card that reads from Klaviyo when opened.
Extra routes: ``/noop`` reads the body and does nothing; ``/gauge`` returns CPU seconds and memory.
"""

import asyncio
import hmac
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import msgspec
import procrastinate
import uvicorn
import uvloop
from litestar import asgi, get
from litestar.types import Receive, Scope, Send
from prometheus_client import CollectorRegistry

from kustomer_klaviyo.cli.logs import start_logging
from kustomer_klaviyo.connections.options import ConnectionOptions
from kustomer_klaviyo.connections.rules import ConnectionRules
from kustomer_klaviyo.intake.receiver import RECEIVED
from kustomer_klaviyo.klaviyo.event_request import EventSettings, build_event
from kustomer_klaviyo.klaviyo.event_wire import MEDIA_TYPE, REVISION, encode_event
from kustomer_klaviyo.kustomer.interpret import interpret
from kustomer_klaviyo.kustomer.wire import decode_webhook
from kustomer_klaviyo.planning.identity import identify
from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY
from kustomer_klaviyo.service import AppContext, Service, open_app
from kustomer_klaviyo.settings import Settings
from kustomer_klaviyo.store.connections import Connection, Secrets
from kustomer_klaviyo.store.encryption import digest_secret
from kustomer_klaviyo.web.application import create_app
from kustomer_klaviyo.web.endpoints.webhook_endpoint import send_response
from kustomer_klaviyo.web.uvicorn_server import server_config
from plain import PlainCard
from traffic import CARD_SECRET, TOKEN


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return body
        body += message["body"]
        if not message.get("more_body"):
            return body


@asgi("/noop", is_mount=True, copy_scope=False)
async def noop(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body and do nothing."""
    del scope
    await _read(receive)
    await send_response(send, RECEIVED)


@get("/gauge", sync_to_thread=False)
def gauge() -> dict[str, float]:
    """Return the CPU seconds used so far and the memory in use, in megabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {"cpu": time.process_time(), "memory": pages * os.sysconf("SC_PAGE_SIZE") / 1e6}


CONTEXT_RULES = ConnectionRules(ConnectionOptions(), EventSettings(org="bench"), datetime(2020, 1, 1, tzinfo=UTC))


class JobPerEvent:
    """One job per event: the webhook defers a job, the job looks the customer up and posts with httpx."""

    def __init__(self, context: AppContext, klaviyo: str) -> None:
        self._context = context
        self._klaviyo = klaviyo
        self._engine = procrastinate.App(
            connector=procrastinate.PsycopgConnector(conninfo=context.db.conninfo, min_size=4, max_size=16)
        )
        self._job = self._engine.task(name="deliver", queue="job_per_event")(self._deliver)
        self._http = httpx.AsyncClient(base_url=klaviyo)

    async def _deliver(self, body: str) -> None:
        observation = interpret(decode_webhook(body.encode()), received_at=datetime.now(UTC))
        for fact in observation.facts:
            query = "SELECT email FROM customers WHERE customer_id = %s"
            [customer] = await self._context.db.fetch(query, (fact.conversation.customer_id,))
            request = build_event(fact, email=customer["email"], phone=None, settings=CONTEXT_RULES.event_settings)
            headers = {
                "Authorization": f"Klaviyo-API-Key {DEFAULT_KEY}",
                "revision": REVISION,
                "Content-Type": MEDIA_TYPE,
            }
            response = await self._http.post("/api/events", content=encode_event(request), headers=headers)
            response.raise_for_status()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the worker beside the endpoint."""
        async with self._engine.open_async():
            worker = asyncio.create_task(
                self._engine.run_worker_async(
                    queues=["job_per_event"], concurrency=16, install_signal_handlers=False, delete_jobs="always"
                )
            )
            yield
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)

    async def receive(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Receive a webhook."""
        body = await _read(receive)
        signature = dict(scope["headers"])[b"x-kustomer-webhook-signature"].decode()
        if not hmac.compare_digest(hmac.digest(TOKEN.encode(), body, "sha256").hex(), signature):
            raise PermissionError
        observation = interpret(decode_webhook(body), received_at=datetime.now(UTC))
        if observation.customer is not None:
            await _save_customer(self._context, observation.customer)
        else:
            await self._job.defer_async(body=body.decode())
        await send_response(send, RECEIVED)


async def _save_customer(context: AppContext, observed: Any) -> None:
    customer = identify(observed, CONTEXT_RULES)
    query = """INSERT INTO customers (connection_id, customer_id, rev, fingerprint, contacts, email)
               VALUES ('bench', %s, %s, '', '{}', %s) ON CONFLICT DO NOTHING"""
    await context.db.execute(query, (customer.customer_id, customer.rev, customer.email))


async def _run(kind: str, port: int, klaviyo: str) -> None:
    settings = Settings(database_url=os.environ["DATABASE_URL"], data_directory=Path(os.environ["BENCH_DATA"]))
    async with open_app(settings, owner=True) as context, aiohttp.ClientSession() as session:
        await context.connections.save(
            Connection(
                id="bench",
                organisation="bench",
                kustomer_url="http://127.0.0.1:9",
                klaviyo_url=klaviyo,
                secrets=Secrets("k", (DEFAULT_KEY,), (TOKEN,), (digest_secret(CARD_SECRET),)),
                since=datetime(2020, 1, 1, tzinfo=UTC),
                kustomer_app={"name": "bench"} if kind == "cards" else {},
            )
        )
        service, job_per_event, plain = (
            Service(context, session),
            JobPerEvent(context, klaviyo),
            PlainCard(context, session, klaviyo),
        )
        plain_route = asgi("/plain", is_mount=True, copy_scope=False)(plain.respond)
        job_per_event_route = asgi("/job-per-event", is_mount=True, copy_scope=False)(job_per_event.receive)
        app = create_app(
            service.intake,
            cards=service.cards,
            registry=service.registry,
            check_ready=service.not_ready_reason,
            read_health=service.health_metrics,
            metrics_registry=CollectorRegistry(),
            metrics_token=None,
            extra_handlers=[noop, gauge, job_per_event_route, plain_route],
        )
        server = uvicorn.Server(server_config(app, port=port))
        loops = asyncio.create_task(service.run(serve_webhooks=True, run_worker=kind in ("ours", "cards", "plain")))
        if kind == "job_per_event":
            async with job_per_event.running():
                await server.serve()
        else:
            await server.serve()
        service.stop()
        await loops


if __name__ == "__main__":
    start_logging("error")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
    print(msgspec.json.encode({"ended": True}).decode())
