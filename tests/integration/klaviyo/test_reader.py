"""Requests to a sandbox that rejects unsupported parameters, in each of its revisions."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from kustomer_klaviyo.klaviyo.campaigns import campaigns_path
from kustomer_klaviyo.klaviyo.event_wire import REVISION
from kustomer_klaviyo.klaviyo.klaviyo_client import KlaviyoClient
from kustomer_klaviyo.klaviyo.profile_view import read_campaign, read_message_events, read_metrics, read_profiles
from kustomer_klaviyo.klaviyo.reader import Identifier, KlaviyoReader
from kustomer_klaviyo.klaviyo.scopes import PROBES, ScopeProbe, ScopeStatus, scope_status
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome
from kustomer_klaviyo.sandbox import klaviyo
from kustomer_klaviyo.sandbox.http_server import run_server
from kustomer_klaviyo.sandbox.klaviyo.api.account_state import ACCOUNT, RESPONSE_COUNTS
from kustomer_klaviyo.sandbox.klaviyo.validation.profile_rules import ProfileInput

OMNI = "2026-10-15"
EMAIL, PHONE = "cleo@lanternpost.example", "+12025550143"


class Shop:
    """A Klaviyo with one person, whom marketing wrote to."""

    def __init__(self, session: aiohttp.ClientSession, **options: Any) -> None:
        self.app = klaviyo.create_app(klaviyo.KlaviyoOptions(rate_limits=False, marketing=True, **options))
        self.session = session
        self.person = self.app[ACCOUNT].profiles.create(
            ProfileInput(attributes={"email": EMAIL, "phone_number": PHONE})
        )

    @property
    def refused(self) -> dict[str, int]:
        """How often it refused a request of ours."""
        return {status: count for status, count in self.app[RESPONSE_COUNTS].items() if status in ("400", "410")}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


def body(outcome: Outcome) -> bytes:
    assert isinstance(outcome, Accepted), outcome
    return outcome.body


@pytest.mark.parametrize("revision", [REVISION, OMNI])
async def test_every_parameter_of_a_card_request_is_supported(session: aiohttp.ClientSession, revision: str) -> None:
    shop = Shop(session)
    async with run_server(shop.app) as url:
        reader = KlaviyoReader(KlaviyoClient(session, base_url=url, key=klaviyo.DEFAULT_KEY, revision=revision))
        body(await reader.account())
        asked: dict[Identifier, str] = {"email": EMAIL, "phone_number": PHONE, "id": shop.person.id}
        for by, value in asked.items():
            [who] = read_profiles(body(await reader.profiles(by, [value])))
            assert {one.channel for one in who.consents} >= {"email", "sms", "whatsapp", "push"}
        for kind in ("list", "segment"):
            groups = await reader.groups(kind)
            assert all(map(body, groups))
            body(await reader.groups_of(kind, who.id))
            group = next(iter(getattr(shop.app[ACCOUNT].marketing, f"{kind}s")))
            body(await reader.members(kind, group, "email", [EMAIL]))
        metrics = {key: name for page in await reader.metrics() for key, name in read_metrics(body(page)).items()}
        since = datetime.now(UTC) - timedelta(days=90)
        pages = await reader.events(who.id, list(metrics), since)
        sent = [one for page in pages for one in read_message_events(body(page), metrics)]
        campaign, *_ = shop.app[ACCOUNT].marketing.campaigns.values()
        for outcome in (
            await reader.campaign(campaign.id),
            await reader.campaign_of_message(campaign.messages[0].id),
        ):
            named = read_campaign(body(outcome))
            assert named is not None
            assert (named.id, named.name) == (campaign.id, campaign.name)
        body(await reader.flow(next(iter(shop.app[ACCOUNT].marketing.flows))))
        assert sent
        assert all(map(body, await reader.metrics(integration=None)))
    assert shop.refused == {}


@pytest.mark.parametrize("revision", [REVISION, OMNI])
async def test_every_parameter_of_the_other_requests_is_supported(
    session: aiohttp.ClientSession, revision: str
) -> None:
    shop = Shop(session)
    async with run_server(shop.app) as url:
        client = KlaviyoClient(session, base_url=url, key=klaviyo.DEFAULT_KEY, revision=revision)
        body(await client.account())
        body(await client.find_profile("email", EMAIL))
        body(await client.recent_bulk_imports())
        assert isinstance(await client.bulk_import("none"), LockedOut)
        assert isinstance(await client.bulk_import_errors("none", "x"), LockedOut)
        for probe in PROBES:
            if probe.body is None:
                path = campaigns_path(revision) if probe.scope == "campaigns:read" else probe.path
                asked = ScopeProbe(probe.scope, probe.purpose, probe.is_required, probe.method, path)
                assert scope_status(asked, await client.probe(asked)) == ScopeStatus.GRANTED, probe.scope
    assert shop.refused == {}


async def test_a_retired_revision_is_locked_out_and_not_replaced_by_another(
    session: aiohttp.ClientSession,
) -> None:
    shop = Shop(session, oldest_revision="2027-01-15")
    async with run_server(shop.app) as url:
        client = KlaviyoClient(session, base_url=url, key=klaviyo.DEFAULT_KEY)
        outcome = await client.account()
    assert isinstance(outcome, LockedOut)
    assert outcome.status == 410
