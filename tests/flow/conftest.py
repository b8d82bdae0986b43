"""A line laid between both simulated vendors."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kustomer_klaviyo.settings import Settings
from line import IMPATIENT, Line, laid


@pytest.fixture
def settings(data_directory: Path, database_url: str) -> Settings:
    return Settings(data_directory=data_directory, database_url=database_url, patience=IMPATIENT)


@pytest.fixture
async def line(settings: Settings) -> AsyncIterator[Line]:
    async with laid(settings) as ready:
        yield ready
