"""Outages of the vendors and of the database: every event still arrives once."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kustomer_klaviyo.postgres.server import EmbeddedServer
from kustomer_klaviyo.sandbox import klaviyo
from support.e2e_environment import E2EEnvironment, run_environment
from support.temporary_database import temporary_directory

SIMULATION = {"customers": 10, "conversations": 50, "rate": 250.0}
FAULTS: dict[str, dict[str, Any]] = {
    "429 without Retry-After": {"kind": "throttle", "seconds": 2, "probability": 0.7},
    "429 with Retry-After": {"kind": "throttle", "seconds": 2, "retry_after": 1},
    "500": {"kind": "status", "status": 500, "seconds": 2, "probability": 0.5},
    "502 after the request was processed": {
        "kind": "status",
        "status": 502,
        "seconds": 2,
        "probability": 0.5,
        "after": True,
    },
    "503": {"kind": "status", "status": 503, "seconds": 2},
    "dropped connections": {"kind": "drop", "seconds": 2, "probability": 0.5},
    "connections dropped after the request was processed": {
        "kind": "drop",
        "seconds": 2,
        "probability": 0.5,
        "after": True,
    },
    "challenge page": {"kind": "html_403", "seconds": 2},
    "slow responses": {"kind": "slow", "delay": 0.5, "seconds": 2},
}


@pytest.fixture
async def environment(data_directory: Path, database_url: str) -> AsyncIterator[E2EEnvironment]:
    async with run_environment(data_directory, database_url=database_url) as environment:
        await environment.serve()
        await environment.connect()
        yield environment


@pytest.fixture(scope="module")
async def shared_environment() -> AsyncIterator[E2EEnvironment]:
    """One service for all faults, one after another."""
    with temporary_directory() as directory:
        async with run_environment(directory) as environment:
            await environment.serve()
            await environment.connect()
            yield environment


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_event_arrives_once_when_klaviyo_responds_with(
    shared_environment: E2EEnvironment, fault: str
) -> None:
    await shared_environment.add_fault(shared_environment.klaviyo, path="/api/event", **FAULTS[fault])
    await shared_environment.start_simulation(**SIMULATION, seed=sorted(FAULTS).index(fault))
    await shared_environment.assert_every_event_arrives_once()
    assert "failed" not in await delivery_counts(shared_environment)


async def delivery_counts(environment: E2EEnvironment) -> dict[str, int]:
    [status] = msgspec.json.decode(await environment.status())
    deliveries: dict[str, int] = status["deliveries"]
    return deliveries


async def test_delivery_pauses_while_klaviyo_refuses_the_key_and_resumes_by_itself(
    environment: E2EEnvironment,
) -> None:
    await environment.send(f"{environment.klaviyo}/sandbox/keys", {"pk_other": ["events:write"]}, method="PUT")
    await environment.start_simulation(**SIMULATION)
    await environment.wait_until(lambda: is_paused(environment), "the connection is paused")
    [status] = msgspec.json.decode(await environment.status())
    assert "connect" in status["reason"]
    assert await environment.klaviyo_events() == []
    await environment.send(
        f"{environment.klaviyo}/sandbox/keys", {klaviyo.DEFAULT_KEY: sorted(klaviyo.SCOPES)}, method="PUT"
    )
    await environment.assert_every_event_arrives_once()


async def is_paused(environment: E2EEnvironment) -> bool:
    [status] = msgspec.json.decode(await environment.status())
    return bool(status["health"] == "paused")


async def test_a_new_key_resumes_delivery(environment: E2EEnvironment) -> None:
    await environment.send(f"{environment.klaviyo}/sandbox/keys", {"pk_new": sorted(klaviyo.SCOPES)}, method="PUT")
    await environment.start_simulation(**SIMULATION)
    await environment.wait_until(lambda: is_paused(environment), "the connection is paused")
    environment.variables["KLAVIYO_PRIVATE_KEY"] = "pk_new"
    await environment.connect()
    await environment.assert_every_event_arrives_once()


async def test_every_event_arrives_once_when_kustomers_api_is_unavailable_or_throttles(
    environment: E2EEnvironment,
) -> None:
    await environment.add_fault(environment.kustomer, kind="status", status=503, path="/v1/customers", seconds=2)
    await environment.add_fault(environment.kustomer, kind="throttle", path="/v1/customers", times=3)
    # A customer whose webhook is missing needs a lookup.
    [webhook] = (await environment.get(f"{environment.kustomer}/sandbox/state"))["webhooks"]
    assert webhook["enabled"]
    await environment.start_simulation(**SIMULATION)
    await environment.assert_every_event_arrives_once()


async def test_every_event_arrives_once_when_webhooks_are_duplicated_and_reordered(
    data_directory: Path, database_url: str
) -> None:
    async with run_environment(data_directory, database_url=database_url, disorder=0.4) as environment:
        await environment.serve()
        await environment.connect()
        await environment.start_simulation(**SIMULATION)
        await environment.assert_every_event_arrives_once()


async def test_webhooks_are_rejected_while_the_database_is_down_and_every_event_arrives_once(
    data_directory: Path,
) -> None:
    server = EmbeddedServer(data_directory / "external")
    (data_directory / "external").mkdir(mode=0o711)
    url = await server.start()
    async with run_environment(data_directory, database_url=url) as environment:
        await environment.serve()
        await environment.connect()
        await environment.start_simulation(**SIMULATION)
        await environment.wait_for_events(20)
        await server.stop()
        await environment.wait_until(
            lambda: is_rejecting(environment), "webhooks are rejected and the service is not ready"
        )
        await server.start()
        await environment.assert_every_event_arrives_once()
        environment.stop()
    await server.stop()


async def is_rejecting(environment: E2EEnvironment) -> bool:
    """Return whether the service is not ready and has rejected a webhook."""
    deliveries = (await environment.get(f"{environment.kustomer}/sandbox/state"))["deliveries"]
    return not await environment.is_ready() and deliveries["failed_attempts"] > 0
