"""Customers who are gone: what becomes of their profiles, and of nobody else's."""

from typing import Any

import pytest

from cast import ADA, ADAS, BO, BOS, CY, NEW, NUMBER, ONE_OPEN, OPEN
from documents import conversation, customer, email, phone
from kustomer_klaviyo.planning.resend import send_again
from kustomer_klaviyo.store import retention
from line import Line


async def two_with_one_address(line: Line) -> None:
    await line.receive(customer(customer_id=ADA, emails=[email(ADAS)], firstName="Ada"))
    await line.write()
    await line.receive(customer(customer_id=BO, emails=[email("Ada@Lantern.example")], firstName="Ada", **ONE_OPEN))
    await line.write()


@pytest.mark.parametrize("wish", ["erase", "clear"])
async def test_deleting_one_of_two_with_the_same_address_leaves_the_others_profile(line: Line, wish: str) -> None:
    await line.connect(on_deletion=wish)
    await two_with_one_address(line)
    await line.delete(ADA)
    await line.write()
    [profile] = (await line.held()).values()
    assert (profile["first_name"], profile["properties"][OPEN]) == ("Ada", 1)
    [row] = [row for row in await line.told("profile") if row["key"].startswith("departure:")]
    assert (row["state"], BO in row["reason"]) == ("skipped", True)


async def test_a_merge_of_two_with_the_same_address_leaves_the_state_of_the_survivor(line: Line) -> None:
    await line.connect()
    await two_with_one_address(line)
    await line.merge(ADA, BO)
    await line.write()
    [profile] = (await line.held()).values()
    assert profile["properties"][OPEN] == 1


async def test_who_was_known_by_a_number_leaves_no_open_conversation_behind(line: Line) -> None:
    await line.connect()
    await line.receive(customer(customer_id=ADA, phones=[phone(NUMBER)], **ONE_OPEN))
    await line.receive(customer(customer_id=BO, emails=[email(BOS)]))
    await line.write()
    await line.merge(ADA, BO)
    await line.write()
    assert OPEN not in (await line.held())[NUMBER]["properties"]


async def test_a_merge_leaves_a_line_and_has_the_survivor_read_again(line: Line) -> None:
    await line.connect()
    await line.receive(customer(customer_id=ADA, emails=[email(ADAS)]), customer(customer_id=BO, emails=[email(BOS)]))
    await line.write()
    await line.merge(ADA, BO)
    [row] = [row for row in await line.told("profile") if row["key"].startswith("departure:")]
    assert f"became part of {BO}" in row["reason"]
    assert {"kind": "customer", "id": BO} in await line.sql("SELECT kind, id FROM lookups")


async def test_merges_found_out_in_any_order_lead_to_the_last_survivor(line: Line) -> None:
    await line.connect()
    for one, address in ((ADA, ADAS), (BO, BOS), (CY, NEW)):
        await line.receive(customer(customer_id=one, emails=[email(address)]))
    await line.write()
    await line.merge(BO, CY)
    await line.merge(ADA, BO)
    await line.receive(conversation(customer=ADA))
    await line.write()
    await line.deliver()
    assert [one["email"] for one in await line.arrived()] == [NEW]


async def test_a_survivor_without_conversations_of_their_own_has_those_of_who_became_part_of_them(line: Line) -> None:
    await line.connect(profiles="conversations")
    await line.receive(customer(customer_id=ADA, emails=[email(ADAS)]), customer(customer_id=BO, emails=[email(BOS)]))
    await line.receive(conversation(customer=ADA))
    await line.write()
    assert list(await line.held()) == [ADAS]
    await line.merge(ADA, BO)
    await line.write()
    held = await line.held()
    assert (OPEN in held[ADAS]["properties"], held[BOS]["properties"][OPEN]) == (False, 1)


@pytest.fixture
async def erased(line: Line) -> Line:
    """A line on which a customer was erased, who had an event waiting."""
    await line.connect(on_deletion="erase")
    await line.receive(customer(customer_id=ADA, rev=3, emails=[email(ADAS)], firstName="Ada"))
    await line.write()
    await line.receive(conversation(customer=ADA))
    await line.delete(ADA)
    await line.write()
    while await line.held():
        pass
    return line


async def test_what_waited_of_an_erased_person_is_not_sent(erased: Line) -> None:
    await erased.deliver()
    assert await erased.states("opened") == ["failed"]
    assert await erased.held() == {}


async def test_a_late_webhook_does_not_bring_an_erased_person_back(erased: Line) -> None:
    for rev in (3, 4):
        late = customer(customer_id=ADA, rev=rev, emails=[email(ADAS)], updatedAt="2026-03-20T19:00:00.000Z")
        await erased.receive(late)
    await erased.write()
    assert await erased.held() == {}


async def test_a_customer_written_after_they_were_found_gone_is_there(erased: Line) -> None:
    await erased.receive(
        customer(customer_id=ADA, rev=5, emails=[email(ADAS)], updatedAt="2126-03-20T19:00:00.000Z", firstName="Ada")
    )
    await erased.write()
    assert (await erased.held())[ADAS]["first_name"] == "Ada"


@pytest.mark.parametrize("wish", ["erase", "clear"])
async def test_what_failed_of_a_departure_is_tried_again_as_it_was(line: Line, wish: str) -> None:
    await line.connect(on_deletion=wish)
    await line.receive(customer(customer_id=ADA, emails=[email(ADAS)], firstName="Ada"))
    await line.write()
    await line.refuse("/api/data-privacy", times=1)
    await line.refuse("/api/profiles/", method="PATCH", times=1)
    await line.delete(ADA)
    await line.write()
    assert (await line.states())[-1] == "failed"
    await send_again(line.home.database, line.joined)
    await line.write()
    assert (await line.states())[-1] == "delivered"
    if wish == "erase":
        while await line.held():
            pass
    else:
        assert (await line.held())[ADAS]["first_name"] is None


async def test_an_erasure_that_the_key_may_not_ask_for_is_set_aside_and_holds_up_nothing(line: Line) -> None:
    await line.connect(on_deletion="erase")
    scopes = ["events:write", "profiles:read", "profiles:write", "lists:read", "lists:write"]
    await line.accept_keys({line.keys[0]: scopes})
    await line.receive(customer(customer_id=ADA, emails=[email(ADAS)]))
    await line.write()
    await line.delete(ADA)
    await line.write()
    row = (await line.told("profile"))[-1]
    assert (row["state"], "data-privacy:write" in row["reason"]) == ("failed", True)
    assert await line.sql("SELECT FROM delivery_lanes WHERE paused") == []


async def test_nothing_is_made_of_someone_whom_klaviyo_no_longer_knows(line: Line) -> None:
    await line.connect(on_deletion="clear")
    await line.receive(customer(customer_id=ADA, emails=[email(ADAS)], firstName="Ada"))
    await line.write()
    await line.erase(ADAS)
    await line.delete(ADA)
    await line.write()
    assert await line.held() == {}
    assert (await line.states())[-1] == "skipped"


async def test_the_line_about_a_departure_is_kept_longer_than_profile_writes(line: Line) -> None:
    await line.connect()
    await line.receive(customer(customer_id=ADA, emails=[email(ADAS)]))
    await line.write()
    await line.delete(ADA)
    await line.home.database.execute("UPDATE deliveries SET created_at = created_at - interval '60 days'")
    assert await retention.purge_profiles(line.home.database, "acme", days=30) == 1
    assert [row["key"].partition(":")[0] for row in await line.told()] == ["departure"]


async def test_the_card_of_someone_who_is_gone_is_forgotten(line: Line) -> None:
    await line.connect()
    await line.receive(customer(customer_id=ADA, emails=[email(ADAS)]))
    await line.write()
    await line.home.database.execute("INSERT INTO insights (connection_id, customer_id) VALUES ('acme', %s)", (ADA,))
    await line.delete(ADA)
    assert await line.sql("SELECT FROM insights") == []


def only(found: dict[str, Any]) -> Any:
    [one] = found.values()
    return one
