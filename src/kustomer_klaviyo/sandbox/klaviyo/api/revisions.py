"""API revisions: retirement, fall-forward, headers. Independent of resources.

Life cycle: developers.klaviyo.com/en/docs/api_versioning_and_deprecation_policy
"""

import re
from collections.abc import Mapping

from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import KlaviyoRefusal, invalid

OLDEST = "2025-01-15"
"""The oldest revision that is served, as of November 2026."""

STABLE_SINCE = "2026-01-15"
"""Older revisions are deprecated, and their responses have a retirement date."""

NEWEST = "2026-10-15"
OMNI_CAMPAIGNS = "2026-10-15"
"""Since this revision campaigns have another format, with separate audiences and variations."""

OPT_OUT = "X-Klaviyo-Revision-Fall-Forward-Opt-Out"
_REVISION = re.compile(r"\d{4}-\d\d-\d\d(\.pre)?\Z")


def served_revision(headers: Mapping[str, str], *, oldest: str, falls_forward: bool) -> str:
    """Return the revision that serves a request. Raises KlaviyoRefusal (400, 410)."""
    revision = headers.get("revision", "")
    if not _REVISION.match(revision):
        raise invalid("A valid revision header (YYYY-MM-DD) is required.", "/data/")
    if revision >= oldest:
        return revision
    if falls_forward and headers.get(OPT_OUT) != "1":
        return oldest
    raise KlaviyoRefusal(
        410, "gone", "Gone.", f"Revision {revision} is retired; the oldest that is served is {oldest}."
    )


def revision_headers(revision: str) -> dict[str, str]:
    """Return the headers about the revision; a deprecated one retires when it is two years old."""
    headers = {"X-Klaviyo-Api-Revision": revision}
    if revision < STABLE_SINCE:
        headers["X-Klaviyo-Api-Retirement-Date"] = f"{int(revision[:4]) + 2}{revision[4:10]}"
    return headers
