"""What vendors and database do to us on a bad day, and that everything arrives all the same."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kustomer_klaviyo.postgres.server import EmbeddedServer
from kustomer_klaviyo.sandbox import klaviyo
from stage import Stage, new_directory, staged

DAY = {"customers": 10, "conversations": 50, "rate": 250.0}
FAULTS: dict[str, dict[str, Any]] = {
    "a storm of 429 without Retry-After": {"kind": "throttle", "seconds": 2, "probability": 0.7},
    "429 with Retry-After": {"kind": "throttle", "seconds": 2, "retry_after": 1},
    "500": {"kind": "status", "status": 500, "seconds": 2, "probability": 0.5},
    "502 although it was carried out": {
        "kind": "status",
        "status": 502,
        "seconds": 2,
        "probability": 0.5,
        "after": True,
    },
    "503": {"kind": "status", "status": 503, "seconds": 2},
    "dropped connections": {"kind": "drop", "seconds": 2, "probability": 0.5},
    "connections dropped after the work was done": {"kind": "drop", "seconds": 2, "probability": 0.5, "after": True},
    "a challenge page": {"kind": "html_403", "seconds": 2},
    "slow answers": {"kind": "slow", "delay": 0.5, "seconds": 2},
}


@pytest.fixture
async def stage(data_directory: Path, database_url: str) -> AsyncIterator[Stage]:
    async with staged(data_directory, database_url=database_url) as ready:
        await ready.serve()
        await ready.connect()
        yield ready


@pytest.fixture(scope="module")
async def one_stage() -> AsyncIterator[Stage]:
    """One service that lives through all the bad answers, one after another."""
    directory = new_directory()
    async with staged(directory) as ready:
        await ready.serve()
        await ready.connect()
        yield ready
    shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.parametrize("fault", FAULTS)
async def test_klaviyo_may_answer_with(one_stage: Stage, fault: str) -> None:
    await one_stage.misbehave(one_stage.klaviyo, path="/api/event", **FAULTS[fault])
    await one_stage.play(**DAY, seed=sorted(FAULTS).index(fault))
    await one_stage.assert_every_event_arrives_once()
    assert "failed" not in await counts(one_stage)


async def counts(stage: Stage) -> dict[str, int]:
    [status] = msgspec.json.decode(await stage.status())
    found: dict[str, int] = status["deliveries"]
    return found


async def test_while_klaviyo_refuses_the_key_delivery_is_paused_and_goes_on_by_itself(stage: Stage) -> None:
    await stage.send(f"{stage.klaviyo}/sandbox/keys", {"pk_other": ["events:write"]}, method="PUT")
    await stage.play(**DAY)
    await stage.until(lambda: is_paused(stage), "the connection is paused")
    [status] = msgspec.json.decode(await stage.status())
    assert "connect" in status["reason"]
    assert await stage.arrived() == []
    every = sorted(klaviyo.SCOPES)
    await stage.send(f"{stage.klaviyo}/sandbox/keys", {klaviyo.DEFAULT_KEY: every}, method="PUT")
    await stage.assert_every_event_arrives_once()


async def is_paused(stage: Stage) -> bool:
    [status] = msgspec.json.decode(await stage.status())
    return bool(status["health"] == "paused")


async def test_a_new_key_put_in_while_the_old_one_is_refused_resumes_delivery(stage: Stage) -> None:
    await stage.send(f"{stage.klaviyo}/sandbox/keys", {"pk_new": sorted(klaviyo.SCOPES)}, method="PUT")
    await stage.play(**DAY)
    await stage.until(lambda: is_paused(stage), "the connection is paused")
    stage.environment["KLAVIYO_PRIVATE_KEY"] = "pk_new"
    await stage.connect()
    await stage.assert_every_event_arrives_once()


async def test_kustomers_api_away_or_throttling_delays_look_ups_and_loses_nothing(stage: Stage) -> None:
    await stage.misbehave(stage.kustomer, kind="status", status=503, path="/v1/customers", seconds=2)
    await stage.misbehave(stage.kustomer, kind="throttle", path="/v1/customers", times=3)
    # Customers whose own webhook never comes are known only by asking.
    [hook] = (await stage.get(f"{stage.kustomer}/sandbox/state"))["webhooks"]
    assert hook["enabled"]
    await stage.play(**DAY)
    await stage.assert_every_event_arrives_once()


async def test_duplicated_and_reordered_webhooks_are_told_once(data_directory: Path, database_url: str) -> None:
    async with staged(data_directory, database_url=database_url, trouble=0.4) as stage:
        await stage.serve()
        await stage.connect()
        await stage.play(**DAY)
        await stage.assert_every_event_arrives_once()


async def test_the_database_away_for_a_while_turns_webhooks_back_and_loses_nothing(data_directory: Path) -> None:
    server = EmbeddedServer(data_directory / "apart")
    (data_directory / "apart").mkdir(mode=0o711)
    url = await server.start()
    async with staged(data_directory, database_url=url) as stage:
        await stage.serve()
        await stage.connect()
        await stage.play(**DAY)
        await stage.until_arrived(20)
        await server.stop()
        await stage.until(lambda: is_turned_back(stage), "webhooks are turned back and the service is not ready")
        await server.start()
        await stage.assert_every_event_arrives_once()
        stage.end()
    await server.stop()


async def is_turned_back(stage: Stage) -> bool:
    """Say whether the service tells that it cannot store anything, and webhooks have met that."""
    deliveries = (await stage.get(f"{stage.kustomer}/sandbox/state"))["deliveries"]
    return not await stage.is_ready() and deliveries["failed_attempts"] > 0
