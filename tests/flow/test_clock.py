"""Clocks that disagree: what happens is told by Kustomer's, and the difference is shown."""

import time
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from kustomer_klaviyo.connections.clock import clock_problem, kustomer_now
from kustomer_klaviyo.kustomer.answers import ahead_by
from kustomer_klaviyo.kustomer.client import KustomerClient
from kustomer_klaviyo.sandbox import kustomer
from kustomer_klaviyo.sandbox.serving import serving


@pytest.mark.parametrize("offset", [-600, 0, 600])
async def test_the_time_by_kustomers_clock_is_known_from_its_answers(offset: int) -> None:
    app = kustomer.create_app(kustomer.KustomerOptions(clock=lambda: time.time() + offset))
    async with serving(app) as url, aiohttp.ClientSession() as session:
        client = KustomerClient(session, base_url=url, key=kustomer.DEFAULT_KEY)
        before = datetime.now(UTC)
        assert abs(kustomer_now(client) - before) < timedelta(seconds=60)
        await client.organisation()
        found = kustomer_now(client) - datetime.now(UTC)
    assert abs(found - timedelta(seconds=offset)) < timedelta(seconds=60)
    assert (clock_problem(client.ahead) is None) == (offset == 0)


NO_DATES = (None, "", "yesterday", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT", "\x00")


@pytest.mark.parametrize("date", NO_DATES)
def test_a_date_that_is_none_says_nothing(date: str | None) -> None:
    assert ahead_by(date, now=1_800_000_000.0) is None
