"""The simulated Klaviyo as a process of its own, with as many lists and segments as the bench needs."""

import argparse
import asyncio
from datetime import timedelta

import uvloop
from aiohttp import web

from kustomer_klaviyo.sandbox.http_server import run_server
from kustomer_klaviyo.sandbox.klaviyo import KlaviyoOptions, create_app
from kustomer_klaviyo.sandbox.klaviyo.api.account_state import ACCOUNT
from kustomer_klaviyo.sandbox.klaviyo.model.account import Account
from kustomer_klaviyo.sandbox.klaviyo.model.records import Audience, Profile, short_id

LISTS_OF_A_PROFILE = 5


def _add_audiences(account: Account, count: int) -> None:
    """Fill the account up to ``count`` lists and ``count`` segments; each profile is in a few of them."""
    created = account.now() - timedelta(days=300)
    marketing = account.marketing
    for number in range(count - len(marketing.lists)):
        name = f"List {number}"
        marketing.lists[short_id(f"list {name}")] = Audience(short_id(f"list {name}"), name, created)
    for number in range(count - len(marketing.segments)):
        name = f"Segment {number}"

        def has(profile: Profile, number: int = number) -> bool:
            return hash(profile.id) % count in range(number, number + LISTS_OF_A_PROFILE)

        marketing.segments[short_id(f"segment {name}")] = Audience(short_id(f"segment {name}"), name, created, has)
    ids = list(marketing.lists)
    seed = account.profiles.on_create

    def add_to_lists(profile: Profile) -> None:
        if seed is not None:
            seed(profile)
        start = hash(profile.id) % len(ids)
        profile.lists |= set(ids[start : start + LISTS_OF_A_PROFILE])

    account.profiles.on_create = add_to_lists


async def _run(app: web.Application, port: int) -> None:
    async with run_server(app, host="127.0.0.1", port=port):
        await asyncio.Event().wait()


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate-scale", type=float, default=0.0)
    parser.add_argument("--marketing", action="store_true")
    parser.add_argument("--audiences", type=int, default=0)
    given = parser.parse_args()
    options = KlaviyoOptions(
        rate_limits=given.rate_scale > 0, rate_scale=given.rate_scale or 1.0, marketing=given.marketing
    )
    app = create_app(options)
    if given.audiences:
        _add_audiences(app[ACCOUNT], given.audiences)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(app, given.port))


if __name__ == "__main__":
    _main()
