"""Several keys for one account: whichever is let in is used."""

from kustomer_klaviyo.klaviyo.key_ring import Keys
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome

GOOD = Accepted(200)
DEAD, NARROW, MISSING = (LockedOut(status, "") for status in (401, 403, 404))


async def use(keys: Keys[str], answers: dict[str, Outcome]) -> tuple[Outcome, list[str]]:
    """Use the keys; returns the outcome, and which keys were tried."""
    tried: list[str] = []

    async def send(key: str) -> Outcome:
        tried.append(key)
        return answers[key]

    return await keys.use(send), tried


async def test_while_the_current_key_is_let_in_no_other_is_tried() -> None:
    keys = Keys(["new", "old"])
    assert await use(keys, {"new": GOOD, "old": GOOD}) == (GOOD, ["new"])
    assert not keys.is_on_fallback


async def test_where_the_current_key_is_refused_another_takes_its_place() -> None:
    keys = Keys(["new", "old"])
    assert await use(keys, {"new": DEAD, "old": GOOD}) == (GOOD, ["new", "old"])
    assert (keys.current, keys.is_on_fallback) == ("old", True)


async def test_what_the_current_key_lacks_another_does_without_taking_its_place() -> None:
    keys = Keys(["new", "old"])
    assert await use(keys, {"new": NARROW, "old": GOOD}) == (GOOD, ["new", "old"])
    assert (keys.current, keys.is_on_fallback) == ("new", False)


async def test_what_is_missing_is_missing_for_every_key() -> None:
    assert await use(Keys(["new", "old"]), {"new": MISSING, "old": DEAD}) == (MISSING, ["new"])


async def test_where_none_is_let_in_the_current_keys_answer_counts() -> None:
    keys = Keys(["new", "old"])
    assert await use(keys, {"new": NARROW, "old": DEAD}) == (NARROW, ["new", "old"])
    assert keys.current == "new"


async def test_requests_that_belong_together_are_all_made_with_the_key_that_is_let_in() -> None:
    keys = Keys(["new", "old"])

    async def send(key: str) -> list[Outcome]:
        return [GOOD, DEAD] if key == "new" else [GOOD, GOOD, GOOD]

    assert await keys.use_for_all(send) == [GOOD, GOOD, GOOD]
    assert keys.current == "old"
