"""Customers: reading, writing, paging, merging, masking, searching."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kustomer_desk import Desk

Open = Callable[..., Awaitable[Desk]]

ADA = "ada.byrne@lanternpost.example"


async def test_a_customer_is_found_by_id_email_phone_and_external_id(desk: Desk) -> None:
    given = {"name": "Ada Byrne", "emails": [{"email": ADA}], "phones": [{"phone": "+447400123456"}], "externalId": "6"}
    created = (await desk.ask("POST", "/v1/customers", given)).data
    for wanted in (created["id"], "email=ADA.byrne%40lanternpost.example", "phone=%2B447400123456", "externalId=6"):
        assert (await desk.get(f"/v1/customers/{wanted}"))["data"]["id"] == created["id"]


async def test_a_nameless_customer_has_an_invented_name_to_display_and_no_other(desk: Desk) -> None:
    attributes = (await desk.customer())["attributes"]
    assert attributes["displayName"]
    assert "name" not in attributes
    assert (attributes["emails"], attributes["phones"], attributes["rev"]) == ([], [], 1)


async def test_an_email_given_up_is_free_for_another(desk: Desk) -> None:
    first = await desk.customer(email=ADA)
    assert (await desk.ask("POST", "/sandbox/customers", {"email": ADA})).status == 409
    await desk.ask("PUT", f"/v1/customers/{first['id']}", {"emails": [{"email": "ada@marigold.example"}]})
    second = await desk.customer(email=ADA)
    assert (await desk.get(f"/v1/customers/email={ADA}"))["data"]["id"] == second["id"]


async def test_a_refused_change_leaves_the_contacts_as_they_were(desk: Desk) -> None:
    await desk.customer(email=ADA)
    other = await desk.customer(email="bo.dahl@marigold.example")
    change = {"emails": [{"email": "bo@marigold.example"}, {"email": ADA}]}
    assert (await desk.ask("PUT", f"/v1/customers/{other['id']}", change)).status == 409
    assert (await desk.get("/v1/customers/email=bo.dahl@marigold.example"))["data"]["id"] == other["id"]


async def test_many_customers_may_share_an_address(desk: Desk) -> None:
    household = "the.byrnes@lanternpost.example"
    for _ in range(2):
        customer = await desk.customer(sharedEmails=[household])
        assert customer["attributes"]["sharedEmails"][0]["email"] == household


async def test_every_change_raises_the_revision_and_moves_the_times(desk: Desk) -> None:
    customer = await desk.customer(name="Ada Byrne")
    changed = (await desk.ask("PATCH", f"/v1/customers/{customer['id']}", {"name": "Ada Ito", "unknown": 1})).data
    assert changed["attributes"]["rev"] == 2
    assert changed["attributes"]["displayName"] == "Ada Ito"
    assert changed["attributes"]["modifiedAt"] >= customer["attributes"]["modifiedAt"]
    assert "unknown" not in changed["attributes"]


async def test_following_next_leads_through_all_customers_and_ends(desk: Desk) -> None:
    created = [(await desk.customer())["id"] for _ in range(5)]
    found: list[str] = []
    following: str | None = "/v1/customers?pageSize=2"
    pages = 0
    while following is not None:
        body = await desk.get(following)
        found += [one["id"] for one in body["data"]]
        assert (body["meta"]["total"], body["meta"]["totalPages"]) == (5, 3)
        following = body["links"]["next"]
        pages += 1
    assert (found, pages) == (created, 3)


async def test_a_deleted_customer_is_seen_by_search_alone_and_only_when_asked_for(desk: Desk) -> None:
    customer = await desk.customer(email=ADA)
    assert (await desk.ask("DELETE", f"/v1/customers/{customer['id']}")).status == 204
    assert (await desk.ask("GET", f"/v1/customers/{customer['id']}")).status == 404
    assert (await desk.ask("GET", f"/v1/customers/email={ADA}")).status == 404
    assert (await desk.get("/v1/customers"))["data"] == []
    query: dict[str, Any] = {"queryContext": "customer", "and": [{"customer_id": {"equals": customer["id"]}}]}
    assert (await desk.ask("POST", "/v1/customers/search", query)).data == []
    [found] = (await desk.ask("POST", "/v1/customers/search", query | {"includeDeleted": True})).data
    assert found["attributes"]["deleted"] is True


async def test_merging_unites_contacts_moves_conversations_and_leaves_a_record(desk: Desk) -> None:
    target = await desk.customer(name="Ada Byrne", email=ADA)
    source = await desk.customer(name="A. Byrne", email="ada@marigold.example", phone="+447400123456")
    conversation = await desk.conversation(customer=source["id"])
    record = (await desk.ask("POST", "/v1/customers/merges", {"source": source["id"], "target": target["id"]})).data
    united = (await desk.get(f"/v1/customers/{target['id']}"))["data"]["attributes"]
    assert [entry["email"] for entry in united["emails"]] == [ADA, "ada@marigold.example"]
    assert (united["name"], united["conversationCounts"]["all"]) == ("Ada Byrne", 1)
    [moved] = (await desk.get(f"/v1/customers/{target['id']}/conversations"))["data"]
    assert moved["id"] == conversation["id"]
    assert moved["relationships"]["customer"]["data"]["id"] == target["id"]
    assert (await desk.ask("GET", f"/v1/customers/{source['id']}")).status == 404
    for asked in (source, target):
        assert (await desk.get(f"/v1/customers/{asked['id']}/merges"))["data"] == [record]
    assert (await desk.get(f"/v1/customers/merges/{record['id']}"))["data"] == record
    assert {fact["email"] for fact in await desk.expected()} == {ADA}


async def test_a_key_that_may_not_read_what_is_sensitive_sees_masks(open_desk: Open) -> None:
    desk = await open_desk(masked=True)
    whatsapps = [{"type": "mobile", "phone": "whatsapp:+447400123456"}]
    customer = await desk.customer(name="Ada Byrne", email=ADA, phone="+447400123456", whatsapps=whatsapps)
    query = {"queryContext": "customer", "and": []}
    for seen in (
        (await desk.get(f"/v1/customers/{customer['id']}"))["data"],
        (await desk.get("/v1/customers"))["data"][0],
        (await desk.ask("POST", "/v1/customers/search", query)).data[0],
        (await desk.ask("PUT", f"/v1/customers/{customer['id']}", {"locale": "en"})).data,
    ):
        attributes = seen["attributes"]
        values = [attributes["name"], attributes["emails"][0]["email"], attributes["phones"][0]["phone"]]
        assert [*values, attributes["whatsapps"][0]["phone"]] == ["********"] * 4
    assert (await desk.expected()) == []


@pytest.mark.parametrize(
    ("condition", "found"),
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
async def test_search_finds_what_meets_the_condition(desk: Desk, condition: Any, found: list[str]) -> None:
    await desk.customer(name="Ada", email=ADA, createdAt="2026-01-01T00:00:00Z")
    await desk.customer(name="Bo", email="bo.dahl@marigold.example", createdAt="2026-01-02T00:00:00Z")
    await desk.customer(name="Cleo", createdAt="2026-01-03T00:00:00Z")
    query = {"queryContext": "customer", "and": [condition], "sort": [{"customer_created_at": "asc"}]}
    answer = await desk.ask("POST", "/v1/customers/search", query)
    assert [one["attributes"]["name"] for one in answer.data] == found
    refused = await desk.ask("POST", "/v1/customers/search", query | {"and": [], "not": [condition]})
    assert {one["attributes"]["name"] for one in refused.data} == {"Ada", "Bo", "Cleo"} - set(found)


async def test_search_sorts_pages_and_ends_after_a_hundred_pages(desk: Desk) -> None:
    for name in ("Bo", "Ada", "Cleo"):
        await desk.customer(name=name)
    query = {"queryContext": "customer", "sort": [{"customer_name": "desc"}]}
    answer = await desk.ask("POST", "/v1/customers/search?page=2&pageSize=1", query)
    assert [one["attributes"]["name"] for one in answer.data] == ["Bo"]
    assert (answer.body["meta"]["total"], answer.body["meta"]["totalPages"]) == (3, 3)
    assert (await desk.ask("POST", "/v1/customers/search?page=100&pageSize=500", query)).data == []
    assert (await desk.ask("POST", "/v1/customers/search?page=101", query)).status == 400
    assert (await desk.ask("POST", "/v1/customers/search?pageSize=501", query)).status == 400


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
async def test_a_search_that_makes_no_sense_is_refused(desk: Desk, query: Any) -> None:
    assert (await desk.ask("POST", "/v1/customers/search", query)).status == 400


async def test_conversations_are_searched_by_status_closing_and_survey(desk: Desk) -> None:
    conversations = [await desk.conversation(subject=subject) for subject in ("open", "done", "rated")]
    await desk.act(conversations[1], "done")
    await desk.act(conversations[2], "rate", rating=2)

    async def found(**condition: Any) -> list[str]:
        query = {"queryContext": "conversation", "and": [condition], "sort": [{"conversation_created_at": "asc"}]}
        answer = await desk.ask("POST", "/v1/customers/search", query)
        return [one["attributes"]["name"] for one in answer.data]

    assert await found(conversation_status={"equals": "done"}) == ["done"]
    assert await found(conversation_last_done_created_at={"gte": "2020-01-01"}) == ["done"]
    assert await found(conversation_satisfaction_status={"in": ["rated", "commented"]}) == ["rated"]
    assert await found(conversation_satisfaction_rating={"lt": 3}) == ["rated"]
    assert await found(conversation_satisfaction_created_at={"set": True}) == ["rated"]


async def test_an_organisations_own_attributes_are_told_by_their_names(desk: Desk) -> None:
    [told] = (await desk.get("/v1/metadata/customer"))["data"]
    assert told["attributes"]["properties"]["loyaltyTierStr"]["displayName"] == "Loyalty tier"
    assert told["attributes"]["properties"]["memberSinceAt"]["type"] == "date"
    assert (await desk.ask("GET", "/v1/metadata/weather")).status == 404


async def test_brands_become_known_by_the_conversations_about_them(desk: Desk) -> None:
    begun = await desk.conversation(brand="Kids")
    own, kids = (await desk.get("/v1/brands"))["data"]
    assert (own["attributes"]["name"], kids["attributes"]["name"]) == ("sandbox", "Kids")
    assert begun["relationships"]["brand"]["data"] == {"type": "brand", "id": kids["id"]}
