"""Compares what the simulated Klaviyo holds with what happened in the simulated Kustomer. Pure."""

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
COUNTS = ("expected", "found", "missing", "wrong", "duplicate")

Row = Mapping[str, Any]
EventKey = tuple[str, str, datetime]
"""A kind, a conversation, and a time in whole seconds."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result by kind, with a sentence for each difference."""

    by_kind: dict[str, Counter[str]]
    """The ``COUNTS`` of each kind of event, and of profiles."""
    differences: list[str]
    optional: int
    """Facts that may be sent or skipped, such as those of conversations marked as spam later."""

    @property
    def is_good(self) -> bool:
        """Whether every expected event is there exactly once, with the right properties and time, and nothing else."""
        return not self.differences

    def document(self) -> dict[str, Any]:
        """Return the comparison as a JSON document."""
        return {
            "ok": self.is_good,
            "events": {kind: dict(self.by_kind[kind]) for kind in METRICS},
            "profiles": dict(self.by_kind[PROFILE]),
            "optional": self.optional,
            "differences": self.differences,
        }


@dataclass(frozen=True, slots=True)
class SandboxState:
    """What both simulated vendors report."""

    expected_events: Sequence[Row]
    """``/sandbox/expected-events`` of Kustomer."""
    expected_customers: Sequence[Row]
    """``/sandbox/expected-customers`` of Kustomer."""
    actual_events: Sequence[Row]
    """``/sandbox/events`` of Klaviyo."""
    actual_profiles: Sequence[Row]
    """``/sandbox/profiles`` of Klaviyo."""


def compare(state: SandboxState, conversation_link: str) -> Comparison:
    """Compare expected and actual events, and customers and profiles."""
    events = _compare_events(state.expected_events, state.actual_events, conversation_link)
    counts, differences = _compare_profiles(state.expected_customers, state.actual_profiles)
    return Comparison(events.by_kind | {PROFILE: counts}, [*events.differences, *differences], events.optional)


def _compare_profiles(customers: Sequence[Row], profiles: Sequence[Row]) -> tuple[Counter[str], list[str]]:
    """Each customer with an email or phone must be one profile, with the right name and open conversations."""
    counts, differences = Counter(dict.fromkeys(COUNTS, 0)), []
    by_customer: defaultdict[str, list[Row]] = defaultdict(list)
    for profile in profiles:
        by_customer[str(profile["properties"].get(ID_PROPERTY))].append(profile)
    for customer in customers:
        own = by_customer.pop(customer["customer"], [])
        if customer["email"] is None and customer["phone"] is None:
            continue
        wrong = _profile_differences(customer, own[0]) if own else []
        counts.update(expected=1, found=min(1, len(own)), missing=not own, wrong=bool(wrong))
        counts["duplicate"] += max(0, len(own) - 1)
        differences += [f"profile of {customer['customer']}: {difference}" for difference in wrong]
        differences += [] if len(own) == 1 else [f"profile of {customer['customer']}: there are {len(own)}"]
    counts["duplicate"] += sum(map(len, by_customer.values()))
    differences += [f"profile of {customer}: unexpected" for customer in by_customer]
    return counts, differences


def _profile_differences(customer: Row, profile: Row) -> list[str]:
    expected = {name: customer[name] for name in ("email", "name")}
    expected |= {"phone_number": customer["phone"], OPEN_PROPERTY: customer["open_count"]}
    full_name = " ".join(filter(None, (profile["first_name"], profile["last_name"]))) or None
    actual = {name: profile.get(name, profile["properties"].get(name)) for name in expected} | {"name": full_name}
    return _property_differences(expected, actual)


def _property_differences(expected: Row, actual: Row) -> list[str]:
    return [
        f"{name} is {actual.get(name)!r}, not {expected.get(name)!r}"
        for name in sorted(actual.keys() | expected.keys())
        if actual.get(name) != expected.get(name)
    ]


def _compare_events(facts: Sequence[Row], events: Sequence[Row], conversation_link: str) -> Comparison:
    by_kind = {kind: Counter(dict.fromkeys(COUNTS, 0)) for kind in METRICS}
    differences: list[str] = []
    candidates: defaultdict[EventKey, list[Row]] = defaultdict(list)
    for event in events:
        candidates[_key_of_event(event)].append(event)
    required = [fact for fact in facts if not _is_optional(fact)]
    optional = [fact for fact in facts if _is_optional(fact)]
    for fact in required:
        key = _key_of_fact(fact)
        wrong = _take_match(fact, candidates[key], conversation_link)
        by_kind[fact["kind"]].update(expected=1, found=wrong is not None, missing=wrong is None, wrong=bool(wrong))
        differences += [_sentence(key, text) for text in (["missing"] if wrong is None else wrong)]
    for fact in optional:
        _take_match(fact, candidates[_key_of_fact(fact)], conversation_link)
    for key, surplus in candidates.items():
        if key[0] in by_kind:
            by_kind[key[0]]["duplicate"] += len(surplus)
        differences += [_sentence(key, "duplicate or unexpected")] * len(surplus)
    return Comparison(by_kind, differences, len(optional))


def _take_match(fact: Row, candidates: list[Row], conversation_link: str) -> list[str] | None:
    """Remove the best match from the candidates. Returns its differences, or None if there is no candidate."""
    if not candidates:
        return None
    differing = [(_event_differences(fact, event, conversation_link), index) for index, event in enumerate(candidates)]
    differences, index = min(differing, key=lambda pair: len(pair[0]))
    del candidates[index]
    return differences


def _sentence(key: EventKey, text: str) -> str:
    kind, conversation, second = key
    return f"{kind} of {conversation} at {second:%Y-%m-%d %H:%M:%S}: {text}"


def _is_optional(fact: Row) -> bool:
    """Return whether the event may be missing: marked as spam or deleted (perhaps after it was sent), or no contact."""
    is_skipped = fact["spam"] or fact["imported"] or fact.get("deleted", False)
    return is_skipped or (fact["email"] is None and fact["phone"] is None)


def _key_of_fact(fact: Row) -> EventKey:
    return fact["kind"], fact["conversation"], _second(fact["occurred_at"])


def _key_of_event(event: Row) -> EventKey:
    conversation = str(event["properties"].get("conversationId"))
    metric = str(event["metric"])
    return KINDS.get(metric, metric), conversation, _second(event["datetime"])


def _second(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC).replace(microsecond=0)


def _event_differences(fact: Row, event: Row, conversation_link: str) -> list[str]:
    link = conversation_link.replace("{customerId}", fact["customer"])
    expected: dict[str, Any] = {
        "conversationId": fact["conversation"],
        "conversationLink": link.replace("{conversationId}", fact["conversation"]),
        "subject": fact["subject"],
    }
    if fact["kind"] != "created":
        expected["conversationChannel"] = fact["channel"]
    if fact["kind"] == "csat":
        # Klaviyo drops the number 0; the text survives.
        expected |= {"rating": fact["rating"], "score": fact["score"] or None, "scoreText": str(fact["score"])}
    expected = {name: value for name, value in expected.items() if value is not None}
    actual = {name: value for name, value in event["properties"].items() if not name.startswith("$")}
    contact, source = ("email", "email") if fact["email"] else ("phone_number", "phone")
    return _property_differences(expected | {contact: fact[source]}, actual | {contact: event[contact]})
