"""What the simulated Klaviyo holds against what the simulated Kustomer did. Pure."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

METRICS = {
    "created": "Kustomer Conversation Create",
    "done": "Kustomer Conversation Done",
    "csat": "Kustomer Conversation CSAT Submitted",
}
KINDS = {metric: kind for kind, metric in METRICS.items()}

Row = Mapping[str, Any]
Mark = tuple[str, str, datetime]
"""A kind, a conversation, a second."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome, by kind of event, with every difference in words."""

    by_kind: dict[str, Counter[str]]
    problems: list[str]
    left_out: int

    @property
    def is_good(self) -> bool:
        """Whether every expected event is there exactly once, with the right properties and time, and nothing else."""
        return not self.problems

    def document(self) -> dict[str, Any]:
        """Return the comparison for a program."""
        return {
            "ok": self.is_good,
            "events": {kind: dict(line) for kind, line in self.by_kind.items()},
            "left_out": self.left_out,
            "problems": self.problems,
        }


def compare(happened: Sequence[Row], arrived: Sequence[Row], link_template: str) -> Comparison:
    """Match what happened with what arrived."""
    by_kind = {kind: Counter({"expected": 0, "found": 0, "missing": 0, "wrong": 0, "doubled": 0}) for kind in METRICS}
    problems: list[str] = []
    found: defaultdict[Mark, list[Row]] = defaultdict(list)
    for event in arrived:
        found[_mark_of_event(event)].append(event)
    optional = [fact for fact in happened if _may_be_left_out(fact)]
    for fact in happened:
        if _may_be_left_out(fact):
            continue
        line, mark = by_kind[fact["kind"]], _mark(fact)
        differences = _match(fact, found[mark], link_template)
        line["expected"] += 1
        line["found"] += differences is not None
        line["missing"] += differences is None
        line["wrong"] += bool(differences)
        problems += [_say(mark, one) for one in (["missing"] if differences is None else differences)]
    for fact in optional:
        _match(fact, found[_mark(fact)], link_template)
    for mark, surplus in found.items():
        if mark[0] in by_kind:
            by_kind[mark[0]]["doubled"] += len(surplus)
        problems += [_say(mark, "once too often")] * len(surplus)
    return Comparison(by_kind, problems, len(optional))


def _match(fact: Row, candidates: list[Row], link_template: str) -> list[str] | None:
    """Take the event that tells of the fact out of the candidates; returns how it differs, None when there is none."""
    if not candidates:
        return None
    differing = [(_differences(fact, event, link_template), index) for index, event in enumerate(candidates)]
    differences, index = min(differing, key=lambda pair: len(pair[0]))
    del candidates[index]
    return differences


def _say(mark: Mark, text: str) -> str:
    kind, conversation, second = mark
    return f"{kind} of {conversation} at {second:%Y-%m-%d %H:%M:%S}: {text}"


def _may_be_left_out(fact: Row) -> bool:
    """Spam is left out once it is marked, which may come after it was told; nobody is told of the unreachable."""
    return fact["spam"] or fact["imported"] or (fact["email"] is None and fact["phone"] is None)


def _mark(fact: Row) -> Mark:
    return fact["kind"], fact["conversation"], _second(fact["at"])


def _mark_of_event(event: Row) -> Mark:
    conversation = str(event["properties"].get("conversationId"))
    metric = str(event["metric"])
    return KINDS.get(metric, metric), conversation, _second(event["datetime"])


def _second(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC).replace(microsecond=0)


def _differences(fact: Row, event: Row, link_template: str) -> list[str]:
    wanted: dict[str, Any] = {
        "conversationId": fact["conversation"],
        "conversationLink": link_template.replace("{customerId}", fact["customer"]).replace(
            "{conversationId}", fact["conversation"]
        ),
        "subject": fact["subject"],
    }
    if fact["kind"] != "created":
        wanted["conversationChannel"] = fact["channel"]
    if fact["kind"] == "csat":
        # The number 0 does not survive in Klaviyo; its text does.
        wanted |= {"rating": fact["rating"], "score": fact["score"] or None, "scoreText": str(fact["score"])}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    held = {name: value for name, value in event["properties"].items() if not name.startswith("$")}
    differences = [
        f"{name} is {held.get(name)!r}, not {wanted.get(name)!r}"
        for name in sorted(held.keys() | wanted.keys())
        if held.get(name) != wanted.get(name)
    ]
    who = ("email", "email") if fact["email"] else ("phone_number", "phone")
    if event[who[0]] != fact[who[1]]:
        differences.append(f"{who[0]} is {event[who[0]]!r}, not {fact[who[1]]!r}")
    return differences
