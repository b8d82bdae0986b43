"""The whole service with the card of the plain design beside its own: read from Klaviyo whenever it is opened."""

import asyncio
import os
import sys

import aiohttp
import uvicorn
import uvloop
from litestar import asgi
from prometheus_client import CollectorRegistry

from kustomer_klaviyo.cli.logs import start_logging
from kustomer_klaviyo.service import Service, open_app
from kustomer_klaviyo.settings import load_settings
from kustomer_klaviyo.web.application import create_app
from kustomer_klaviyo.web.uvicorn_server import server_config
from plain_card import PlainCard


async def _run(port: int, klaviyo: str) -> None:
    async with open_app(load_settings(), owner=True) as context, aiohttp.ClientSession() as session:
        service = Service(context, session)
        plain = PlainCard(context, session, klaviyo)
        app = create_app(
            service.intake,
            cards=service.cards,
            registry=service.registry,
            check_ready=service.not_ready_reason,
            read_health=service.health_metrics,
            metrics_registry=CollectorRegistry(),
            metrics_token=None,
            extra_handlers=[asgi("/plain", is_mount=True, copy_scope=False)(plain.respond)],
        )
        server = uvicorn.Server(server_config(app, port=port))
        loops = asyncio.create_task(service.run(serve_webhooks=True, run_worker=True))
        await server.serve()
        service.stop()
        await loops


if __name__ == "__main__":
    start_logging("error")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(int(sys.argv[1]), os.environ["BENCH_KLAVIYO"]))
