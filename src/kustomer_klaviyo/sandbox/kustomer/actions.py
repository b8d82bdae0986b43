"""What people do in a support team, and all that Kustomer writes down when they do it, noise included."""

import random
from datetime import datetime
from typing import Any

from kustomer_klaviyo.sandbox.kustomer.documents import Document, moment
from kustomer_klaviyo.sandbox.kustomer.organisation import Organisation, Told

PHONE_CHANNELS = ("sms", "whatsapp", "voice")


class Support:
    """The people of one organisation at work."""

    def __init__(self, organisation: Organisation, *, noise: int, chance: random.Random) -> None:
        self._org = organisation
        self._noise = noise
        self._chance = chance
        self._agent = organisation.new_id()
        self._team = organisation.new_id()

    def open_conversation(
        self,
        customer: Document,
        *,
        subject: str | None = None,
        channel: str | None = None,
        given: Document | None = None,
        brand: str | None = None,
    ) -> Document:
        """Begin a conversation; its first message comes a moment later, and with it the channel."""
        attributes: Document = {"name": subject} if subject else {}
        attributes |= given or {}
        is_done = attributes.get("status") == "done"
        if is_done:
            done = self._done(None)
            attributes |= {"lastDone": done, "firstDone": done, "doneCount": 1}
            if channel is not None:
                attributes["channels"] = [channel]
        conversation = self._org.add_conversation(customer["id"], attributes, brand=brand)
        self._note("created", conversation, conversation["attributes"]["createdAt"])
        if is_done:
            self._note("done", conversation, conversation["attributes"]["lastDone"]["createdAt"])
        self._count(customer, "done" if is_done else "open", 1)
        if channel is not None and not is_done:
            self.write(conversation, by_customer=True, channel=channel)
        self._murmur(conversation, customer)
        return conversation

    def write(self, conversation: Document, *, by_customer: bool, channel: str | None = None) -> None:
        """Add a message; one from the customer opens a done conversation again."""
        attributes = conversation["attributes"]
        channel = channel or next(iter(attributes["channels"]), "email")
        now = self._org.now()
        message = self._org.add_message(
            conversation, {"direction": "in" if by_customer else "out", "channel": channel, "preview": "(text)"}
        )
        brief = {"id": message["id"], "sentAt": now, "createdAt": now, "channel": channel, "meta": {}}
        end = "In" if by_customer else "Out"
        count = "inboundMessageCount" if by_customer else "outboundMessageCount"
        news: Document = {
            "messageCount": attributes["messageCount"] + 1,
            count: attributes[count] + 1,
            f"lastMessage{end}": brief,
            "lastMessageAt": now,
            "lastActivityAt": now,
            "preview": {"channel": channel, "text": "(text)", "type": "message_in", "previewAt": now},
        }
        if channel not in attributes["channels"]:
            news["channels"] = [*attributes["channels"], channel]
        if not attributes[f"firstMessage{end}"].get("id"):
            news[f"firstMessage{end}"] = brief
        self._org.change(conversation, news)
        if by_customer and attributes["status"] == "done":
            self.reopen(conversation)
        self._murmur(conversation, self._customer(conversation))

    def mark_done(self, conversation: Document) -> None:
        """Close a conversation."""
        if conversation["attributes"]["status"] == "done":
            return
        done = self._done(conversation)
        attributes = conversation["attributes"]
        news = self._status(conversation, "done") | {
            "lastDone": done,
            "doneCount": attributes["doneCount"] + 1,
        }
        if "createdAt" not in attributes["firstDone"]:
            news["firstDone"] = done
        news["modificationHistory"]["statusAt"] = done["createdAt"]
        self._org.change(conversation, news)
        self._note("done", conversation, done["createdAt"])
        self._move(conversation, "open", "done")
        self._murmur(conversation, self._customer(conversation))

    def reopen(self, conversation: Document) -> None:
        """Open a done conversation again; when it was last done stays written."""
        if conversation["attributes"]["status"] != "done":
            return
        count = conversation["attributes"]["reopenCount"] + 1
        self._org.change(conversation, self._status(conversation, "open") | {"reopenCount": count})
        self._move(conversation, "done", "open")

    def mark_spam(self, conversation: Document, *, spam: bool) -> None:
        """Mark a conversation as spam, or no longer."""
        self._org.change(conversation, {"spam": spam})

    def offer_survey(self, conversation: Document) -> None:
        """Send a satisfaction survey; each one sent has a response of its own."""
        now = self._org.now()
        channel = next(iter(conversation["attributes"]["channels"]), "email")
        level = {
            "sentByTeams": [self._team],
            "answers": [],
            "formResponse": self._org.new_id(),
            "form": self._team,
            "channel": channel,
            "status": "offered",
            "scheduledFor": now,
            "createdAt": now,
            "sentAt": now,
            "updatedAt": now,
            "sentBy": self._agent,
        }
        self._set_survey(conversation, level)

    def rate(self, conversation: Document, rating: int) -> None:
        """Let the customer click a rating: it counts at once, whether or not they go on to comment."""
        if "formResponse" not in conversation["attributes"]["satisfactionLevel"]:
            self.offer_survey(conversation)
        level = conversation["attributes"]["satisfactionLevel"]
        now = self._org.now()
        first = level["status"] not in ("rated", "commented")
        news = {"status": "rated", "rating": rating, "score": int(rating >= 4), "updatedAt": now}
        self._set_survey(conversation, level | news)
        if first:
            self._note("csat", conversation, now, rating=rating)

    def comment(self, conversation: Document, text: str) -> None:
        """Let the customer add words to their rating."""
        level = conversation["attributes"]["satisfactionLevel"]
        answer = {"prompt": "Tell us more", "answer": text, "id": self._org.new_id()}
        news = {"status": "commented", "firstAnswer": text, "answers": [answer], "updatedAt": self._org.now()}
        self._set_survey(conversation, level | news)

    def _set_survey(self, conversation: Document, level: Document) -> None:
        self._org.change(conversation, {"satisfactionLevel": level})
        customer = self._customer(conversation)
        held = customer["attributes"]["satisfactionLevel"]
        mirrored = level | {"conversation": conversation["id"]}
        news = {"lastSatisfaction": mirrored}
        if "formResponse" not in held["firstSatisfaction"]:
            news["firstSatisfaction"] = mirrored
        self._org.change(customer, {"satisfactionLevel": held | news}, is_edit=False)

    def _done(self, conversation: Document | None) -> Document:
        at = self._org.now()
        if conversation is not None:
            # However fast it is played, no conversation is closed twice in one millisecond.
            last = conversation["attributes"]["lastDone"].get("createdAt", "")
            at = max(at, moment(datetime.fromisoformat(last).timestamp() + 0.0011)) if last else at
        return {
            "createdAt": at,
            "createdBy": self._agent,
            "createdByTeams": [self._team],
            "assignedTeams": [self._team],
            "assignedUsers": [self._agent],
            "time": 60_000,
            "businessTime": 60_000,
        }

    def _status(self, conversation: Document, status: str) -> dict[str, Any]:
        now = self._org.now()
        history = conversation["attributes"]["modificationHistory"] | {"statusAt": now}
        return {"status": status, "modificationHistory": history, "lastActivityAt": now}

    def _customer(self, conversation: Document) -> Document:
        return self._org.customers[conversation["relationships"]["customer"]["data"]["id"]]

    def _note(self, kind: str, conversation: Document, at: str, *, rating: int | None = None) -> None:
        channel = next(iter(conversation["attributes"]["channels"]), None)
        self._org.truth.append(Told(kind, conversation["id"], at, rating, channel))

    def _count(self, customer: Document, status: str, change: int) -> None:
        counts = dict(customer["attributes"]["conversationCounts"])
        counts[status] += change
        counts["all"] += change
        self._org.change(customer, {"conversationCounts": counts, "lastActivityAt": self._org.now()}, is_edit=False)

    def _move(self, conversation: Document, before: str, after: str) -> None:
        customer = self._customer(conversation)
        counts = dict(customer["attributes"]["conversationCounts"])
        counts[before] -= 1
        counts[after] += 1
        self._org.change(customer, {"conversationCounts": counts, "progressiveStatus": after}, is_edit=False)

    def _murmur(self, conversation: Document, customer: Document) -> None:
        """Write what workers and agents write all day: routing, tags, activity; it tells nothing new."""
        for _ in range(self._noise):
            match self._chance.randrange(4):
                case 0:
                    self._org.change(customer, {"lastActivityAt": self._org.now()}, is_edit=False)
                case 1:
                    tags = conversation["attributes"]["tags"]
                    self._org.change(conversation, {"tags": [*tags[-4:], self._team]})
                case 2:
                    self._org.change(conversation, {"assignedUsers": [self._agent], "assignedTeams": [self._team]})
                case _:
                    self._org.change(
                        conversation, {"lastActivityAt": self._org.now(), "phase": "active"}, is_edit=False
                    )
