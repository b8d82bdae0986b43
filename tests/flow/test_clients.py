"""A quota is counted once in a process, however many runs come and go."""

import aiohttp

from kustomer_klaviyo.runtime.vendor_clients import Clients


async def test_all_keys_and_connections_of_an_account_count_in_the_same_windows() -> None:
    async with aiohttp.ClientSession() as session:
        clients = Clients(session)
        one, other = clients.klaviyo("https://a", "pk_1", "AbC123"), clients.klaviyo("https://a", "pk_2", "AbC123")
        assert clients.klaviyo("https://a", "pk_1", "AbC123") is one
        assert other is not one
        assert other.event_windows is one.event_windows
        assert clients.klaviyo("https://a", "pk_3", "XyZ789").event_windows is not one.event_windows
        reader = clients.reader("https://a", "pk_1", "AbC123")
        assert clients.reader("https://a", "pk_2", "AbC123").single_windows is reader.single_windows
        assert clients.reader("https://a", "pk_3", "XyZ789").single_windows is not reader.single_windows
        asked = clients.kustomer("https://k", "key", 200)
        assert clients.kustomer("https://k", "key", 200).windows is asked.windows
