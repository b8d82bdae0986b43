"""The commands ``serve`` and ``worker``, which run the service."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Protocol

import aiohttp
import structlog
import uvloop
from cyclopts import Parameter

from kustomer_klaviyo.auth.authenticator import Authenticator
from kustomer_klaviyo.cli.errors import ExitCode
from kustomer_klaviyo.cli.logs import start_logging
from kustomer_klaviyo.cli.number_ranges import PORT
from kustomer_klaviyo.cli.output import print_line
from kustomer_klaviyo.cli.port_check import check_can_listen
from kustomer_klaviyo.service import AppContext, Service, open_app
from kustomer_klaviyo.settings import Settings, load_settings
from kustomer_klaviyo.store.users import Users

log = structlog.get_logger()


class ServeWeb(Protocol):
    """Serves the HTTP endpoints of a service until a signal stops it."""

    async def __call__(self, service: Service, *, host: str, port: int, metrics_token: str | None) -> None:
        """Serve."""


def serve_command(serve_web: ServeWeb) -> Callable[..., int]:
    """Return the ``serve`` command for a web server."""

    def serve(
        *,
        host: str | None = None,
        port: Annotated[int | None, PORT] = None,
        worker: Annotated[bool, Parameter(negative="--no-worker")] = True,
    ) -> int:
        """Receive webhooks and deliver their events, with an embedded PostgreSQL or the one in DATABASE_URL.

        Example: kustomer-klaviyo serve --port 8080

        Parameters
        ----------
        host
            The address to listen on (default: KUSTOMER_KLAVIYO_HOST, or 127.0.0.1).
        port
            The port to listen on (default: KUSTOMER_KLAVIYO_PORT, or 8080).
        worker
            Also deliver. With --no-worker this process only serves HTTP, and `worker` processes deliver.
        """
        settings = load_settings()
        start_logging(settings.log_level)
        address = (host or settings.host, settings.port if port is None else port)
        check_can_listen(*address)
        _run(_serve(serve_web, settings, address, run_worker=worker))
        return ExitCode.DONE

    return serve


def worker() -> int:
    """Deliver the events that `serve` received, from the same database. Any number of workers can run.

    Example: DATABASE_URL=postgresql://... kustomer-klaviyo worker
    """
    settings = load_settings()
    start_logging(settings.log_level)
    _run(_run_worker(settings))
    return ExitCode.DONE


def _run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


async def _serve(serve_web: ServeWeb, settings: Settings, address: tuple[str, int], *, run_worker: bool) -> None:
    host, port = address
    async with open_app(settings, owner=True) as app, aiohttp.ClientSession() as session:
        await app.connections.check_readable()  # report a wrong encryption key now, not at the first webhook
        service = Service(app, session)
        loops = asyncio.create_task(service.run(serve_webhooks=True, run_worker=run_worker))
        log.info("serve.started", host=host, port=port, worker=run_worker)
        await _print_first_invitation(app, f"http://{host}:{port}")
        try:
            await serve_web(service, host=host, port=port, metrics_token=settings.metrics_token)
        finally:
            service.stop()
            await loops
            log.info("serve.stopped")


async def _print_first_invitation(app: AppContext, url: str) -> None:
    """Print the one-time link that creates the first admin, as long as there is no admin."""
    authenticator = Authenticator(Users(app.db), passwords_enabled=app.settings.oidc is None)
    token = await authenticator.create_first_invitation()
    if token is not None:
        link = f"{app.settings.public_url or url}/invitation/{token}"
        print_line("There is no admin yet. Open this link, which works once, to become the first:")
        print_line(f"  {link}")


async def _run_worker(settings: Settings) -> None:
    async with open_app(settings, wait_for_database=True) as app, aiohttp.ClientSession() as session:
        await app.connections.check_readable()
        service = Service(app, session)
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(signal_number, service.stop)
        log.info("worker.started")
        await service.run(serve_webhooks=False, run_worker=True)
        log.info("worker.stopped")
