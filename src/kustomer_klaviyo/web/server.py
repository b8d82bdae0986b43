"""Serves the endpoints of a running service until a signal ends it."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from prometheus_client import CollectorRegistry, ProcessCollector

from kustomer_klaviyo.service import Service
from kustomer_klaviyo.web.app import create_app
from kustomer_klaviyo.web.site import site


class _Server(uvicorn.Server):
    """A server that ends on a signal without raising it again: what stands below still wants to stop gently."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Listen for the signals that end the program."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


async def serve_web(service: Service, *, host: str, port: int, metrics_token: str | None) -> None:
    """Serve until SIGINT or SIGTERM."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    app = create_app(
        service.intake,
        cards=service.cards,
        directory=service.directory,
        is_ready=service.is_ready,
        registry=registry,
        metrics_token=metrics_token,
        more=[site(service)],
    )
    config = uvicorn.Config(
        app, host=host, port=port, log_config=None, access_log=False, server_header=False, http="httptools"
    )
    await _Server(config).serve()
