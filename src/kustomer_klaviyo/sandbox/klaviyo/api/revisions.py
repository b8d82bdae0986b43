"""The API's revisions: how long each lives, and what happens to a request of one that is retired. Knows no resources.

Life cycle: developers.klaviyo.com/en/docs/api_versioning_and_deprecation_policy
"""

import re
from collections.abc import Mapping

from kustomer_klaviyo.sandbox.klaviyo.envelope import Refusal, invalid

OLDEST = "2025-01-15"
"""The oldest revision that is still served, as of November 2026."""

STABLE_SINCE = "2026-01-15"
"""Revisions before this one are deprecated, and say when they retire."""

NEWEST = "2026-10-15"
OMNI_CAMPAIGNS = "2026-10-15"
"""Since this revision campaigns are another resource, with audiences and variations beside them."""

OPT_OUT = "X-Klaviyo-Revision-Fall-Forward-Opt-Out"
_REVISION = re.compile(r"\d{4}-\d\d-\d\d(\.pre)?\Z")


def served_revision(headers: Mapping[str, str], *, oldest: str, falls_forward: bool) -> str:
    """Return the revision by which a request is answered. Raises Refusal (400, 410)."""
    asked = headers.get("revision", "")
    if not _REVISION.match(asked):
        raise invalid("A valid revision header (YYYY-MM-DD) is required.", "/data/")
    if asked >= oldest:
        return asked
    if falls_forward and headers.get(OPT_OUT) != "1":
        return oldest
    raise Refusal(410, "gone", "Gone.", f"Revision {asked} is retired; the oldest that is served is {oldest}.")


def life_headers(revision: str) -> dict[str, str]:
    """Return what an answer tells of the revision that served it: a deprecated one retires when it is two years old."""
    shown = {"X-Klaviyo-Api-Revision": revision}
    if revision < STABLE_SINCE:
        shown["X-Klaviyo-Api-Retirement-Date"] = f"{int(revision[:4]) + 2}{revision[4:10]}"
    return shown
