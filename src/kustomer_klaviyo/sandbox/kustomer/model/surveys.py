"""Satisfaction surveys: offered, rated, commented; each one sent has a response of its own.

Rules: help.kustomer.com/en_us/view-satisfaction-surveys-S1_kAtucU and .../how-satisfaction-is-calculated-SJ2o19uqI
"""

from datetime import datetime

from kustomer_klaviyo.sandbox.kustomer.model.documents import Document, moment, related
from kustomer_klaviyo.sandbox.kustomer.model.organisation import Organisation
from kustomer_klaviyo.sandbox.kustomer.model.support_team import Support

ANSWERED = ("rated", "commented")
LEAST_POSITIVE = 4


class Surveys:
    """The surveys of one organisation."""

    def __init__(self, organisation: Organisation, support: Support) -> None:
        self._org = organisation
        self._support = support

    def offer(self, conversation: Document) -> None:
        """Send a survey, whether or not there was one before."""
        now, around = self._org.now(), self._org.around
        channel = next(iter(conversation["attributes"]["channels"]), "email")
        self._support.post_survey(conversation, channel)
        level = {
            "sentByTeams": [around.team],
            "answers": [],
            "formResponse": self._org.new_id(),
            "form": around.queue,
            "channel": channel,
            "status": "offered",
            "scheduledFor": now,
            "createdAt": now,
            "sentAt": now,
            "updatedAt": now,
            "sentBy": around.agent,
        }
        self._write(conversation, level)

    def rate(self, conversation: Document, rating: float) -> None:
        """Let the customer click a rating: it counts at once, whether or not they go on to comment."""
        if "formResponse" not in conversation["attributes"]["satisfactionLevel"]:
            self.offer(conversation)
        level = conversation["attributes"]["satisfactionLevel"]
        at = self._moment(level)
        news: Document = {"status": "rated", "rating": rating, "score": int(rating >= LEAST_POSITIVE), "updatedAt": at}
        if level["status"] not in ANSWERED:
            self._support.note("csat", conversation, at, rating=rating, score=news["score"])
        self._write(conversation, level | news)

    def comment(self, conversation: Document, text: str) -> bool:
        """Let the customer add words to their rating; False when there is none."""
        level = conversation["attributes"]["satisfactionLevel"]
        if level.get("status") not in ANSWERED:
            return False
        answer = {"prompt": "Tell us more", "answer": text, "id": self._org.new_id()}
        news = {"status": "commented", "firstAnswer": text, "answers": [answer], "updatedAt": self._moment(level)}
        self._write(conversation, level | news)
        return True

    def overwrite(self, conversation: Document, written: Document) -> None:
        """Let a third-party survey tool write its result upon the conversation."""
        held = conversation["attributes"]["satisfactionLevel"]
        level = held | written | {"updatedAt": self._moment(held)}
        if written["status"] in ANSWERED and held.get("status") not in ANSWERED:
            rating, score = level.get("rating"), level.get("score")
            self._support.note("csat", conversation, level["updatedAt"], rating=rating, score=score)
        self._write(conversation, level)

    def write(self, conversation: Document, level: Document) -> None:
        """Write upon a survey as it comes, as tools may: any time, none, no response id; null takes a part away."""
        held = conversation["attributes"]["satisfactionLevel"]
        written = {name: value for name, value in (held | level).items() if value is not None}
        if "formResponse" in written:
            written.setdefault("form", self._org.around.queue)
        if written.get("status") in ANSWERED and held.get("status") not in ANSWERED:
            at = written.get("updatedAt") or self._org.now()
            rating, score = written.get("rating"), written.get("score")
            self._support.note("csat", conversation, at, rating=rating, score=score)
        self._write(conversation, written)

    def _moment(self, level: Document) -> str:
        """Return now, or a moment after the survey last changed."""
        last = level.get("updatedAt")
        later = moment(datetime.fromisoformat(last).timestamp() + 0.0015) if last else ""
        return max(self._org.now(), later)

    def _write(self, conversation: Document, level: Document) -> None:
        if "formResponse" in level:
            self._org.surveys[level["formResponse"]] = self._resource(conversation, level)
        self._org.change(conversation, {"satisfactionLevel": level})
        customer = self._support.customer(conversation)
        held = customer["attributes"]["satisfactionLevel"]
        mirrored = level | {"conversation": conversation["id"]}
        news: Document = {"lastSatisfaction": mirrored}
        if held["firstSatisfaction"].get("formResponse") in (None, level.get("formResponse")):
            news["firstSatisfaction"] = mirrored
        self._org.change(customer, {"satisfactionLevel": held | news}, is_edit=False)

    def _resource(self, conversation: Document, level: Document) -> Document:
        customer = conversation["relationships"]["customer"]
        return {
            "type": "satisfaction_response",
            "id": level["formResponse"],
            "attributes": level,
            "relationships": {
                "conversation": related("conversation", conversation["id"], "conversations"),
                "customer": customer,
                "form": related("satisfaction", level["form"], "satisfaction"),
                "org": related("org", self._org.id, "orgs"),
            },
            "links": {"self": f"/v1/satisfaction-responses/{level['formResponse']}"},
        }
