"""A round of the fuzzer (``make fuzz`` does far more of it)."""

import random
from pathlib import Path

from doorway import opened
from fuzz import fuzz
from mutations import BYTES, mutated

COUNT, SEED = 2000, 20261127


async def test_no_malformed_webhook_is_refused_and_each_that_is_kept_has_an_outcome(
    database_url: str, data_directory: Path
) -> None:
    async with opened(database_url, data_directory) as door:
        met = await fuzz(door, COUNT, SEED)
    assert met.wrong == []
    assert met.left == []
    assert set(met.kinds) == {"type", *BYTES}
    assert {"understood (-)", "failed (unreadable)"} <= set(met.stored)


def test_the_same_seed_makes_the_same_bodies() -> None:
    assert mutated(random.Random("7 1"), 1) == mutated(random.Random("7 1"), 1)
