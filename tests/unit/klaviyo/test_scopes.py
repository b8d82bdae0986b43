"""What the responses to probes show about a key's scopes."""

import pytest

from kustomer_klaviyo.klaviyo.scopes import (
    ERASURE_SCOPE,
    NATIVE_APP_SCOPES,
    PROBES,
    ScopeProbe,
    ScopeStatus,
    key_page_url,
    scope_status,
)
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused, Throttled, Unreachable

READ = ScopeProbe("lists:read", "lists", is_required=False, method="GET", path="/api/lists")
WRITE = ScopeProbe("events:write", "events", is_required=True, method="POST", path="/api/events", body=b"{}")


@pytest.mark.parametrize(
    ("outcome", "read_status", "write_status"),
    [
        (Accepted(200), ScopeStatus.GRANTED, ScopeStatus.UNKNOWN),
        (Refused(400, "invalid"), ScopeStatus.UNKNOWN, ScopeStatus.GRANTED),
        (LockedOut(403, "no permission"), ScopeStatus.MISSING, ScopeStatus.MISSING),
        (LockedOut(401, "no such key"), ScopeStatus.UNKNOWN, ScopeStatus.UNKNOWN),
        (LockedOut(404, "no such path"), ScopeStatus.UNKNOWN, ScopeStatus.UNKNOWN),
        (Refused(415, "not that type"), ScopeStatus.UNKNOWN, ScopeStatus.UNKNOWN),
        (Throttled(1.0, "later"), ScopeStatus.UNKNOWN, ScopeStatus.UNKNOWN),
        (Unreachable("away"), ScopeStatus.UNKNOWN, ScopeStatus.UNKNOWN),
    ],
)
def test_only_a_definite_response_shows_whether_the_key_has_a_scope(
    outcome: Outcome, read_status: ScopeStatus, write_status: ScopeStatus
) -> None:
    assert (scope_status(READ, outcome), scope_status(WRITE, outcome)) == (read_status, write_status)


def test_the_key_page_preselects_each_scope_once() -> None:
    preselected = key_page_url().partition("?scopes=")[2].split(",")
    assert sorted(preselected) == sorted({probe.scope for probe in PROBES} - {ERASURE_SCOPE})
    assert key_page_url([ERASURE_SCOPE, "lists:read"]).partition("?scopes=")[2].split(",") == [
        *preselected,
        ERASURE_SCOPE,
    ]


def test_no_scope_is_requested_that_the_native_app_does_not_request() -> None:
    requested = {probe.scope for probe in PROBES} - {ERASURE_SCOPE}
    assert requested < set(NATIVE_APP_SCOPES)
