"""The process's vendor clients, one per address and API key, so that rate limits outlive a connection worker."""

import aiohttp

from kustomer_klaviyo.klaviyo.klaviyo_client import ClientLimiters, KlaviyoClient
from kustomer_klaviyo.klaviyo.reader import KlaviyoReader, ReaderLimiters
from kustomer_klaviyo.kustomer.kustomer_client import KustomerClient


class VendorClients:
    """Creates each client once. All keys and connections of one Klaviyo account share its rate limiters."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._klaviyo: dict[tuple[str, str], KlaviyoClient] = {}
        self._readers: dict[tuple[str, str], KlaviyoReader] = {}
        self._limiters: dict[tuple[str, str], tuple[ClientLimiters, ReaderLimiters]] = {}
        self._kustomer: dict[tuple[str, str, int], KustomerClient] = {}

    def klaviyo(self, url: str, key: str, account: str | None) -> KlaviyoClient:
        """Return the client of a Klaviyo API key; ``account`` is the site ID, if known."""
        self._create(url, key, account)
        return self._klaviyo[url, key]

    def reader(self, url: str, key: str, account: str | None) -> KlaviyoReader:
        """Return the card reader of a Klaviyo API key."""
        self._create(url, key, account)
        return self._readers[url, key]

    def _create(self, url: str, key: str, account: str | None) -> None:
        if (url, key) in self._klaviyo:
            return
        new_limiters = (ClientLimiters(), ReaderLimiters())
        limiters, reader_limiters = self._limiters.setdefault((url, account or key), new_limiters)
        client = KlaviyoClient(self._session, base_url=url, key=key, limiters=limiters)
        self._klaviyo[url, key] = client
        self._readers[url, key] = KlaviyoReader(client, limiters=reader_limiters)

    def kustomer(self, url: str, key: str, requests_per_minute: int) -> KustomerClient:
        """Return the client of a Kustomer API key and request budget."""
        client = self._kustomer.get((url, key, requests_per_minute))
        if client is None:
            client = KustomerClient(self._session, base_url=url, key=key, requests_per_minute=requests_per_minute)
            self._kustomer[url, key, requests_per_minute] = client
        return client
