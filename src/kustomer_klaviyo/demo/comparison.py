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

PROFILE = "profile"
ID_PROPERTY, OPEN_PROPERTY = "Kustomer Customer ID", "Kustomer Open Conversations"

Row = Mapping[str, Any]
Mark = tuple[str, str, datetime]
"""A kind, a conversation, a second."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome, by kind of event, with every difference in words."""

    by_kind: dict[str, Counter[str]]
    """A line for each kind of event, and one for profiles."""
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
            "events": {kind: dict(self.by_kind[kind]) for kind in METRICS},
            "profiles": dict(self.by_kind[PROFILE]),
            "left_out": self.left_out,
            "problems": self.problems,
        }


@dataclass(frozen=True, slots=True)
class Sides:
    """What the two simulated vendors say."""

    happened: Sequence[Row]
    """``/sandbox/expected`` of Kustomer."""
    customers: Sequence[Row]
    """``/sandbox/expected-customers`` of Kustomer."""
    arrived: Sequence[Row]
    """``/sandbox/events`` of Klaviyo."""
    profiles: Sequence[Row]
    """``/sandbox/profiles`` of Klaviyo."""


def compare(sides: Sides, link_template: str) -> Comparison:
    """Match what happened with what arrived, and the customers with the profiles."""
    events = _compare_events(sides.happened, sides.arrived, link_template)
    line, problems = _compare_people(sides.customers, sides.profiles)
    return Comparison(events.by_kind | {PROFILE: line}, [*events.problems, *problems], events.left_out)


def _compare_people(customers: Sequence[Row], profiles: Sequence[Row]) -> tuple[Counter[str], list[str]]:
    """Every customer with an email or phone is to be one profile, with their names and open conversations."""
    line, problems = Counter({"expected": 0, "found": 0, "missing": 0, "wrong": 0, "doubled": 0}), []
    held: defaultdict[str, list[Row]] = defaultdict(list)
    for profile in profiles:
        held[str(profile["properties"].get(ID_PROPERTY))].append(profile)
    for customer in customers:
        found = held.pop(customer["customer"], [])
        if customer["email"] is None and customer["phone"] is None:
            continue
        differences = _person_differences(customer, found[0]) if found else []
        line += Counter(expected=1, found=min(1, len(found)), missing=not found, wrong=bool(differences))
        line["doubled"] += max(0, len(found) - 1)
        problems += [f"profile of {customer['customer']}: {one}" for one in differences]
        problems += [] if len(found) == 1 else [f"profile of {customer['customer']}: there are {len(found)}"]
    line["doubled"] += sum(map(len, held.values()))
    problems += [f"a profile of {customer} too much" for customer in held]
    return Counter({name: line[name] for name in ("expected", "found", "missing", "wrong", "doubled")}), problems


def _person_differences(customer: Row, profile: Row) -> list[str]:
    wanted = {name: customer[name] for name in ("email", "name")}
    wanted |= {"phone_number": customer["phone"], OPEN_PROPERTY: customer["open"]}
    named = " ".join(filter(None, (profile["first_name"], profile["last_name"]))) or None
    found = {name: profile.get(name, profile["properties"].get(name)) for name in wanted} | {"name": named}
    return [f"{name} is {found[name]!r}, not {value!r}" for name, value in wanted.items() if found[name] != value]


def _compare_events(happened: Sequence[Row], arrived: Sequence[Row], link_template: str) -> Comparison:
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
    """Spam is left out once it is marked, which may come after it was told; so is what is deleted.

    Nobody is told of the unreachable.
    """
    return (
        fact["spam"]
        or fact["imported"]
        or fact.get("deleted", False)
        or (fact["email"] is None and fact["phone"] is None)
    )


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
