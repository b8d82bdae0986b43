"""Reads what Klaviyo knows of people, many at once, within the part of the account's limits that cards may use.

A person's own lists and segments are limited to 60 a minute for the whole account, whoever asks
(developers.klaviyo.com/en/reference/get_lists_for_profile); asked the other way around, which of these people are on a
list, it is 750 a minute (.../get_profile_ids_for_list). Where a limit is used up, the answer is *throttled* at once,
and the caller comes again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Literal
from urllib.parse import quote

from kustomer_klaviyo.klaviyo.client import TIER_L, TIER_M, TIER_S, TIER_XL, TIER_XS, KlaviyoClient
from kustomer_klaviyo.klaviyo.event_wire import next_cursor, read_document
from kustomer_klaviyo.klaviyo.profile_view import OWN_INTEGRATION
from kustomer_klaviyo.klaviyo.profile_wire import quoted
from kustomer_klaviyo.outcomes import Accepted, Outcome, Refused, Throttled
from kustomer_klaviyo.rate_limits import Limits, Windows

Kind = Literal["list", "segment"]
"""What groups people."""

Identifier = Literal["email", "phone_number", "id", "profile_id"]

SHARE = 0.7
"""The part of each limit that cards use: the rest is for the account's other integrations."""

LONGEST_WAIT = 1.0
"""Seconds a request waits for its turn; a longer wait is the caller's to spend otherwise."""

LONGEST_WAIT_OF_MANY = 10.0
"""The same for requests that go side by side, one for each list or segment."""

MOST_ASKED = 50
"""People asked about in one request; an answer has room for a hundred."""

EVENTS_READ = 200
MOST_PAGES = 30
"""Pages of lists, segments or metrics; an account with more has too many to be asked one by one."""

PROFILE_FIELDS = "first_name,last_name,email,phone_number,subscriptions"
ACCOUNT = "/api/accounts?fields[account]=contact_information.organization_name,preferred_currency"


class KlaviyoReader:
    """One account's API under one private key, for cards."""

    def __init__(self, client: KlaviyoClient) -> None:
        self._client = client
        self._takes_metric_lists = True
        self.profile_windows = _share_of(TIER_L)
        self.prediction_windows = _share_of(TIER_M)
        self.single_windows: dict[Kind, Windows] = {"list": _share_of(TIER_S), "segment": _share_of(TIER_S)}
        self.member_windows: dict[Kind, Windows] = {"list": _share_of(TIER_L), "segment": _share_of(TIER_L)}
        self.group_windows: dict[Kind, Windows] = {"list": _share_of(TIER_L), "segment": _share_of(TIER_L)}
        self.event_windows = _share_of(TIER_XL)
        self.metric_windows = _share_of(TIER_M)
        self.campaign_windows = _share_of(TIER_M)
        self.message_windows = _share_of(TIER_M)
        self.flow_windows = _share_of(TIER_S)
        self.account_windows = _share_of(TIER_XS)

    async def account(self) -> Outcome:
        """Read the account's name and currency."""
        return await self._read(ACCOUNT, self.account_windows)

    async def profiles(self, by: Identifier, values: Sequence[str]) -> Outcome:
        """Read the profiles that have one of some identifiers, with consent.

        Predictions come with them where their own limit has room.
        """
        fields, more = PROFILE_FIELDS, "subscriptions"
        now = time.monotonic()
        if self.prediction_windows.wait(now) == 0:
            self.prediction_windows.took(now)
            fields, more = f"{fields},predictive_analytics", f"{more},predictive_analytics"
        query = f"additional-fields[profile]={more}&fields[profile]={fields}&page[size]=100"
        return await self._read(f"/api/profiles?filter={_any(by, values)}&{query}", self.profile_windows)

    async def groups(self, kind: Kind) -> list[Outcome]:
        """Read the account's lists or segments, page by page, to the first answer that brings no more."""
        return await _pages(
            lambda cursor: self._read(f"/api/{kind}s?fields[{kind}]=name{cursor}", self.group_windows[kind])
        )

    async def groups_of(self, kind: Kind, profile_id: str) -> Outcome:
        """Read the lists or segments of one profile."""
        path = f"/api/profiles/{quote(profile_id, safe='')}/{kind}s?fields[{kind}]=name"
        return await self._read(path, self.single_windows[kind])

    async def members(self, kind: Kind, group_id: str, by: Identifier, values: Sequence[str]) -> Outcome:
        """Read which profiles with one of some identifiers belong to a list or a segment."""
        path = f"/api/{kind}s/{quote(group_id, safe='')}/relationships/profiles"
        query = f"filter={_any(by, values)}&page[size]=100"
        return await self._read(f"{path}?{query}", self.member_windows[kind], longest_wait=LONGEST_WAIT_OF_MANY)

    async def events(self, profile_id: str, metric_ids: Sequence[str], since: datetime) -> list[Outcome]:
        """Read a profile's latest events of some metrics: in one request, where Klaviyo lets several be asked for.

        Its specification says that it does, its texts say nothing of it.
        """
        if len(metric_ids) > 1 and self._takes_metric_lists:
            wanted = ",".join(map(quoted, metric_ids))
            outcome = await self._events(profile_id, f"[{wanted}]", since)
            if not (isinstance(outcome, Refused) and outcome.status == 400):
                return [outcome]
            self._takes_metric_lists = False
        return await asyncio.gather(*(self._events(profile_id, quoted(one), since) for one in metric_ids))

    async def _events(self, profile_id: str, metrics: str, since: datetime) -> Outcome:
        wanted = (
            f"equals(profile_id,{quoted(profile_id)}),equals(metric_id,{metrics}),"
            f"greater-or-equal(datetime,{since:%Y-%m-%dT%H:%M:%SZ})"
        )
        query = "include=metric&fields[metric]=name&fields[event]=event_properties,datetime&sort=-datetime"
        path = f"/api/events?filter={quote(wanted, safe='')}&{query}&page[size]={EVENTS_READ}"
        return await self._read(path, self.event_windows)

    async def metrics(self, *, integration: str | None = OWN_INTEGRATION) -> list[Outcome]:
        """Read the metrics of an integration or of all, page by page, to the first answer that brings no more."""
        path = "/api/metrics?fields[metric]=name,integration"
        if integration is not None:
            path += "&filter=" + quote(f"equals(integration.name,{quoted(integration)})", safe="")
        return await _pages(lambda cursor: self._read(path + cursor, self.metric_windows))

    async def campaign(self, campaign_id: str) -> Outcome:
        """Read a campaign's name."""
        return await self._read(f"/api/campaigns/{quote(campaign_id, safe='')}", self.campaign_windows)

    async def campaign_of_message(self, message_id: str) -> Outcome:
        """Read the campaign that sent a message."""
        return await self._read(f"/api/campaign-messages/{quote(message_id, safe='')}/campaign", self.message_windows)

    async def flow(self, flow_id: str) -> Outcome:
        """Read a flow's name."""
        return await self._read(f"/api/flows/{quote(flow_id, safe='')}?fields[flow]=name", self.flow_windows)

    async def _read(self, path: str, windows: Windows, *, longest_wait: float = LONGEST_WAIT) -> Outcome:
        wait = windows.wait(time.monotonic())
        if wait > longest_wait:
            return Throttled(wait, "the part of Klaviyo's limit that cards may use is used up")
        windows.took(time.monotonic() + wait)
        if wait > 0:
            await asyncio.sleep(wait)
        return await self._client.read(path, windows)


def has_more(outcomes: Sequence[Outcome]) -> bool:
    """Say whether pages were left unread."""
    return _cursor(outcomes[-1]) is not None


async def _pages(read: Callable[[str], Awaitable[Outcome]]) -> list[Outcome]:
    outcomes = [await read("")]
    while len(outcomes) < MOST_PAGES and (cursor := _cursor(outcomes[-1])) is not None:
        outcomes.append(await read(f"&page[cursor]={quote(cursor, safe='')}"))
    return outcomes


def _any(by: Identifier, values: Sequence[str]) -> str:
    return quote(f"any({by},[{','.join(map(quoted, values))}])", safe="")


def _share_of(limits: Limits) -> Windows:
    return Windows(limits, headroom=SHARE)


def _cursor(outcome: Outcome) -> str | None:
    """Return the cursor of the page after an answer's; None when it is the last."""
    if not isinstance(outcome, Accepted):
        return None
    return next_cursor(read_document(outcome.body))
