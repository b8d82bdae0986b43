"""What real organisations do to conversations now and then, and Kustomer tells of in its own way."""

from kustomer_desk import Desk, Receiver


async def test_a_conversation_is_given_to_another_customer(desk: Desk, receiver: Receiver) -> None:
    conversation, other = await desk.conversation(), await desk.customer()
    await desk.register(receiver.url)
    await desk.act(conversation, "give", to=other["id"])
    await desk.until_delivered()
    [told] = receiver.named("conversation.update")
    assert told["data"]["relationships"]["customer"]["data"]["id"] == other["id"]
    assert {one["customer"] for one in await desk.expected()} == {other["id"]}


async def test_no_event_tells_of_a_deleted_conversation_unless_one_is_to(desk: Desk, receiver: Receiver) -> None:
    silent, told = await desk.conversation(), await desk.conversation()
    await desk.register(receiver.url)
    await desk.act(silent, "delete")
    await desk.act(told, "delete", told=True)
    await desk.until_delivered()
    [event] = receiver.named("conversation.update")
    assert (event["dataId"], event["data"]["attributes"]["deleted"]) == (told["id"], True)
    assert {one["deleted"] for one in await desk.expected()} == {True}


async def test_a_survey_is_written_as_a_tool_likes(desk: Desk, receiver: Receiver) -> None:
    conversation = await desk.conversation()
    await desk.register(receiver.url)
    await desk.act(conversation, "write-survey", status="rated", rating=5, createdAt="2099-01-01T00:00:00.000Z")
    await desk.act(conversation, "write-survey", createdAt=None)
    await desk.act(conversation, "write-survey", status="offered", rating=None)
    await desk.act(conversation, "write-survey", status="rated", rating=2)
    assert [one["rating"] for one in await desk.expected("csat")] == [5, 2]
    level = (await desk.get(f"/v1/conversations/{conversation['id']}"))["data"]["attributes"]["satisfactionLevel"]
    assert not {"createdAt", "formResponse"} & level.keys()


async def test_an_update_may_name_no_customer_and_hold_any_time(desk: Desk, receiver: Receiver) -> None:
    conversation = await desk.conversation()
    await desk.register(receiver.url)
    await desk.act(conversation, "lose-customer")
    await desk.act(conversation, "write", lastDone={"createdAt": "2099-01-01T00:00:00.000Z"})
    await desk.until_delivered()
    nameless, absurd = sorted(receiver.named("conversation.update"), key=lambda one: one["data"]["attributes"]["rev"])
    assert "customer" not in nameless["data"]["relationships"]
    assert absurd["data"]["attributes"]["lastDone"]["createdAt"][:4] == "2099"
