"""Reading Kustomer's lists: merges, deleted customers, brands and custom attributes."""

import json
from typing import Any

import pytest

from kustomer_klaviyo.kustomer.listings import (
    read_brands,
    read_custom_attributes,
    read_customer_page,
    read_merge_target,
)


def body(data: Any) -> bytes:
    return json.dumps({"data": data}).encode()


def merge(source: str, target: str, status: str = "complete") -> dict[str, Any]:
    ends = {"source": source, "target": target}
    relationships = {end: {"data": {"type": "customer", "id": customer_id}} for end, customer_id in ends.items()}
    return {"type": "customer_merge", "attributes": {"status": status}, "relationships": relationships}


def test_the_merge_target_is_that_of_the_merge_with_the_customer_as_source() -> None:
    merges = [merge("k0", "k1"), merge("k1", "k3", "failed"), merge("k1", "k2")]
    assert read_merge_target(body(merges), "k1") == "k2"
    assert read_merge_target(body(merges), "k2") is None


def test_a_search_page_gives_deleted_customers_and_the_last_update() -> None:
    rows = [
        {"id": "k1", "attributes": {"deleted": True, "updatedAt": "2026-03-20T19:00:00.000Z"}},
        {"id": "k2", "attributes": {"updatedAt": "2026-03-20T20:00:00.000Z"}},
    ]
    page = read_customer_page(body(rows))
    assert (page.deleted, page.count, page.last_updated_at) == (("k1",), 2, "2026-03-20T20:00:00.000Z")


@pytest.mark.parametrize("broken", [b"", b"[]", b"{", b'{"data": 7}', b'{"data": [7, null, {"id": {}}]}'])
def test_an_invalid_response_gives_nothing(broken: bytes) -> None:
    assert read_merge_target(broken, "k1") is None
    assert read_customer_page(broken).deleted == ()
    assert read_custom_attributes(broken) == {}
    assert read_brands(broken) == {}


def test_brands_have_their_display_names() -> None:
    rows = [
        {"id": "b1", "attributes": {"name": "kids", "displayName": "Acme Kids"}},
        {"id": "b2", "attributes": {"name": "Pro"}},
        {"id": "b3"},
    ]
    assert read_brands(body(rows)) == {"b1": "Acme Kids", "b2": "Pro", "b3": "b3"}


@pytest.mark.parametrize("as_list", [True, False])
def test_custom_attributes_are_found_in_any_layout(as_list: bool) -> None:  # noqa: FBT001
    by_name = {"tierStr": {"displayName": "Tier", "type": "string"}, "vipBool": {"type": "boolean"}}
    named = [{"name": name} | definition for name, definition in by_name.items()]
    resource = {"type": "metadata", "attributes": {"properties": named if as_list else by_name}}
    for data in (resource, [resource]):
        assert read_custom_attributes(body(data)) == {"tierStr": "Tier", "vipBool": "vipBool"}
