"""Probes of the Klaviyo sandbox show which scopes a key has."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from kustomer_klaviyo.klaviyo.klaviyo_client import KlaviyoClient
from kustomer_klaviyo.klaviyo.scopes import PROBES, ScopeStatus, scope_status
from kustomer_klaviyo.sandbox.http_server import run_server
from kustomer_klaviyo.sandbox.klaviyo import SCOPES, KlaviyoOptions, create_app


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.mark.parametrize("missing", [probe.scope for probe in PROBES])
async def test_each_probe_shows_its_own_scope_and_writes_nothing(session: aiohttp.ClientSession, missing: str) -> None:
    options = KlaviyoOptions(keys={"pk_narrow": SCOPES - {missing}}, rate_limits=False)
    async with run_server(create_app(options)) as url:
        client = KlaviyoClient(session, base_url=url, key="pk_narrow")
        found = {probe.scope: scope_status(probe, await client.probe(probe)) for probe in PROBES}
        async with session.get(f"{url}/sandbox/state") as response:
            state = await response.json()
    # A bulk import, by which lists:write is found out, needs profiles:write too.
    lacking = {missing, "lists:write"} if missing == "profiles:write" else {missing}
    assert {scope for scope, known in found.items() if known is not ScopeStatus.GRANTED} == lacking
    assert found[missing] is ScopeStatus.MISSING
    assert (state["profiles"], state["events"], state["metrics"]) == (0, 0, [])
