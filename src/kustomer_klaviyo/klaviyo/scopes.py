"""Which scopes an API key has, probed one at a time, since Klaviyo has no endpoint that lists them. Pure.

A read scope is probed with a small read. A write scope is probed with an invalid body, so that nothing is written: 400
means that the key passed the scope check before the body was validated, and 403 that it did not. This order is not
documented, so any other response means *unknown*. Scopes: developers.klaviyo.com/en/docs/authenticate_
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from kustomer_klaviyo.klaviyo.campaigns import campaigns_path
from kustomer_klaviyo.klaviyo.event_wire import REVISION
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused

KEY_PAGE = "https://www.klaviyo.com/create-private-api-key?scopes="


class ScopeStatus(StrEnum):
    """Whether a key has a scope."""

    GRANTED = "granted"
    MISSING = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ScopeProbe:
    """A request that shows whether a key has a scope."""

    scope: str
    purpose: str
    """What needs the scope."""
    is_required: bool
    method: str
    path: str
    body: bytes | None = None


PROBES = (
    ScopeProbe(
        "events:write", "sending conversation events to Klaviyo", is_required=True, method="POST", path="/api/events",
        body=b'{"data":{"type":"event","attributes":{}}}',
    ),
    ScopeProbe(
        "profiles:read", "finding the profile of a customer", is_required=True, method="GET",
        path="/api/profiles?page[size]=1&fields[profile]=created",
    ),
    ScopeProbe(
        "profiles:write", "writing customers as profiles", is_required=True, method="POST", path="/api/profile-import",
        body=b'{"data":{"type":"profile","attributes":{"email":"invalid-email"}}}',
    ),
    ScopeProbe(
        "metrics:read", "proposing existing metric names; messages on the card", is_required=False, method="GET",
        path="/api/metrics?fields[metric]=name",
    ),
    ScopeProbe(
        "events:read", "messages on the card", is_required=False, method="GET",
        path="/api/events?page[size]=1&fields[event]=datetime",
    ),
    ScopeProbe(
        "lists:read", "lists on the card; bulk imports of profiles", is_required=False, method="GET",
        path="/api/lists?page[size]=1&fields[list]=name",
    ),
    ScopeProbe(
        "segments:read", "segments on the card", is_required=False, method="GET",
        path="/api/segments?page[size]=1&fields[segment]=name",
    ),
    ScopeProbe(
        "campaigns:read", "exact links to campaigns on the card", is_required=False, method="GET",
        path=campaigns_path(REVISION),
    ),
    ScopeProbe(
        "flows:read", "names of flows on the card", is_required=False, method="GET",
        path="/api/flows?page[size]=1&fields[flow]=name",
    ),
    ScopeProbe(
        "lists:write", "bulk imports of profiles: without it, 750 customers a minute at most", is_required=False,
        method="POST", path="/api/profile-bulk-import-jobs",
        body=b'{"data":{"type":"profile-bulk-import-job","attributes":{}}}',
    ),
    ScopeProbe(
        "accounts:read", "the name of the account", is_required=False, method="GET",
        path="/api/accounts?fields[account]=public_api_key",
    ),
    ScopeProbe(
        "data-privacy:write", "erasing customers deleted in Kustomer (option on_deletion=erase)", is_required=False,
        method="POST", path="/api/data-privacy-deletion-jobs",
        body=b'{"data":{"type":"data-privacy-deletion-job","attributes":{}}}',
    ),
)  # fmt: skip
"""The required and the optional scopes."""

NATIVE_APP_SCOPES = (
    "accounts:read", "campaigns:read", "catalogs:read", "conversations:read", "conversations:write", "coupons:read",
    "events:read", "events:write", "flows:read", "forms:read", "images:read", "lists:read", "lists:write",
    "metrics:read", "metrics:write", "profiles:read", "profiles:write", "reviews:read", "segments:read",
    "segments:write", "subscriptions:read", "tags:read", "templates:read", "webhooks:read",
)  # fmt: skip
"""The scopes of Kustomer's own app (help.kustomer.com/integrate-with-klaviyo-B1kAh0JhP): read on everything, and full
access to conversations, events, lists, metrics, profiles and segments."""

ERASURE_SCOPE = "data-privacy:write"
"""Needed only to erase customers that are deleted in Kustomer."""

REQUESTED_SCOPES = tuple(probe.scope for probe in PROBES if probe.scope != ERASURE_SCOPE)
"""The scopes that are preselected on Klaviyo's key page."""


def key_page_url(extra: Iterable[str] = ()) -> str:
    """Return the URL of Klaviyo's key page with the scopes preselected."""
    return KEY_PAGE + ",".join(dict.fromkeys((*REQUESTED_SCOPES, *extra)))


def scope_status(probe: ScopeProbe, outcome: Outcome) -> ScopeStatus:
    """Return what the response to a probe shows."""
    match outcome:
        case Accepted() if probe.body is None:
            return ScopeStatus.GRANTED
        case Refused(status=400) if probe.body is not None:
            return ScopeStatus.GRANTED
        case LockedOut(status=403):
            return ScopeStatus.MISSING
        case _:
            return ScopeStatus.UNKNOWN
