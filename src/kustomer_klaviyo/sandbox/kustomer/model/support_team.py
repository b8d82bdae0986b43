"""What people do in a support team, and all that Kustomer writes down when they do it, noise included."""

import random
from datetime import datetime
from typing import Any

from kustomer_klaviyo.sandbox.kustomer.model.background_updates import murmur
from kustomer_klaviyo.sandbox.kustomer.model.documents import Document, Message, moment
from kustomer_klaviyo.sandbox.kustomer.model.organisation import Organisation, Told
from kustomer_klaviyo.sandbox.kustomer.simulation.scenario import words

SURVEY_TEXT = "How did we do?"


class Support:
    """The people of one organisation at work."""

    def __init__(self, organisation: Organisation, *, noise: int, chance: random.Random) -> None:
        self._org = organisation
        self._noise = noise
        self._chance = chance

    def open_conversation(
        self,
        customer: Document,
        *,
        channel: str | None = None,
        given: Document | None = None,
        brand: str | None = None,
    ) -> Document:
        """Begin a conversation; its first message comes a moment later, and with it the channel."""
        attributes = dict(given or {})
        is_done = attributes.get("status") == "done"
        if is_done:
            done = self._handling(attributes.get("createdAt") or self._org.now())
            attributes |= {"lastDone": done, "firstDone": done, "doneCount": 1}
            attributes |= {"channels": [channel]} if channel else {}
        conversation = self._org.add_conversation(customer["id"], attributes, brand=brand)
        held = conversation["attributes"]
        self.note("created", conversation, held["createdAt"])
        if is_done:
            self.note("done", conversation, held["lastDone"]["createdAt"])
        self._count(customer, {held["status"]: 1, "all": 1})
        if channel and not is_done:
            self.write(conversation, by_customer=True, channel=channel)
        return conversation

    def write(
        self, conversation: Document, *, by_customer: bool, channel: str | None = None, text: str | None = None
    ) -> Message:
        """Add a message; one from the customer opens a conversation again that was done or snoozed."""
        attributes = conversation["attributes"]
        channel = channel or next(iter(attributes["channels"]), "email")
        text = text or words(attributes["messageCount"], by_customer=by_customer)
        message = Message(self._org.new_id(), self._org.now(), channel, by_customer, text)
        self._record(conversation, message)
        if by_customer and attributes["status"] != "open":
            self.reopen(conversation)
        self._murmur(conversation)
        return message

    def post_survey(self, conversation: Document, channel: str) -> None:
        """Add the message that carries a survey."""
        extra = {"source": "satisfaction"}
        self._record(conversation, Message(self._org.new_id(), self._org.now(), channel, False, SURVEY_TEXT, extra))

    def _record(self, conversation: Document, message: Message) -> None:
        attributes = conversation["attributes"]
        self._org.add_message(conversation, message)
        end, count = ("In", "inboundMessageCount") if message.is_inbound else ("Out", "outboundMessageCount")
        brief = {"id": message.id, "sentAt": message.at, "createdAt": message.at, "channel": message.channel}
        news: Document = {
            "messageCount": attributes["messageCount"] + 1,
            count: attributes[count] + 1,
            f"lastMessage{end}": brief,
            "lastMessageAt": message.at,
            "lastActivityAt": message.at,
            "preview": {"channel": message.channel, "text": message.text, "previewAt": message.at},
        }
        if message.channel not in attributes["channels"]:
            news["channels"] = [*attributes["channels"], message.channel]
        if not attributes[f"firstMessage{end}"].get("id"):
            news[f"firstMessage{end}"] = brief
        self._org.change(conversation, news)

    def mark_done(self, conversation: Document) -> None:
        """Close a conversation, unless it is closed."""
        attributes = conversation["attributes"]
        if attributes["status"] == "done":
            return
        done = self._handling(_after(attributes["lastDone"].get("createdAt"), self._org.now()))
        news: Document = {"lastDone": done, "doneCount": attributes["doneCount"] + 1}
        if "createdAt" not in attributes["firstDone"]:
            news["firstDone"] = done
        # Written down before its webhook leaves: whoever asks then finds it expected.
        self.note("done", conversation, done["createdAt"])
        self._turn(conversation, "done", news, at=done["createdAt"])
        self._murmur(conversation)

    def reopen(self, conversation: Document) -> None:
        """Open a conversation again; when it was last done stays written."""
        attributes = conversation["attributes"]
        if attributes["status"] == "open":
            return
        count = attributes["reopenCount"] + (attributes["status"] == "done")
        self._turn(conversation, "open", {"reopenCount": count}, at=self._org.now())

    def snooze(self, conversation: Document) -> None:
        """Put a conversation aside until later."""
        if conversation["attributes"]["status"] != "snoozed":
            self._turn(conversation, "snoozed", {}, at=self._org.now())

    def mark_spam(self, conversation: Document, *, spam: bool) -> None:
        """Mark a conversation as spam, or no longer."""
        self._org.change(conversation, {"spam": spam})

    def give(self, conversation: Document, customer: Document) -> None:
        """Give a conversation to another customer: its update names the new one, both customers' counts move."""
        former, status = self.customer(conversation), conversation["attributes"]["status"]
        self._org.give(conversation, customer)
        self._count(former, {status: -1, "all": -1})
        self._count(customer, {status: 1, "all": 1})

    def delete(self, conversation: Document, *, is_told: bool) -> None:
        """Delete a conversation: Kustomer has no event for it, so that only the customer's count moves.

        ``is_told`` lets an update with ``deleted`` tell of it, since no text of Kustomer's rules that out.
        """
        status = conversation["attributes"]["status"]
        if is_told:
            self._org.change(conversation, {"deleted": True})
        self._org.delete(conversation)
        self._count(self.customer(conversation), {status: -1, "all": -1})

    def customer(self, conversation: Document) -> Document:
        """Return whose conversation it is."""
        return self._org.customers[conversation["relationships"]["customer"]["data"]["id"]]

    def note(
        self, kind: str, conversation: Document, at: str, *, rating: float | None = None, score: int | None = None
    ) -> None:
        """Remember what truly happened."""
        channel = next(iter(conversation["attributes"]["channels"]), None)
        self._org.truth.append(Told(kind, conversation["id"], at, rating, score, channel))

    def _handling(self, at: str) -> Document:
        around = self._org.around
        return {
            "createdAt": at,
            "createdBy": around.agent,
            "createdByTeams": [around.team],
            "assignedTeams": [around.team],
            "assignedUsers": [around.agent],
            "time": 60_000,
            "businessTime": 60_000,
        }

    def _turn(self, conversation: Document, status: str, news: dict[str, Any], *, at: str) -> None:
        attributes = conversation["attributes"]
        before = attributes["status"]
        history = attributes["modificationHistory"] | {"statusAt": at}
        self._org.change(
            conversation, news | {"status": status, "modificationHistory": history, "lastActivityAt": self._org.now()}
        )
        self._count(self.customer(conversation), {before: -1, status: 1})

    def _count(self, customer: Document, moves: dict[str, int]) -> None:
        counts = customer["attributes"]["conversationCounts"]
        moved = {name: count + moves.get(name, 0) for name, count in counts.items()}
        status = next((name for name in ("open", "snoozed", "done") if moved[name]), None)
        news = {"conversationCounts": moved, "progressiveStatus": status, "lastActivityAt": self._org.now()}
        self._org.change(customer, news, is_edit=False)

    def _murmur(self, conversation: Document) -> None:
        for _ in range(self._noise):
            murmur(self._org, conversation, self.customer(conversation), self._chance)


def _after(last: str | None, now: str) -> str:
    """Return now, or a moment after the last one: however fast it is played, nothing happens twice at once."""
    if last is None:
        return now
    return max(now, moment(datetime.fromisoformat(last).timestamp() + 0.0015))
