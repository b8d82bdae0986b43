"""Who may ask, how often, and how a refusal looks."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kustomer_desk import Desk
from kustomer_klaviyo.sandbox.kustomer import DEFAULT_KEY

Open = Callable[..., Awaitable[Desk]]


@pytest.mark.parametrize("key", [None, "another-key"])
async def test_without_a_known_key_nothing_is_told(desk: Desk, key: str | None) -> None:
    answer = await desk.ask("GET", "/v1/customers", key=key)
    assert (answer.status, answer.error["code"]) == (401, "unauthorized")


async def test_a_key_without_the_role_is_refused_and_its_neighbour_is_not(open_desk: Open) -> None:
    desk = await open_desk(
        api_keys={
            "reader": frozenset({"org.permission.customer.read"}),
            "older": frozenset({"org.user.customer"}),
            "hooks": frozenset({"org.outbound_webhooks"}),
        }
    )
    statuses = {
        (key, path): (await desk.ask("GET", path, key=key)).status
        for key in ("reader", "older", "hooks")
        for path in ("/v1/customers", "/v1/conversations", "/v1/outbound-webhooks")
    }
    assert [pair for pair, status in statuses.items() if status == 200] == [
        ("reader", "/v1/customers"),
        ("older", "/v1/customers"),
        ("hooks", "/v1/outbound-webhooks"),
    ]
    assert set(statuses.values()) == {200, 403}


async def test_a_key_says_whose_it_is_and_which_roles_it_has(open_desk: Open) -> None:
    desk = await open_desk(org_name="teapots", api_keys={DEFAULT_KEY: frozenset({"org.user", "org.admin"})})
    assert (await desk.get("/v1/orgs/current"))["data"]["attributes"]["name"] == "teapots"
    assert (await desk.get("/v1/users/current"))["data"]["attributes"]["roles"] == ["org.admin", "org.user"]
    assert (await desk.get("/v1/auth/tokens/current"))["data"]["attributes"]["roles"] == ["org.admin", "org.user"]


async def test_answers_count_down_the_limit_and_name_its_end_only_beyond_it(open_desk: Open) -> None:
    desk = await open_desk(rate_limit=3, clock=lambda: 1_800_000_010.0)
    answers = [await desk.ask("GET", "/v1/orgs/current") for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert {answer.headers["x-ratelimit-limit"] for answer in answers} == {"3"}
    assert [answer.headers.get("x-ratelimit-reset") for answer in answers] == [None, None, None, "1800000060"]
    assert {answer.headers["X-Kustomer-Pod"] for answer in answers} == {"prod1"}


async def test_the_limit_begins_anew_with_the_next_minute(open_desk: Open) -> None:
    now = [1_800_000_010.0]
    desk = await open_desk(rate_limit=1, clock=lambda: now[0])
    statuses = [(await desk.ask("GET", "/v1/orgs/current")).status for _ in range(2)]
    now[0] += 60
    statuses.append((await desk.ask("GET", "/v1/orgs/current")).status)
    assert statuses == [200, 429, 200]


async def test_searches_have_a_limit_of_their_own(open_desk: Open) -> None:
    desk = await open_desk(rate_limit=100, search_limit=1, clock=lambda: 1_800_000_010.0)
    query = {"queryContext": "customer"}
    statuses = [(await desk.ask("POST", "/v1/customers/search", query)).status for _ in range(2)]
    assert statuses == [200, 429]
    assert (await desk.ask("GET", "/v1/customers")).status == 200


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("/v1/customers/externalId=9999", "externalId"),
        ("/v1/customers/email=nobody@lanternpost.example", "email"),
        ("/v1/customers/000000000000000000000000", "id"),
        ("/v1/conversations/000000000000000000000000", "id"),
        ("/v1/satisfaction-responses/000000000000000000000000", "id"),
        ("/v1/outbound-webhooks/000000000000000000000000", "id"),
    ],
)
async def test_what_is_not_there_is_refused_as_in_recorded_answers(desk: Desk, path: str, parameter: str) -> None:
    answer = await desk.ask("GET", path)
    assert answer.status == 404
    assert answer.error == {
        "status": 404,
        "source": {"parameter": parameter},
        "code": "notfound",
        "title": "Not Found",
    }


async def test_refusals_without_a_parameter_come_in_the_vendors_other_shape(desk: Desk) -> None:
    await desk.customer(email="ada.byrne@lanternpost.example")
    taken = await desk.ask("POST", "/v1/customers", {"emails": [{"email": "Ada.Byrne@lanternpost.example"}]})
    unknown = await desk.ask("GET", "/v1/teapots")
    assert [(one.status, one.error["code"]) for one in (taken, unknown)] == [(409, "conflict"), (404, "notfound")]
    assert {frozenset(one.error) for one in (taken, unknown)} == {frozenset({"code", "message", "meta"})}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/customers", ["a list"]),
        ("POST", "/v1/customers", {"emails": "ada.byrne@lanternpost.example"}),
        ("POST", "/v1/customers", {"emails": [{"type": "home"}]}),
        ("POST", "/v1/customers", {"name": 5}),
        ("POST", "/v1/customers", {"createdAt": "yesterday"}),
        ("POST", "/v1/conversations", {"customer": "nobody"}),
        ("GET", "/v1/customers?pageSize=101", None),
        ("GET", "/v1/customers?page=none", None),
        ("POST", "/sandbox/conversations", {"subject": "whose?"}),
        ("POST", "/sandbox/play", {"customers": 0}),
        ("POST", "/sandbox/play", {"dragons": 3}),
    ],
)
async def test_what_makes_no_sense_is_refused_and_changes_nothing(
    desk: Desk, method: str, path: str, body: Any
) -> None:
    assert (await desk.ask(method, path, body)).status == 400
    state = await desk.get("/sandbox/state")
    assert (state["customers"], state["conversations"]) == (0, 0)


async def test_on_a_bad_day_requests_meet_faults_and_the_control_routes_do_not(desk: Desk) -> None:
    await desk.do("faults", kind="throttle", retry_after=7, path="/", times=1)
    assert (await desk.ask("GET", "/sandbox/state")).status == 200
    throttled = await desk.ask("GET", "/v1/orgs/current")
    assert (throttled.status, throttled.headers["Retry-After"], throttled.error["code"]) == (429, "7", "ratelimit")
    assert (await desk.ask("GET", "/v1/orgs/current")).status == 200
