"""Serves the endpoints of a running service until a signal ends it."""

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from prometheus_client import CollectorRegistry, ProcessCollector

from kustomer_klaviyo.service import Service
from kustomer_klaviyo.settings import SettingsError
from kustomer_klaviyo.web.app import Application, create_app
from kustomer_klaviyo.web.console.site import site
from kustomer_klaviyo.web.http_protocol import HttpProtocol


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
    """Serve until SIGINT or SIGTERM. Raises SettingsError when the place to listen is taken."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    app = create_app(
        service.intake,
        cards=service.cards,
        directory=service.directory,
        why_not_ready=service.why_not_ready,
        health_numbers=service.health_numbers,
        registry=registry,
        metrics_token=metrics_token,
        more=[site(service)],
    )
    app.state["is_reached_by_https"] = (service.home.settings.public_url or "").startswith("https://")
    with _listening(host, port) as place:
        await _Server(configured(app)).serve(sockets=[place])


def configured(app: Application, *, port: int = 0, http: type[HttpProtocol] = HttpProtocol) -> uvicorn.Config:
    """Return how the application is served: by our protocol, whose limits end slow and endless requests."""
    return uvicorn.Config(app, port=port, log_config=None, access_log=False, server_header=False, http=http, ws="none")


def _listening(host: str, port: int) -> socket.socket:
    """Open the place where to listen. Raises SettingsError when it cannot be had."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise SettingsError(f"Nothing can be served at {host}:{port}: {error.strerror or error}") from error
