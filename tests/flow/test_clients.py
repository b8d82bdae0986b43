"""A quota is counted once in a process, however many runs come and go."""

import aiohttp

from kustomer_klaviyo.flow.clients import Clients


async def test_runs_that_use_the_same_key_count_in_the_same_windows() -> None:
    async with aiohttp.ClientSession() as session:
        clients = Clients(session)
        one = clients.klaviyo("https://a", "pk_1")
        assert clients.klaviyo("https://a", "pk_1").event_windows is one.event_windows
        assert clients.klaviyo("https://a", "pk_2") is not one
        asked = clients.kustomer("https://k", "key", 200)
        assert clients.kustomer("https://k", "key", 200).windows is asked.windows
