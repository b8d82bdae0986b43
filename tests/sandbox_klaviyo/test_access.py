"""Keys, scopes, headers and limits of the simulated Klaviyo, and how it is steered."""

from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from kustomer_klaviyo.sandbox.faults import Fault
from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY, FAULTS, SCOPES, KlaviyoOptions, create_app
from kustomer_klaviyo.sandbox.klaviyo.api.access import Access, operation
from kustomer_klaviyo.sandbox.klaviyo.envelope import Refusal
from kustomer_klaviyo.sandbox.serving import serving

ACCOUNTS = "/api/accounts"
EVENTS = "/api/events"


@dataclass
class Clock:
    """A clock that a test moves."""

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
async def test_without_a_known_private_key_nothing_is_answered(call: Any, authorization: str | None) -> None:
    answer = await call("POST", EVENTS, {"not": "valid"}, headers={"Authorization": authorization})
    assert answer.status == 401
    assert answer.body == {
        "errors": [
            {
                "id": answer.headers["X-Klaviyo-Req-Id"],
                "status": 401,
                "code": "not_authenticated",
                "title": "Authentication credentials were not provided.",
                "detail": "Missing or invalid private key.",
                "source": {"pointer": "/data/"},
            }
        ]
    }
    assert answer.headers["Www-Authenticate"] == "Bearer, Klaviyo-API-Key"
    assert not {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Cid"} & set(answer.headers)


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
async def test_a_missing_scope_is_refused_before_anything_is_validated(
    call: Any, method: str, path: str, scope: str
) -> None:
    await call("PUT", "/sandbox/keys", {DEFAULT_KEY: sorted(SCOPES - {scope})})
    answer = await call(method, path, {} if method != "GET" else None)
    assert answer.status == 403
    assert answer.error["code"] == "permission_denied"
    assert answer.error["source"] == {"pointer": "/data/"}
    await call("PUT", "/sandbox/keys", {DEFAULT_KEY: ["*"]})
    assert (await call(method, path, {} if method != "GET" else None)).status in (200, 400, 404)


@pytest.mark.parametrize("revision", [None, "latest", "2026"])
async def test_a_revision_is_required(call: Any, revision: str | None) -> None:
    answer = await call("GET", EVENTS, headers={"revision": revision})
    assert (answer.status, answer.error["code"]) == (400, "invalid")


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
async def test_bodies_are_json_of_the_right_kind(call: Any, event: Any, content_type: str | None, status: int) -> None:
    assert (await call("POST", EVENTS, event(), headers={"Content-Type": content_type})).status == status


async def test_answers_say_whose_they_are_and_how_much_is_left(call: Any) -> None:
    first, second = [await call("GET", EVENTS) for _ in range(2)]
    assert first.headers["RateLimit-Limit"] == "350, 350;w=1, 3500;w=60"
    assert [one.headers["RateLimit-Remaining"] for one in (first, second)] == ["349", "348"]
    assert first.headers["Cid"] == "SbxKlv"
    assert first.headers["X-Klaviyo-Api-Revision"] == "2026-10-15"
    assert first.headers["Content-Type"] == "application/vnd.api+json"
    assert first.headers["X-Klaviyo-Req-Id"] != second.headers["X-Klaviyo-Req-Id"]


async def test_a_refused_body_counts_too_and_carries_the_rate_headers(call: Any) -> None:
    answer = await call("POST", "/api/profiles", {})
    assert (answer.status, answer.headers["RateLimit-Remaining"]) == (400, "74")


async def test_a_method_that_is_not_there_is_refused_in_the_vendors_form(call: Any) -> None:
    answer = await call("DELETE", EVENTS)
    assert (answer.status, answer.error["code"], answer.headers["Allow"]) == (405, "method_not_allowed", "GET, POST")


async def test_beyond_the_burst_one_second_is_to_be_waited(call: Any, clock: Clock) -> None:
    assert (await call("GET", ACCOUNTS)).status == 200
    answer = await call("GET", ACCOUNTS)
    assert (answer.status, answer.headers["Retry-After"], answer.error["code"]) == (429, "1", "throttled")
    assert answer.error["detail"] == "Request was throttled. Expected available in 1 second."
    assert "RateLimit-Limit" not in answer.headers
    assert (await call("GET", EVENTS)).status == 200
    clock.now += 1
    assert (await call("GET", ACCOUNTS)).status == 200


async def test_beyond_the_steady_limit_the_rest_of_the_minute_is_to_be_waited(call: Any, clock: Clock) -> None:
    for _ in range(15):
        assert (await call("GET", ACCOUNTS)).status == 200
        clock.now += 1
    answer = await call("GET", ACCOUNTS)
    assert (answer.status, answer.headers["Retry-After"]) == (429, "45")
    clock.now += 45
    assert (await call("GET", ACCOUNTS)).status == 200


@pytest.mark.parametrize(
    ("tier", "burst", "steady"), [("XS", 1, 15), ("S", 3, 60), ("M", 10, 150), ("L", 75, 750), ("XL", 350, 3500)]
)
def test_each_tier_allows_its_number_a_second_and_a_minute(tier: str, burst: int, steady: int) -> None:
    access = Access({}, is_limited=True, scale=1.0)
    wanted = operation("any", tier)
    for number in range(steady):
        access.take(wanted, 1_800_000_000.0 + number // burst)
    with pytest.raises(Refusal):
        access.take(wanted, 1_800_000_059.0)
    access.take(wanted, 1_800_000_060.0)
    for _ in range(burst - 1):
        access.take(wanted, 1_800_000_060.5)
    with pytest.raises(Refusal):
        access.take(wanted, 1_800_000_060.9)


@pytest.mark.parametrize(("options", "allowed"), [(KlaviyoOptions(rate_scale=3, clock=Clock()), 3)])
async def test_what_the_windows_allow_is_multiplied_on_request(call: Any, allowed: int) -> None:
    statuses = [(await call("GET", ACCOUNTS)).status for _ in range(allowed + 1)]
    assert statuses == [200] * allowed + [429]


async def test_a_fault_comes_before_the_key_is_looked_at(call: Any) -> None:
    fault = {"kind": "throttle", "retry_after": 2.5, "times": 1}
    assert (await call("POST", "/sandbox/faults", fault)).status == 201
    answer = await call("GET", EVENTS, headers={"Authorization": None})
    assert (answer.status, answer.headers["Retry-After"], answer.error["code"]) == (429, "3", "throttled")
    assert (await call("GET", EVENTS, headers={"Authorization": None})).status == 401


async def test_the_faults_are_reached_from_the_application() -> None:
    app = create_app()
    app[FAULTS].arm(Fault(kind="status", status=503))
    async with serving(app) as url, aiohttp.ClientSession() as session, session.get(url + EVENTS) as response:
        assert response.status == 503


async def test_a_key_can_be_refused_for_a_while(call: Any) -> None:
    await call("PUT", "/sandbox/keys", {"pk_other": ["events:read"]})
    assert (await call("GET", EVENTS)).status == 401
    assert (await call("GET", EVENTS, headers={"Authorization": "Klaviyo-API-Key pk_other"})).status == 200
    assert (await call("PUT", "/sandbox/keys", b"nonsense")).status == 400


async def test_the_state_counts_requests_and_answers(call: Any, event: Any) -> None:
    await call("POST", EVENTS, event())
    await call("POST", EVENTS, event())
    await call("POST", EVENTS, {})
    state = (await call("GET", "/sandbox/state")).body
    assert state["requests"] == {"create_event": 3}
    assert state["answers"] == {"202": 2, "400": 1}
    assert (state["events"], state["profiles"], state["metrics"]) == (1, 1, ["Placed"])
    assert state["dropped_duplicates"] == 1


async def test_stored_events_are_listed_from_a_number_on(call: Any, event: Any, clock: Clock) -> None:
    for unique_id in ("a", "b", "c"):
        await call("POST", EVENTS, event(unique_id=unique_id))
    found = (await call("GET", "/sandbox/events", params={"since": "1"})).body
    assert [(one["n"], one["unique_id"]) for one in found] == [(2, "b"), (3, "c")]
    assert found[0]["received_at"] == clock.now
    assert found[0]["email"] == "ada@lantern.example"
    assert (await call("GET", "/sandbox/events", params={"since": "x"})).status == 400


async def test_a_reset_forgets_everything(call: Any, event: Any) -> None:
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


async def test_the_page_for_people_escapes_what_was_sent(call: Any, event: Any, base: str) -> None:
    await call("POST", EVENTS, event(properties={"<b>": "<script>"}))
    async with aiohttp.ClientSession() as session, session.get(f"{base}/") as response:
        text = await response.text()
    assert "&lt;script&gt;" in text
    assert "<script>" not in text
