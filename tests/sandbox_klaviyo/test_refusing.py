"""What the simulated account refuses on order, and which contacts it takes by its own rules."""

from typing import Any

import pytest

from kustomer_klaviyo.sandbox.klaviyo.validation.contact_rules import is_email, is_phone

IMPORT = "/api/profile-import"
HELD: dict[str, Any] = {
    "email": "ada@lantern.example",
    "phone_number": "+12025550123",
    "location": {"timezone": "Mars/Olympus"},
    "properties": {"Loyalty tier": "gold", "a/b": 1},
}


async def pointers(call: Any, wanted: list[dict[str, Any]]) -> list[str]:
    assert (await call("PUT", "/sandbox/refused", wanted)).status == 204
    answer = await call("POST", IMPORT, {"data": {"type": "profile", "attributes": HELD}})
    errors = answer.body.get("errors", [])
    return [one["source"]["pointer"].removeprefix("/data/attributes/") for one in errors]


@pytest.mark.parametrize(
    "attribute", ["phone_number", "email", "location/timezone", "location", "properties/Loyalty tier", "properties/a/b"]
)
async def test_any_named_attribute_is_refused_by_its_pointer(call: Any, attribute: str) -> None:
    assert await pointers(call, [{"attribute": attribute}]) == [attribute]
    assert await pointers(call, []) == []


async def test_one_answer_blames_all_that_is_refused(call: Any) -> None:
    wanted = [{"attribute": "phone_number"}, {"attribute": "title"}, {"attribute": "location/timezone"}]
    assert await pointers(call, wanted) == ["phone_number", "location/timezone"]


async def test_one_value_alone_is_refused(call: Any) -> None:
    assert await pointers(call, [{"attribute": "email", "value": "bo@lantern.example"}]) == []
    assert await pointers(call, [{"attribute": "email", "value": "ada@lantern.example"}]) == ["email"]


async def test_an_order_that_cannot_be_read_is_refused(call: Any) -> None:
    assert (await call("PUT", "/sandbox/refused", [{"pointer": "/data"}])).status == 400


@pytest.mark.parametrize("phone", ["+12025550123", "+447911123456", "+919876543210", "+8613800138000", "+393312345678"])
def test_a_number_of_a_length_that_its_country_has_is_taken(phone: str) -> None:
    assert is_phone(phone)


@pytest.mark.parametrize(
    "phone", ["+91701271", "+441234", "+1202555012", "+120255501234", "+2101234567", "12025550123", "+1 2025550123", 1]
)
def test_any_other_number_is_refused(phone: Any) -> None:
    assert not is_phone(phone)


def test_strict_rules_take_less() -> None:
    assert is_email("a#b@lantern.example")
    assert not is_email("a#b@lantern.example", strict=True)
    assert is_email("o'neill+1@lantern.co.uk", strict=True)
