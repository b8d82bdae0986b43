"""What every test may stand on: a real PostgreSQL, and an empty database in it for each test."""

import shutil
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg import sql

from kustomer_klaviyo.store.migrate import migrate
from kustomer_klaviyo.store.server import EmbeddedServer
from stage import new_directory

settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.load_profile("house")


@pytest.fixture
def data_directory() -> Iterator[Path]:
    """A directory for a server of the test's own."""
    path = new_directory()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
async def postgres_url() -> AsyncIterator[str]:
    """A server for the whole session."""
    path = new_directory()
    server = EmbeddedServer(path)
    yield await server.start()
    await server.stop()
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    """An empty database in the shape this version needs."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = postgres_url.replace("/kustomer_klaviyo?", f"/{name}?")
        migrate(url)
        yield url
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
