"""Satisfaction surveys: offered, rated, commented. Each survey sent has its own response resource.

Rules: help.kustomer.com/en_us/view-satisfaction-surveys-S1_kAtucU and .../how-satisfaction-is-calculated-SJ2o19uqI
"""

from datetime import datetime

from kustomer_klaviyo.sandbox.kustomer.model.documents import Document, format_time, relationship
from kustomer_klaviyo.sandbox.kustomer.model.organisation import Organisation
from kustomer_klaviyo.sandbox.kustomer.model.support_team import SupportTeam

ANSWERED = ("rated", "commented")
MIN_POSITIVE_RATING = 4


class Surveys:
    """The surveys of one organisation."""

    def __init__(self, organisation: Organisation, team: SupportTeam) -> None:
        self._org = organisation
        self._team = team

    def offer(self, conversation: Document) -> None:
        """Send a survey. A conversation may have several."""
        now, references = self._org.now(), self._org.references
        channel = next(iter(conversation["attributes"]["channels"]), "email")
        self._team.send_survey_message(conversation, channel)
        level = {
            "sentByTeams": [references.team],
            "answers": [],
            "formResponse": self._org.new_id(),
            "form": references.queue,
            "channel": channel,
            "status": "offered",
            "scheduledFor": now,
            "createdAt": now,
            "sentAt": now,
            "updatedAt": now,
            "sentBy": references.agent,
        }
        self._save(conversation, level)

    def rate(self, conversation: Document, rating: float) -> None:
        """Record the customer's rating. It counts at once, with or without a comment."""
        if "formResponse" not in conversation["attributes"]["satisfactionLevel"]:
            self.offer(conversation)
        level = conversation["attributes"]["satisfactionLevel"]
        updated_at, score = self._next_time(level), int(rating >= MIN_POSITIVE_RATING)
        changes: Document = {"status": "rated", "rating": rating, "score": score, "updatedAt": updated_at}
        if level["status"] not in ANSWERED:
            self._team.expect("csat", conversation, updated_at, rating=rating, score=score)
        self._save(conversation, level | changes)

    def comment(self, conversation: Document, text: str) -> bool:
        """Add the customer's comment to their rating; False when there is no rating."""
        level = conversation["attributes"]["satisfactionLevel"]
        if level.get("status") not in ANSWERED:
            return False
        answer = {"prompt": "Tell us more", "answer": text, "id": self._org.new_id()}
        changes = {"status": "commented", "firstAnswer": text, "answers": [answer], "updatedAt": self._next_time(level)}
        self._save(conversation, level | changes)
        return True

    def write_result(self, conversation: Document, result: Document) -> None:
        """Write the validated result of a third-party survey tool to the conversation."""
        current = conversation["attributes"]["satisfactionLevel"]
        level = current | result | {"updatedAt": self._next_time(current)}
        if result["status"] in ANSWERED and current.get("status") not in ANSWERED:
            rating, score = level.get("rating"), level.get("score")
            self._team.expect("csat", conversation, level["updatedAt"], rating=rating, score=score)
        self._save(conversation, level)

    def write_raw(self, conversation: Document, changes: Document) -> None:
        """Write to a survey without validation: any time or none, no response id; null removes a field."""
        current = conversation["attributes"]["satisfactionLevel"]
        level = {name: value for name, value in (current | changes).items() if value is not None}
        if "formResponse" in level:
            level.setdefault("form", self._org.references.queue)
        if level.get("status") in ANSWERED and current.get("status") not in ANSWERED:
            occurred_at = level.get("updatedAt") or self._org.now()
            rating, score = level.get("rating"), level.get("score")
            self._team.expect("csat", conversation, occurred_at, rating=rating, score=score)
        self._save(conversation, level)

    def _next_time(self, level: Document) -> str:
        """Return now, but later than the last change of the survey."""
        last = level.get("updatedAt")
        later = format_time(datetime.fromisoformat(last).timestamp() + 0.0015) if last else ""
        return max(self._org.now(), later)

    def _save(self, conversation: Document, level: Document) -> None:
        if "formResponse" in level:
            self._org.surveys[level["formResponse"]] = self._response_resource(conversation, level)
        self._org.update(conversation, {"satisfactionLevel": level})
        customer = self._team.customer(conversation)
        current = customer["attributes"]["satisfactionLevel"]
        copy = level | {"conversation": conversation["id"]}
        changes: Document = {"lastSatisfaction": copy}
        if current["firstSatisfaction"].get("formResponse") in (None, level.get("formResponse")):
            changes["firstSatisfaction"] = copy
        self._org.update(customer, {"satisfactionLevel": current | changes}, is_edit=False)

    def _response_resource(self, conversation: Document, level: Document) -> Document:
        customer = conversation["relationships"]["customer"]
        return {
            "type": "satisfaction_response",
            "id": level["formResponse"],
            "attributes": level,
            "relationships": {
                "conversation": relationship("conversation", conversation["id"], "conversations"),
                "customer": customer,
                "form": relationship("satisfaction", level["form"], "satisfaction"),
                "org": relationship("org", self._org.id, "orgs"),
            },
            "links": {"self": f"/v1/satisfaction-responses/{level['formResponse']}"},
        }
