"""What the answers to probes tell of a key's scopes."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from kustomer_klaviyo.klaviyo.client import KlaviyoClient
from kustomer_klaviyo.klaviyo.scopes import ERASING, ORIGINAL, PROBES, Probe, Standing, key_page, standing
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused, Throttled, Unreachable
from kustomer_klaviyo.sandbox.klaviyo import SCOPES, KlaviyoOptions, create_app
from kustomer_klaviyo.sandbox.serving import serving

READ = Probe("lists:read", "lists", is_needed=False, method="GET", path="/api/lists")
WRITE = Probe("events:write", "events", is_needed=True, method="POST", path="/api/events", body=b"{}")


@pytest.mark.parametrize(
    ("outcome", "reading", "writing"),
    [
        (Accepted(200), Standing.HAVE, Standing.UNKNOWN),
        (Refused(400, "invalid"), Standing.UNKNOWN, Standing.HAVE),
        (LockedOut(403, "no permission"), Standing.MISSING, Standing.MISSING),
        (LockedOut(401, "no such key"), Standing.UNKNOWN, Standing.UNKNOWN),
        (LockedOut(404, "no such path"), Standing.UNKNOWN, Standing.UNKNOWN),
        (Refused(415, "not that type"), Standing.UNKNOWN, Standing.UNKNOWN),
        (Throttled(1.0, "later"), Standing.UNKNOWN, Standing.UNKNOWN),
        (Unreachable("away"), Standing.UNKNOWN, Standing.UNKNOWN),
    ],
)
def test_only_a_plain_answer_tells_of_a_scope(outcome: Outcome, reading: Standing, writing: Standing) -> None:
    assert (standing(READ, outcome), standing(WRITE, outcome)) == (reading, writing)


def test_the_link_to_klaviyos_key_page_ticks_what_we_use_each_once() -> None:
    ticked = key_page().partition("?scopes=")[2].split(",")
    assert sorted(ticked) == sorted({probe.scope for probe in PROBES} - {ERASING})
    assert key_page([ERASING, "lists:read"]).partition("?scopes=")[2].split(",") == [*ticked, ERASING]


def test_we_ask_for_no_more_than_the_original_did() -> None:
    ours = {probe.scope for probe in PROBES} - {ERASING}
    assert ours < set(ORIGINAL)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.mark.parametrize("missing", [probe.scope for probe in PROBES])
async def test_each_probe_finds_out_its_own_scope_and_writes_nothing(
    session: aiohttp.ClientSession, missing: str
) -> None:
    options = KlaviyoOptions(keys={"pk_narrow": SCOPES - {missing}}, rate_limits=False)
    async with serving(create_app(options)) as url:
        client = KlaviyoClient(session, base_url=url, key="pk_narrow")
        found = {probe.scope: standing(probe, await client.probe(probe)) for probe in PROBES}
        async with session.get(f"{url}/sandbox/state") as response:
            state = await response.json()
    # A bulk import, by which lists:write is found out, needs profiles:write too.
    lacking = {missing, "lists:write"} if missing == "profiles:write" else {missing}
    assert {scope for scope, known in found.items() if known is not Standing.HAVE} == lacking
    assert found[missing] is Standing.MISSING
    assert (state["profiles"], state["events"], state["metrics"]) == (0, 0, [])
