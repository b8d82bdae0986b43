"""``sandbox``: one simulated vendor alone."""

import asyncio
import time
from typing import Annotated, Literal

import uvloop
from aiohttp import web
from cyclopts import Parameter

from kustomer_klaviyo.cli.failures import ExitCode
from kustomer_klaviyo.cli.listening import check_place
from kustomer_klaviyo.cli.numbers import COUNT, DAY, PART, PORT, SCALE
from kustomer_klaviyo.cli.output import print_json, say
from kustomer_klaviyo.sandbox import klaviyo, kustomer
from kustomer_klaviyo.sandbox.serving import serving


def sandbox(
    vendor: Literal["kustomer", "klaviyo"],
    *,
    host: str = "127.0.0.1",
    port: Annotated[int, PORT] = 0,
    retry_scale: Annotated[float, SCALE] = 1.0,
    noise: Annotated[int, COUNT] = 3,
    duplicates: Annotated[float, PART] = 0.0,
    disorder: Annotated[float, PART] = 0.0,
    rate_scale: Annotated[float, SCALE] = 1.0,
    latency: Annotated[float, SCALE] = 0.0,
    job_seconds: Annotated[float, SCALE] = 1.0,
    clock_offset: Annotated[float, DAY] = 0.0,
    marketing: Annotated[bool, Parameter(negative="")] = False,
    text_metrics: Literal["old", "new", "both"] = "both",
    oldest_revision: str = klaviyo.OLDEST_REVISION,
    fall_forward: bool = True,
    json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Run one simulated vendor until Ctrl-C; what it holds is kept in memory only.

    Example: kustomer-klaviyo sandbox klaviyo --port 9002

    Parameters
    ----------
    vendor
        Which one.
    host
        The address to listen on.
    port
        The port to listen on; 0 takes any free one and prints it.
    retry_scale
        Kustomer: multiplies the waits between webhook retries; 0.001 makes minutes tens of milliseconds.
    noise
        Kustomer: about how many updates that tell nothing new each action brings.
    duplicates
        Kustomer: the part of webhooks that are sent twice, 0 to 1.
    disorder
        Kustomer: the part of webhooks that arrive late, 0 to 1.
    rate_scale
        Klaviyo: multiplies the rate limits; 0 switches them off.
    latency
        Klaviyo: seconds that each request takes besides its work.
    job_seconds
        Klaviyo: seconds before a bulk import, a merge or a deletion begins.
    clock_offset
        Kustomer: seconds by which its clock, and the Date of its answers, is ahead of this machine's; -600 is behind.
    marketing
        Klaviyo: each new profile has a past: consent, lists, messages received, predictions.
    text_metrics
        Klaviyo: metrics of text messages are called SMS (old), Text Message (new, since July 2026), or some each.
    oldest_revision
        Klaviyo: API revisions before this one are retired.
    fall_forward
        Klaviyo: a retired revision is answered by the oldest, unless the request opts out; without, always with 410.
    json
        Print where it listens as JSON.
    """
    check_place(host, port)
    if vendor == "kustomer":
        app = kustomer.create_app(
            kustomer.KustomerOptions(
                retry_scale=retry_scale,
                noise=noise,
                duplicate_probability=duplicates,
                reorder_probability=disorder,
                clock=lambda: time.time() + clock_offset,
            )
        )
        key = kustomer.DEFAULT_KEY
    else:
        options = klaviyo.KlaviyoOptions(
            rate_limits=rate_scale > 0,
            rate_scale=rate_scale or 1.0,
            latency=latency,
            job_seconds=job_seconds,
            marketing=marketing,
            text_metrics=text_metrics,
            oldest_revision=oldest_revision,
            falls_forward=fall_forward,
        )
        app, key = klaviyo.create_app(options), klaviyo.DEFAULT_KEY
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(app, vendor, host, port, key, json=json))
    return ExitCode.DONE


async def _run(app: web.Application, vendor: str, host: str, port: int, key: str, *, json: bool) -> None:
    async with serving(app, host=host, port=port) as url:
        if json:
            print_json({"vendor": vendor, "url": url, "key": key})
        else:
            say(f"The simulated {vendor.title()} listens on {url}; its key is {key}")
            say(f"Play it with {url}/sandbox/... (see docs/sandbox.md). Ctrl-C ends it.")
        await asyncio.Event().wait()
