"""What monitors are told: whether work can be done, and how loops, webhooks and the disk fare."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from documents import conversation, event
from doorway import METRICS_TOKEN, Door, opened
from kustomer_klaviyo.health.loop_health import Health, Loop
from kustomer_klaviyo.store import disk

REFUSE = """
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$
"""


@pytest.fixture
async def door(database_url: str, data_directory: Path) -> AsyncIterator[Door]:
    async with opened(database_url, data_directory) as ready:
        yield ready


async def ready(door: Door) -> tuple[int, str]:
    async with door.session.get(f"{door.url}/ready") as response:
        return response.status, (await response.json())["status"]


async def metrics(door: Door) -> list[str]:
    headers = {"Authorization": f"Bearer {METRICS_TOKEN}"}
    async with door.session.get(f"{door.url}/metrics", headers=headers) as response:
        assert response.status == 200
        return (await response.text()).splitlines()


async def test_a_full_disk_answers_webhooks_503_and_is_told(door: Door) -> None:
    assert await ready(door) == (200, "ok")
    await door.home.database.execute(REFUSE)
    await door.home.database.execute(
        "CREATE TRIGGER full_disk BEFORE INSERT ON inbox FOR EACH ROW EXECUTE FUNCTION no_room()"
    )
    status, _, _ = await door.knock(event(conversation()))
    assert status == 503
    assert await ready(door) == (503, "the disk is full")
    assert "kustomer_klaviyo_disk_full 1.0" in await metrics(door)
    assert await door.rows() == []


async def test_a_loop_that_fails_is_told_with_its_number_until_it_works(door: Door) -> None:
    health = Health(door.home.database, "acme")
    for _ in range(2):
        await health.failed(Loop.CARDS, ValueError("x"))
    line = 'kustomer_klaviyo_loop_failures{connection="acme",loop="fetch_cards"}'
    assert f"{line} 2.0" in await metrics(door)
    await health.succeeded(Loop.CARDS)
    assert not [one for one in await metrics(door) if one.startswith(line)]


async def test_a_webhook_that_is_off_is_told(door: Door) -> None:
    assert 'kustomer_klaviyo_webhook_off{connection="acme"} 0.0' in await metrics(door)
    await door.home.database.execute("UPDATE delivery_lanes SET webhook_state = 'off', webhook_since = now()")
    assert 'kustomer_klaviyo_webhook_off{connection="acme"} 1.0' in await metrics(door)


def test_room_is_looked_for_where_the_data_are(tmp_path: Path) -> None:
    assert not disk.is_full(tmp_path)
    assert not disk.is_full(tmp_path / "nowhere")
