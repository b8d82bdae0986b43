"""Rate limits are counted once per process, however many connection workers start and stop."""

import aiohttp

from kustomer_klaviyo.runtime.vendor_clients import VendorClients


async def test_all_keys_and_connections_of_an_account_share_rate_limiters() -> None:
    async with aiohttp.ClientSession() as session:
        clients = VendorClients(session)
        one, other = clients.klaviyo("https://a", "pk_1", "AbC123"), clients.klaviyo("https://a", "pk_2", "AbC123")
        assert clients.klaviyo("https://a", "pk_1", "AbC123") is one
        assert other is not one
        assert other.limiters is one.limiters
        assert clients.klaviyo("https://a", "pk_3", "XyZ789").limiters is not one.limiters
        reader = clients.reader("https://a", "pk_1", "AbC123")
        assert clients.reader("https://a", "pk_2", "AbC123").limiters is reader.limiters
        assert clients.reader("https://a", "pk_3", "XyZ789").limiters is not reader.limiters
        kustomer = clients.kustomer("https://k", "key", 200)
        assert clients.kustomer("https://k", "key", 200).rate_limiter is kustomer.rate_limiter
