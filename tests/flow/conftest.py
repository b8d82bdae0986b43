"""A line laid between both simulated vendors."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kustomer_klaviyo.settings import Settings
from kustomer_klaviyo.store.database import Database
from line import IMPATIENT, Line, laid
from stage import own_database


@pytest.fixture(scope="module")
async def shared_database(postgres_url: str) -> AsyncIterator[Database]:
    """One database for all tests of a file."""
    with own_database(postgres_url) as url:
        database = Database(url)
        await database.open()
        yield database
        await database.close()


@pytest.fixture
def settings(data_directory: Path, database_url: str) -> Settings:
    return Settings(data_directory=data_directory, database_url=database_url, patience=IMPATIENT)


@pytest.fixture
async def line(settings: Settings) -> AsyncIterator[Line]:
    async with laid(settings) as ready:
        yield ready
