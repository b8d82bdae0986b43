"""What Klaviyo does not take is left out and noted, the rest arrives, and the next contact is used."""

from typing import Any

import pytest

from cast import ADA, ADAS, BO, BOS, NEW, NUMBER
from documents import conversation, customer, email, phone
from kustomer_klaviyo.delivery.event_delivery import MOST_NARROWED
from kustomer_klaviyo.planning.resend import send_again
from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.settings import Settings
from line import Line, laid

MAPPED = {"fields": {"title": "custom.titleStr"}, "properties": {"Tier/level": "custom.tierStr"}}
MARS: dict[str, Any] = {"timeZone": "Mars/Olympus", "locale": "xx"}


def ada(rev: int = 1, **attributes: Any) -> dict[str, Any]:
    """Ada, with a name."""
    return customer(customer_id=ADA, rev=rev, **{"emails": [email(ADAS)], "firstName": "Ada"} | attributes)


def opened(number: int = 1, who: str = ADA) -> dict[str, Any]:
    """Make a conversation of somebody's."""
    return conversation(conversation_id=f"67dd47dfbc632c1804db{number:04d}", customer=who)


async def notes(line: Line, kind: str = "profile") -> str:
    """Return what was said of the last delivery of a kind."""
    row = (await line.told(kind))[-1]
    return "; ".join([row["reason"] or "", *row["fact"].get("notes", ())])


async def imports(line: Line) -> int:
    """Return how often a profile was sent by itself."""
    return (await line.requests(line.klaviyo)).get("create_or_update_profile", 0)


@pytest.mark.parametrize(
    ("attribute", "attributes", "name"),
    [
        ("location/timezone", MARS, "location.timezone"),
        ("location", MARS, "location.timezone"),
        ("locale", MARS, "locale"),
        ("title", {"custom": {"titleStr": "Dr"}}, "title"),
        ("properties/Tier/level", {"custom": {"tierStr": "gold"}}, "properties.Tier/level"),
        ("properties", {"custom": {"tierStr": "gold"}}, "properties.Tier/level"),
    ],
)
async def test_a_value_that_is_refused_is_left_out_once_and_the_rest_arrives(
    line: Line, attribute: str, attributes: dict[str, Any], name: str
) -> None:
    await line.connect(mapping=MAPPED, support_state=False)
    await line.dislike(attribute)
    await line.receive(ada(**attributes))
    await line.write()
    held = (await line.held())[ADAS]
    assert (await line.states(), held["first_name"]) == (["delivered"], "Ada")
    assert f"{name} left out: Klaviyo does not take it" in await notes(line)
    assert await imports(line) == 2
    await line.receive(ada(2, **attributes, lastName="Byron"))
    await line.write()
    assert (await line.held())[ADAS]["last_name"] == "Byron"
    assert await imports(line) == 3, "what was refused was sent again"
    assert f"{name} left out: Klaviyo does not take it" in await notes(line)


async def test_a_value_that_changed_is_sent_again(line: Line) -> None:
    await line.connect()
    await line.dislike("location/timezone", value="Mars/Olympus")
    for rev, zone in enumerate(["Europe/Berlin", "Mars/Olympus", "Europe/Paris"], 1):
        await line.receive(ada(rev, timeZone=zone))
        await line.write()
    assert (await line.held())[ADAS]["location"]["timezone"] == "Europe/Paris"
    assert await imports(line) == 4


async def test_a_value_that_is_gone_is_cleared_although_the_last_one_was_refused(line: Line) -> None:
    await line.connect()
    await line.dislike("location/timezone", value="Mars/Olympus")
    for rev, zone in enumerate(["Europe/Berlin", "Mars/Olympus"], 1):
        await line.receive(ada(rev, timeZone=zone))
        await line.write()
    assert (await line.held())[ADAS]["location"]["timezone"] == "Europe/Berlin"
    await line.receive(ada(3))
    await line.write()
    assert (await line.held())[ADAS]["location"].get("timezone") is None
    assert await line.states() == ["delivered"] * 3


async def test_all_that_one_answer_blames_is_left_out_at_once(line: Line) -> None:
    await line.connect(mapping=MAPPED)
    await line.dislike("location/timezone", "locale", "title", "phone_number")
    await line.receive(ada(**MARS, custom={"titleStr": "Dr"}, phones=[phone(NUMBER)]))
    await line.write()
    held = (await line.held())[ADAS]
    assert (held["first_name"], held["phone_number"], held["properties"]["Kustomer Phone"]) == ("Ada", None, NUMBER)
    assert await imports(line) == 2


async def test_a_change_of_a_profile_known_by_its_id_goes_without_what_is_refused(line: Line) -> None:
    await line.connect()
    await line.receive(ada())
    await line.write()
    await line.dislike("location/timezone")
    await line.receive(ada(2, emails=[email(NEW)], **MARS))
    await line.write()
    assert [(one, held["locale"]) for one, held in (await line.held()).items()] == [(NEW, "xx")]
    assert await line.states() == ["delivered"] * 2


@pytest.mark.parametrize("quietly", [True, False])
async def test_a_number_refused_beside_an_email_is_kept_as_a_property_and_not_sent_again(
    line: Line,
    quietly: bool,  # noqa: FBT001
) -> None:
    await line.connect()
    await line.dislike("phone_number", quietly=quietly)
    await line.receive(ada(phones=[phone(NUMBER)]))
    await line.write()
    held = (await line.held())[ADAS]
    assert (held["phone_number"], held["properties"]["Kustomer Phone"]) == (None, NUMBER)
    # Were it sent, Klaviyo would take it now.
    await line.dislike()
    await line.receive(ada(2, phones=[phone(NUMBER)], lastName="Byron"))
    await line.write()
    held = (await line.held())[ADAS]
    assert (held["last_name"], held["phone_number"], await imports(line)) == ("Byron", None, 3)


async def test_errors_of_a_bulk_import_cost_only_what_they_blame(settings: Settings) -> None:
    async with laid(settings) as line:
        await line.connect()
        await line.dislike("location/timezone", "phone_number")
        ids = [f"5f19aa0b1c2d3e4f5a6b{number:04d}" for number in range(60)]
        crowd = [customer(customer_id=one, emails=[email(f"p{n}@lantern.example")]) for n, one in enumerate(ids)]
        await line.receive(ada(**MARS, phones=[phone(NUMBER)]), *crowd)
        await line.write()
        held = await line.held()
        assert len(held) == 61
        assert (held[ADAS]["first_name"], held[ADAS]["locale"]) == ("Ada", "xx")
        assert set(await line.states()) == {"delivered"}
        assert (await line.requests(line.klaviyo))["bulk_import_profiles"] == 1


async def test_a_profile_is_written_under_the_next_address_then_under_the_number(line: Line) -> None:
    await line.connect()
    await line.dislike("email", value=ADAS)
    await line.receive(ada(emails=[email(ADAS), email(NEW)], phones=[phone(NUMBER)]))
    await line.write()
    assert [(one, held["first_name"]) for one, held in (await line.held()).items()] == [(NEW, "Ada")]
    assert f"{ADAS.lower()} left out: Klaviyo does not take it" in await notes(line)
    await line.receive(customer(customer_id=BO, emails=[email(BOS)], phones=[phone("+442079460000")], firstName="Bo"))
    await line.dislike("email")
    await line.write()
    assert (await line.held())["+442079460000"]["first_name"] == "Bo"


async def test_a_refused_address_is_passed_over_in_later_changes_too(line: Line) -> None:
    await line.connect()
    await line.dislike("email", value=ADAS)
    both = [email(ADAS, verified=True), email(NEW)]
    await line.receive(ada(emails=both))
    await line.write()
    before = await imports(line)
    await line.receive(ada(2, emails=both, lastName="Byron"), opened())
    await line.write()
    await line.deliver()
    assert [(one, held["last_name"]) for one, held in (await line.held()).items()] == [(NEW, "Byron")]
    assert [one["email"] for one in await line.arrived()] == [NEW]
    assert await imports(line) - before == 1


async def test_who_has_no_other_contact_fails_with_the_reason_and_heals_with_a_new_address(line: Line) -> None:
    await line.connect()
    await line.dislike("email", value=ADAS)
    await line.receive(ada())
    await line.write()
    assert (await line.states(), "Invalid value" in await notes(line)) == (["failed"], True)
    await line.receive(opened())
    assert [row["reason"] for row in await line.told("opened")] == [Reason.CONTACTS_REFUSED]
    await line.receive(ada(2, emails=[email(ADAS), email(NEW)]))
    await line.write()
    await line.deliver()
    assert [(one, held["first_name"]) for one, held in (await line.held()).items()] == [(NEW, "Ada")]
    assert [one["email"] for one in await line.arrived()] == [NEW]


async def test_retry_tries_what_was_refused_once_more(line: Line) -> None:
    await line.connect()
    await line.dislike("email", "location/timezone")
    await line.receive(ada(**MARS), opened())
    await line.write()
    await line.deliver()
    assert (await line.states(), await line.states("opened")) == (["failed"], ["failed"])
    await line.dislike()
    await send_again(line.home.database, line.joined)
    await line.write()
    await line.deliver()
    assert (await line.held())[ADAS]["location"]["timezone"] == "Mars/Olympus"
    assert [one["email"] for one in await line.arrived()] == [ADAS]


@pytest.mark.parametrize("many", [1, 25])
async def test_an_event_goes_to_the_next_contact_where_the_first_is_refused(line: Line, many: int) -> None:
    await line.connect(profiles="none")
    await line.dislike("email", value=ADAS)
    await line.receive(ada(emails=[email(ADAS), email(NEW)]), *(opened(number) for number in range(many)))
    await line.deliver()
    assert {one["email"] for one in await line.arrived()} == {NEW}
    assert await line.states("opened") == ["delivered"] * many


async def test_an_event_goes_to_the_number_where_no_address_is_taken_and_fails_where_that_is_not(line: Line) -> None:
    await line.connect(profiles="none")
    await line.dislike("email")
    await line.receive(ada(emails=[email(ADAS), email(NEW)], phones=[phone(NUMBER)]), opened())
    await line.deliver()
    assert [one["phone_number"] for one in await line.arrived()] == [NUMBER]
    await line.dislike("email", "phone_number")
    await line.receive(customer(customer_id=BO, emails=[email(BOS)], phones=[phone("+442079460000")]), opened(2, BO))
    await line.deliver()
    assert await line.states("opened") == ["delivered", "failed"]
    assert "Invalid value" in await notes(line, "opened")


async def test_an_event_says_which_contact_was_left_out_and_goes_to_the_next_number(line: Line) -> None:
    await line.connect(profiles="none")
    await line.dislike("phone_number", value=NUMBER)
    await line.receive(ada(emails=[], phones=[phone(NUMBER), phone("+442079460000")]), opened())
    await line.deliver()
    assert [one["phone_number"] for one in await line.arrived()] == ["+442079460000"]
    assert f"{NUMBER} left out: Klaviyo does not take it" in await notes(line, "opened")


async def test_addresses_that_klaviyo_may_refuse_are_tried_once_each(settings: Settings) -> None:
    async with laid(settings, strict_emails=True) as line:
        await line.connect(profiles="none")
        emails = [email("\u00c4DA@lantern.example"), email("A#B@lantern.example")]
        await line.receive(ada(emails=emails, phones=[phone(NUMBER)]), opened())
        await line.deliver()
        assert [one["phone_number"] for one in await line.arrived()] == [NUMBER]
        assert (await line.requests(line.klaviyo))["create_event"] == 3


async def test_an_address_that_was_taken_away_and_put_back_is_tried_once_more(line: Line) -> None:
    await line.connect()
    await line.dislike("email", value=ADAS)
    await line.receive(ada(emails=[email(ADAS), email(NEW)]))
    await line.write()
    await line.dislike()
    await line.receive(ada(2, emails=[email(NEW)]))
    await line.receive(ada(3, emails=[email(ADAS)]))
    await line.write()
    assert list(await line.held()) == [ADAS]


@pytest.mark.parametrize("many", [1, 25])
async def test_a_property_of_an_event_that_is_refused_is_left_out_with_a_note(line: Line, many: int) -> None:
    await line.connect()
    await line.dislike("properties/subject", "properties/conversationLink", of="event")
    await line.receive(ada(), *(opened(number) for number in range(many)))
    await line.write()
    await line.deliver()
    assert [set(one["properties"]) for one in await line.arrived()] == [{"conversationId"}] * many
    assert "subject left out: Klaviyo does not take it" in await notes(line, "opened")


async def test_a_batch_of_which_every_event_is_refused_is_not_sent_as_often_as_it_has_events(line: Line) -> None:
    await line.connect(profiles="none")
    await line.dislike("properties/subject", of="event")
    ids = [f"5f19aa0b1c2d3e4f5a6b{number:04d}" for number in range(40)]
    crowd = [customer(customer_id=one, emails=[email(f"p{n}@lantern.example")]) for n, one in enumerate(ids)]
    await line.receive(*crowd, *(opened(number, one) for number, one in enumerate(ids)))
    await line.deliver()
    assert len(await line.arrived()) == 40
    assert (await line.requests(line.klaviyo))["bulk_create_events"] == MOST_NARROWED


async def test_what_cannot_be_left_out_fails_after_one_request(line: Line) -> None:
    await line.connect(profiles="none")
    await line.dislike("metric", of="event")
    await line.receive(ada(), opened())
    await line.deliver()
    assert await line.states("opened") == ["failed"]
    assert (await line.requests(line.klaviyo))["create_event"] == 1


async def test_a_profile_arrives_however_many_values_are_blamed_one_after_another(line: Line) -> None:
    fields = [f"Field{number}" for number in range(25)]
    await line.connect(mapping={"properties": {one: f"custom.{one}Str" for one in fields}}, support_state=False)
    for one in fields:
        await line.refuse("/api/profile-import", pointer=f"/data/attributes/properties/{one}", containing=f'"{one}"')
    await line.receive(ada(custom={f"{one}Str": "gold" for one in fields}))
    await line.write()
    assert (await line.held())[ADAS]["first_name"] == "Ada"
    assert await line.states() == ["skipped", "skipped", "delivered"]
    assert await line.met() == 25
    await line.receive(ada(2, custom={f"{one}Str": "gold" for one in fields}, lastName="Byron"))
    await line.write()
    assert ((await line.states())[-1], await line.met()) == ("delivered", 25)
