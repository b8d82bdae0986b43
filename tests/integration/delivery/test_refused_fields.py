"""Values that Klaviyo rejects are dropped with a note, the rest arrives, and the next contact is used."""

from typing import Any

import pytest

from kustomer_klaviyo.delivery.event_delivery import MAX_BATCH_ATTEMPTS
from kustomer_klaviyo.planning.resend import resend_failed
from kustomer_klaviyo.reasons import DeliveryNote, Reason, sentence
from kustomer_klaviyo.settings import Settings
from support.kustomer_documents import conversation, customer, email, phone
from support.pipeline import Pipeline, run_pipeline
from support.sample_ids import ADA, ADA_EMAIL, BO, BO_EMAIL, NEW_EMAIL, PHONE

MAPPED = {"fields": {"title": "custom.titleStr"}, "properties": {"Tier/level": "custom.tierStr"}}
MARS: dict[str, Any] = {"timeZone": "Mars/Olympus", "locale": "xx"}


def ada(rev: int = 1, **attributes: Any) -> dict[str, Any]:
    """Ada, with a name."""
    return customer(customer_id=ADA, rev=rev, **{"emails": [email(ADA_EMAIL)], "firstName": "Ada"} | attributes)


def conversation_of(number: int = 1, who: str = ADA) -> dict[str, Any]:
    """Return a conversation of a customer."""
    return conversation(conversation_id=f"67dd47dfbc632c1804db{number:04d}", customer=who)


async def notes(pipeline: Pipeline, kind: str = "profile") -> str:
    """Return the notes on the last delivery of a kind."""
    row = (await pipeline.deliveries(kind))[-1]
    return "; ".join([row["response_detail"] or "", *row["fact"].get("notes", ())])


def rejected(name: str) -> str:
    """Return how the note on a rejected value begins."""
    return f"{sentence(DeliveryNote.VALUE_REJECTED)} ({name}"


async def import_count(pipeline: Pipeline) -> int:
    """Return how often a profile was sent as a single request."""
    return (await pipeline.request_counts(pipeline.klaviyo)).get("create_or_update_profile", 0)


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
async def test_a_rejected_value_is_dropped_once_and_the_rest_arrives(
    pipeline: Pipeline, attribute: str, attributes: dict[str, Any], name: str
) -> None:
    await pipeline.connect(mapping=MAPPED, support_state=False)
    await pipeline.refuse_attributes(attribute)
    await pipeline.receive_webhooks(ada(**attributes))
    await pipeline.write_profiles()
    profile = (await pipeline.klaviyo_profiles())[ADA_EMAIL]
    assert (await pipeline.delivery_states(), profile["first_name"]) == (["delivered"], "Ada")
    assert rejected(name) in await notes(pipeline)
    assert await import_count(pipeline) == 2
    await pipeline.receive_webhooks(ada(2, **attributes, lastName="Byron"))
    await pipeline.write_profiles()
    assert (await pipeline.klaviyo_profiles())[ADA_EMAIL]["last_name"] == "Byron"
    assert await import_count(pipeline) == 3, "a rejected value was sent again"
    assert rejected(name) in await notes(pipeline)


async def test_a_value_that_changed_is_sent_again(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.refuse_attributes("location/timezone", value="Mars/Olympus")
    for rev, zone in enumerate(["Europe/Berlin", "Mars/Olympus", "Europe/Paris"], 1):
        await pipeline.receive_webhooks(ada(rev, timeZone=zone))
        await pipeline.write_profiles()
    assert (await pipeline.klaviyo_profiles())[ADA_EMAIL]["location"]["timezone"] == "Europe/Paris"
    assert await import_count(pipeline) == 4


async def test_a_removed_value_is_cleared_although_the_last_value_was_rejected(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.refuse_attributes("location/timezone", value="Mars/Olympus")
    for rev, zone in enumerate(["Europe/Berlin", "Mars/Olympus"], 1):
        await pipeline.receive_webhooks(ada(rev, timeZone=zone))
        await pipeline.write_profiles()
    assert (await pipeline.klaviyo_profiles())[ADA_EMAIL]["location"]["timezone"] == "Europe/Berlin"
    await pipeline.receive_webhooks(ada(3))
    await pipeline.write_profiles()
    assert (await pipeline.klaviyo_profiles())[ADA_EMAIL]["location"].get("timezone") is None
    assert await pipeline.delivery_states() == ["delivered"] * 3


async def test_all_values_that_one_response_rejects_are_dropped_at_once(pipeline: Pipeline) -> None:
    await pipeline.connect(mapping=MAPPED)
    await pipeline.refuse_attributes("location/timezone", "locale", "title", "phone_number")
    await pipeline.receive_webhooks(ada(**MARS, custom={"titleStr": "Dr"}, phones=[phone(PHONE)]))
    await pipeline.write_profiles()
    profile = (await pipeline.klaviyo_profiles())[ADA_EMAIL]
    assert (profile["first_name"], profile["phone_number"], profile["properties"]["Kustomer Phone"]) == (
        "Ada",
        None,
        PHONE,
    )
    assert await import_count(pipeline) == 2


async def test_an_update_by_id_is_sent_without_the_rejected_value(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.receive_webhooks(ada())
    await pipeline.write_profiles()
    await pipeline.refuse_attributes("location/timezone")
    await pipeline.receive_webhooks(ada(2, emails=[email(NEW_EMAIL)], **MARS))
    await pipeline.write_profiles()
    assert [(one, profile["locale"]) for one, profile in (await pipeline.klaviyo_profiles()).items()] == [
        (NEW_EMAIL, "xx")
    ]
    assert await pipeline.delivery_states() == ["delivered"] * 2


@pytest.mark.parametrize("is_partial_failure", [True, False])
async def test_a_phone_number_rejected_beside_an_email_is_kept_as_a_property(
    pipeline: Pipeline,
    is_partial_failure: bool,  # noqa: FBT001
) -> None:
    await pipeline.connect()
    await pipeline.refuse_attributes("phone_number", partial_failure=is_partial_failure)
    await pipeline.receive_webhooks(ada(phones=[phone(PHONE)]))
    await pipeline.write_profiles()
    profile = (await pipeline.klaviyo_profiles())[ADA_EMAIL]
    assert (profile["phone_number"], profile["properties"]["Kustomer Phone"]) == (None, PHONE)
    # Klaviyo would accept it now.
    await pipeline.refuse_attributes()
    await pipeline.receive_webhooks(ada(2, phones=[phone(PHONE)], lastName="Byron"))
    await pipeline.write_profiles()
    profile = (await pipeline.klaviyo_profiles())[ADA_EMAIL]
    assert (profile["last_name"], profile["phone_number"], await import_count(pipeline)) == ("Byron", None, 3)


async def test_errors_of_a_bulk_import_affect_only_the_rejected_values(settings: Settings) -> None:
    async with run_pipeline(settings) as pipeline:
        await pipeline.connect()
        await pipeline.refuse_attributes("location/timezone", "phone_number")
        ids = [f"5f19aa0b1c2d3e4f5a6b{number:04d}" for number in range(60)]
        customers = [customer(customer_id=one, emails=[email(f"p{n}@lantern.example")]) for n, one in enumerate(ids)]
        await pipeline.receive_webhooks(ada(**MARS, phones=[phone(PHONE)]), *customers)
        await pipeline.write_profiles()
        profile = await pipeline.klaviyo_profiles()
        assert len(profile) == 61
        assert (profile[ADA_EMAIL]["first_name"], profile[ADA_EMAIL]["locale"]) == ("Ada", "xx")
        assert set(await pipeline.delivery_states()) == {"delivered"}
        assert (await pipeline.request_counts(pipeline.klaviyo))["bulk_import_profiles"] == 1


async def test_a_profile_is_written_under_the_next_address_or_the_phone_number(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.refuse_attributes("email", value=ADA_EMAIL)
    await pipeline.receive_webhooks(ada(emails=[email(ADA_EMAIL), email(NEW_EMAIL)], phones=[phone(PHONE)]))
    await pipeline.write_profiles()
    assert [(one, profile["first_name"]) for one, profile in (await pipeline.klaviyo_profiles()).items()] == [
        (NEW_EMAIL, "Ada")
    ]
    assert rejected(ADA_EMAIL.lower()) in await notes(pipeline)
    await pipeline.receive_webhooks(
        customer(customer_id=BO, emails=[email(BO_EMAIL)], phones=[phone("+442079460000")], firstName="Bo")
    )
    await pipeline.refuse_attributes("email")
    await pipeline.write_profiles()
    assert (await pipeline.klaviyo_profiles())["+442079460000"]["first_name"] == "Bo"


async def test_a_rejected_address_is_not_used_in_later_changes(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.refuse_attributes("email", value=ADA_EMAIL)
    emails = [email(ADA_EMAIL, verified=True), email(NEW_EMAIL)]
    await pipeline.receive_webhooks(ada(emails=emails))
    await pipeline.write_profiles()
    count_before = await import_count(pipeline)
    await pipeline.receive_webhooks(ada(2, emails=emails, lastName="Byron"), conversation_of())
    await pipeline.write_profiles()
    await pipeline.deliver_events()
    assert [(one, profile["last_name"]) for one, profile in (await pipeline.klaviyo_profiles()).items()] == [
        (NEW_EMAIL, "Byron")
    ]
    assert [one["email"] for one in await pipeline.klaviyo_events()] == [NEW_EMAIL]
    assert await import_count(pipeline) - count_before == 1


async def test_without_another_contact_the_write_fails_and_a_new_address_recovers_it(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.refuse_attributes("email", value=ADA_EMAIL)
    await pipeline.receive_webhooks(ada())
    await pipeline.write_profiles()
    assert (await pipeline.delivery_states(), "Invalid value" in await notes(pipeline)) == (["failed"], True)
    await pipeline.receive_webhooks(conversation_of())
    assert [row["reason"] for row in await pipeline.deliveries("created")] == [Reason.CONTACTS_REFUSED]
    await pipeline.receive_webhooks(ada(2, emails=[email(ADA_EMAIL), email(NEW_EMAIL)]))
    await pipeline.write_profiles()
    await pipeline.deliver_events()
    assert [(one, profile["first_name"]) for one, profile in (await pipeline.klaviyo_profiles()).items()] == [
        (NEW_EMAIL, "Ada")
    ]
    assert [one["email"] for one in await pipeline.klaviyo_events()] == [NEW_EMAIL]


async def test_retry_sends_rejected_values_again(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.refuse_attributes("email", "location/timezone")
    await pipeline.receive_webhooks(ada(**MARS), conversation_of())
    await pipeline.write_profiles()
    await pipeline.deliver_events()
    assert (await pipeline.delivery_states(), await pipeline.delivery_states("created")) == (["failed"], ["failed"])
    await pipeline.refuse_attributes()
    await resend_failed(pipeline.app.db, pipeline.context)
    await pipeline.write_profiles()
    await pipeline.deliver_events()
    assert (await pipeline.klaviyo_profiles())[ADA_EMAIL]["location"]["timezone"] == "Mars/Olympus"
    assert [one["email"] for one in await pipeline.klaviyo_events()] == [ADA_EMAIL]


@pytest.mark.parametrize("event_count", [1, 25])
async def test_an_event_is_sent_for_the_next_contact_if_the_first_is_rejected(
    pipeline: Pipeline, event_count: int
) -> None:
    await pipeline.connect(profiles="none")
    await pipeline.refuse_attributes("email", value=ADA_EMAIL)
    await pipeline.receive_webhooks(
        ada(emails=[email(ADA_EMAIL), email(NEW_EMAIL)]), *(conversation_of(number) for number in range(event_count))
    )
    await pipeline.deliver_events()
    assert {one["email"] for one in await pipeline.klaviyo_events()} == {NEW_EMAIL}
    assert await pipeline.delivery_states("created") == ["delivered"] * event_count


async def test_an_event_falls_back_to_the_phone_number_and_fails_if_that_is_rejected(
    pipeline: Pipeline,
) -> None:
    await pipeline.connect(profiles="none")
    await pipeline.refuse_attributes("email")
    await pipeline.receive_webhooks(
        ada(emails=[email(ADA_EMAIL), email(NEW_EMAIL)], phones=[phone(PHONE)]), conversation_of()
    )
    await pipeline.deliver_events()
    assert [one["phone_number"] for one in await pipeline.klaviyo_events()] == [PHONE]
    await pipeline.refuse_attributes("email", "phone_number")
    await pipeline.receive_webhooks(
        customer(customer_id=BO, emails=[email(BO_EMAIL)], phones=[phone("+442079460000")]), conversation_of(2, BO)
    )
    await pipeline.deliver_events()
    assert await pipeline.delivery_states("created") == ["delivered", "failed"]
    assert "Invalid value" in await notes(pipeline, "created")


async def test_an_event_has_a_note_on_the_rejected_contact(pipeline: Pipeline) -> None:
    await pipeline.connect(profiles="none")
    await pipeline.refuse_attributes("phone_number", value=PHONE)
    await pipeline.receive_webhooks(ada(emails=[], phones=[phone(PHONE), phone("+442079460000")]), conversation_of())
    await pipeline.deliver_events()
    assert [one["phone_number"] for one in await pipeline.klaviyo_events()] == ["+442079460000"]
    assert rejected(PHONE) in await notes(pipeline, "created")


async def test_each_uncertain_address_is_tried_once(settings: Settings) -> None:
    async with run_pipeline(settings, strict_emails=True) as pipeline:
        await pipeline.connect(profiles="none")
        emails = [email("\u00c4DA@lantern.example"), email("A#B@lantern.example")]
        await pipeline.receive_webhooks(ada(emails=emails, phones=[phone(PHONE)]), conversation_of())
        await pipeline.deliver_events()
        assert [one["phone_number"] for one in await pipeline.klaviyo_events()] == [PHONE]
        assert (await pipeline.request_counts(pipeline.klaviyo))["create_event"] == 3


async def test_an_address_that_was_removed_and_added_again_is_tried_again(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.refuse_attributes("email", value=ADA_EMAIL)
    await pipeline.receive_webhooks(ada(emails=[email(ADA_EMAIL), email(NEW_EMAIL)]))
    await pipeline.write_profiles()
    await pipeline.refuse_attributes()
    await pipeline.receive_webhooks(ada(2, emails=[email(NEW_EMAIL)]))
    await pipeline.receive_webhooks(ada(3, emails=[email(ADA_EMAIL)]))
    await pipeline.write_profiles()
    assert list(await pipeline.klaviyo_profiles()) == [ADA_EMAIL]


@pytest.mark.parametrize("event_count", [1, 25])
async def test_a_rejected_event_property_is_dropped_with_a_note(pipeline: Pipeline, event_count: int) -> None:
    await pipeline.connect()
    await pipeline.refuse_attributes("properties/subject", "properties/conversationLink", resource="event")
    await pipeline.receive_webhooks(ada(), *(conversation_of(number) for number in range(event_count)))
    await pipeline.write_profiles()
    await pipeline.deliver_events()
    assert [set(one["properties"]) for one in await pipeline.klaviyo_events()] == [{"conversationId"}] * event_count
    assert rejected("subject") in await notes(pipeline, "created")


async def test_a_batch_of_rejected_events_is_sent_a_limited_number_of_times(
    pipeline: Pipeline,
) -> None:
    await pipeline.connect(profiles="none")
    await pipeline.refuse_attributes("properties/subject", resource="event")
    ids = [f"5f19aa0b1c2d3e4f5a6b{number:04d}" for number in range(40)]
    customers = [customer(customer_id=one, emails=[email(f"p{n}@lantern.example")]) for n, one in enumerate(ids)]
    await pipeline.receive_webhooks(*customers, *(conversation_of(number, one) for number, one in enumerate(ids)))
    await pipeline.deliver_events()
    assert len(await pipeline.klaviyo_events()) == 40
    assert (await pipeline.request_counts(pipeline.klaviyo))["bulk_create_events"] == MAX_BATCH_ATTEMPTS


async def test_a_rejected_value_that_cannot_be_dropped_fails_after_one_request(pipeline: Pipeline) -> None:
    await pipeline.connect(profiles="none")
    await pipeline.refuse_attributes("metric", resource="event")
    await pipeline.receive_webhooks(ada(), conversation_of())
    await pipeline.deliver_events()
    assert await pipeline.delivery_states("created") == ["failed"]
    assert (await pipeline.request_counts(pipeline.klaviyo))["create_event"] == 1


async def test_a_profile_arrives_however_many_values_are_rejected_one_after_another(pipeline: Pipeline) -> None:
    fields = [f"Field{number}" for number in range(25)]
    await pipeline.connect(mapping={"properties": {one: f"custom.{one}Str" for one in fields}}, support_state=False)
    for one in fields:
        await pipeline.add_refusal(
            "/api/profile-import", pointer=f"/data/attributes/properties/{one}", containing=f'"{one}"'
        )
    await pipeline.receive_webhooks(ada(custom={f"{one}Str": "gold" for one in fields}))
    await pipeline.write_profiles()
    assert (await pipeline.klaviyo_profiles())[ADA_EMAIL]["first_name"] == "Ada"
    assert await pipeline.delivery_states() == ["skipped", "skipped", "delivered"]
    assert await pipeline.fault_hits() == 25
    await pipeline.receive_webhooks(ada(2, custom={f"{one}Str": "gold" for one in fields}, lastName="Byron"))
    await pipeline.write_profiles()
    assert ((await pipeline.delivery_states())[-1], await pipeline.fault_hits()) == ("delivered", 25)
