"""Attributes that the simulated Klaviyo is configured to refuse."""

from typing import Any

import pytest

IMPORT = "/api/profile-import"
ATTRIBUTES: dict[str, Any] = {
    "email": "ada@lantern.example",
    "phone_number": "+12025550123",
    "location": {"timezone": "Mars/Olympus"},
    "properties": {"Loyalty tier": "gold", "a/b": 1},
}


async def error_pointers(call: Any, refused: list[dict[str, Any]]) -> list[str]:
    assert (await call("PUT", "/sandbox/refused-attributes", refused)).status == 204
    response = await call("POST", IMPORT, {"data": {"type": "profile", "attributes": ATTRIBUTES}})
    errors = response.body.get("errors", [])
    return [error["source"]["pointer"].removeprefix("/data/attributes/") for error in errors]


@pytest.mark.parametrize(
    "attribute", ["phone_number", "email", "location/timezone", "location", "properties/Loyalty tier", "properties/a/b"]
)
async def test_any_configured_attribute_is_refused_with_its_pointer(call: Any, attribute: str) -> None:
    assert await error_pointers(call, [{"attribute": attribute}]) == [attribute]
    assert await error_pointers(call, []) == []


async def test_one_response_has_an_error_for_each_refused_attribute(call: Any) -> None:
    refused = [{"attribute": "phone_number"}, {"attribute": "title"}, {"attribute": "location/timezone"}]
    assert await error_pointers(call, refused) == ["phone_number", "location/timezone"]


async def test_a_single_value_is_refused(call: Any) -> None:
    assert await error_pointers(call, [{"attribute": "email", "value": "bo@lantern.example"}]) == []
    assert await error_pointers(call, [{"attribute": "email", "value": "ada@lantern.example"}]) == ["email"]


async def test_an_invalid_configuration_gets_400(call: Any) -> None:
    assert (await call("PUT", "/sandbox/refused-attributes", [{"pointer": "/data"}])).status == 400
