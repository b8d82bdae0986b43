"""``kill -9`` during traffic: no event is lost, and none arrives twice."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from support.e2e_environment import E2EEnvironment, kill, run_environment

SIMULATION = {"customers": 20, "conversations": 150, "rate": 150.0}


@pytest.fixture
async def environment(data_directory: Path) -> AsyncIterator[E2EEnvironment]:
    async with run_environment(data_directory) as environment:
        yield environment


@pytest.fixture
async def shared_environment(data_directory: Path, database_url: str) -> AsyncIterator[E2EEnvironment]:
    """An environment whose processes share an external database."""
    async with run_environment(data_directory, database_url=database_url) as environment:
        yield environment


async def test_every_event_arrives_once_when_the_service_is_killed(
    environment: E2EEnvironment,
) -> None:
    service = await environment.serve()
    await environment.connect()
    await environment.start_simulation(**SIMULATION)
    for count in (50, 150, 250):
        await environment.wait_for_events(count)
        kill(service)
        service = await environment.serve()
    await environment.assert_every_event_arrives_once()


async def test_every_event_arrives_once_when_the_embedded_postgresql_is_killed(
    environment: E2EEnvironment, data_directory: Path
) -> None:
    await environment.serve()
    await environment.connect()
    await environment.start_simulation(**SIMULATION)
    pid_file = data_directory / "postgres" / "cluster" / "postmaster.pid"
    for count in (50, 200):
        await environment.wait_for_events(count)
        pid = int(pid_file.read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
    await environment.assert_every_event_arrives_once()


async def test_another_worker_takes_over_from_a_killed_one(shared_environment: E2EEnvironment) -> None:
    environment = shared_environment
    await environment.serve("--no-worker")
    await environment.connect()
    first = environment.start("worker")
    await environment.start_simulation(**SIMULATION)
    await environment.wait_for_events(50)
    environment.start("worker")
    await environment.wait_for_events(150)
    kill(first)
    await environment.assert_every_event_arrives_once()


async def test_two_workers_deliver_each_event_once_and_in_order_for_each_customer(
    shared_environment: E2EEnvironment, database_url: str
) -> None:
    environment = shared_environment
    await environment.serve("--no-worker")
    await environment.connect()
    for _ in range(2):
        environment.start("worker")
    await environment.start_simulation(**SIMULATION)
    await environment.assert_every_event_arrives_once()
    state = await environment.get(f"{environment.klaviyo}/sandbox/state")
    assert state["dropped_duplicates"] == 0
    position = {event["unique_id"]: event["number"] for event in await environment.klaviyo_events()}
    with psycopg.connect(database_url) as connection:
        delivered = connection.execute(
            "SELECT subject, fact_key FROM deliveries WHERE state = 'delivered' AND kind <> 'profile' ORDER BY seq"
        ).fetchall()
    arrivals: dict[str, list[int]] = {}
    for subject, fact_key in delivered:
        arrivals.setdefault(subject, []).append(position[fact_key])
    assert len(delivered) > 200
    assert all(order == sorted(order) for order in arrivals.values())
