"""Connections that another process has just saved: their first webhook is accepted, unknown ones are rejected."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from kustomer_klaviyo.connections.registry import ConnectionRegistry
from kustomer_klaviyo.setup.kustomer_webhook import saved_before_webhook
from kustomer_klaviyo.setup.setup_error import SetupError, SetupErrorCode
from kustomer_klaviyo.store.connections import Connections, Secrets
from support.kustomer_documents import conversation, event
from support.webhook_server import WebhookServer, run_webhook_server, sample_connection


@pytest.fixture
async def server(database_url: str, data_directory: Path) -> AsyncIterator[WebhookServer]:
    async with run_webhook_server(database_url, data_directory) as ready:
        yield ready


async def test_the_first_webhook_of_a_connection_saved_just_now_is_received(server: WebhookServer) -> None:
    for name in ("one", "two", "three"):
        await server.app.connections.save(replace(sample_connection(), id=name))
        assert (await server.post_webhook(event(conversation()), connection=name))[:2] == (200, "received")


async def test_the_first_webhook_with_a_token_saved_just_now_is_received(server: WebhookServer) -> None:
    for token in ("new-token", "newer-token"):
        connection = await server.app.connections.require("acme")
        secrets = Secrets("k", ("pk",), (token,))
        await server.app.connections.save(replace(connection, secrets=secrets))
        assert (await server.post_webhook(event(conversation(rev=1)), token=token))[0] == 200


async def test_until_the_token_is_saved_kustomer_is_asked_to_retry(server: WebhookServer) -> None:
    draft = replace(sample_connection(), id="new", secrets=Secrets("k", ("pk",), ()))
    async with saved_before_webhook(server.app.connections, draft) as known:
        status, _, headers = await server.post_webhook(event(conversation()), connection="new", token="new-token")
        assert (status, headers["Retry-After"]) == (503, "5")
        made = replace(known, webhook_id="w", secrets=replace(known.secrets, webhook_tokens=("new-token",)))
        await server.app.connections.save(made)
    assert (await server.post_webhook(event(conversation()), connection="new", token="new-token"))[0] == 200


async def test_a_connection_whose_webhook_kustomer_refuses_is_discarded(server: WebhookServer) -> None:
    draft = replace(sample_connection(), id="new", secrets=Secrets("k", ("pk",), ()))
    with pytest.raises(SetupError):
        async with saved_before_webhook(server.app.connections, draft):
            raise SetupError(SetupErrorCode.VENDOR_REFUSED, action="x", detail="too many webhooks")
    assert await server.app.connections.get("new") is None


class CountingConnections(Connections):
    """Counts the reads of the version."""

    reads = 0

    async def version(self) -> tuple[int, int]:
        self.reads += 1
        return await super().version()


async def test_concurrent_unknown_connections_share_one_read_of_the_database(server: WebhookServer) -> None:
    connections = CountingConnections(server.app.db, server.app.encryptor)
    registry = ConnectionRegistry(connections, server.service.health)
    await asyncio.gather(*(registry.catch_up() for _ in range(300)))
    await asyncio.gather(*(registry.catch_up() for _ in range(300)))
    assert connections.reads == 2
    assert (await server.post_webhook(b"{}", connection="unknown"))[0] == 404
