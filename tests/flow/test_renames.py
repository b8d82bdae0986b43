"""Addresses and numbers that change: the person stays one profile, and nobody becomes part of another's."""

from cast import ADA, ADAS, BO, BOS, NEW, NUMBER, ONE_OPEN, OPEN
from documents import conversation, customer, email, phone
from kustomer_klaviyo.klaviyo.profile_request import PHONE_PROPERTY
from kustomer_klaviyo.planning.resend import send_again
from kustomer_klaviyo.reasons import Reason
from line import Line

KEPT = PHONE_PROPERTY.removeprefix("properties.")


async def test_an_address_that_another_profile_has_takes_everything_there_and_no_complaint_is_left_behind(
    line: Line,
) -> None:
    await line.connect()
    await line.make(email=NEW)
    for rev, address in ((1, ADAS), (2, NEW)):
        await line.receive(customer(customer_id=ADA, rev=rev, emails=[email(address)], firstName="Ada", **ONE_OPEN))
        await line.write()
    held = await line.held()
    assert (held[NEW]["first_name"], held[NEW]["properties"][OPEN]) == ("Ada", 1)
    assert OPEN not in held[ADAS]["properties"]


async def test_who_was_known_by_a_number_and_gets_an_address_that_klaviyo_knows_is_told_whole_there(line: Line) -> None:
    await line.connect()
    await line.make(email=ADAS)
    number = [phone(NUMBER)]
    await line.receive(customer(customer_id=ADA, rev=1, phones=number, firstName="Ada", **ONE_OPEN))
    await line.write()
    await line.receive(
        customer(customer_id=ADA, rev=2, emails=[email(ADAS)], phones=number, firstName="Ada", **ONE_OPEN)
    )
    await line.write()
    held = await line.held()
    assert (held[ADAS]["first_name"], held[ADAS]["properties"][OPEN]) == ("Ada", 1)
    assert all(OPEN not in one["properties"] for address, one in held.items() if address != ADAS)


async def test_a_profile_deleted_at_klaviyo_is_made_anew_with_all_there_is_to_say(line: Line) -> None:
    await line.connect()
    await line.receive(customer(customer_id=ADA, rev=1, emails=[email(ADAS)], firstName="Ada", **ONE_OPEN))
    await line.write()
    await line.erase(ADAS)
    news = {"companyName": "Analytical Engines", "firstName": "Ada"}
    await line.receive(customer(customer_id=ADA, rev=2, emails=[email(ADAS)], **news, **ONE_OPEN))
    await line.write()
    profile = (await line.held())[ADAS]
    assert (profile["first_name"], profile["organization"]) == ("Ada", "Analytical Engines")
    assert profile["properties"][OPEN] == 1


async def test_what_waits_goes_to_the_address_that_is_the_persons_now(line: Line) -> None:
    await line.connect()
    await line.receive(customer(customer_id=ADA, rev=1, emails=[email(ADAS)]))
    await line.write()
    await line.receive(conversation(customer=ADA), customer(customer_id=ADA, rev=2, emails=[email(NEW)]))
    await line.deliver(2)
    assert await line.arrived() == [], "the event waits for the profile to be renamed"
    await line.write()
    await line.deliver()
    assert list(await line.held()) == [NEW]
    assert [one["email"] for one in await line.arrived()] == [NEW]


async def test_a_number_that_klaviyo_keeps_under_another_profile_is_never_taken_for_the_person(line: Line) -> None:
    await line.connect()
    await line.make(email=BOS, phone_number=NUMBER, first_name="Bo")
    number = [phone(NUMBER)]
    await line.receive(customer(customer_id=ADA, rev=1, emails=[email(ADAS)], phones=number, firstName="Ada"))
    await line.write()
    await line.receive(customer(customer_id=ADA, rev=2, phones=number, firstName="Adah", **ONE_OPEN))
    await line.receive(conversation(customer=ADA))
    await line.write()
    await line.deliver(3)
    held = await line.held()
    assert (held[BOS]["first_name"], held[BOS]["properties"]) == ("Bo", {})
    assert await line.arrived() == []
    [waiting] = await line.told("opened")
    assert (waiting["state"], waiting["reason"]) == ("unidentified", Reason.PHONE_TAKEN)


async def test_a_number_kept_as_a_property_goes_when_it_is_the_persons_no_more(line: Line) -> None:
    await line.connect()
    await line.make(email=BOS, phone_number=NUMBER)
    await line.receive(customer(customer_id=ADA, rev=1, emails=[email(ADAS)], phones=[phone(NUMBER)]))
    await line.write()
    assert (await line.held())[ADAS]["properties"][KEPT] == NUMBER
    statements = len(await line.told("profile"))
    await line.receive(customer(customer_id=ADA, rev=2, emails=[email(ADAS)], phones=[phone(NUMBER)], firstName="Ada"))
    await line.write()
    assert (await line.held())[ADAS]["properties"][KEPT] == NUMBER
    assert len(await line.told("profile")) == statements + 1
    await line.receive(customer(customer_id=ADA, rev=3, emails=[email(ADAS)], firstName="Ada"))
    await line.write()
    assert KEPT not in (await line.held())[ADAS]["properties"]


async def test_another_number_is_the_persons_although_the_former_one_was_taken(line: Line) -> None:
    await line.connect()
    await line.make(email=BOS, phone_number=NUMBER)
    await line.receive(customer(customer_id=ADA, rev=1, emails=[email(ADAS)], phones=[phone(NUMBER)]))
    await line.write()
    await line.erase(BOS)
    await line.receive(customer(customer_id=ADA, rev=2, emails=[email(ADAS)], phones=[phone("+447911123499")]))
    await line.write()
    profile = (await line.held())[ADAS]
    assert (profile["phone_number"], KEPT in profile["properties"]) == ("+447911123499", False)


async def test_who_is_known_by_a_former_number_alone_is_found_by_it(line: Line) -> None:
    await line.connect()
    made = await line.make(phone_number=NUMBER)
    await line.receive(customer(customer_id=ADA, rev=1, phones=[phone(NUMBER)]))
    await line.write()
    await line.home.database.execute("UPDATE people SET klaviyo_id = NULL")  # as after a bulk import
    await line.receive(customer(customer_id=ADA, rev=2, emails=[email(ADAS)]))
    await line.write()
    assert [(address, one["id"]) for address, one in (await line.held()).items()] == [(ADAS, made)]


async def test_a_rename_that_failed_is_still_a_rename_when_it_is_tried_again(line: Line) -> None:
    await line.connect()
    await line.receive(customer(customer_id=ADA, rev=1, emails=[email(ADAS)]))
    await line.write()
    await line.refuse("/api/profiles/", method="PATCH", times=1)
    await line.receive(customer(customer_id=ADA, rev=2, emails=[email(NEW)]))
    await line.write()
    assert await line.states() == ["delivered", "failed"]
    await send_again(line.home.database, line.joined)
    await line.write()
    assert list(await line.held()) == [NEW]


async def test_with_an_external_id_a_taken_address_is_used_all_the_same(line: Line) -> None:
    await line.connect(external_id=True)
    await line.make(email=NEW)
    for rev, address in ((1, ADAS), (2, NEW)):
        await line.receive(customer(customer_id=ADA, rev=rev, emails=[email(address)], firstName="Ada"))
        await line.write()
    assert "failed" not in await line.states()
    assert (await line.held())[NEW]["first_name"] == "Ada"


async def test_of_two_customers_with_one_address_the_last_change_of_each_field_holds(line: Line) -> None:
    await line.connect()
    await line.receive(customer(customer_id=ADA, emails=[email(ADAS)], firstName="Ada", companyName="Engines"))
    await line.write()
    await line.receive(customer(customer_id=BO, emails=[email(ADAS)], firstName="Augusta"))
    await line.write()
    profile = (await line.held())[ADAS]
    assert (profile["first_name"], profile["organization"]) == ("Augusta", "Engines")
    assert [(row["subject"], row["state"]) for row in await line.told("profile")] == [
        (ADA, "delivered"),
        (BO, "delivered"),
    ]


async def test_an_address_may_go_from_one_customer_to_another_in_one_moment(line: Line) -> None:
    await line.connect()
    await line.receive(customer(customer_id=ADA, rev=1, emails=[email(ADAS)], firstName="Ada"))
    await line.receive(customer(customer_id=BO, rev=1, emails=[email(BOS)], firstName="Bo"))
    await line.write()
    await line.receive(
        customer(customer_id=ADA, rev=2, emails=[email(NEW)], firstName="Ada"),
        customer(customer_id=BO, rev=2, emails=[email(ADAS)], firstName="Bo"),
    )
    await line.write()
    held = await line.held()
    assert {address: one["first_name"] for address, one in held.items()} == {NEW: "Ada", ADAS: "Bo"}
