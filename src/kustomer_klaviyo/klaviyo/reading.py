"""Reads what Klaviyo knows of a person, within the part of the account's limits that cards may use.

Lists and segments of a profile are limited to 60 a minute for the whole account, whoever asks
(developers.klaviyo.com/en/reference/get_lists_for_profile), so that nothing here waits long: where the limit is used
up, the answer is *throttled* at once, and the caller comes again.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import parse_qs, quote, urlsplit

import msgspec

from kustomer_klaviyo.klaviyo.client import TIER_L, TIER_M, TIER_S, TIER_XL, KlaviyoClient
from kustomer_klaviyo.klaviyo.insight import read_named
from kustomer_klaviyo.klaviyo.profile_wire import quoted
from kustomer_klaviyo.outcomes import Accepted, Outcome, Throttled
from kustomer_klaviyo.throttle import Limits, Windows

SHARE = 0.7
"""The part of each limit that cards use: the rest is for the account's other integrations."""

LONGEST_WAIT = 1.0
"""Seconds a request waits for its turn; a longer wait is the caller's to spend otherwise."""

MOST_EMAILS = 10
EVENTS_READ = 50
MOST_PAGES = 10

PROFILE_FIELDS = "first_name,last_name,email,phone_number,subscriptions"


class KlaviyoReader:
    """One account's API under one private key, for cards."""

    def __init__(self, client: KlaviyoClient) -> None:
        self._client = client
        self.profile_windows = _share_of(TIER_L)
        self.prediction_windows = _share_of(TIER_M)
        self.list_windows = _share_of(TIER_S)
        self.segment_windows = _share_of(TIER_S)
        self.event_windows = _share_of(TIER_XL)
        self.metric_windows = _share_of(TIER_M)
        self.campaign_windows = _share_of(TIER_M)
        self.message_windows = _share_of(TIER_M)
        self.flow_windows = _share_of(TIER_S)

    @property
    def leisure(self) -> float:
        """The part of the scarcest limit, lists and segments, that is not used in this minute: 0 to 1."""
        now = time.monotonic()
        return min(self.list_windows.room(now), self.segment_windows.room(now))

    @property
    def account_id(self) -> str | None:
        """The site ID of the account, as the last answer named it."""
        return self._client.account_id

    async def profiles(self, emails: Sequence[str], phone: str | None) -> Outcome:
        """Read the profiles with some addresses, or with a number where there is no address."""
        if emails:
            values = ",".join(quoted(email) for email in emails[:MOST_EMAILS])
            wanted = f"any(email,[{values}])"
        else:
            wanted = f"equals(phone_number,{quoted(phone or '')})"
        return await self._profiles(f"/api/profiles?filter={quote(wanted, safe='')}")

    async def profile(self, profile_id: str) -> Outcome:
        """Read a profile."""
        return await self._profiles(f"/api/profiles/{quote(profile_id, safe='')}?")

    async def _profiles(self, path: str) -> Outcome:
        """Read profiles with consent; with predictions where their own limit has room."""
        fields, more = PROFILE_FIELDS, "subscriptions"
        now = time.monotonic()
        if self.prediction_windows.wait(now) == 0:
            self.prediction_windows.took(now)
            fields, more = f"{fields},predictive_analytics", f"{more},predictive_analytics"
        glue = "" if path.endswith("?") else "&"
        query = f"additional-fields[profile]={more}&fields[profile]={fields}"
        return await self._read(f"{path}{glue}{query}", self.profile_windows)

    async def lists(self, profile_id: str) -> Outcome:
        """Read the lists that a profile is on."""
        path = f"/api/profiles/{quote(profile_id, safe='')}/lists?fields[list]=name"
        return await self._read(path, self.list_windows)

    async def segments(self, profile_id: str) -> Outcome:
        """Read the segments that a profile is in."""
        path = f"/api/profiles/{quote(profile_id, safe='')}/segments?fields[segment]=name"
        return await self._read(path, self.segment_windows)

    async def events(self, profile_id: str, metric_id: str, since: datetime) -> Outcome:
        """Read a profile's latest events of one metric."""
        wanted = (
            f"equals(profile_id,{quoted(profile_id)}),equals(metric_id,{quoted(metric_id)}),"
            f"greater-or-equal(datetime,{since:%Y-%m-%dT%H:%M:%SZ})"
        )
        path = (
            f"/api/events?filter={quote(wanted, safe='')}&fields[event]=event_properties,datetime&sort=-datetime"
            f"&page[size]={EVENTS_READ}"
        )
        return await self._read(path, self.event_windows)

    async def metrics(self, *, integration: str | None = "Klaviyo") -> list[Outcome]:
        """Read the metrics of an integration or of all, page by page, to the first answer that brings no more."""
        path = "/api/metrics?fields[metric]=name"
        if integration is not None:
            path += "&filter=" + quote(f"equals(integration.name,{quoted(integration)})", safe="")
        outcomes = [await self._read(path, self.metric_windows)]
        while len(outcomes) < MOST_PAGES and (cursor := _cursor(outcomes[-1])) is not None:
            outcomes.append(await self._read(f"{path}&page[cursor]={quote(cursor, safe='')}", self.metric_windows))
        return outcomes

    async def campaign(self, campaign_id: str) -> Outcome:
        """Read a campaign's name."""
        return await self._read(f"/api/campaigns/{quote(campaign_id, safe='')}", self.campaign_windows)

    async def campaign_of_message(self, message_id: str) -> Outcome:
        """Read the campaign that sent a message."""
        return await self._read(f"/api/campaign-messages/{quote(message_id, safe='')}/campaign", self.message_windows)

    async def flow(self, flow_id: str) -> Outcome:
        """Read a flow's name."""
        return await self._read(f"/api/flows/{quote(flow_id, safe='')}?fields[flow]=name", self.flow_windows)

    async def _read(self, path: str, windows: Windows) -> Outcome:
        wait = windows.wait(time.monotonic())
        if wait > LONGEST_WAIT:
            return Throttled(wait, "the part of Klaviyo's limit that cards may use is used up")
        windows.took(time.monotonic() + wait)
        if wait > 0:
            await asyncio.sleep(wait)
        return await self._client.read(path, windows)


def read_metric_names(body: bytes) -> list[str]:
    """Return the names of the metrics in an answer."""
    return [one.name for one in read_named(body)]


def _share_of(limits: Limits) -> Windows:
    return Windows(limits, headroom=SHARE)


def _cursor(outcome: Outcome) -> str | None:
    """Return the cursor of the page after an answer's; None when it is the last."""
    if not isinstance(outcome, Accepted):
        return None
    try:
        following = msgspec.json.decode(outcome.body)["links"]["next"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return None
    cursors = parse_qs(urlsplit(following).query).get("page[cursor]") if isinstance(following, str) else None
    return cursors[0] if cursors else None
