"""Runs the web application on uvicorn until SIGINT or SIGTERM."""

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from prometheus_client import CollectorRegistry, ProcessCollector

from kustomer_klaviyo.service import Service
from kustomer_klaviyo.settings import SettingsError
from kustomer_klaviyo.web.application import Application, create_app
from kustomer_klaviyo.web.console.router import console_router
from kustomer_klaviyo.web.http_protocol import HttpProtocol


class _Server(uvicorn.Server):
    """A server that does not raise the signal again after its shutdown, so that the service can stop gracefully."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Shut down on SIGINT and SIGTERM."""
        loop = asyncio.get_running_loop()
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signal_number, self.handle_exit, signal_number, None)
        yield


async def serve_web(service: Service, *, host: str, port: int, metrics_token: str | None) -> None:
    """Serve until SIGINT or SIGTERM. Raises SettingsError if the address is in use."""
    metrics_registry = CollectorRegistry()
    ProcessCollector(registry=metrics_registry)
    app = create_app(
        service.intake,
        cards=service.cards,
        registry=service.registry,
        check_ready=service.not_ready_reason,
        read_health=service.health_metrics,
        metrics_registry=metrics_registry,
        metrics_token=metrics_token,
        extra_handlers=[console_router(service)],
    )
    app.state["is_https"] = (service.app.settings.public_url or "").startswith("https://")
    with _listen(host, port) as listener:
        await _Server(server_config(app)).serve(sockets=[listener])


def server_config(app: Application, *, port: int = 0, http: type[HttpProtocol] = HttpProtocol) -> uvicorn.Config:
    """Return a configuration of uvicorn that uses ``HttpProtocol`` and its limits."""
    return uvicorn.Config(
        app,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        http=http,
        ws="none",
        proxy_headers=False,  # ``Application`` reads them, where a client's address matters
    )


def _listen(host: str, port: int) -> socket.socket:
    """Open the listening socket. Raises SettingsError if the address cannot be used."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise SettingsError(f"Cannot listen on {host}:{port}: {error.strerror or error}") from error
