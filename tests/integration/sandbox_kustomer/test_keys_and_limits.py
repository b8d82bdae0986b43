"""API keys, roles, rate limits and error responses."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kustomer_klaviyo.sandbox.kustomer import DEFAULT_KEY
from support.kustomer_sandbox import KustomerSandbox

OpenSandbox = Callable[..., Awaitable[KustomerSandbox]]


@pytest.mark.parametrize("key", [None, "another-key"])
async def test_an_unknown_key_gets_401(sandbox: KustomerSandbox, key: str | None) -> None:
    response = await sandbox.request("GET", "/v1/customers", key=key)
    assert (response.status, response.error["code"]) == (401, "unauthorized")


async def test_a_key_reads_only_what_its_roles_permit(open_sandbox: OpenSandbox) -> None:
    sandbox = await open_sandbox(
        api_keys={
            "reader": frozenset({"org.permission.customer.read"}),
            "older": frozenset({"org.user.customer"}),
            "hooks": frozenset({"org.outbound_webhooks"}),
        }
    )
    statuses = {
        (key, path): (await sandbox.request("GET", path, key=key)).status
        for key in ("reader", "older", "hooks")
        for path in ("/v1/customers", "/v1/conversations", "/v1/outbound-webhooks")
    }
    assert [pair for pair, status in statuses.items() if status == 200] == [
        ("reader", "/v1/customers"),
        ("older", "/v1/customers"),
        ("hooks", "/v1/outbound-webhooks"),
    ]
    assert set(statuses.values()) == {200, 403}


async def test_the_current_user_and_token_have_the_roles_of_the_key(open_sandbox: OpenSandbox) -> None:
    sandbox = await open_sandbox(org_name="teapots", api_keys={DEFAULT_KEY: frozenset({"org.user", "org.admin"})})
    assert (await sandbox.get("/v1/orgs/current"))["data"]["attributes"]["name"] == "teapots"
    assert (await sandbox.get("/v1/users/current"))["data"]["attributes"]["roles"] == ["org.admin", "org.user"]
    assert (await sandbox.get("/v1/auth/tokens/current"))["data"]["attributes"]["roles"] == ["org.admin", "org.user"]


async def test_responses_have_the_remaining_limit_and_the_reset_time_only_beyond_it(open_sandbox: OpenSandbox) -> None:
    sandbox = await open_sandbox(rate_limit=3, clock=lambda: 1_800_000_010.0)
    responses = [await sandbox.request("GET", "/v1/orgs/current") for _ in range(4)]
    assert [response.status for response in responses] == [200, 200, 200, 429]
    assert [response.headers["x-ratelimit-remaining"] for response in responses] == ["2", "1", "0", "0"]
    assert {response.headers["x-ratelimit-limit"] for response in responses} == {"3"}
    assert [response.headers.get("x-ratelimit-reset") for response in responses] == [None, None, None, "1800000060"]
    assert {response.headers["X-Kustomer-Pod"] for response in responses} == {"prod1"}


async def test_the_limit_resets_with_the_next_minute(open_sandbox: OpenSandbox) -> None:
    now = [1_800_000_010.0]
    sandbox = await open_sandbox(rate_limit=1, clock=lambda: now[0])
    statuses = [(await sandbox.request("GET", "/v1/orgs/current")).status for _ in range(2)]
    now[0] += 60
    statuses.append((await sandbox.request("GET", "/v1/orgs/current")).status)
    assert statuses == [200, 429, 200]


async def test_searches_have_a_separate_limit(open_sandbox: OpenSandbox) -> None:
    sandbox = await open_sandbox(rate_limit=100, search_limit=1, clock=lambda: 1_800_000_010.0)
    query = {"queryContext": "customer"}
    statuses = [(await sandbox.request("POST", "/v1/customers/search", query)).status for _ in range(2)]
    assert statuses == [200, 429]
    assert (await sandbox.request("GET", "/v1/customers")).status == 200


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
async def test_a_missing_resource_gets_the_recorded_404(sandbox: KustomerSandbox, path: str, parameter: str) -> None:
    response = await sandbox.request("GET", path)
    assert response.status == 404
    assert response.error == {
        "status": 404,
        "source": {"parameter": parameter},
        "code": "notfound",
        "title": "Not Found",
    }


async def test_errors_without_a_parameter_have_the_vendors_other_shape(sandbox: KustomerSandbox) -> None:
    await sandbox.create_customer(email="ada.byrne@lanternpost.example")
    taken = await sandbox.request("POST", "/v1/customers", {"emails": [{"email": "Ada.Byrne@lanternpost.example"}]})
    unknown = await sandbox.request("GET", "/v1/teapots")
    assert [(response.status, response.error["code"]) for response in (taken, unknown)] == [
        (409, "conflict"),
        (404, "notfound"),
    ]
    assert {frozenset(response.error) for response in (taken, unknown)} == {frozenset({"code", "message", "meta"})}


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
        ("POST", "/sandbox/simulation", {"customers": 0}),
        ("POST", "/sandbox/simulation", {"dragons": 3}),
    ],
)
async def test_an_invalid_request_gets_400_and_changes_nothing(
    sandbox: KustomerSandbox, method: str, path: str, body: Any
) -> None:
    assert (await sandbox.request(method, path, body)).status == 400
    state = await sandbox.get("/sandbox/state")
    assert (state["customers"], state["conversations"]) == (0, 0)


async def test_faults_apply_to_the_api_but_not_to_the_control_routes(sandbox: KustomerSandbox) -> None:
    await sandbox.perform("faults", kind="throttle", retry_after=7, path="/", times=1)
    assert (await sandbox.request("GET", "/sandbox/state")).status == 200
    throttled = await sandbox.request("GET", "/v1/orgs/current")
    assert (throttled.status, throttled.headers["Retry-After"], throttled.error["code"]) == (429, "7", "ratelimit")
    assert (await sandbox.request("GET", "/v1/orgs/current")).status == 200
