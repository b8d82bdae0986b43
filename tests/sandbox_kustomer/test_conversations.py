"""Conversations: what people do in them, what is written down, and what counts as having happened."""

import pytest

from kustomer_desk import Desk, Receiver

ADA = "ada.byrne@lanternpost.example"

# Names as in recorded documents.
CONVERSATION_ATTRIBUTES = {
    "channels", "status", "open", "messageCount", "noteCount", "satisfaction", "satisfactionLevel", "createdAt",
    "updatedAt", "modifiedAt", "lastActivityAt", "spam", "ended", "tags", "suggestedTags", "predictions",
    "suggestedShortcuts", "firstMessageIn", "firstMessageOut", "lastMessageIn", "lastMessageOut",
    "lastMessageUnrespondedTo", "lastMessageUnrespondedToSinceLastDone", "assignedUsers", "assignedTeams",
    "firstResponse", "firstResponseSinceLastDone", "lastResponse", "firstDone", "lastDone", "direction",
    "outboundMessageCount", "inboundMessageCount", "rev", "priority", "defaultLang", "locale", "roleGroupVersions",
    "accessOverride", "modificationHistory", "billingStatus", "assistant", "aiAgent", "phase",
    "matchedTimeBasedRules",
}  # fmt: skip


async def test_a_new_conversation_has_the_shape_of_recorded_ones(desk: Desk) -> None:
    conversation = await desk.conversation(subject="Return label")
    assert set(conversation["attributes"]) >= CONVERSATION_ATTRIBUTES
    assert set(conversation["relationships"]) == {
        "messages", "createdBy", "modifiedBy", "org", "customer", "queue", "brand",
    }  # fmt: skip
    attributes = conversation["attributes"]
    assert (attributes["status"], attributes["channels"], attributes["firstMessageIn"]) == ("open", [], {})
    assert "createdAt" not in attributes["lastDone"]
    assert "formResponse" not in attributes["satisfactionLevel"]


async def test_several_conversations_are_read_at_once_by_their_ids(desk: Desk) -> None:
    ids = [(await desk.conversation())["id"] for _ in range(2)]
    found = (await desk.get(f"/v1/conversations/{ids[1]},{'0' * 24},{ids[0]}"))["data"]
    assert [one["id"] for one in found] == [ids[1], ids[0]]


async def test_a_deleted_conversation_is_gone(desk: Desk) -> None:
    conversation = await desk.conversation()
    assert (await desk.ask("DELETE", f"/v1/conversations/{conversation['id']}")).status == 204
    assert (await desk.ask("GET", f"/v1/conversations/{conversation['id']}")).status == 404
    assert (await desk.get("/v1/conversations"))["data"] == []


async def test_the_first_message_brings_the_channel(desk: Desk) -> None:
    conversation = await desk.conversation(channel="chat")
    attributes = conversation["attributes"]
    assert (attributes["channels"], attributes["firstMessageIn"]["channel"]) == (["chat"], "chat")
    assert (attributes["messageCount"], attributes["inboundMessageCount"]) == (1, 1)


async def test_messages_written_through_the_api_are_listed_and_counted(desk: Desk) -> None:
    conversation = await desk.conversation(channel="email")
    path = f"/v1/conversations/{conversation['id']}/messages"
    written = await desk.ask("POST", path, {"channel": "sms", "direction": "out", "preview": "On its way"})
    assert (written.status, written.data["attributes"]["preview"]) == (201, "On its way")
    listed = (await desk.get(path))["data"]
    assert [one["attributes"]["direction"] for one in listed] == ["in", "out"]
    assert listed[1] == written.data
    held = (await desk.get(f"/v1/conversations/{conversation['id']}"))["data"]["attributes"]
    assert (held["channels"], held["outboundMessageCount"]) == (["email", "sms"], 1)


async def test_a_closing_is_stamped_and_a_customers_message_opens_it_again(desk: Desk) -> None:
    conversation = await desk.conversation(channel="email")
    closed = (await desk.act(conversation, "done"))["attributes"]
    assert (closed["status"], closed["doneCount"]) == ("done", 1)
    assert closed["lastDone"]["createdAt"] == closed["firstDone"]["createdAt"]
    assert closed["modificationHistory"]["statusAt"] == closed["lastDone"]["createdAt"]
    answered = (await desk.act(conversation, "message", **{"from": "agent"}))["attributes"]
    assert answered["status"] == "done"
    reopened = (await desk.act(conversation, "message", **{"from": "customer"}))["attributes"]
    assert (reopened["status"], reopened["reopenCount"]) == ("open", 1)
    assert reopened["lastDone"] == closed["lastDone"]
    again = (await desk.act(conversation, "done"))["attributes"]
    assert again["doneCount"] == 2
    assert again["lastDone"]["createdAt"] > again["firstDone"]["createdAt"]
    assert [fact["at"] for fact in await desk.expected("done")] == [
        closed["lastDone"]["createdAt"],
        again["lastDone"]["createdAt"],
    ]


async def test_closing_a_closed_conversation_is_no_second_closing(desk: Desk) -> None:
    conversation = await desk.conversation()
    once, twice = [await desk.act(conversation, "done") for _ in range(2)]
    assert once["attributes"]["rev"] == twice["attributes"]["rev"]
    assert len(await desk.expected("done")) == 1


async def test_a_conversation_may_begin_closed_or_imported_or_in_the_past(desk: Desk) -> None:
    past = "2024-02-03T04:05:06.007Z"
    born_done = await desk.conversation(status="done", channel="voice", created_at=past, imported_at=past)
    attributes = born_done["attributes"]
    assert (attributes["status"], attributes["doneCount"], attributes["importedAt"]) == ("done", 1, past)
    facts = await desk.expected()
    assert [(fact["kind"], fact["at"], fact["imported"]) for fact in facts] == [
        ("created", past, True),
        ("done", past, True),
    ]


async def test_a_status_or_survey_written_through_the_api_counts_as_if_done_by_hand(desk: Desk) -> None:
    conversation = await desk.conversation()
    path = f"/v1/conversations/{conversation['id']}"
    survey = {"status": "rated", "rating": 2, "score": 0, "createdAt": "2026-01-01T00:00:00Z"}
    changed = await desk.ask("PUT", path, {"status": "done", "satisfactionLevel": survey, "priority": 5})
    assert (changed.data["attributes"]["status"], changed.data["attributes"]["priority"]) == ("done", 5)
    facts = await desk.expected()
    assert [(fact["kind"], fact["rating"], fact["score"]) for fact in facts] == [
        ("created", None, None),
        ("done", None, None),
        ("csat", 2, 0),
    ]


async def test_a_rating_counts_once_and_its_comment_follows(desk: Desk) -> None:
    conversation = await desk.conversation(channel="chat")
    await desk.act(conversation, "done")
    offered = (await desk.act(conversation, "survey"))["attributes"]["satisfactionLevel"]
    assert (offered["status"], "rating" in offered) == ("offered", False)
    rated = (await desk.act(conversation, "rate", rating=3))["attributes"]["satisfactionLevel"]
    await desk.act(conversation, "rate", rating=5)
    commented = (await desk.act(conversation, "comment", text="In the end"))["attributes"]["satisfactionLevel"]
    assert (commented["status"], commented["firstAnswer"], commented["rating"]) == ("commented", "In the end", 5)
    [fact] = await desk.expected("csat")
    assert (fact["rating"], fact["score"], fact["at"], fact["channel"]) == (3, 0, rated["updatedAt"], "chat")
    response = (await desk.get(f"/v1/satisfaction-responses/{offered['formResponse']}"))["data"]
    assert response["attributes"] == commented
    assert response["relationships"]["conversation"]["data"]["id"] == conversation["id"]


async def test_a_second_survey_is_another_response_and_the_first_is_still_there(desk: Desk) -> None:
    conversation = await desk.conversation()
    levels = [
        (await desk.act(conversation, "rate", rating=1))["attributes"]["satisfactionLevel"],
        (await desk.act(conversation, "survey"))["attributes"]["satisfactionLevel"],
        (await desk.act(conversation, "rate", rating=5))["attributes"]["satisfactionLevel"],
    ]
    assert levels[0]["formResponse"] != levels[1]["formResponse"] == levels[2]["formResponse"]
    assert [(fact["rating"], fact["score"]) for fact in await desk.expected("csat")] == [(1, 0), (5, 1)]
    first = (await desk.get(f"/v1/satisfaction-responses/{levels[0]['formResponse']}"))["data"]
    assert first["attributes"]["rating"] == 1


async def test_the_customer_mirrors_the_first_and_the_last_survey(desk: Desk, receiver: Receiver) -> None:
    await desk.register(receiver.url)
    conversation = await desk.conversation()
    await desk.act(conversation, "rate", rating=4)
    await desk.act(conversation, "survey")
    await desk.act(conversation, "rate", rating=2)
    await desk.until_delivered()
    held = max(
        receiver.changing("customer.update", "satisfactionLevel"), key=lambda one: one["data"]["attributes"]["rev"]
    )
    level = held["data"]["attributes"]["satisfactionLevel"]
    assert (level["firstSatisfaction"]["rating"], level["lastSatisfaction"]["rating"]) == (4, 2)
    assert level["lastSatisfaction"]["conversation"] == conversation["id"]


async def test_there_is_nothing_to_comment_on_before_a_rating(desk: Desk) -> None:
    conversation = await desk.conversation()
    await desk.act(conversation, "survey")
    path = f"/sandbox/conversations/{conversation['id']}/comment"
    assert (await desk.ask("POST", path, {"text": "?"})).status == 409


async def test_the_customer_counts_the_conversations_by_status(desk: Desk) -> None:
    customer = await desk.customer()
    conversations = [await desk.conversation(customer=customer["id"]) for _ in range(3)]
    await desk.act(conversations[0], "done")
    await desk.act(conversations[1], "snooze")
    held = (await desk.get(f"/v1/customers/{customer['id']}"))["data"]["attributes"]
    assert held["conversationCounts"] == {"open": 1, "snoozed": 1, "done": 1, "all": 3}


@pytest.mark.parametrize(
    ("given", "email"),
    [
        ({"emails": [ADA, "ada@marigold.example"]}, ADA),
        ({"emails": [ADA, {"email": "ada@marigold.example", "verified": True}]}, "ada@marigold.example"),
        ({"emails": [ADA], "sharedEmails": [ADA]}, None),
        ({"sharedEmails": [ADA]}, None),
        ({"phone": "+447400123456"}, None),
    ],
)
async def test_the_expected_email_is_the_first_verified_else_the_first_and_never_shared(
    desk: Desk, given: dict[str, object], email: str | None
) -> None:
    customer = await desk.customer(**given)
    await desk.conversation(customer=customer["id"], subject="Return label", spam=True)
    [fact] = await desk.expected()
    assert (fact["email"], fact["phone"]) == (email, given.get("phone"))
    assert (fact["subject"], fact["spam"], fact["customer"]) == ("Return label", True, customer["id"])


async def test_what_is_expected_follows_who_the_customer_turns_out_to_be(desk: Desk) -> None:
    customer = await desk.customer()
    await desk.conversation(customer=customer["id"])
    assert [fact["email"] for fact in await desk.expected()] == [None]
    await desk.ask("PUT", f"/sandbox/customers/{customer['id']}", {"email": ADA})
    assert [fact["email"] for fact in await desk.expected()] == [ADA]


async def test_a_brand_named_twice_is_the_same_brand(desk: Desk) -> None:
    brands = [
        (await desk.conversation(brand=brand))["relationships"]["brand"]["data"]["id"]
        for brand in ("Teapots", "Teapots", "Lanterns")
    ]
    assert brands[0] == brands[1] != brands[2]
