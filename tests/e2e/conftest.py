"""A running service for all tests of a file."""

from collections.abc import AsyncIterator

import pytest

from support.e2e_environment import E2EEnvironment, run_shared_environment


@pytest.fixture(scope="module")
async def shared_environment(postgres_url: str) -> AsyncIterator[E2EEnvironment]:
    """One service for all tests of a file."""
    async with run_shared_environment(postgres_url) as environment:
        yield environment
