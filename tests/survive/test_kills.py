"""What a ``kill -9`` in the middle of traffic costs: nothing, and nothing twice."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from stage import Stage, kill, staged

DAY = {"customers": 20, "conversations": 150, "rate": 150.0}


@pytest.fixture
async def stage(data_directory: Path) -> AsyncIterator[Stage]:
    async with staged(data_directory) as ready:
        yield ready


@pytest.fixture
async def shared_stage(data_directory: Path, database_url: str) -> AsyncIterator[Stage]:
    """A stage whose processes share a database that none of them owns."""
    async with staged(data_directory, database_url=database_url) as ready:
        yield ready


async def test_the_service_killed_in_the_middle_of_traffic_loses_and_doubles_nothing(stage: Stage) -> None:
    service = await stage.serve()
    await stage.connect()
    await stage.play(**DAY)
    for count in (50, 150, 250):
        await stage.until_arrived(count)
        kill(service)
        service = await stage.serve()
    await stage.assert_every_event_arrives_once()


async def test_the_embedded_postgresql_killed_in_the_middle_of_traffic_comes_back_by_itself(
    stage: Stage, data_directory: Path
) -> None:
    await stage.serve()
    await stage.connect()
    await stage.play(**DAY)
    pid_file = data_directory / "postgres" / "cluster" / "postmaster.pid"
    for count in (50, 200):
        await stage.until_arrived(count)
        pid = int(pid_file.read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
    await stage.assert_every_event_arrives_once()


async def test_a_killed_workers_connection_is_taken_over_by_another(shared_stage: Stage) -> None:
    stage = shared_stage
    await stage.serve("--no-work")
    await stage.connect()
    first = stage.start("worker")
    await stage.play(**DAY)
    await stage.until_arrived(50)
    stage.start("worker")
    await stage.until_arrived(150)
    kill(first)
    await stage.assert_every_event_arrives_once()


async def test_two_workers_send_no_event_twice_and_keep_each_customers_order(
    shared_stage: Stage, database_url: str
) -> None:
    stage = shared_stage
    await stage.serve("--no-work")
    await stage.connect()
    for _ in range(2):
        stage.start("worker")
    await stage.play(**DAY)
    await stage.assert_every_event_arrives_once()
    state = await stage.get(f"{stage.klaviyo}/sandbox/state")
    assert state["dropped_duplicates"] == 0
    position = {event["unique_id"]: event["n"] for event in await stage.arrived()}
    with psycopg.connect(database_url) as connection:
        told = connection.execute(
            "SELECT subject, key FROM deliveries WHERE state = 'delivered' AND kind <> 'profile' ORDER BY seq"
        ).fetchall()
    arrivals: dict[str, list[int]] = {}
    for subject, key in told:
        arrivals.setdefault(subject, []).append(position[key])
    assert len(told) > 200
    assert all(order == sorted(order) for order in arrivals.values())
