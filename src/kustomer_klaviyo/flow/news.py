"""What of an arriving event is news to us: decided at the door, before anything is written. Pure but for its memory."""

from collections.abc import Mapping
from dataclasses import dataclass

from kustomer_klaviyo.facts import PersonSeen
from kustomer_klaviyo.flow.directory import Joined
from kustomer_klaviyo.flow.identity import fingerprint
from kustomer_klaviyo.flow.known import Memory
from kustomer_klaviyo.flow.telling import held_by
from kustomer_klaviyo.kustomer.interpret import Statement

Pair = tuple[str, str]
"""A connection and a fact's key, or a connection and a customer."""

TOLD, HELD = "told", "held"
"""A key that is told for good, and one that a setting holds back until a newer observation releases it."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """What only the database can tell about an event."""

    keys: tuple[Pair, ...] = ()
    customers: tuple[Pair, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.keys or self.customers)


class Doorkeeper:
    """Remembers which keys are durable and which identity each customer was last seen with."""

    def __init__(self, keys: Memory[str] | None = None, people: Memory[tuple[int, str]] | None = None) -> None:
        self._keys = Memory[str]() if keys is None else keys
        self._people = Memory[tuple[int, str]]() if people is None else people

    def draft(self) -> "Doorkeeper":
        """Return one that knows the same and may learn what is not durable yet, to be thrown away afterwards."""
        return Doorkeeper(Memory(below=self._keys), Memory(below=self._people))

    def unknown(self, joined: Joined, statement: Statement) -> Unknown:
        """Return what must be asked of the database before it is clear whether the event is news."""
        connection_id = joined.connection.id
        pairs = [pair for pair, _ in _marks(joined, statement)] + _hinted(joined, statement)[:1]
        keys = tuple(pair for pair in pairs if self._keys.get(pair) is None)
        person = statement.person
        asked = person is not None and self._people.get((connection_id, person.customer_id)) is None
        return Unknown(keys, ((connection_id, person.customer_id),) if person is not None and asked else ())

    def learn(self, keys: Mapping[Pair, bool], people: Mapping[Pair, tuple[int, str]]) -> None:
        """Remember what the database told: keys with whether they are held, customers with revision and identity."""
        for pair, held in keys.items():
            self._keys.put(pair, HELD if held else TOLD)
        for pair, known in people.items():
            self._people.put(pair, known)

    def is_news(self, joined: Joined, statement: Statement) -> bool:
        """Say whether the event tells anything that is not durable yet, by what is remembered."""
        hinted = _hinted(joined, statement)
        return (
            any(self._is_untold(pair, held=held) for pair, held in _marks(joined, statement))
            or (bool(hinted) and all(self._keys.get(pair) is None for pair in hinted))
            or self._is_new_identity(joined, statement)
        )

    def advances(self, joined: Joined, statement: Statement) -> tuple[str, str, int, str] | None:
        """Return the revision to raise when a customer was seen unchanged: (connection, customer, rev, identity)."""
        person = statement.person
        if person is None:
            return None
        known = self._people.get((joined.connection.id, person.customer_id))
        if known is None or known[0] >= person.rev:
            return None
        return joined.connection.id, person.customer_id, person.rev, fingerprint(person)

    def landed(self, joined: Joined, statement: Statement) -> None:
        """Remember that all the event tells is durable now."""
        for pair, held in _marks(joined, statement):
            if self._is_untold(pair, held=held):
                self._keys.put(pair, HELD if held else TOLD)
        for pair in _hinted(joined, statement)[1:]:
            self._keys.put(pair, TOLD)
        person = statement.person
        if person is not None:
            self._saw(joined.connection.id, person)

    def _saw(self, connection_id: str, person: PersonSeen) -> None:
        known = self._people.get((connection_id, person.customer_id))
        if known is None or known[0] <= person.rev:
            self._people.put((connection_id, person.customer_id), (person.rev, fingerprint(person)))

    def _is_untold(self, pair: Pair, *, held: bool) -> bool:
        remembered = self._keys.get(pair)
        return remembered is None or (remembered == HELD and not held)

    def _is_new_identity(self, joined: Joined, statement: Statement) -> bool:
        person = statement.person
        if person is None:
            return False
        known = self._people.get((joined.connection.id, person.customer_id))
        return known is None or (person.rev >= known[0] and fingerprint(person) != known[1])


def _marks(joined: Joined, statement: Statement) -> list[tuple[Pair, bool]]:
    """Return each key the event states within the horizon, and whether a setting holds it back."""
    connection_id, horizon = joined.connection.id, joined.rules.horizon
    return [
        ((connection_id, fact.key), held_by(fact, joined.options) is not None)
        for fact in statement.facts
        if fact.at >= horizon
    ]


def _hinted(joined: Joined, statement: Statement) -> list[Pair]:
    """Return the key a hint speaks of, and the mark that the hint itself is durable: either makes it no news."""
    hint = statement.hint
    if hint is None or hint.at < joined.rules.horizon:
        return []
    return [(joined.connection.id, hint.key), (joined.connection.id, f"hinted:{hint.key}")]
