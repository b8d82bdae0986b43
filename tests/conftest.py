"""What every test may stand on: a real PostgreSQL, and an empty database in it for each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from kustomer_klaviyo.postgres.server import EmbeddedServer
from kustomer_klaviyo.store.database import Database
from stage import own_database, own_directory

settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.load_profile("house")

# Plain tracebacks: the pretty ones render every local variable, which takes minutes for a large body.
structlog.configure(processors=[structlog.processors.format_exc_info, structlog.dev.ConsoleRenderer(colors=False)])


@pytest.fixture
def data_directory() -> Iterator[Path]:
    """A directory for a server of the test's own."""
    with own_directory() as path:
        yield path


@pytest.fixture(scope="session")
async def postgres_url() -> AsyncIterator[str]:
    """A server for the whole session."""
    with own_directory() as path:
        server = EmbeddedServer(path)
        yield await server.start()
        await server.stop()


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    """An empty database in the shape this version needs."""
    with own_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="module")
async def shared_database(postgres_url: str) -> AsyncIterator[Database]:
    """One database for all tests of a file."""
    with own_database(postgres_url) as url:
        database = Database(url)
        await database.open()
        yield database
        await database.close()
