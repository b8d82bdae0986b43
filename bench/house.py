"""A process to be measured: the service itself, or a design it is compared with.

The kinds: ``door``, which only takes in; ``ours``, the whole service; ``cards``, the same with the card installed; and
for comparison ``naive``, one job per event, and ``plain``, the whole service with a card that asks Klaviyo when opened.
Besides its own routes it has ``/noop``, which reads the body and does nothing, and ``/gauge``, which tells its CPU
and memory.
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
from kustomer_klaviyo.connections.rules import Rules
from kustomer_klaviyo.intake.receiver import RECEIVED
from kustomer_klaviyo.klaviyo.event_request import ExpressOptions, express
from kustomer_klaviyo.klaviyo.event_wire import MEDIA_TYPE, REVISION, encode_event
from kustomer_klaviyo.kustomer.interpret import interpret
from kustomer_klaviyo.kustomer.wire import decode_webhook
from kustomer_klaviyo.planning.identity import identify
from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY
from kustomer_klaviyo.service import House, Service, house
from kustomer_klaviyo.settings import Settings
from kustomer_klaviyo.store.connections import Connection, Secrets
from kustomer_klaviyo.store.encryption import digest_of_secret
from kustomer_klaviyo.web.app import create_app
from kustomer_klaviyo.web.endpoints.webhook_endpoint import answer_with
from kustomer_klaviyo.web.http_server import configured
from plain import Plain
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
    await answer_with(send, RECEIVED)


@get("/gauge", sync_to_thread=False)
def gauge() -> dict[str, float]:
    """Tell the seconds of CPU used so far and the megabytes of memory in use."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {"cpu": time.process_time(), "memory": pages * os.sysconf("SC_PAGE_SIZE") / 1e6}


RULES = Rules(ConnectionOptions(), ExpressOptions(org="bench"), datetime(2020, 1, 1, tzinfo=UTC))


class Naive:
    """One job per event: the webhook defers a job, the job looks the customer up and posts with httpx."""

    def __init__(self, home: House, klaviyo: str) -> None:
        self._home = home
        self._klaviyo = klaviyo
        self._engine = procrastinate.App(
            connector=procrastinate.PsycopgConnector(conninfo=home.database.conninfo, min_size=4, max_size=16)
        )
        self._job = self._engine.task(name="deliver", queue="naive")(self._deliver)
        self._http = httpx.AsyncClient(base_url=klaviyo)

    async def _deliver(self, body: str) -> None:
        statement = interpret(decode_webhook(body.encode()), received_at=datetime.now(UTC))
        for fact in statement.facts:
            query = "SELECT email FROM people WHERE customer_id = %s"
            [person] = await self._home.database.fetch(query, (fact.conversation.customer_id,))
            call = express(fact, email=person["email"], phone=None, options=RULES.express)
            headers = {
                "Authorization": f"Klaviyo-API-Key {DEFAULT_KEY}",
                "revision": REVISION,
                "Content-Type": MEDIA_TYPE,
            }
            answer = await self._http.post("/api/events", content=encode_event(call), headers=headers)
            answer.raise_for_status()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the worker beside the door."""
        async with self._engine.open_async():
            worker = asyncio.create_task(
                self._engine.run_worker_async(
                    queues=["naive"], concurrency=16, install_signal_handlers=False, delete_jobs="always"
                )
            )
            yield
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)

    async def receive(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a webhook."""
        body = await _read(receive)
        signature = dict(scope["headers"])[b"x-kustomer-webhook-signature"].decode()
        if not hmac.compare_digest(hmac.digest(TOKEN.encode(), body, "sha256").hex(), signature):
            raise PermissionError
        statement = interpret(decode_webhook(body), received_at=datetime.now(UTC))
        if statement.person is not None:
            await _save_person(self._home, statement.person)
        else:
            await self._job.defer_async(body=body.decode())
        await answer_with(send, RECEIVED)


async def _save_person(home: House, seen: Any) -> None:
    person = identify(seen, RULES)
    query = """INSERT INTO people (connection_id, customer_id, rev, fingerprint, contacts, email)
               VALUES ('bench', %s, %s, '', '{}', %s) ON CONFLICT DO NOTHING"""
    await home.database.execute(query, (person.customer_id, person.rev, person.email))


async def _run(kind: str, port: int, klaviyo: str) -> None:
    settings = Settings(database_url=os.environ["DATABASE_URL"], data_directory=Path(os.environ["BENCH_DATA"]))
    async with house(settings, owner=True) as home, aiohttp.ClientSession() as session:
        await home.connections.save(
            Connection(
                id="bench",
                organisation="bench",
                kustomer_url="http://127.0.0.1:9",
                klaviyo_url=klaviyo,
                secrets=Secrets("k", (DEFAULT_KEY,), (TOKEN,), (digest_of_secret(CARD_SECRET),)),
                horizon=datetime(2020, 1, 1, tzinfo=UTC),
                app={"name": "bench"} if kind == "cards" else {},
            )
        )
        service, naive, plain = Service(home, session), Naive(home, klaviyo), Plain(home, session, klaviyo)
        plain_route = asgi("/plain", is_mount=True, copy_scope=False)(plain.answer)
        naive_route = asgi("/naive", is_mount=True, copy_scope=False)(naive.receive)
        app = create_app(
            service.intake,
            cards=service.cards,
            directory=service.directory,
            why_not_ready=service.why_not_ready,
            health_numbers=service.health_numbers,
            registry=CollectorRegistry(),
            metrics_token=None,
            more=[noop, gauge, naive_route, plain_route],
        )
        server = uvicorn.Server(configured(app, port=port))
        loops = asyncio.create_task(service.run(door=True, work=kind in ("ours", "cards", "plain")))
        if kind == "naive":
            async with naive.running():
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
