"""``serve`` and ``worker``: the running program."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Protocol

import aiohttp
import structlog
import uvloop
from cyclopts import Parameter

from kustomer_klaviyo.auth.authenticator import Gate
from kustomer_klaviyo.cli.failures import ExitCode
from kustomer_klaviyo.cli.listening import check_place
from kustomer_klaviyo.cli.logs import start_logging
from kustomer_klaviyo.cli.numbers import PORT
from kustomer_klaviyo.cli.output import say
from kustomer_klaviyo.service import House, Service, house
from kustomer_klaviyo.settings import Settings, load_settings
from kustomer_klaviyo.store.users import Accounts

log = structlog.get_logger()


class ServeWeb(Protocol):
    """Serves a service's endpoints until a signal ends it."""

    async def __call__(self, service: Service, *, host: str, port: int, metrics_token: str | None) -> None:
        """Serve."""


def serve_command(serve_web: ServeWeb) -> Callable[..., int]:
    """Make the ``serve`` command around whatever serves the web."""

    def serve(
        *,
        host: str | None = None,
        port: Annotated[int | None, PORT] = None,
        work: Annotated[bool, Parameter(negative="--no-work")] = True,
    ) -> int:
        """Take webhooks and deliver their events, on an embedded PostgreSQL or the one that DATABASE_URL names.

        Example: kustomer-klaviyo serve --port 8080

        Parameters
        ----------
        host
            The address to listen on (KUSTOMER_KLAVIYO_HOST, else 127.0.0.1).
        port
            The port to listen on (KUSTOMER_KLAVIYO_PORT, else 8080).
        work
            Also deliver. With --no-work only webhooks are taken, and `worker` processes deliver.
        """
        settings = load_settings()
        start_logging(settings.log_level)
        place = (host or settings.host, settings.port if port is None else port)
        check_place(*place)
        _run(_serve(serve_web, settings, place, work=work))
        return ExitCode.DONE

    return serve


def worker() -> int:
    """Deliver events, beside other workers if wished, from the database that `serve` fills.

    Example: DATABASE_URL=postgresql://... kustomer-klaviyo worker
    """
    settings = load_settings()
    start_logging(settings.log_level)
    _run(_work(settings))
    return ExitCode.DONE


def _run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


async def _serve(serve_web: ServeWeb, settings: Settings, place: tuple[str, int], *, work: bool) -> None:
    host, port = place
    async with house(settings, owner=True) as home, aiohttp.ClientSession() as session:
        await home.connections.check()  # a wrong encryption key is told now, not with every webhook
        service = Service(home, session)
        loops = asyncio.create_task(service.run(door=True, work=work))
        log.info("serve.started", host=host, port=port, work=work)
        await _welcome(home, f"http://{host}:{port}")
        try:
            await serve_web(service, host=host, port=port, metrics_token=settings.metrics_token)
        finally:
            service.stop()
            await loops
            log.info("serve.stopped")


async def _welcome(home: House, site: str) -> None:
    """Print the one-time link that makes the first admin, for as long as there is none."""
    gate = Gate(Accounts(home.database), takes_passwords=home.settings.sign_on is None)
    token = await gate.first_link()
    if token is not None:
        link = f"{home.settings.public_url or site}/invitation/{token}"
        say("There is no admin yet. Open this link, which works once, to become the first:")
        say(f"  {link}")


async def _work(settings: Settings) -> None:
    async with house(settings, waits=True) as home, aiohttp.ClientSession() as session:
        await home.connections.check()
        service = Service(home, session)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, service.stop)
        log.info("worker.started")
        await service.run(door=False, work=True)
        log.info("worker.stopped")
