"""Actions of a support team and its customers, with every update that Kustomer makes as a result."""

import random
from datetime import datetime
from typing import Any

from kustomer_klaviyo.sandbox.kustomer.model.background_updates import add_background_update
from kustomer_klaviyo.sandbox.kustomer.model.documents import ConversationMessage, Document, format_time
from kustomer_klaviyo.sandbox.kustomer.model.organisation import ExpectedEvent, Organisation
from kustomer_klaviyo.sandbox.kustomer.model.sample_texts import message_text

SURVEY_TEXT = "How did we do?"


class SupportTeam:
    """The support team of one organisation."""

    def __init__(self, organisation: Organisation, *, background_updates: int, rng: random.Random) -> None:
        self._org = organisation
        self._background_updates = background_updates
        self._rng = rng

    def open_conversation(
        self,
        customer: Document,
        *,
        channel: str | None = None,
        fields: Document | None = None,
        brand: str | None = None,
    ) -> Document:
        """Create a conversation. Its first message follows, and sets the channel."""
        attributes = dict(fields or {})
        is_done = attributes.get("status") == "done"
        if is_done:
            done = self._handled(attributes.get("createdAt") or self._org.now())
            attributes |= {"lastDone": done, "firstDone": done, "doneCount": 1}
            attributes |= {"channels": [channel]} if channel else {}
        conversation = self._org.add_conversation(customer["id"], attributes, brand=brand)
        created = conversation["attributes"]
        self.expect("created", conversation, created["createdAt"])
        if is_done:
            self.expect("done", conversation, created["lastDone"]["createdAt"])
        self._adjust_counts(customer, {created["status"]: 1, "all": 1})
        if channel and not is_done:
            self.send_message(conversation, by_customer=True, channel=channel)
        return conversation

    def send_message(
        self, conversation: Document, *, by_customer: bool, channel: str | None = None, text: str | None = None
    ) -> ConversationMessage:
        """Add a message. A message from the customer reopens a done or snoozed conversation."""
        attributes = conversation["attributes"]
        channel = channel or next(iter(attributes["channels"]), "email")
        text = text or message_text(attributes["messageCount"], by_customer=by_customer)
        message = ConversationMessage(self._org.new_id(), self._org.now(), channel, by_customer, text)
        self._add_message(conversation, message)
        if by_customer and attributes["status"] != "open":
            self.reopen(conversation)
        self._add_background_updates(conversation)
        return message

    def send_survey_message(self, conversation: Document, channel: str) -> None:
        """Add the message that contains a survey."""
        extra = {"source": "satisfaction"}
        message = ConversationMessage(self._org.new_id(), self._org.now(), channel, False, SURVEY_TEXT, extra)
        self._add_message(conversation, message)

    def _add_message(self, conversation: Document, message: ConversationMessage) -> None:
        attributes = conversation["attributes"]
        self._org.add_message(conversation, message)
        direction, count = ("In", "inboundMessageCount") if message.is_inbound else ("Out", "outboundMessageCount")
        summary = {
            "id": message.id,
            "sentAt": message.sent_at,
            "createdAt": message.sent_at,
            "channel": message.channel,
        }
        changes: Document = {
            "messageCount": attributes["messageCount"] + 1,
            count: attributes[count] + 1,
            f"lastMessage{direction}": summary,
            "lastMessageAt": message.sent_at,
            "lastActivityAt": message.sent_at,
            "preview": {"channel": message.channel, "text": message.text, "previewAt": message.sent_at},
        }
        if message.channel not in attributes["channels"]:
            changes["channels"] = [*attributes["channels"], message.channel]
        if not attributes[f"firstMessage{direction}"].get("id"):
            changes[f"firstMessage{direction}"] = summary
        self._org.update(conversation, changes)

    def mark_done(self, conversation: Document) -> None:
        """Set a conversation to done, unless it is done."""
        attributes = conversation["attributes"]
        if attributes["status"] == "done":
            return
        done = self._handled(_strictly_after(attributes["lastDone"].get("createdAt"), self._org.now()))
        changes: Document = {"lastDone": done, "doneCount": attributes["doneCount"] + 1}
        if "createdAt" not in attributes["firstDone"]:
            changes["firstDone"] = done
        # Recorded before the webhook is sent, so that a test that receives it finds the event expected.
        self.expect("done", conversation, done["createdAt"])
        self._set_status(conversation, "done", changes, changed_at=done["createdAt"])
        self._add_background_updates(conversation)

    def reopen(self, conversation: Document) -> None:
        """Reopen a conversation; ``lastDone`` is kept."""
        attributes = conversation["attributes"]
        if attributes["status"] == "open":
            return
        count = attributes["reopenCount"] + (attributes["status"] == "done")
        self._set_status(conversation, "open", {"reopenCount": count}, changed_at=self._org.now())

    def snooze(self, conversation: Document) -> None:
        """Snooze a conversation."""
        if conversation["attributes"]["status"] != "snoozed":
            self._set_status(conversation, "snoozed", {}, changed_at=self._org.now())

    def mark_spam(self, conversation: Document, *, spam: bool) -> None:
        """Mark a conversation as spam, or remove the mark."""
        self._org.update(conversation, {"spam": spam})

    def move(self, conversation: Document, customer: Document) -> None:
        """Move a conversation to another customer, and adjust the counts of both."""
        former, status = self.customer(conversation), conversation["attributes"]["status"]
        self._org.move_conversation(conversation, customer)
        self._adjust_counts(former, {status: -1, "all": -1})
        self._adjust_counts(customer, {status: 1, "all": 1})

    def delete(self, conversation: Document, *, announce: bool) -> None:
        """Delete a conversation. Kustomer has no event for deletions; only the customer's counts change.

        ``announce`` adds an update with ``deleted``, since Kustomer's documentation does not rule it out.
        """
        status = conversation["attributes"]["status"]
        if announce:
            self._org.update(conversation, {"deleted": True})
        self._org.delete(conversation)
        self._adjust_counts(self.customer(conversation), {status: -1, "all": -1})

    def customer(self, conversation: Document) -> Document:
        """Return the customer of a conversation."""
        return self._org.customers[conversation["relationships"]["customer"]["data"]["id"]]

    def expect(
        self,
        kind: str,
        conversation: Document,
        occurred_at: str,
        *,
        rating: float | None = None,
        score: int | None = None,
    ) -> None:
        """Add an event to the expected events."""
        channel = next(iter(conversation["attributes"]["channels"]), None)
        event = ExpectedEvent(kind, conversation["id"], occurred_at, rating, score, channel)
        self._org.expected_events.append(event)

    def _handled(self, at: str) -> Document:
        """Return a reference to a team's action, such as ``lastDone``."""
        references = self._org.references
        return {
            "createdAt": at,
            "createdBy": references.agent,
            "createdByTeams": [references.team],
            "assignedTeams": [references.team],
            "assignedUsers": [references.agent],
            "time": 60_000,
            "businessTime": 60_000,
        }

    def _set_status(self, conversation: Document, status: str, changes: dict[str, Any], *, changed_at: str) -> None:
        attributes = conversation["attributes"]
        before = attributes["status"]
        history = attributes["modificationHistory"] | {"statusAt": changed_at}
        changes |= {"status": status, "modificationHistory": history, "lastActivityAt": self._org.now()}
        self._org.update(conversation, changes)
        self._adjust_counts(self.customer(conversation), {before: -1, status: 1})

    def _adjust_counts(self, customer: Document, deltas: dict[str, int]) -> None:
        before = customer["attributes"]["conversationCounts"]
        counts = {name: count + deltas.get(name, 0) for name, count in before.items()}
        status = next((name for name in ("open", "snoozed", "done") if counts[name]), None)
        changes = {"conversationCounts": counts, "progressiveStatus": status, "lastActivityAt": self._org.now()}
        self._org.update(customer, changes, is_edit=False)

    def _add_background_updates(self, conversation: Document) -> None:
        for _ in range(self._background_updates):
            add_background_update(self._org, conversation, self.customer(conversation), self._rng)


def _strictly_after(last: str | None, now: str) -> str:
    """Return now, but at least 1.5 ms after ``last``, so that no two events have the same time."""
    if last is None:
        return now
    return max(now, format_time(datetime.fromisoformat(last).timestamp() + 0.0015))
