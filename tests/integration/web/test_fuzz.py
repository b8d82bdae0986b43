"""A short run of the fuzzer; ``make fuzz`` runs far longer."""

import random
from pathlib import Path

from fuzz import fuzz
from mutations import BYTES, mutate
from support.webhook_server import run_webhook_server

COUNT, SEED = 2000, 20261127


async def test_no_malformed_webhook_is_rejected_and_every_stored_one_is_finished(
    database_url: str, data_directory: Path
) -> None:
    async with run_webhook_server(database_url, data_directory) as server:
        result = await fuzz(server, COUNT, SEED)
    assert result.rejected == []
    assert result.unfinished == []
    assert set(result.kinds) == {"type", *BYTES}
    assert {"processed (-)", "failed (unreadable)"} <= set(result.stored)


def test_the_same_seed_generates_the_same_bodies() -> None:
    assert mutate(random.Random("7 1"), 1) == mutate(random.Random("7 1"), 1)
