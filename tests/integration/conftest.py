"""A pipeline between both simulated vendors."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kustomer_klaviyo.settings import Settings
from support.pipeline import FAST_RETRIES, Pipeline, run_pipeline


@pytest.fixture
def settings(data_directory: Path, database_url: str) -> Settings:
    return Settings(data_directory=data_directory, database_url=database_url, retry=FAST_RETRIES)


@pytest.fixture
async def pipeline(settings: Settings) -> AsyncIterator[Pipeline]:
    async with run_pipeline(settings) as ready:
        yield ready
