"""The process's clients of both vendors, one for each address and key: what a quota has seen outlives a run."""

import aiohttp

from kustomer_klaviyo.klaviyo.client import KlaviyoClient
from kustomer_klaviyo.klaviyo.reading import KlaviyoReader
from kustomer_klaviyo.kustomer.client import KustomerClient


class Clients:
    """Makes a client once, so that its rate windows count for every run and connection that uses the same key."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._klaviyo: dict[tuple[str, str], KlaviyoClient] = {}
        self._readers: dict[tuple[str, str], KlaviyoReader] = {}
        self._kustomer: dict[tuple[str, str, int], KustomerClient] = {}

    def klaviyo(self, url: str, key: str) -> KlaviyoClient:
        """Return the client of a Klaviyo key."""
        client = self._klaviyo.get((url, key))
        if client is None:
            client = self._klaviyo[url, key] = KlaviyoClient(self._session, base_url=url, key=key)
        return client

    def reader(self, url: str, key: str) -> KlaviyoReader:
        """Return what reads for cards under a Klaviyo key."""
        reader = self._readers.get((url, key))
        if reader is None:
            reader = self._readers[url, key] = KlaviyoReader(self.klaviyo(url, key))
        return reader

    def kustomer(self, url: str, key: str, requests_per_minute: int) -> KustomerClient:
        """Return the client of a Kustomer key with its budget."""
        client = self._kustomer.get((url, key, requests_per_minute))
        if client is None:
            client = KustomerClient(self._session, base_url=url, key=key, requests_per_minute=requests_per_minute)
            self._kustomer[url, key, requests_per_minute] = client
        return client
