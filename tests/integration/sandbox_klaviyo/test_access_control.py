"""Keys, scopes, headers and rate limits of the simulated Klaviyo, and its control API."""

from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from kustomer_klaviyo.sandbox.faults import Fault
from kustomer_klaviyo.sandbox.http_server import run_server
from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY, FAULTS, SCOPES, KlaviyoOptions, create_app
from kustomer_klaviyo.sandbox.klaviyo.api.access_control import AccessControl, operation
from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import KlaviyoRefusal

ACCOUNTS = "/api/accounts"
EVENTS = "/api/events"


@dataclass
class Clock:
    """A clock that a test sets."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The account's clock, at the start of a minute."""
    return Clock()


@pytest.fixture
def options(clock: Clock) -> KlaviyoOptions:
    """An account with limits."""
    return KlaviyoOptions(clock=clock)


@pytest.mark.parametrize(
    "authorization", [None, "", "pk_unknown", "Klaviyo-API-Key pk_unknown", f"Bearer {DEFAULT_KEY}"]
)
async def test_an_unknown_private_key_gets_401(call: Any, authorization: str | None) -> None:
    response = await call("POST", EVENTS, {"not": "valid"}, headers={"Authorization": authorization})
    assert response.status == 401
    assert response.body == {
        "errors": [
            {
                "id": response.headers["X-Klaviyo-Req-Id"],
                "status": 401,
                "code": "not_authenticated",
                "title": "Authentication credentials were not provided.",
                "detail": "Missing or invalid private key.",
                "source": {"pointer": "/data/"},
            }
        ]
    }
    assert response.headers["Www-Authenticate"] == "Bearer, Klaviyo-API-Key"
    assert not {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Cid"} & set(response.headers)


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", ACCOUNTS, "accounts:read"),
        ("POST", EVENTS, "events:write"),
        ("POST", "/api/event-bulk-create-jobs", "events:write"),
        ("GET", EVENTS, "events:read"),
        ("GET", "/api/events/x", "events:read"),
        ("GET", "/api/events/x/profile", "profiles:read"),
        ("GET", "/api/events/x/metric", "metrics:read"),
        ("GET", "/api/metrics", "metrics:read"),
        ("GET", "/api/metrics/x", "metrics:read"),
        ("GET", "/api/profiles", "profiles:read"),
        ("GET", "/api/profiles/x", "profiles:read"),
        ("POST", "/api/profiles", "profiles:write"),
        ("PATCH", "/api/profiles/x", "profiles:write"),
        ("POST", "/api/profile-import", "profiles:write"),
    ],
)
async def test_a_missing_scope_gets_403_before_validation(call: Any, method: str, path: str, scope: str) -> None:
    await call("PUT", "/sandbox/keys", {DEFAULT_KEY: sorted(SCOPES - {scope})})
    response = await call(method, path, {} if method != "GET" else None)
    assert response.status == 403
    assert response.error["code"] == "permission_denied"
    assert response.error["source"] == {"pointer": "/data/"}
    await call("PUT", "/sandbox/keys", {DEFAULT_KEY: ["*"]})
    assert (await call(method, path, {} if method != "GET" else None)).status in (200, 400, 404)


@pytest.mark.parametrize("revision", [None, "latest", "2026"])
async def test_a_revision_is_required(call: Any, revision: str | None) -> None:
    response = await call("GET", EVENTS, headers={"revision": revision})
    assert (response.status, response.error["code"]) == (400, "invalid")


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        (None, 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/json", 202),
        ("application/vnd.api+json; charset=utf-8", 202),
    ],
)
async def test_a_body_needs_a_json_media_type(call: Any, event: Any, content_type: str | None, status: int) -> None:
    assert (await call("POST", EVENTS, event(), headers={"Content-Type": content_type})).status == status


async def test_responses_have_the_account_the_revision_and_the_remaining_limit(call: Any) -> None:
    first, second = [await call("GET", EVENTS) for _ in range(2)]
    assert first.headers["RateLimit-Limit"] == "350, 350;w=1, 3500;w=60"
    assert [response.headers["RateLimit-Remaining"] for response in (first, second)] == ["349", "348"]
    assert first.headers["Cid"] == "SbxKlv"
    assert first.headers["X-Klaviyo-Api-Revision"] == "2026-10-15"
    assert first.headers["Content-Type"] == "application/vnd.api+json"
    assert first.headers["X-Klaviyo-Req-Id"] != second.headers["X-Klaviyo-Req-Id"]


async def test_a_rejected_body_counts_and_has_the_rate_headers(call: Any) -> None:
    response = await call("POST", "/api/profiles", {})
    assert (response.status, response.headers["RateLimit-Remaining"]) == (400, "74")


async def test_an_unsupported_method_gets_405_in_the_vendors_format(call: Any) -> None:
    response = await call("DELETE", EVENTS)
    assert (response.status, response.error["code"], response.headers["Allow"]) == (
        405,
        "method_not_allowed",
        "GET, POST",
    )


async def test_beyond_the_burst_limit_retry_after_is_one_second(call: Any, clock: Clock) -> None:
    assert (await call("GET", ACCOUNTS)).status == 200
    response = await call("GET", ACCOUNTS)
    assert (response.status, response.headers["Retry-After"], response.error["code"]) == (429, "1", "throttled")
    assert response.error["detail"] == "Request was throttled. Expected available in 1 second."
    assert "RateLimit-Limit" not in response.headers
    assert (await call("GET", EVENTS)).status == 200
    clock.now += 1
    assert (await call("GET", ACCOUNTS)).status == 200


async def test_beyond_the_steady_limit_retry_after_is_the_rest_of_the_minute(call: Any, clock: Clock) -> None:
    for _ in range(15):
        assert (await call("GET", ACCOUNTS)).status == 200
        clock.now += 1
    response = await call("GET", ACCOUNTS)
    assert (response.status, response.headers["Retry-After"]) == (429, "45")
    clock.now += 45
    assert (await call("GET", ACCOUNTS)).status == 200


@pytest.mark.parametrize(
    ("tier", "burst", "steady"), [("XS", 1, 15), ("S", 3, 60), ("M", 10, 150), ("L", 75, 750), ("XL", 350, 3500)]
)
def test_each_tier_has_a_limit_per_second_and_per_minute(tier: str, burst: int, steady: int) -> None:
    access = AccessControl({}, is_limited=True, scale=1.0)
    limited = operation("any", tier)
    for number in range(steady):
        access.count_request(limited, 1_800_000_000.0 + number // burst)
    with pytest.raises(KlaviyoRefusal):
        access.count_request(limited, 1_800_000_059.0)
    access.count_request(limited, 1_800_000_060.0)
    for _ in range(burst - 1):
        access.count_request(limited, 1_800_000_060.5)
    with pytest.raises(KlaviyoRefusal):
        access.count_request(limited, 1_800_000_060.9)


@pytest.mark.parametrize(("options", "allowed"), [(KlaviyoOptions(rate_scale=3, clock=Clock()), 3)])
async def test_rate_scale_multiplies_the_limits(call: Any, allowed: int) -> None:
    statuses = [(await call("GET", ACCOUNTS)).status for _ in range(allowed + 1)]
    assert statuses == [200] * allowed + [429]


async def test_a_fault_applies_before_the_key_is_checked(call: Any) -> None:
    fault = {"kind": "throttle", "retry_after": 2.5, "times": 1}
    assert (await call("POST", "/sandbox/faults", fault)).status == 201
    response = await call("GET", EVENTS, headers={"Authorization": None})
    assert (response.status, response.headers["Retry-After"], response.error["code"]) == (429, "3", "throttled")
    assert (await call("GET", EVENTS, headers={"Authorization": None})).status == 401


async def test_faults_can_be_added_to_the_application() -> None:
    app = create_app()
    app[FAULTS].add(Fault(kind="status", status=503))
    async with run_server(app) as url, aiohttp.ClientSession() as session, session.get(url + EVENTS) as response:
        assert response.status == 503


async def test_the_accepted_keys_can_be_replaced(call: Any) -> None:
    await call("PUT", "/sandbox/keys", {"pk_other": ["events:read"]})
    assert (await call("GET", EVENTS)).status == 401
    assert (await call("GET", EVENTS, headers={"Authorization": "Klaviyo-API-Key pk_other"})).status == 200
    assert (await call("PUT", "/sandbox/keys", b"nonsense")).status == 400


async def test_the_state_has_counts_of_requests_and_responses(call: Any, event: Any) -> None:
    await call("POST", EVENTS, event())
    await call("POST", EVENTS, event())
    await call("POST", EVENTS, {})
    state = (await call("GET", "/sandbox/state")).body
    assert state["requests"] == {"create_event": 3}
    assert state["responses"] == {"202": 2, "400": 1}
    assert (state["events"], state["profiles"], state["metrics"]) == (1, 1, ["Placed"])
    assert state["dropped_duplicates"] == 1


async def test_stored_events_are_listed_after_a_number(call: Any, event: Any, clock: Clock) -> None:
    for unique_id in ("a", "b", "c"):
        await call("POST", EVENTS, event(unique_id=unique_id))
    rows = (await call("GET", "/sandbox/events", params={"since": "1"})).body
    assert [(row["number"], row["unique_id"]) for row in rows] == [(2, "b"), (3, "c")]
    assert rows[0]["received_at"] == clock.now
    assert rows[0]["email"] == "ada@lantern.example"
    assert (await call("GET", "/sandbox/events", params={"since": "x"})).status == 400


async def test_a_reset_restores_the_initial_state(call: Any, event: Any) -> None:
    await call("POST", EVENTS, event())
    await call("GET", ACCOUNTS)
    await call("PUT", "/sandbox/keys", {})
    await call("POST", "/sandbox/faults", {"kind": "status"})
    assert (await call("POST", "/sandbox/reset")).status == 204
    state = (await call("GET", "/sandbox/state")).body
    assert (state["events"], state["profiles"], state["metrics"], state["requests"]) == (0, 0, [], {})
    assert (await call("GET", ACCOUNTS)).status == 200
    assert (await call("POST", EVENTS, event())).status == 202
    assert (await call("GET", "/sandbox/state")).body["events"] == 1


async def test_the_events_page_escapes_properties(call: Any, event: Any, base: str) -> None:
    await call("POST", EVENTS, event(properties={"<b>": "<script>"}))
    async with aiohttp.ClientSession() as session, session.get(f"{base}/") as response:
        text = await response.text()
    assert "&lt;script&gt;" in text
    assert "<script>" not in text
