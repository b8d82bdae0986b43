"""What Kustomer's lists tell: merges, deleted customers, brands, an organisation's own attributes."""

import json
from typing import Any

import pytest

from kustomer_klaviyo.kustomer.listings import (
    read_brands,
    read_custom_attributes,
    read_found_customers,
    read_merge_target,
)


def body(data: Any) -> bytes:
    return json.dumps({"data": data}).encode()


def merge(source: str, target: str, status: str = "complete") -> dict[str, Any]:
    ends = {"source": source, "target": target}
    relationships = {end: {"data": {"type": "customer", "id": one}} for end, one in ends.items()}
    return {"type": "customer_merge", "attributes": {"status": status}, "relationships": relationships}


def test_into_whom_a_customer_was_merged_is_the_target_of_the_merge_they_are_the_source_of() -> None:
    merges = [merge("k0", "k1"), merge("k1", "k3", "failed"), merge("k1", "k2")]
    assert read_merge_target(body(merges), "k1") == "k2"
    assert read_merge_target(body(merges), "k2") is None


def test_a_search_tells_who_is_deleted_and_how_far_it_came() -> None:
    rows = [
        {"id": "k1", "attributes": {"deleted": True, "updatedAt": "2026-03-20T19:00:00.000Z"}},
        {"id": "k2", "attributes": {"updatedAt": "2026-03-20T20:00:00.000Z"}},
    ]
    found = read_found_customers(body(rows))
    assert (found.deleted, found.count, found.last_updated_at) == (("k1",), 2, "2026-03-20T20:00:00.000Z")


@pytest.mark.parametrize("broken", [b"", b"[]", b"{", b'{"data": 7}', b'{"data": [7, null, {"id": {}}]}'])
def test_an_answer_that_is_none_tells_nothing(broken: bytes) -> None:
    assert read_merge_target(broken, "k1") is None
    assert read_found_customers(broken).deleted == ()
    assert read_custom_attributes(broken) == {}
    assert read_brands(broken) == {}


def test_brands_are_known_by_the_names_that_people_see() -> None:
    rows = [
        {"id": "b1", "attributes": {"name": "kids", "displayName": "Acme Kids"}},
        {"id": "b2", "attributes": {"name": "Pro"}},
        {"id": "b3"},
    ]
    assert read_brands(body(rows)) == {"b1": "Acme Kids", "b2": "Pro", "b3": "b3"}


@pytest.mark.parametrize("as_list", [True, False])
def test_own_attributes_are_found_however_the_definitions_are_laid_out(as_list: bool) -> None:  # noqa: FBT001
    by_name = {"tierStr": {"displayName": "Tier", "type": "string"}, "vipBool": {"type": "boolean"}}
    named = [{"name": name} | said for name, said in by_name.items()]
    resource = {"type": "metadata", "attributes": {"properties": named if as_list else by_name}}
    for data in (resource, [resource]):
        assert read_custom_attributes(body(data)) == {"tierStr": "Tier", "vipBool": "vipBool"}
