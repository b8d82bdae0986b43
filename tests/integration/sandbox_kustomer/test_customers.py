"""Customers: read, write, pages, merges, masking, search."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from support.kustomer_sandbox import KustomerSandbox

OpenSandbox = Callable[..., Awaitable[KustomerSandbox]]

ADA = "ada.byrne@lanternpost.example"


async def test_a_customer_is_read_by_id_email_phone_and_external_id(sandbox: KustomerSandbox) -> None:
    fields = {
        "name": "Ada Byrne",
        "emails": [{"email": ADA}],
        "phones": [{"phone": "+447400123456"}],
        "externalId": "6",
    }
    created = (await sandbox.request("POST", "/v1/customers", fields)).data
    for identifier in (created["id"], "email=ADA.byrne%40lanternpost.example", "phone=%2B447400123456", "externalId=6"):
        assert (await sandbox.get(f"/v1/customers/{identifier}"))["data"]["id"] == created["id"]


async def test_a_customer_without_a_name_has_only_a_generated_display_name(sandbox: KustomerSandbox) -> None:
    attributes = (await sandbox.create_customer())["attributes"]
    assert attributes["displayName"]
    assert "name" not in attributes
    assert (attributes["emails"], attributes["phones"], attributes["rev"]) == ([], [], 1)


async def test_a_removed_email_can_be_used_by_another_customer(sandbox: KustomerSandbox) -> None:
    first = await sandbox.create_customer(email=ADA)
    assert (await sandbox.request("POST", "/sandbox/customers", {"email": ADA})).status == 409
    await sandbox.request("PUT", f"/v1/customers/{first['id']}", {"emails": [{"email": "ada@marigold.example"}]})
    second = await sandbox.create_customer(email=ADA)
    assert (await sandbox.get(f"/v1/customers/email={ADA}"))["data"]["id"] == second["id"]


async def test_a_rejected_update_changes_no_contact(sandbox: KustomerSandbox) -> None:
    await sandbox.create_customer(email=ADA)
    other = await sandbox.create_customer(email="bo.dahl@marigold.example")
    change = {"emails": [{"email": "bo@marigold.example"}, {"email": ADA}]}
    assert (await sandbox.request("PUT", f"/v1/customers/{other['id']}", change)).status == 409
    assert (await sandbox.get("/v1/customers/email=bo.dahl@marigold.example"))["data"]["id"] == other["id"]


async def test_several_customers_may_share_an_address(sandbox: KustomerSandbox) -> None:
    household = "the.byrnes@lanternpost.example"
    for _ in range(2):
        customer = await sandbox.create_customer(sharedEmails=[household])
        assert customer["attributes"]["sharedEmails"][0]["email"] == household


async def test_every_update_increases_the_revision_and_the_times(sandbox: KustomerSandbox) -> None:
    customer = await sandbox.create_customer(name="Ada Byrne")
    changed = (
        await sandbox.request("PATCH", f"/v1/customers/{customer['id']}", {"name": "Ada Ito", "unknown": 1})
    ).data
    assert changed["attributes"]["rev"] == 2
    assert changed["attributes"]["displayName"] == "Ada Ito"
    assert changed["attributes"]["modifiedAt"] >= customer["attributes"]["modifiedAt"]
    assert "unknown" not in changed["attributes"]


async def test_next_links_lead_through_all_pages(sandbox: KustomerSandbox) -> None:
    created = [(await sandbox.create_customer())["id"] for _ in range(5)]
    ids: list[str] = []
    next_path: str | None = "/v1/customers?pageSize=2"
    pages = 0
    while next_path is not None:
        body = await sandbox.get(next_path)
        ids += [customer["id"] for customer in body["data"]]
        assert (body["meta"]["total"], body["meta"]["totalPages"]) == (5, 3)
        next_path = body["links"]["next"]
        pages += 1
    assert (ids, pages) == (created, 3)


async def test_only_a_search_with_include_deleted_returns_a_deleted_customer(sandbox: KustomerSandbox) -> None:
    customer = await sandbox.create_customer(email=ADA)
    assert (await sandbox.request("DELETE", f"/v1/customers/{customer['id']}")).status == 204
    assert (await sandbox.request("GET", f"/v1/customers/{customer['id']}")).status == 404
    assert (await sandbox.request("GET", f"/v1/customers/email={ADA}")).status == 404
    assert (await sandbox.get("/v1/customers"))["data"] == []
    query: dict[str, Any] = {"queryContext": "customer", "and": [{"customer_id": {"equals": customer["id"]}}]}
    assert (await sandbox.request("POST", "/v1/customers/search", query)).data == []
    [deleted] = (await sandbox.request("POST", "/v1/customers/search", query | {"includeDeleted": True})).data
    assert deleted["attributes"]["deleted"] is True


async def test_a_merge_combines_contacts_moves_conversations_and_has_a_record(sandbox: KustomerSandbox) -> None:
    target = await sandbox.create_customer(name="Ada Byrne", email=ADA)
    source = await sandbox.create_customer(name="A. Byrne", email="ada@marigold.example", phone="+447400123456")
    conversation = await sandbox.create_conversation(customer=source["id"])
    record = (
        await sandbox.request("POST", "/v1/customers/merges", {"source": source["id"], "target": target["id"]})
    ).data
    merged = (await sandbox.get(f"/v1/customers/{target['id']}"))["data"]["attributes"]
    assert [entry["email"] for entry in merged["emails"]] == [ADA, "ada@marigold.example"]
    assert (merged["name"], merged["conversationCounts"]["all"]) == ("Ada Byrne", 1)
    [moved] = (await sandbox.get(f"/v1/customers/{target['id']}/conversations"))["data"]
    assert moved["id"] == conversation["id"]
    assert moved["relationships"]["customer"]["data"]["id"] == target["id"]
    assert (await sandbox.request("GET", f"/v1/customers/{source['id']}")).status == 404
    for customer in (source, target):
        assert (await sandbox.get(f"/v1/customers/{customer['id']}/merges"))["data"] == [record]
    assert (await sandbox.get(f"/v1/customers/merges/{record['id']}"))["data"] == record
    assert {event["email"] for event in await sandbox.expected_events()} == {ADA}


async def test_a_masking_organisation_returns_masked_values(open_sandbox: OpenSandbox) -> None:
    sandbox = await open_sandbox(masked=True)
    whatsapps = [{"type": "mobile", "phone": "whatsapp:+447400123456"}]
    customer = await sandbox.create_customer(name="Ada Byrne", email=ADA, phone="+447400123456", whatsapps=whatsapps)
    query = {"queryContext": "customer", "and": []}
    for resource in (
        (await sandbox.get(f"/v1/customers/{customer['id']}"))["data"],
        (await sandbox.get("/v1/customers"))["data"][0],
        (await sandbox.request("POST", "/v1/customers/search", query)).data[0],
        (await sandbox.request("PUT", f"/v1/customers/{customer['id']}", {"locale": "en"})).data,
    ):
        attributes = resource["attributes"]
        values = [attributes["name"], attributes["emails"][0]["email"], attributes["phones"][0]["phone"]]
        assert [*values, attributes["whatsapps"][0]["phone"]] == ["********"] * 4
    assert (await sandbox.expected_events()) == []


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ({"customer_email": {"equals": "ADA.BYRNE@lanternpost.example"}}, ["Ada"]),
        ({"customer_email": {"contains": "MARIGOLD"}}, ["Bo"]),
        ({"customer_email": {"in": [ADA, "bo.dahl@marigold.example"]}}, ["Ada", "Bo"]),
        ({"customer_email": {"not_set": True}}, ["Cleo"]),
        ({"customer_email": {"set": True}}, ["Ada", "Bo"]),
        ({"customer_created_at": {"gte": "2026-01-02T00:00:00Z", "lt": "2026-01-03"}}, ["Bo"]),
        ({"customer_created_at": {"gt": "2026-01-02T01:00:00+01:00"}}, ["Cleo"]),
        ({"customer_created_at": {"lte": "2026-01-01T00:00:00.000Z"}}, ["Ada"]),
        ({"or": [{"customer_name": {"equals": "Ada"}}, {"customer_name": {"equals": "Cleo"}}]}, ["Ada", "Cleo"]),
    ],
)
async def test_search_returns_the_customers_that_match(
    sandbox: KustomerSandbox, condition: Any, names: list[str]
) -> None:
    await sandbox.create_customer(name="Ada", email=ADA, createdAt="2026-01-01T00:00:00Z")
    await sandbox.create_customer(name="Bo", email="bo.dahl@marigold.example", createdAt="2026-01-02T00:00:00Z")
    await sandbox.create_customer(name="Cleo", createdAt="2026-01-03T00:00:00Z")
    query = {"queryContext": "customer", "and": [condition], "sort": [{"customer_created_at": "asc"}]}
    response = await sandbox.request("POST", "/v1/customers/search", query)
    assert [customer["attributes"]["name"] for customer in response.data] == names
    others = await sandbox.request("POST", "/v1/customers/search", query | {"and": [], "not": [condition]})
    assert {customer["attributes"]["name"] for customer in others.data} == {"Ada", "Bo", "Cleo"} - set(names)


async def test_search_sorts_and_has_at_most_a_hundred_pages(sandbox: KustomerSandbox) -> None:
    for name in ("Bo", "Ada", "Cleo"):
        await sandbox.create_customer(name=name)
    query = {"queryContext": "customer", "sort": [{"customer_name": "desc"}]}
    response = await sandbox.request("POST", "/v1/customers/search?page=2&pageSize=1", query)
    assert [customer["attributes"]["name"] for customer in response.data] == ["Bo"]
    assert (response.body["meta"]["total"], response.body["meta"]["totalPages"]) == (3, 3)
    assert (await sandbox.request("POST", "/v1/customers/search?page=100&pageSize=500", query)).data == []
    assert (await sandbox.request("POST", "/v1/customers/search?page=101", query)).status == 400
    assert (await sandbox.request("POST", "/v1/customers/search?pageSize=501", query)).status == 400


@pytest.mark.parametrize(
    "query",
    [
        {"queryContext": "teapot"},
        {"queryContext": ["customer"]},
        {"and": [{"customer_shoe_size": {"equals": 43}}]},
        {"and": [{"customer_name": "Ada"}]},
        {"and": [{"customer_name": {"sounds_like": "Ada"}}]},
        {"and": [{"customer_name": {"in": "Ada"}}]},
        {"and": "everything"},
        {"sort": ["customer_name"]},
    ],
)
async def test_an_invalid_search_gets_400(sandbox: KustomerSandbox, query: Any) -> None:
    assert (await sandbox.request("POST", "/v1/customers/search", query)).status == 400


async def test_conversations_are_searched_by_status_done_time_and_survey(sandbox: KustomerSandbox) -> None:
    conversations = [await sandbox.create_conversation(subject=subject) for subject in ("open", "done", "rated")]
    await sandbox.act(conversations[1], "done")
    await sandbox.act(conversations[2], "rate", rating=2)

    async def search(**condition: Any) -> list[str]:
        query = {"queryContext": "conversation", "and": [condition], "sort": [{"conversation_created_at": "asc"}]}
        response = await sandbox.request("POST", "/v1/customers/search", query)
        return [conversation["attributes"]["name"] for conversation in response.data]

    assert await search(conversation_status={"equals": "done"}) == ["done"]
    assert await search(conversation_last_done_created_at={"gte": "2020-01-01"}) == ["done"]
    assert await search(conversation_satisfaction_status={"in": ["rated", "commented"]}) == ["rated"]
    assert await search(conversation_satisfaction_rating={"lt": 3}) == ["rated"]
    assert await search(conversation_satisfaction_created_at={"set": True}) == ["rated"]


async def test_metadata_has_the_custom_attributes(sandbox: KustomerSandbox) -> None:
    [metadata] = (await sandbox.get("/v1/metadata/customer"))["data"]
    assert metadata["attributes"]["properties"]["loyaltyTierStr"]["displayName"] == "Loyalty tier"
    assert metadata["attributes"]["properties"]["memberSinceAt"]["type"] == "date"
    assert (await sandbox.request("GET", "/v1/metadata/weather")).status == 404


async def test_a_conversation_creates_its_brand(sandbox: KustomerSandbox) -> None:
    conversation = await sandbox.create_conversation(brand="Kids")
    default, kids = (await sandbox.get("/v1/brands"))["data"]
    assert (default["attributes"]["name"], kids["attributes"]["name"]) == ("sandbox", "Kids")
    assert conversation["relationships"]["brand"]["data"] == {"type": "brand", "id": kids["id"]}
