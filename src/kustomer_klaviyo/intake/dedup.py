"""What of an arriving event is news to us: decided at the door, before anything is written. Pure but for its memory."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from kustomer_klaviyo.connections.registry import Joined
from kustomer_klaviyo.facts import Fact, SatisfactionAnswered
from kustomer_klaviyo.intake.lru_cache import Memory
from kustomer_klaviyo.kustomer.interpret import Statement
from kustomer_klaviyo.planning.event_planner import held_by
from kustomer_klaviyo.planning.identity import fingerprint
from kustomer_klaviyo.store.lookups import Kind

Pair = tuple[str, str]
"""A connection and a fact's key, or a connection and a customer."""

TOLD, HELD = "told", "held"
"""A key that is told for good, and one that a setting holds back until a newer observation releases it."""


class Mark(msgspec.Struct, frozen=True):
    """A key that an event states."""

    pair: Pair
    standing: str
    """``TOLD``, or ``HELD`` when a setting would hold it back."""
    instead: Pair | None = None
    """Another key that says the same just as well."""


class Sighting(msgspec.Struct, frozen=True):
    """A customer or a conversation as an event shows it."""

    pair: Pair
    rev: int
    fingerprint: str


class Told(msgspec.Struct, frozen=True):
    """All that decides whether an event is news."""

    marks: tuple[Mark, ...]
    sighting: Sighting | None
    turn: Sighting | None = None
    """Whether the conversation is open, as the event shows it."""

    @property
    def objects(self) -> list[tuple[Kind, Pair]]:
        """What the event shows."""
        seen = ((Kind.CUSTOMER, self.sighting), (Kind.CONVERSATION, self.turn))
        return [(kind, one.pair) for kind, one in seen if one is not None]


@dataclass(frozen=True, slots=True)
class Advance:
    """A customer or a conversation seen unchanged at a newer revision."""

    kind: Kind
    sighting: Sighting
    since: int
    """The revision at which it was remembered so."""


def told_by(joined: Joined, statement: Statement) -> Told:
    """Return what an event tells, in the door's terms."""
    connection_id, rules = joined.connection.id, joined.rules
    marks = [Mark((connection_id, _key(fact)), HELD if held_by(fact, rules) else TOLD) for fact in statement.facts]
    hint, person = statement.hint, statement.person
    if hint is not None and hint.at >= rules.horizon:
        # The hint itself is durable under a key of its own: the fact it speaks of is still to be told.
        marks.append(Mark((connection_id, f"hinted:{hint.key}"), TOLD, instead=(connection_id, hint.key)))
    seen = statement.seen
    turn = None
    # Of what closed before the horizon, and has nothing to tell, there is nothing to keep: it was not counted as open.
    if seen is not None and (seen.is_open or seen.since >= rules.horizon or marks):
        turn = Sighting((connection_id, seen.conversation.id), seen.conversation.rev, seen.fingerprint)
    if person is None:
        return Told(tuple(marks), None, turn)
    sighting = Sighting((connection_id, person.customer_id), person.rev, fingerprint(person, rules))
    return Told(tuple(marks), sighting, turn)


def _key(fact: Fact) -> str:
    """Return by what the door knows a fact: of an answer without a name, whatever tells it from another."""
    if isinstance(fact, SatisfactionAnswered) and fact.response is None:
        return fact.evidence
    return fact.key


class Doorkeeper:
    """Remembers which keys are durable and which identity each customer was last seen with."""

    def __init__(
        self,
        keys: Memory[str] | None = None,
        people: Memory[tuple[int, str]] | None = None,
        conversations: Memory[tuple[int, str]] | None = None,
    ) -> None:
        self._keys = Memory[str]() if keys is None else keys
        self._people = Memory[tuple[int, str]]() if people is None else people
        self._conversations = Memory[tuple[int, str]]() if conversations is None else conversations

    def draft(self) -> "Doorkeeper":
        """Return one that knows the same and may learn what is not durable yet, to be thrown away afterwards."""
        return Doorkeeper(Memory(below=self._keys), Memory(below=self._people), Memory(below=self._conversations))

    def is_news(self, told: Told) -> bool:
        """Say whether an event tells anything that is not durable yet, by what is remembered."""
        return (
            any(map(self._is_untold, told.marks))
            or _is_new(told.sighting, self._people)
            or _is_new(told.turn, self._conversations)
        )

    def advance(self, told: Told) -> Iterator[Advance]:
        """Yield, and remember, what an event shows unchanged at a newer revision: what is older stays older."""
        for kind, sighting, memory in (
            (Kind.CUSTOMER, told.sighting, self._people),
            (Kind.CONVERSATION, told.turn, self._conversations),
        ):
            known = None if sighting is None else memory.get(sighting.pair)
            if sighting is None or known is None:
                continue
            if known[0] < sighting.rev and known[1] == sighting.fingerprint:
                _remember(sighting, memory)
                yield Advance(kind, sighting, known[0])

    def unknown_keys(self, told: Told) -> list[Pair]:
        """Return the keys of which only the database can say whether they are told."""
        return [mark.instead or mark.pair for mark in told.marks if self._is_untold(mark)]

    def unknown_customers(self, told: Told) -> list[Pair]:
        """Return the customers of whom nothing is remembered."""
        sighting = told.sighting
        return [sighting.pair] if sighting is not None and self._people.get(sighting.pair) is None else []

    def unknown_conversations(self, told: Told) -> list[Pair]:
        """Return the conversations of which nothing is remembered."""
        turn = told.turn
        return [turn.pair] if turn is not None and self._conversations.get(turn.pair) is None else []

    def learn(
        self,
        keys: Mapping[Pair, bool],
        people: Mapping[Pair, tuple[int, str]],
        conversations: Mapping[Pair, tuple[int, str]],
    ) -> None:
        """Remember what the database told: keys with whether they are held, and what was last seen of the others."""
        for pair, held in keys.items():
            self._keys.put(pair, HELD if held else TOLD)
        for pair, known in people.items():
            self._people.put(pair, known)
        for pair, known in conversations.items():
            self._conversations.put(pair, known)

    def landed(self, events: Iterable[Told]) -> None:
        """Remember that all that the events tell is durable now."""
        for told in events:
            for mark in told.marks:
                if self._is_untold(mark):
                    self._keys.put(mark.pair, mark.standing)
            if told.sighting is not None:
                _remember(told.sighting, self._people)
            if told.turn is not None:
                _remember(told.turn, self._conversations)

    def _is_untold(self, mark: Mark) -> bool:
        remembered = self._keys.get(mark.pair)
        if remembered is None:
            return mark.instead is None or self._keys.get(mark.instead) is None
        return remembered == HELD and mark.standing == TOLD


def _is_new(sighting: Sighting | None, memory: Memory[tuple[int, str]]) -> bool:
    if sighting is None:
        return False
    known = memory.get(sighting.pair)
    return known is None or (sighting.rev >= known[0] and sighting.fingerprint != known[1])


def _remember(sighting: Sighting, memory: Memory[tuple[int, str]]) -> None:
    known = memory.get(sighting.pair)
    if known is None or known[0] <= sighting.rev:
        memory.put(sighting.pair, (sighting.rev, sighting.fingerprint))
