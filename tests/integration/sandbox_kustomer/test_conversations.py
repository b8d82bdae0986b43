"""Conversations: actions, their effect on documents, and the expected events."""

import pytest

from support.kustomer_sandbox import KustomerSandbox, WebhookReceiver

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


async def test_a_new_conversation_has_the_recorded_attributes(sandbox: KustomerSandbox) -> None:
    conversation = await sandbox.create_conversation(subject="Return label")
    assert set(conversation["attributes"]) >= CONVERSATION_ATTRIBUTES
    assert set(conversation["relationships"]) == {
        "messages", "createdBy", "modifiedBy", "org", "customer", "queue", "brand",
    }  # fmt: skip
    attributes = conversation["attributes"]
    assert (attributes["status"], attributes["channels"], attributes["firstMessageIn"]) == ("open", [], {})
    assert "createdAt" not in attributes["lastDone"]
    assert "formResponse" not in attributes["satisfactionLevel"]


async def test_several_conversations_are_read_by_their_ids(sandbox: KustomerSandbox) -> None:
    ids = [(await sandbox.create_conversation())["id"] for _ in range(2)]
    conversations = (await sandbox.get(f"/v1/conversations/{ids[1]},{'0' * 24},{ids[0]}"))["data"]
    assert [conversation["id"] for conversation in conversations] == [ids[1], ids[0]]


async def test_a_deleted_conversation_is_not_returned(sandbox: KustomerSandbox) -> None:
    conversation = await sandbox.create_conversation()
    assert (await sandbox.request("DELETE", f"/v1/conversations/{conversation['id']}")).status == 204
    assert (await sandbox.request("GET", f"/v1/conversations/{conversation['id']}")).status == 404
    assert (await sandbox.get("/v1/conversations"))["data"] == []


async def test_the_first_message_sets_the_channel(sandbox: KustomerSandbox) -> None:
    conversation = await sandbox.create_conversation(channel="chat")
    attributes = conversation["attributes"]
    assert (attributes["channels"], attributes["firstMessageIn"]["channel"]) == (["chat"], "chat")
    assert (attributes["messageCount"], attributes["inboundMessageCount"]) == (1, 1)


async def test_messages_created_by_api_are_listed_and_counted(sandbox: KustomerSandbox) -> None:
    conversation = await sandbox.create_conversation(channel="email")
    path = f"/v1/conversations/{conversation['id']}/messages"
    created = await sandbox.request("POST", path, {"channel": "sms", "direction": "out", "preview": "On its way"})
    assert (created.status, created.data["attributes"]["preview"]) == (201, "On its way")
    messages = (await sandbox.get(path))["data"]
    assert [message["attributes"]["direction"] for message in messages] == ["in", "out"]
    assert messages[1] == created.data
    attributes = (await sandbox.get(f"/v1/conversations/{conversation['id']}"))["data"]["attributes"]
    assert (attributes["channels"], attributes["outboundMessageCount"]) == (["email", "sms"], 1)


async def test_done_is_timestamped_and_a_customer_message_reopens(sandbox: KustomerSandbox) -> None:
    conversation = await sandbox.create_conversation(channel="email")
    done = (await sandbox.act(conversation, "done"))["attributes"]
    assert (done["status"], done["doneCount"]) == ("done", 1)
    assert done["lastDone"]["createdAt"] == done["firstDone"]["createdAt"]
    assert done["modificationHistory"]["statusAt"] == done["lastDone"]["createdAt"]
    replied = (await sandbox.act(conversation, "message", **{"from": "agent"}))["attributes"]
    assert replied["status"] == "done"
    reopened = (await sandbox.act(conversation, "message", **{"from": "customer"}))["attributes"]
    assert (reopened["status"], reopened["reopenCount"]) == ("open", 1)
    assert reopened["lastDone"] == done["lastDone"]
    done_again = (await sandbox.act(conversation, "done"))["attributes"]
    assert done_again["doneCount"] == 2
    assert done_again["lastDone"]["createdAt"] > done_again["firstDone"]["createdAt"]
    assert [event["occurred_at"] for event in await sandbox.expected_events("done")] == [
        done["lastDone"]["createdAt"],
        done_again["lastDone"]["createdAt"],
    ]


async def test_marking_a_done_conversation_done_changes_nothing(sandbox: KustomerSandbox) -> None:
    conversation = await sandbox.create_conversation()
    first, second = [await sandbox.act(conversation, "done") for _ in range(2)]
    assert first["attributes"]["rev"] == second["attributes"]["rev"]
    assert len(await sandbox.expected_events("done")) == 1


async def test_a_conversation_can_be_created_done_imported_and_in_the_past(sandbox: KustomerSandbox) -> None:
    past = "2024-02-03T04:05:06.007Z"
    conversation = await sandbox.create_conversation(status="done", channel="voice", created_at=past, imported_at=past)
    attributes = conversation["attributes"]
    assert (attributes["status"], attributes["doneCount"], attributes["importedAt"]) == ("done", 1, past)
    events = await sandbox.expected_events()
    assert [(event["kind"], event["occurred_at"], event["imported"]) for event in events] == [
        ("created", past, True),
        ("done", past, True),
    ]


async def test_a_status_or_survey_written_by_api_is_an_expected_event(sandbox: KustomerSandbox) -> None:
    conversation = await sandbox.create_conversation()
    path = f"/v1/conversations/{conversation['id']}"
    survey = {"status": "rated", "rating": 2, "score": 0, "createdAt": "2026-01-01T00:00:00Z"}
    updated = await sandbox.request("PUT", path, {"status": "done", "satisfactionLevel": survey, "priority": 5})
    assert (updated.data["attributes"]["status"], updated.data["attributes"]["priority"]) == ("done", 5)
    events = await sandbox.expected_events()
    assert [(event["kind"], event["rating"], event["score"]) for event in events] == [
        ("created", None, None),
        ("done", None, None),
        ("csat", 2, 0),
    ]


async def test_a_survey_has_one_expected_event_at_its_first_rating(sandbox: KustomerSandbox) -> None:
    conversation = await sandbox.create_conversation(channel="chat")
    await sandbox.act(conversation, "done")
    offered = (await sandbox.act(conversation, "survey"))["attributes"]["satisfactionLevel"]
    assert (offered["status"], "rating" in offered) == ("offered", False)
    rated = (await sandbox.act(conversation, "rate", rating=3))["attributes"]["satisfactionLevel"]
    await sandbox.act(conversation, "rate", rating=5)
    commented = (await sandbox.act(conversation, "comment", text="In the end"))["attributes"]["satisfactionLevel"]
    assert (commented["status"], commented["firstAnswer"], commented["rating"]) == ("commented", "In the end", 5)
    [event] = await sandbox.expected_events("csat")
    assert (event["rating"], event["score"], event["occurred_at"], event["channel"]) == (
        3,
        0,
        rated["updatedAt"],
        "chat",
    )
    response = (await sandbox.get(f"/v1/satisfaction-responses/{offered['formResponse']}"))["data"]
    assert response["attributes"] == commented
    assert response["relationships"]["conversation"]["data"]["id"] == conversation["id"]


async def test_a_second_survey_has_its_own_response(sandbox: KustomerSandbox) -> None:
    conversation = await sandbox.create_conversation()
    levels = [
        (await sandbox.act(conversation, "rate", rating=1))["attributes"]["satisfactionLevel"],
        (await sandbox.act(conversation, "survey"))["attributes"]["satisfactionLevel"],
        (await sandbox.act(conversation, "rate", rating=5))["attributes"]["satisfactionLevel"],
    ]
    assert levels[0]["formResponse"] != levels[1]["formResponse"] == levels[2]["formResponse"]
    assert [(event["rating"], event["score"]) for event in await sandbox.expected_events("csat")] == [(1, 0), (5, 1)]
    first = (await sandbox.get(f"/v1/satisfaction-responses/{levels[0]['formResponse']}"))["data"]
    assert first["attributes"]["rating"] == 1


async def test_the_customer_has_copies_of_the_first_and_last_survey(
    sandbox: KustomerSandbox, receiver: WebhookReceiver
) -> None:
    await sandbox.register_webhook(receiver.url)
    conversation = await sandbox.create_conversation()
    await sandbox.act(conversation, "rate", rating=4)
    await sandbox.act(conversation, "survey")
    await sandbox.act(conversation, "rate", rating=2)
    await sandbox.wait_until_delivered()
    latest = max(
        receiver.updates_of("customer.update", "satisfactionLevel"),
        key=lambda event: event["data"]["attributes"]["rev"],
    )
    level = latest["data"]["attributes"]["satisfactionLevel"]
    assert (level["firstSatisfaction"]["rating"], level["lastSatisfaction"]["rating"]) == (4, 2)
    assert level["lastSatisfaction"]["conversation"] == conversation["id"]


async def test_a_comment_before_a_rating_gets_409(sandbox: KustomerSandbox) -> None:
    conversation = await sandbox.create_conversation()
    await sandbox.act(conversation, "survey")
    path = f"/sandbox/conversations/{conversation['id']}/comment"
    assert (await sandbox.request("POST", path, {"text": "?"})).status == 409


async def test_the_customer_has_conversation_counts_by_status(sandbox: KustomerSandbox) -> None:
    customer = await sandbox.create_customer()
    conversations = [await sandbox.create_conversation(customer=customer["id"]) for _ in range(3)]
    await sandbox.act(conversations[0], "done")
    await sandbox.act(conversations[1], "snooze")
    attributes = (await sandbox.get(f"/v1/customers/{customer['id']}"))["data"]["attributes"]
    assert attributes["conversationCounts"] == {"open": 1, "snoozed": 1, "done": 1, "all": 3}


@pytest.mark.parametrize(
    ("contacts", "email"),
    [
        ({"emails": [ADA, "ada@marigold.example"]}, ADA),
        ({"emails": [ADA, {"email": "ada@marigold.example", "verified": True}]}, "ada@marigold.example"),
        ({"emails": [ADA], "sharedEmails": [ADA]}, None),
        ({"sharedEmails": [ADA]}, None),
        ({"phone": "+447400123456"}, None),
    ],
)
async def test_the_expected_email_is_the_first_verified_else_the_first_and_never_shared(
    sandbox: KustomerSandbox, contacts: dict[str, object], email: str | None
) -> None:
    customer = await sandbox.create_customer(**contacts)
    await sandbox.create_conversation(customer=customer["id"], subject="Return label", spam=True)
    [event] = await sandbox.expected_events()
    assert (event["email"], event["phone"]) == (email, contacts.get("phone"))
    assert (event["subject"], event["spam"], event["customer"]) == ("Return label", True, customer["id"])


async def test_expected_events_have_the_current_contacts_of_the_customer(sandbox: KustomerSandbox) -> None:
    customer = await sandbox.create_customer()
    await sandbox.create_conversation(customer=customer["id"])
    assert [event["email"] for event in await sandbox.expected_events()] == [None]
    await sandbox.request("PUT", f"/sandbox/customers/{customer['id']}", {"email": ADA})
    assert [event["email"] for event in await sandbox.expected_events()] == [ADA]


async def test_the_same_brand_name_is_the_same_brand(sandbox: KustomerSandbox) -> None:
    brands = [
        (await sandbox.create_conversation(brand=brand))["relationships"]["brand"]["data"]["id"]
        for brand in ("Teapots", "Teapots", "Lanterns")
    ]
    assert brands[0] == brands[1] != brands[2]
