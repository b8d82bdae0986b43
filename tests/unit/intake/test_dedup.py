"""The cache that recognises duplicates at intake."""

from cachetools import LRUCache

from kustomer_klaviyo.intake.dedup import CACHE_SIZE, DedupCache, EntityVersion, EventContent, FactKey
from kustomer_klaviyo.store.lookups import LookupKind

KEY, ALTERNATIVE = ("acme", "hinted:csat:c1:r1"), ("acme", "csat:c1:r1")
CUSTOMER = (LookupKind.CUSTOMER, ("acme", "k1"))


def content(*fact_keys: FactKey, rev: int | None = None, fingerprint: str = "a") -> EventContent:
    versions = () if rev is None else (EntityVersion(CUSTOMER, rev, fingerprint),)
    return EventContent(fact_keys, versions)


def test_content_is_new_until_it_is_durable() -> None:
    cache, event = DedupCache(), content(FactKey(KEY), rev=1)
    assert cache.is_new(event)
    cache.mark_durable([event])
    assert not cache.is_new(event)


def test_an_overlay_sees_the_cache_below_and_leaves_it_as_it_is() -> None:
    cache, first, second = DedupCache(), content(FactKey(KEY)), content(rev=1)
    cache.mark_durable([first])
    overlay = cache.overlay()
    overlay.mark_durable([second])
    assert (overlay.is_new(first), overlay.is_new(second), cache.is_new(second)) == (False, False, True)


def test_a_releasable_key_is_new_once_no_setting_skips_it() -> None:
    cache, skipped = DedupCache(), content(FactKey(KEY, releasable=True))
    cache.mark_durable([skipped])
    assert not cache.is_new(skipped)
    assert cache.is_new(content(FactKey(KEY)))


def test_a_fact_recorded_under_its_alternative_key_is_not_new() -> None:
    cache, event = DedupCache(), content(FactKey(KEY, alternative=ALTERNATIVE))
    assert cache.unknown_fact_keys(event) == [ALTERNATIVE]
    cache.prime({ALTERNATIVE: False}, {})
    assert not cache.is_new(event)


def test_a_newer_revision_without_a_change_is_a_bump() -> None:
    cache = DedupCache()
    cache.prime({}, {CUSTOMER: (1, "a")})
    assert not cache.is_new(content(rev=3))
    [bump] = cache.bump_revisions(content(rev=3))
    assert (bump.version.rev, bump.known_rev) == (3, 1)
    assert not cache.is_new(content(rev=2, fingerprint="b"))
    assert cache.is_new(content(rev=3, fingerprint="b"))


def test_the_cache_forgets_what_was_not_used_for_longest() -> None:
    cache, first = DedupCache(), content(FactKey(KEY))
    cache.mark_durable([first])
    cache.prime({("acme", f"created:{number}"): False for number in range(CACHE_SIZE)}, {})
    assert cache.is_new(first)


def test_entities_that_a_group_needs_are_not_forgotten_while_the_cache_is_filled_for_it() -> None:
    cache, oldest = DedupCache(versions=LRUCache(2)), content(rev=1)
    cache.prime({}, {CUSTOMER: (1, "a"), (LookupKind.CUSTOMER, ("acme", "k2")): (1, "a")})
    assert cache.unknown_entities(oldest, LookupKind.CUSTOMER) == []
    cache.prime({}, {(LookupKind.CUSTOMER, ("acme", "k3")): (1, "a")})
    assert not cache.is_new(oldest)
