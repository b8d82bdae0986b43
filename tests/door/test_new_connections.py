"""Connections made a moment ago, by another process: their first webhook is theirs, and strangers stay strangers."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from documents import conversation, event
from doorway import Door, new_connection, opened
from kustomer_klaviyo.connections.registry import Directory
from kustomer_klaviyo.setup.credentials import SetupError, known_at_the_door
from kustomer_klaviyo.store.connections import Connections, Secrets


@pytest.fixture
async def door(database_url: str, data_directory: Path) -> AsyncIterator[Door]:
    async with opened(database_url, data_directory) as ready:
        yield ready


async def test_the_first_webhook_of_a_connection_saved_this_moment_is_received(door: Door) -> None:
    for name in ("one", "two", "three"):
        await door.home.connections.save(replace(new_connection(), id=name))
        assert (await door.knock(event(conversation()), connection=name))[:2] == (200, "received")


async def test_the_first_webhook_under_a_token_saved_this_moment_is_received(door: Door) -> None:
    for token in ("new-token", "newer-token"):
        connection = await door.home.connections.named("acme")
        secrets = Secrets("k", ("pk",), (token,))
        await door.home.connections.save(replace(connection, secrets=secrets))
        assert (await door.knock(event(conversation(rev=1)), token=token))[0] == 200


async def test_until_its_token_is_known_kustomer_is_asked_to_come_again(door: Door) -> None:
    draft = replace(new_connection(), id="new", secrets=Secrets("k", ("pk",), ()))
    async with known_at_the_door(door.home.connections, draft) as known:
        status, _, headers = await door.knock(event(conversation()), connection="new", token="told-by-kustomer")
        assert (status, headers["Retry-After"]) == (503, "5")
        made = replace(known, webhook_id="w", secrets=replace(known.secrets, webhook_tokens=("told-by-kustomer",)))
        await door.home.connections.save(made)
    assert (await door.knock(event(conversation()), connection="new", token="told-by-kustomer"))[0] == 200


async def test_a_connection_whose_webhook_kustomer_refuses_is_taken_back(door: Door) -> None:
    draft = replace(new_connection(), id="new", secrets=Secrets("k", ("pk",), ()))
    with pytest.raises(SetupError):
        async with known_at_the_door(door.home.connections, draft):
            raise SetupError("An organisation has at most five")
    assert await door.home.connections.get("new") is None


class Counted(Connections):
    """Counts the looks."""

    looks = 0

    async def mark(self) -> tuple[int, int]:
        self.looks += 1
        return await super().mark()


async def test_strangers_who_come_together_share_one_look_at_the_database(door: Door) -> None:
    connections = Counted(door.home.database, door.home.sealer)
    directory = Directory(connections, door.service.health)
    await asyncio.gather(*(directory.catch_up() for _ in range(300)))
    await asyncio.gather(*(directory.catch_up() for _ in range(300)))
    assert connections.looks == 2
    assert (await door.knock(b"{}", connection="stranger"))[0] == 404
