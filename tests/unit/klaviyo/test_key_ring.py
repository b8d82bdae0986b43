"""Several API keys for one account: the one that works is used."""

from kustomer_klaviyo.klaviyo.key_ring import ApiKeyRing
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome

ACCEPTED = Accepted(200)
UNAUTHORIZED, FORBIDDEN, NOT_FOUND = (LockedOut(status, "") for status in (401, 403, 404))


async def call(keys: ApiKeyRing[str], outcomes: dict[str, Outcome]) -> tuple[Outcome, list[str]]:
    """Send a request; returns the outcome and the keys that were tried."""
    tried: list[str] = []

    async def send(key: str) -> Outcome:
        tried.append(key)
        return outcomes[key]

    return await keys.call(send), tried


async def test_a_working_key_is_the_only_one_tried() -> None:
    keys = ApiKeyRing(["new", "old"])
    assert await call(keys, {"new": ACCEPTED, "old": ACCEPTED}) == (ACCEPTED, ["new"])
    assert not keys.uses_fallback


async def test_an_unauthorized_key_is_replaced() -> None:
    keys = ApiKeyRing(["new", "old"])
    assert await call(keys, {"new": UNAUTHORIZED, "old": ACCEPTED}) == (ACCEPTED, ["new", "old"])
    assert (keys.active, keys.uses_fallback) == ("old", True)


async def test_a_key_without_a_scope_is_not_replaced() -> None:
    keys = ApiKeyRing(["new", "old"])
    assert await call(keys, {"new": FORBIDDEN, "old": ACCEPTED}) == (ACCEPTED, ["new", "old"])
    assert (keys.active, keys.uses_fallback) == ("new", False)


async def test_not_found_tries_no_other_key() -> None:
    assert await call(ApiKeyRing(["new", "old"]), {"new": NOT_FOUND, "old": UNAUTHORIZED}) == (NOT_FOUND, ["new"])


async def test_without_a_working_key_the_outcome_of_the_current_key_is_returned() -> None:
    keys = ApiKeyRing(["new", "old"])
    assert await call(keys, {"new": FORBIDDEN, "old": UNAUTHORIZED}) == (FORBIDDEN, ["new", "old"])
    assert keys.active == "new"


async def test_related_requests_are_all_sent_with_the_working_key() -> None:
    keys = ApiKeyRing(["new", "old"])

    async def send(key: str) -> list[Outcome]:
        return [ACCEPTED, UNAUTHORIZED] if key == "new" else [ACCEPTED, ACCEPTED, ACCEPTED]

    assert await keys.call_all(send) == [ACCEPTED, ACCEPTED, ACCEPTED]
    assert keys.active == "old"
