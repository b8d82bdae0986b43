"""Reads profiles for the insight card in batches, within the share of the account's limits that cards may use.

The lists and segments of one profile are limited to 60 requests a minute for the whole account
(developers.klaviyo.com/en/reference/get_lists_for_profile). The reverse query, which of these profiles are on a list,
is limited to 750 a minute (.../get_profile_ids_for_list). Where a limit is used up, the outcome is *throttled* at once,
and the caller retries later.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Literal
from urllib.parse import quote

from kustomer_klaviyo.klaviyo.event_wire import next_cursor, read_document
from kustomer_klaviyo.klaviyo.klaviyo_client import TIER_L, TIER_M, TIER_S, TIER_XL, TIER_XS, KlaviyoClient
from kustomer_klaviyo.klaviyo.profile_view import OWN_INTEGRATION
from kustomer_klaviyo.klaviyo.profile_wire import quote_filter_value
from kustomer_klaviyo.outcomes import Accepted, Outcome, Refused, Throttled
from kustomer_klaviyo.rate_limiter import RateLimiter
from kustomer_klaviyo.rate_limits import Limits

GroupKind = Literal["list", "segment"]
"""The kinds of groups that a profile can belong to."""

Identifier = Literal["email", "phone_number", "id", "profile_id"]

CARD_HEADROOM = 0.7
"""The share of each limit that cards use. The rest is for the account's other integrations."""

MAX_WAIT_SECONDS = 1.0
"""The longest wait for a rate-limit slot; beyond it the request is throttled."""

MAX_MEMBER_WAIT_SECONDS = 10.0
"""The longest wait for each of the concurrent requests, one per list or segment."""

MAX_PROFILES_PER_REQUEST = 50
"""Profiles in one query. A response page has a hundred."""

MAX_EVENTS = 200
MAX_PAGES = 30
"""The most pages of lists, segments or metrics that are read. With more groups, a query per group is too costly."""

PROFILE_FIELDS = "first_name,last_name,email,phone_number,subscriptions"
ACCOUNT = "/api/accounts?fields[account]=contact_information.organization_name,preferred_currency"


class ReaderLimiters:
    """The rate limiters of the endpoints that cards read. All readers of one account share them."""

    def __init__(self) -> None:
        self.profiles = _limiter(TIER_L)
        self.predictions = _limiter(TIER_M)
        self.groups_of_profile = _limiters(TIER_S)
        self.group_members = _limiters(TIER_L)
        self.groups = _limiters(TIER_L)
        self.events = _limiter(TIER_XL)
        self.metrics = _limiter(TIER_M)
        self.campaigns = _limiter(TIER_M)
        self.messages = _limiter(TIER_M)
        self.flows = _limiter(TIER_S)
        self.account = _limiter(TIER_XS)


class KlaviyoReader:
    """One account's API under one private key, for cards."""

    def __init__(self, client: KlaviyoClient, *, limiters: ReaderLimiters | None = None) -> None:
        self._client = client
        self._supports_metric_lists = True
        self.limiters = limiters or ReaderLimiters()

    async def account(self) -> Outcome:
        """Read the account's name and currency."""
        return await self._read(ACCOUNT, self.limiters.account)

    async def profiles(self, by: Identifier, values: Sequence[str]) -> Outcome:
        """Read the profiles that have one of these identifiers, with consent.

        Predictions are included if their own limit has a free slot.
        """
        fields, additional = PROFILE_FIELDS, "subscriptions"
        if await self.limiters.predictions.try_acquire(0) == 0:
            fields, additional = f"{fields},predictive_analytics", f"{additional},predictive_analytics"
        query = f"additional-fields[profile]={additional}&fields[profile]={fields}&page[size]=100"
        return await self._read(f"/api/profiles?filter={_any(by, values)}&{query}", self.limiters.profiles)

    async def groups(self, kind: GroupKind) -> list[Outcome]:
        """Read the account's lists or segments page by page; stop at the last page or the first failure."""
        path, limiter = f"/api/{kind}s?fields[{kind}]=name", self.limiters.groups[kind]
        return await _pages(lambda cursor: self._read(path + cursor, limiter))

    async def groups_of(self, kind: GroupKind, profile_id: str) -> Outcome:
        """Read the lists or segments of one profile."""
        path = f"/api/profiles/{quote(profile_id, safe='')}/{kind}s?fields[{kind}]=name"
        return await self._read(path, self.limiters.groups_of_profile[kind])

    async def members(self, kind: GroupKind, group_id: str, by: Identifier, values: Sequence[str]) -> Outcome:
        """Read which profiles with one of these identifiers belong to a list or a segment."""
        path = f"/api/{kind}s/{quote(group_id, safe='')}/relationships/profiles"
        query = f"filter={_any(by, values)}&page[size]=100"
        limiter = self.limiters.group_members[kind]
        return await self._read(f"{path}?{query}", limiter, max_wait=MAX_MEMBER_WAIT_SECONDS)

    async def events(self, profile_id: str, metric_ids: Sequence[str], since: datetime) -> list[Outcome]:
        """Read a profile's latest events of some metrics, in one request if Klaviyo accepts a list of metrics.

        The API specification allows a list; the documentation does not mention it.
        """
        if len(metric_ids) > 1 and self._supports_metric_lists:
            metrics = ",".join(map(quote_filter_value, metric_ids))
            outcome = await self._events(profile_id, f"[{metrics}]", since)
            if not (isinstance(outcome, Refused) and outcome.status == 400):
                return [outcome]
            self._supports_metric_lists = False
        requests = [self._events(profile_id, quote_filter_value(metric_id), since) for metric_id in metric_ids]
        return await asyncio.gather(*requests)

    async def _events(self, profile_id: str, metrics: str, since: datetime) -> Outcome:
        condition = (
            f"equals(profile_id,{quote_filter_value(profile_id)}),equals(metric_id,{metrics}),"
            f"greater-or-equal(datetime,{since:%Y-%m-%dT%H:%M:%SZ})"
        )
        query = "include=metric&fields[metric]=name&fields[event]=event_properties,datetime&sort=-datetime"
        path = f"/api/events?filter={quote(condition, safe='')}&{query}&page[size]={MAX_EVENTS}"
        return await self._read(path, self.limiters.events)

    async def metrics(self, *, integration: str | None = OWN_INTEGRATION) -> list[Outcome]:
        """Read the metrics of one integration or of all, page by page; stop at the last page or the first failure."""
        path = "/api/metrics?fields[metric]=name,integration"
        if integration is not None:
            path += "&filter=" + quote(f"equals(integration.name,{quote_filter_value(integration)})", safe="")
        return await _pages(lambda cursor: self._read(path + cursor, self.limiters.metrics))

    async def campaign(self, campaign_id: str) -> Outcome:
        """Read a campaign's name."""
        return await self._read(f"/api/campaigns/{quote(campaign_id, safe='')}", self.limiters.campaigns)

    async def campaign_of_message(self, message_id: str) -> Outcome:
        """Read the campaign that sent a message."""
        path = f"/api/campaign-messages/{quote(message_id, safe='')}/campaign"
        return await self._read(path, self.limiters.messages)

    async def flow(self, flow_id: str) -> Outcome:
        """Read a flow's name."""
        return await self._read(f"/api/flows/{quote(flow_id, safe='')}?fields[flow]=name", self.limiters.flows)

    async def _read(self, path: str, limiter: RateLimiter, *, max_wait: float = MAX_WAIT_SECONDS) -> Outcome:
        wait = await limiter.try_acquire(max_wait)
        if wait > 0:
            return Throttled(wait, "the share of Klaviyo's rate limit for cards is used up")
        return await self._client.read(path, limiter)


def has_more(outcomes: Sequence[Outcome]) -> bool:
    """Return whether there are more pages than were read."""
    return _cursor(outcomes[-1]) is not None


async def _pages(read: Callable[[str], Awaitable[Outcome]]) -> list[Outcome]:
    outcomes = [await read("")]
    while len(outcomes) < MAX_PAGES and (cursor := _cursor(outcomes[-1])) is not None:
        outcomes.append(await read(f"&page[cursor]={quote(cursor, safe='')}"))
    return outcomes


def _any(by: Identifier, values: Sequence[str]) -> str:
    return quote(f"any({by},[{','.join(map(quote_filter_value, values))}])", safe="")


def _limiter(limits: Limits) -> RateLimiter:
    return RateLimiter(limits, headroom=CARD_HEADROOM)


def _limiters(limits: Limits) -> dict[GroupKind, RateLimiter]:
    return {"list": _limiter(limits), "segment": _limiter(limits)}


def _cursor(outcome: Outcome) -> str | None:
    """Return the cursor of the next page; None after the last page or a failure."""
    if not isinstance(outcome, Accepted):
        return None
    return next_cursor(read_document(outcome.body))
