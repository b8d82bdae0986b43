"""What a private key may do, found out one scope at a time: Klaviyo has no endpoint that tells. Pure.

A read is probed by a cheap read; a write by a body that cannot be valid, so that nothing is written: the answer 400
means that the key was let through to the check of the body, and 403 that it was not. Nothing documents that order, so
that any other answer means *could not tell*. Scopes: developers.klaviyo.com/en/docs/authenticate_
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from kustomer_klaviyo.klaviyo.campaigns import campaigns_path
from kustomer_klaviyo.klaviyo.event_wire import REVISION
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused

KEY_PAGE = "https://www.klaviyo.com/create-private-api-key?scopes="


class Standing(StrEnum):
    """What is known of one scope of a key."""

    HAVE = "have"
    MISSING = "missing"
    UNKNOWN = "could not tell"


@dataclass(frozen=True, slots=True)
class Probe:
    """One request by which a scope is found out."""

    scope: str
    why: str
    """What does not work without it."""
    is_needed: bool
    method: str
    path: str
    body: bytes | None = None


PROBES = (
    Probe(
        "events:write", "telling Klaviyo of conversations", is_needed=True, method="POST", path="/api/events",
        body=b'{"data":{"type":"event","attributes":{}}}',
    ),
    Probe(
        "profiles:read", "finding the profile of a customer", is_needed=True, method="GET",
        path="/api/profiles?page[size]=1&fields[profile]=created",
    ),
    Probe(
        "profiles:write", "writing customers as profiles", is_needed=True, method="POST", path="/api/profile-import",
        body=b'{"data":{"type":"profile","attributes":{"email":"invalid-email"}}}',
    ),
    Probe(
        "metrics:read", "proposing the metric names you have; messages on the card", is_needed=False, method="GET",
        path="/api/metrics?fields[metric]=name",
    ),
    Probe(
        "events:read", "messages on the card", is_needed=False, method="GET",
        path="/api/events?page[size]=1&fields[event]=datetime",
    ),
    Probe(
        "lists:read", "lists on the card; bulk imports of profiles", is_needed=False, method="GET",
        path="/api/lists?page[size]=1&fields[list]=name",
    ),
    Probe(
        "segments:read", "segments on the card", is_needed=False, method="GET",
        path="/api/segments?page[size]=1&fields[segment]=name",
    ),
    Probe(
        "campaigns:read", "exact links to campaigns on the card", is_needed=False, method="GET",
        path=campaigns_path(REVISION),
    ),
    Probe(
        "flows:read", "names of flows on the card", is_needed=False, method="GET",
        path="/api/flows?page[size]=1&fields[flow]=name",
    ),
    Probe(
        "lists:write", "bulk imports of profiles: without it, 750 customers a minute at most", is_needed=False,
        method="POST", path="/api/profile-bulk-import-jobs",
        body=b'{"data":{"type":"profile-bulk-import-job","attributes":{}}}',
    ),
    Probe(
        "accounts:read", "the name of the account", is_needed=False, method="GET",
        path="/api/accounts?fields[account]=public_api_key",
    ),
    Probe(
        "data-privacy:write", "erasing people deleted in Kustomer (option on_deletion=erase)", is_needed=False,
        method="POST", path="/api/data-privacy-deletion-jobs",
        body=b'{"data":{"type":"data-privacy-deletion-job","attributes":{}}}',
    ),
)  # fmt: skip
"""What we need, and what we use where we have it."""

ORIGINAL = (
    "accounts:read", "campaigns:read", "catalogs:read", "conversations:read", "conversations:write", "coupons:read",
    "events:read", "events:write", "flows:read", "forms:read", "images:read", "lists:read", "lists:write",
    "metrics:read", "metrics:write", "profiles:read", "profiles:write", "reviews:read", "segments:read",
    "segments:write", "subscriptions:read", "tags:read", "templates:read", "webhooks:read",
)  # fmt: skip
"""What Kustomer's own app asks for (help.kustomer.com/integrate-with-klaviyo-B1kAh0JhP): read on everything, and all on
conversations, events, lists, metrics, profiles and segments."""

ERASING = "data-privacy:write"
"""Needed only where people deleted in Kustomer are to be erased."""

WANTED = tuple(probe.scope for probe in PROBES if probe.scope != ERASING)
"""The scopes that the link to Klaviyo's key page has ticked."""


def key_page(more: Iterable[str] = ()) -> str:
    """Return the address at which Klaviyo makes a key with the scopes already ticked, and some besides."""
    return KEY_PAGE + ",".join(dict.fromkeys((*WANTED, *more)))


def standing(probe: Probe, outcome: Outcome) -> Standing:
    """Say what the answer to a probe tells of the scope."""
    match outcome:
        case Accepted() if probe.body is None:
            return Standing.HAVE
        case Refused(status=400) if probe.body is not None:
            return Standing.HAVE
        case LockedOut(status=403):
            return Standing.MISSING
        case _:
            return Standing.UNKNOWN
