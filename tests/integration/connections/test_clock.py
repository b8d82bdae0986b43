"""Clock skew: ``since`` uses Kustomer's clock, and a difference is reported."""

import time
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from kustomer_klaviyo.connections.clock import clock_problem, kustomer_now
from kustomer_klaviyo.kustomer.kustomer_client import KustomerClient
from kustomer_klaviyo.sandbox import kustomer
from kustomer_klaviyo.sandbox.http_server import run_server


@pytest.mark.parametrize("offset", [-600, 0, 600])
async def test_kustomers_time_is_read_from_its_responses(offset: int) -> None:
    app = kustomer.create_app(kustomer.KustomerOptions(clock=lambda: time.time() + offset))
    async with run_server(app) as url, aiohttp.ClientSession() as session:
        client = KustomerClient(session, base_url=url, key=kustomer.DEFAULT_KEY)
        before = datetime.now(UTC)
        assert abs(kustomer_now(client) - before) < timedelta(seconds=60)
        await client.organisation()
        found = kustomer_now(client) - datetime.now(UTC)
    assert abs(found - timedelta(seconds=offset)) < timedelta(seconds=60)
    assert (clock_problem(client.clock_skew) is None) == (offset == 0)
