"""Changed addresses and phone numbers: the customer keeps one profile, and profiles are never mixed up."""

from kustomer_klaviyo.klaviyo.profile_request import PHONE_PROPERTY
from kustomer_klaviyo.planning.resend import resend_failed
from kustomer_klaviyo.reasons import Reason
from support.kustomer_documents import conversation, customer, email, phone
from support.pipeline import Pipeline
from support.sample_ids import ADA, ADA_EMAIL, BO, BO_EMAIL, NEW_EMAIL, ONE_OPEN_CONVERSATION, OPEN_PROPERTY, PHONE

PHONE_PROPERTY_NAME = PHONE_PROPERTY.removeprefix("properties.")


async def test_an_address_of_another_profile_moves_everything_there_and_clears_the_former_profile(
    pipeline: Pipeline,
) -> None:
    await pipeline.connect()
    await pipeline.create_profile(email=NEW_EMAIL)
    for rev, address in ((1, ADA_EMAIL), (2, NEW_EMAIL)):
        await pipeline.receive_webhooks(
            customer(customer_id=ADA, rev=rev, emails=[email(address)], firstName="Ada", **ONE_OPEN_CONVERSATION)
        )
        await pipeline.write_profiles()
    profiles = await pipeline.klaviyo_profiles()
    assert (profiles[NEW_EMAIL]["first_name"], profiles[NEW_EMAIL]["properties"][OPEN_PROPERTY]) == ("Ada", 1)
    assert OPEN_PROPERTY not in profiles[ADA_EMAIL]["properties"]


async def test_a_customer_with_only_a_phone_who_gets_a_known_address_is_sent_completely(
    pipeline: Pipeline,
) -> None:
    await pipeline.connect()
    await pipeline.create_profile(email=ADA_EMAIL)
    number = [phone(PHONE)]
    await pipeline.receive_webhooks(
        customer(customer_id=ADA, rev=1, phones=number, firstName="Ada", **ONE_OPEN_CONVERSATION)
    )
    await pipeline.write_profiles()
    await pipeline.receive_webhooks(
        customer(
            customer_id=ADA, rev=2, emails=[email(ADA_EMAIL)], phones=number, firstName="Ada", **ONE_OPEN_CONVERSATION
        )
    )
    await pipeline.write_profiles()
    profiles = await pipeline.klaviyo_profiles()
    assert (profiles[ADA_EMAIL]["first_name"], profiles[ADA_EMAIL]["properties"][OPEN_PROPERTY]) == ("Ada", 1)
    assert all(OPEN_PROPERTY not in one["properties"] for address, one in profiles.items() if address != ADA_EMAIL)


async def test_a_profile_deleted_in_klaviyo_is_recreated_completely(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.receive_webhooks(
        customer(customer_id=ADA, rev=1, emails=[email(ADA_EMAIL)], firstName="Ada", **ONE_OPEN_CONVERSATION)
    )
    await pipeline.write_profiles()
    await pipeline.delete_profile(ADA_EMAIL)
    changes = {"companyName": "Analytical Engines", "firstName": "Ada"}
    await pipeline.receive_webhooks(
        customer(customer_id=ADA, rev=2, emails=[email(ADA_EMAIL)], **changes, **ONE_OPEN_CONVERSATION)
    )
    await pipeline.write_profiles()
    profile = (await pipeline.klaviyo_profiles())[ADA_EMAIL]
    assert (profile["first_name"], profile["organization"]) == ("Ada", "Analytical Engines")
    assert profile["properties"][OPEN_PROPERTY] == 1


async def test_pending_events_go_to_the_current_address(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.receive_webhooks(customer(customer_id=ADA, rev=1, emails=[email(ADA_EMAIL)]))
    await pipeline.write_profiles()
    await pipeline.receive_webhooks(
        conversation(customer=ADA), customer(customer_id=ADA, rev=2, emails=[email(NEW_EMAIL)])
    )
    await pipeline.deliver_events(2)
    assert await pipeline.klaviyo_events() == [], "the event waits for the profile to be renamed"
    await pipeline.write_profiles()
    await pipeline.deliver_events()
    assert list(await pipeline.klaviyo_profiles()) == [NEW_EMAIL]
    assert [one["email"] for one in await pipeline.klaviyo_events()] == [NEW_EMAIL]


async def test_a_phone_number_of_another_profile_never_identifies_the_customer(
    pipeline: Pipeline,
) -> None:
    await pipeline.connect()
    await pipeline.create_profile(email=BO_EMAIL, phone_number=PHONE, first_name="Bo")
    number = [phone(PHONE)]
    await pipeline.receive_webhooks(
        customer(customer_id=ADA, rev=1, emails=[email(ADA_EMAIL)], phones=number, firstName="Ada")
    )
    await pipeline.write_profiles()
    await pipeline.receive_webhooks(
        customer(customer_id=ADA, rev=2, phones=number, firstName="Adah", **ONE_OPEN_CONVERSATION)
    )
    await pipeline.receive_webhooks(conversation(customer=ADA))
    await pipeline.write_profiles()
    await pipeline.deliver_events(3)
    profiles = await pipeline.klaviyo_profiles()
    assert (profiles[BO_EMAIL]["first_name"], profiles[BO_EMAIL]["properties"]) == ("Bo", {})
    assert await pipeline.klaviyo_events() == []
    [pending] = await pipeline.deliveries("created")
    assert (pending["state"], pending["reason"]) == ("unidentified", Reason.PHONE_CONFLICT)


async def test_a_phone_property_is_removed_with_the_phone_number(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.create_profile(email=BO_EMAIL, phone_number=PHONE)
    await pipeline.receive_webhooks(customer(customer_id=ADA, rev=1, emails=[email(ADA_EMAIL)], phones=[phone(PHONE)]))
    await pipeline.write_profiles()
    assert (await pipeline.klaviyo_profiles())[ADA_EMAIL]["properties"][PHONE_PROPERTY_NAME] == PHONE
    write_count = len(await pipeline.deliveries("profile"))
    await pipeline.receive_webhooks(
        customer(customer_id=ADA, rev=2, emails=[email(ADA_EMAIL)], phones=[phone(PHONE)], firstName="Ada")
    )
    await pipeline.write_profiles()
    assert (await pipeline.klaviyo_profiles())[ADA_EMAIL]["properties"][PHONE_PROPERTY_NAME] == PHONE
    assert len(await pipeline.deliveries("profile")) == write_count + 1
    await pipeline.receive_webhooks(customer(customer_id=ADA, rev=3, emails=[email(ADA_EMAIL)], firstName="Ada"))
    await pipeline.write_profiles()
    assert PHONE_PROPERTY_NAME not in (await pipeline.klaviyo_profiles())[ADA_EMAIL]["properties"]


async def test_a_new_phone_number_is_used_after_a_conflict(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.create_profile(email=BO_EMAIL, phone_number=PHONE)
    await pipeline.receive_webhooks(customer(customer_id=ADA, rev=1, emails=[email(ADA_EMAIL)], phones=[phone(PHONE)]))
    await pipeline.write_profiles()
    await pipeline.delete_profile(BO_EMAIL)
    await pipeline.receive_webhooks(
        customer(customer_id=ADA, rev=2, emails=[email(ADA_EMAIL)], phones=[phone("+447911123499")])
    )
    await pipeline.write_profiles()
    profile = (await pipeline.klaviyo_profiles())[ADA_EMAIL]
    assert (profile["phone_number"], PHONE_PROPERTY_NAME in profile["properties"]) == ("+447911123499", False)


async def test_a_profile_is_found_by_its_former_phone_number(pipeline: Pipeline) -> None:
    await pipeline.connect()
    profile_id = await pipeline.create_profile(phone_number=PHONE)
    await pipeline.receive_webhooks(customer(customer_id=ADA, rev=1, phones=[phone(PHONE)]))
    await pipeline.write_profiles()
    await pipeline.app.db.execute("UPDATE customers SET klaviyo_profile_id = NULL")  # as after a bulk import
    await pipeline.receive_webhooks(customer(customer_id=ADA, rev=2, emails=[email(ADA_EMAIL)]))
    await pipeline.write_profiles()
    assert [(address, one["id"]) for address, one in (await pipeline.klaviyo_profiles()).items()] == [
        (ADA_EMAIL, profile_id)
    ]


async def test_a_failed_address_change_is_still_an_address_change_when_retried(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.receive_webhooks(customer(customer_id=ADA, rev=1, emails=[email(ADA_EMAIL)]))
    await pipeline.write_profiles()
    await pipeline.add_refusal("/api/profiles/", method="PATCH", times=1)
    await pipeline.receive_webhooks(customer(customer_id=ADA, rev=2, emails=[email(NEW_EMAIL)]))
    await pipeline.write_profiles()
    assert await pipeline.delivery_states() == ["delivered", "failed"]
    await resend_failed(pipeline.app.db, pipeline.context)
    await pipeline.write_profiles()
    assert list(await pipeline.klaviyo_profiles()) == [NEW_EMAIL]


async def test_with_an_external_id_an_address_of_another_profile_is_used(pipeline: Pipeline) -> None:
    await pipeline.connect(external_id=True)
    await pipeline.create_profile(email=NEW_EMAIL)
    for rev, address in ((1, ADA_EMAIL), (2, NEW_EMAIL)):
        await pipeline.receive_webhooks(customer(customer_id=ADA, rev=rev, emails=[email(address)], firstName="Ada"))
        await pipeline.write_profiles()
    assert "failed" not in await pipeline.delivery_states()
    assert (await pipeline.klaviyo_profiles())[NEW_EMAIL]["first_name"] == "Ada"


async def test_of_two_customers_with_one_address_the_last_change_of_each_field_wins(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.receive_webhooks(
        customer(customer_id=ADA, emails=[email(ADA_EMAIL)], firstName="Ada", companyName="Engines")
    )
    await pipeline.write_profiles()
    await pipeline.receive_webhooks(customer(customer_id=BO, emails=[email(ADA_EMAIL)], firstName="Augusta"))
    await pipeline.write_profiles()
    profile = (await pipeline.klaviyo_profiles())[ADA_EMAIL]
    assert (profile["first_name"], profile["organization"]) == ("Augusta", "Engines")
    assert [(row["subject"], row["state"]) for row in await pipeline.deliveries("profile")] == [
        (ADA, "delivered"),
        (BO, "delivered"),
    ]


async def test_an_address_may_move_from_one_customer_to_another_at_once(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.receive_webhooks(customer(customer_id=ADA, rev=1, emails=[email(ADA_EMAIL)], firstName="Ada"))
    await pipeline.receive_webhooks(customer(customer_id=BO, rev=1, emails=[email(BO_EMAIL)], firstName="Bo"))
    await pipeline.write_profiles()
    await pipeline.receive_webhooks(
        customer(customer_id=ADA, rev=2, emails=[email(NEW_EMAIL)], firstName="Ada"),
        customer(customer_id=BO, rev=2, emails=[email(ADA_EMAIL)], firstName="Bo"),
    )
    await pipeline.write_profiles()
    profiles = await pipeline.klaviyo_profiles()
    assert {address: one["first_name"] for address, one in profiles.items()} == {NEW_EMAIL: "Ada", ADA_EMAIL: "Bo"}
