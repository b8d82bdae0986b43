"""Readiness, and the metrics of failing loops, webhooks and the disk."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kustomer_klaviyo.health.loop_health import Loop, LoopHealth
from kustomer_klaviyo.store import disk
from support.kustomer_documents import conversation, event
from support.webhook_server import METRICS_TOKEN, WebhookServer, run_webhook_server

DISK_FULL = """
CREATE FUNCTION raise_disk_full() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$
"""


@pytest.fixture
async def server(database_url: str, data_directory: Path) -> AsyncIterator[WebhookServer]:
    async with run_webhook_server(database_url, data_directory) as running:
        yield running


async def read_readiness(server: WebhookServer) -> tuple[int, str]:
    async with server.session.get(f"{server.url}/ready") as response:
        return response.status, (await response.json())["status"]


async def read_metrics(server: WebhookServer) -> list[str]:
    headers = {"Authorization": f"Bearer {METRICS_TOKEN}"}
    async with server.session.get(f"{server.url}/metrics", headers=headers) as response:
        assert response.status == 200
        return (await response.text()).splitlines()


async def test_with_a_full_disk_webhooks_are_503_and_the_service_is_not_ready(server: WebhookServer) -> None:
    assert await read_readiness(server) == (200, "ok")
    await server.app.db.execute(DISK_FULL)
    await server.app.db.execute(
        "CREATE TRIGGER full_disk BEFORE INSERT ON inbox FOR EACH ROW EXECUTE FUNCTION raise_disk_full()"
    )
    status, _, _ = await server.post_webhook(event(conversation()))
    assert status == 503
    assert await read_readiness(server) == (503, "disk_full")
    assert "kustomer_klaviyo_disk_full 1.0" in await read_metrics(server)
    assert await server.inbox_rows() == []


async def test_a_failing_loop_is_a_metric_until_it_succeeds(server: WebhookServer) -> None:
    health = LoopHealth(server.app.db, "acme")
    for _ in range(2):
        await health.record_failure(Loop.CARDS, ValueError("x"))
    line = 'kustomer_klaviyo_loop_failures{connection="acme",loop="fetch_cards"}'
    assert f"{line} 2.0" in await read_metrics(server)
    await health.record_success(Loop.CARDS)
    assert not [sample for sample in await read_metrics(server) if sample.startswith(line)]


async def test_a_disabled_webhook_is_a_metric(server: WebhookServer) -> None:
    assert 'kustomer_klaviyo_webhook_off{connection="acme"} 0.0' in await read_metrics(server)
    await server.app.db.execute("UPDATE connection_status SET webhook_state = 'off', webhook_state_since = now()")
    assert 'kustomer_klaviyo_webhook_off{connection="acme"} 1.0' in await read_metrics(server)


def test_the_disk_of_the_data_directory_is_checked(tmp_path: Path) -> None:
    assert not disk.is_full(tmp_path)
    assert not disk.is_full(tmp_path / "missing")
