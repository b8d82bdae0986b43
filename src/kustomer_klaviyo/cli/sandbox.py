"""``sandbox``: run one simulated vendor."""

import asyncio
import time
from dataclasses import dataclass
from typing import Annotated, Literal

import uvloop
from aiohttp import web
from cyclopts import Parameter

from kustomer_klaviyo.cli.errors import ExitCode
from kustomer_klaviyo.cli.number_ranges import CLOCK_OFFSET, COUNT, PORT, PROBABILITY, SCALE
from kustomer_klaviyo.cli.output import print_json, print_line
from kustomer_klaviyo.cli.port_check import check_can_listen
from kustomer_klaviyo.sandbox import klaviyo, kustomer
from kustomer_klaviyo.sandbox.http_server import run_server


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """The options of the command."""

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: Annotated[int, PORT] = 0
    """The port to listen on; 0 chooses a free port and prints it."""
    retry_scale: Annotated[float, SCALE] = 1.0
    """Kustomer: multiplies the intervals between webhook retries; 0.001 makes minutes tens of milliseconds."""
    background_updates: Annotated[int, COUNT] = 3
    """Kustomer: updates without a new event that follow each action."""
    duplicate_probability: Annotated[float, PROBABILITY] = 0.0
    """Kustomer: the share of webhooks that are sent twice, 0 to 1."""
    reorder_probability: Annotated[float, PROBABILITY] = 0.0
    """Kustomer: the share of webhooks that arrive late, 0 to 1."""
    rate_scale: Annotated[float, SCALE] = 1.0
    """Klaviyo: multiplies the rate limits; 0 disables them."""
    latency: Annotated[float, SCALE] = 0.0
    """Klaviyo: seconds added to each request."""
    job_seconds: Annotated[float, SCALE] = 1.0
    """Klaviyo: seconds before a bulk import, a merge or a deletion starts."""
    clock_offset: Annotated[float, CLOCK_OFFSET] = 0.0
    """Kustomer: seconds that its clock and the Date of its responses are ahead; -600 is ten minutes behind."""
    marketing: Annotated[bool, Parameter(negative="")] = False
    """Klaviyo: each new profile gets a marketing history: consent, lists, messages received, predictions."""
    text_metrics: Literal["old", "new", "both"] = "both"
    """Klaviyo: text-message metrics are named SMS (old), Text Message (new, since July 2026), or both."""
    oldest_revision: str = klaviyo.OLDEST_REVISION
    """Klaviyo: older API revisions are retired."""
    fall_forward: bool = True
    """Klaviyo: the oldest revision serves requests for a retired one, unless they opt out; otherwise they get 410."""
    json: Annotated[bool, Parameter(name="--json", negative="")] = False
    """Print the address and key as JSON."""


DEFAULT_OPTIONS = SandboxOptions()


def sandbox(vendor: Literal["kustomer", "klaviyo"], *, options: SandboxOptions = DEFAULT_OPTIONS) -> int:
    """Run one simulated vendor until Ctrl-C. Its data are kept in memory only.

    Example: kustomer-klaviyo sandbox klaviyo --port 9002

    Parameters
    ----------
    vendor
        The vendor to simulate.
    """
    check_can_listen(options.host, options.port)
    app, key = _kustomer_app(options) if vendor == "kustomer" else _klaviyo_app(options)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(app, vendor, key, options))
    return ExitCode.DONE


def _kustomer_app(options: SandboxOptions) -> tuple[web.Application, str]:
    vendor_options = kustomer.KustomerOptions(
        retry_scale=options.retry_scale,
        background_updates=options.background_updates,
        duplicate_probability=options.duplicate_probability,
        reorder_probability=options.reorder_probability,
        clock=lambda: time.time() + options.clock_offset,
    )
    return kustomer.create_app(vendor_options), kustomer.DEFAULT_KEY


def _klaviyo_app(options: SandboxOptions) -> tuple[web.Application, str]:
    vendor_options = klaviyo.KlaviyoOptions(
        rate_limits=options.rate_scale > 0,
        rate_scale=options.rate_scale or 1.0,
        latency=options.latency,
        job_seconds=options.job_seconds,
        marketing=options.marketing,
        text_metrics=options.text_metrics,
        oldest_revision=options.oldest_revision,
        falls_forward=options.fall_forward,
    )
    return klaviyo.create_app(vendor_options), klaviyo.DEFAULT_KEY


async def _run(app: web.Application, vendor: str, key: str, options: SandboxOptions) -> None:
    async with run_server(app, host=options.host, port=options.port) as url:
        if options.json:
            print_json({"vendor": vendor, "url": url, "key": key})
        else:
            print_line(f"The simulated {vendor.title()} listens on {url}; its key is {key}")
            print_line(f"Control API: {url}/sandbox/... (see docs/sandbox.md). Press Ctrl-C to stop.")
        await asyncio.Event().wait()
