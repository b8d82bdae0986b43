"""Unusual changes of conversations: moved, deleted, raw surveys, updates without a customer."""

from support.kustomer_sandbox import KustomerSandbox, WebhookReceiver


async def test_a_conversation_is_moved_to_another_customer(sandbox: KustomerSandbox, receiver: WebhookReceiver) -> None:
    conversation, other = await sandbox.create_conversation(), await sandbox.create_customer()
    await sandbox.register_webhook(receiver.url)
    await sandbox.act(conversation, "move", customer=other["id"])
    await sandbox.wait_until_delivered()
    [event] = receiver.events_named("conversation.update")
    assert event["data"]["relationships"]["customer"]["data"]["id"] == other["id"]
    assert {event["customer"] for event in await sandbox.expected_events()} == {other["id"]}


async def test_only_an_announced_deletion_has_an_event(sandbox: KustomerSandbox, receiver: WebhookReceiver) -> None:
    silent, announced = await sandbox.create_conversation(), await sandbox.create_conversation()
    await sandbox.register_webhook(receiver.url)
    await sandbox.act(silent, "delete")
    await sandbox.act(announced, "delete", announce=True)
    await sandbox.wait_until_delivered()
    [event] = receiver.events_named("conversation.update")
    assert (event["dataId"], event["data"]["attributes"]["deleted"]) == (announced["id"], True)
    assert {event["deleted"] for event in await sandbox.expected_events()} == {True}


async def test_a_survey_is_written_without_validation(sandbox: KustomerSandbox, receiver: WebhookReceiver) -> None:
    conversation = await sandbox.create_conversation()
    await sandbox.register_webhook(receiver.url)
    await sandbox.act(conversation, "write-survey", status="rated", rating=5, createdAt="2099-01-01T00:00:00.000Z")
    await sandbox.act(conversation, "write-survey", createdAt=None)
    await sandbox.act(conversation, "write-survey", status="offered", rating=None)
    await sandbox.act(conversation, "write-survey", status="rated", rating=2)
    assert [event["rating"] for event in await sandbox.expected_events("csat")] == [5, 2]
    level = (await sandbox.get(f"/v1/conversations/{conversation['id']}"))["data"]["attributes"]["satisfactionLevel"]
    assert not {"createdAt", "formResponse"} & level.keys()


async def test_an_update_may_have_no_customer_and_any_time(sandbox: KustomerSandbox, receiver: WebhookReceiver) -> None:
    conversation = await sandbox.create_conversation()
    await sandbox.register_webhook(receiver.url)
    await sandbox.act(conversation, "update-without-customer")
    await sandbox.act(conversation, "update", lastDone={"createdAt": "2099-01-01T00:00:00.000Z"})
    await sandbox.wait_until_delivered()
    without_customer, future = sorted(
        receiver.events_named("conversation.update"), key=lambda event: event["data"]["attributes"]["rev"]
    )
    assert "customer" not in without_customer["data"]["relationships"]
    assert future["data"]["attributes"]["lastDone"]["createdAt"][:4] == "2099"
