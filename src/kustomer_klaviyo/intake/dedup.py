"""Detects duplicates at intake: does an event contain anything that is not stored yet? Pure, apart from its caches."""

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass

import msgspec
from cachetools import LRUCache

from kustomer_klaviyo.connections.context import ConnectionContext
from kustomer_klaviyo.connections.rules import ConnectionRules
from kustomer_klaviyo.facts import CsatSubmitted, Fact
from kustomer_klaviyo.kustomer.interpret import Observation
from kustomer_klaviyo.planning.identity import customer_fingerprint
from kustomer_klaviyo.planning.skip_reasons import event_skip_reason
from kustomer_klaviyo.store.lookups import LookupKind

CACHE_SIZE = 10_000
"""The number of fact keys, of customers and of conversations in the cache. A forgotten entry costs one query."""

Key = tuple[str, str]
"""A connection id, and a fact key, a customer id or a conversation id."""

Entity = tuple[LookupKind, Key]
"""A customer or a conversation of a connection."""

Version = tuple[int, str]
"""The revision and the fingerprint of an entity."""


class FactKey(msgspec.Struct, frozen=True):
    """The key of a fact that an event contains."""

    key: Key
    releasable: bool = False
    """A setting skips the fact, until a newer revision of the conversation releases it."""
    alternative: Key | None = None
    """Another key under which the same fact may be recorded."""


class EntityVersion(msgspec.Struct, frozen=True):
    """A customer or a conversation as an event shows it."""

    entity: Entity
    rev: int
    fingerprint: str


class EventContent(msgspec.Struct, frozen=True):
    """Everything in an event that decides whether it is a duplicate."""

    fact_keys: tuple[FactKey, ...] = ()
    versions: tuple[EntityVersion, ...] = ()

    @property
    def entities(self) -> list[Entity]:
        """The customer and the conversation that the event shows."""
        return [version.entity for version in self.versions]


@dataclass(frozen=True, slots=True)
class RevisionBump:
    """A newer revision of an entity whose fingerprint did not change."""

    version: EntityVersion
    known_rev: int
    """The revision that the cache held before."""


def read_content(context: ConnectionContext, observation: Observation) -> EventContent:
    """Return the fact keys and entity versions of an event."""
    connection_id, rules = context.connection.id, context.rules
    fact_keys = tuple(_fact_keys(connection_id, observation, rules))
    versions: list[EntityVersion] = []
    customer, conversation = observation.customer, observation.conversation
    if customer is not None:
        entity = (LookupKind.CUSTOMER, (connection_id, customer.customer_id))
        versions.append(EntityVersion(entity, customer.rev, customer_fingerprint(customer, rules)))
    # A conversation that was done before ``since`` and has no fact to send was never counted as open: not tracked.
    if conversation is not None and (
        conversation.is_open or conversation.status_changed_at >= rules.since or fact_keys
    ):
        entity = (LookupKind.CONVERSATION, (connection_id, conversation.conversation.id))
        versions.append(EntityVersion(entity, conversation.conversation.rev, conversation.fingerprint))
    return EventContent(fact_keys, tuple(versions))


def _fact_keys(connection_id: str, observation: Observation, rules: ConnectionRules) -> Iterator[FactKey]:
    for fact in observation.facts:
        yield FactKey((connection_id, _cache_key(fact)), releasable=event_skip_reason(fact, rules) is not None)
    hint = observation.refetch_hint
    if hint is not None and hint.occurred_at >= rules.since:
        # The hint has a key of its own, since the fact it announces is still to be sent.
        key = (connection_id, f"hinted:{hint.expected_fact_key}")
        yield FactKey(key, alternative=(connection_id, hint.expected_fact_key))


def _cache_key(fact: Fact) -> str:
    """Return the key of a fact in the cache: for a survey answer without an id, its fingerprint."""
    if isinstance(fact, CsatSubmitted) and fact.response_id is None:
        return fact.fingerprint
    return fact.fact_key


class DedupCache:
    """Remembers which fact keys are durable, and the last version of each customer and conversation."""

    def __init__(
        self,
        fact_keys: MutableMapping[Key, bool] | None = None,
        versions: MutableMapping[Entity, Version] | None = None,
    ) -> None:
        self._releasable: MutableMapping[Key, bool] = LRUCache(CACHE_SIZE) if fact_keys is None else fact_keys
        self._versions: MutableMapping[Entity, Version] = LRUCache(2 * CACHE_SIZE) if versions is None else versions

    def overlay(self) -> "DedupCache":
        """Return a temporary cache on top of this one, for content that is not durable yet."""
        return DedupCache(ChainMap({}, self._releasable), ChainMap({}, self._versions))

    def is_new(self, content: EventContent) -> bool:
        """Return whether an event contains anything that is not known to be durable."""
        return any(map(self._is_unrecorded, content.fact_keys)) or any(map(self._is_changed, content.versions))

    def bump_revisions(self, content: EventContent) -> Iterator[RevisionBump]:
        """Yield, and remember, the newer revisions of unchanged entities: an older one that arrives later stays old."""
        for version in content.versions:
            known = self._versions.get(version.entity)
            if known is not None and known[0] < version.rev and known[1] == version.fingerprint:
                self._remember(version)
                yield RevisionBump(version, known[0])

    def unknown_fact_keys(self, content: EventContent) -> list[Key]:
        """Return the keys of which only the database knows whether they are recorded."""
        return [key.alternative or key.key for key in content.fact_keys if self._is_unrecorded(key)]

    def unknown_entities(self, content: EventContent, kind: LookupKind) -> list[Key]:
        """Return the entities of a kind that the cache does not hold."""
        # Reads the others, and does not only search them: what was read is not forgotten while the cache is filled.
        return [entity[1] for entity in content.entities if entity[0] is kind and self._versions.get(entity) is None]

    def prime(self, fact_keys: Mapping[Key, bool], versions: Mapping[Entity, Version]) -> None:
        """Fill the cache from the database: recorded keys with whether they are releasable, and stored versions."""
        self._releasable.update(fact_keys)
        self._versions.update(versions)

    def mark_durable(self, contents: Iterable[EventContent]) -> None:
        """Remember that everything in the events is durable."""
        for content in contents:
            for fact_key in content.fact_keys:
                if self._is_unrecorded(fact_key):
                    self._releasable[fact_key.key] = fact_key.releasable
            for version in content.versions:
                self._remember(version)

    def _is_unrecorded(self, fact_key: FactKey) -> bool:
        releasable = self._releasable.get(fact_key.key)
        if releasable is None:
            return fact_key.alternative is None or self._releasable.get(fact_key.alternative) is None
        return releasable and not fact_key.releasable

    def _is_changed(self, version: EntityVersion) -> bool:
        known = self._versions.get(version.entity)
        return known is None or (version.rev >= known[0] and version.fingerprint != known[1])

    def _remember(self, version: EntityVersion) -> None:
        known = self._versions.get(version.entity)
        if known is None or known[0] <= version.rev:
            self._versions[version.entity] = (version.rev, version.fingerprint)
