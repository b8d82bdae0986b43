"""Fixtures for all tests: a real PostgreSQL, started by the first test that needs it, and databases in it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from kustomer_klaviyo.postgres.server import EmbeddedServer
from kustomer_klaviyo.store.database import Database
from support.temporary_database import temporary_database, temporary_directory

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.load_profile("default")

# Plain tracebacks. The pretty ones render every local variable, which takes minutes for a large body.
structlog.configure(processors=[structlog.processors.format_exc_info, structlog.dev.ConsoleRenderer(colors=False)])


@pytest.fixture
def data_directory() -> Iterator[Path]:
    """A directory for a server that the test starts."""
    with temporary_directory() as path:
        yield path


@pytest.fixture(scope="session")
async def postgres_url() -> AsyncIterator[str]:
    """The URL of a server for the whole session."""
    with temporary_directory() as path:
        server = EmbeddedServer(path)
        yield await server.start()
        await server.stop()


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    """The URL of an empty database with the current schema."""
    with temporary_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="module")
async def shared_database(postgres_url: str) -> AsyncIterator[Database]:
    """One database for all tests of a file."""
    with temporary_database(postgres_url) as url:
        db = Database(url)
        await db.open()
        yield db
        await db.close()
