"""The process's clients of both vendors, one for each address and key: what a quota has seen outlives a run."""

import aiohttp

from kustomer_klaviyo.klaviyo.client import KlaviyoClient
from kustomer_klaviyo.klaviyo.reader import KlaviyoReader
from kustomer_klaviyo.kustomer.client import KustomerClient
from kustomer_klaviyo.rate_limits import share_windows


class Clients:
    """Makes a client once, so that its rate windows count for every run that uses it.

    A Klaviyo account has its limits whoever asks: its keys, and all connections to it, count together.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._klaviyo: dict[tuple[str, str], KlaviyoClient] = {}
        self._readers: dict[tuple[str, str], KlaviyoReader] = {}
        self._of_account: dict[tuple[str, str], tuple[KlaviyoClient, KlaviyoReader]] = {}
        self._kustomer: dict[tuple[str, str, int], KustomerClient] = {}

    def klaviyo(self, url: str, key: str, account: str | None) -> KlaviyoClient:
        """Return the client of a Klaviyo key; ``account`` is the site ID, as far as it is known."""
        self._know(url, key, account)
        return self._klaviyo[url, key]

    def reader(self, url: str, key: str, account: str | None) -> KlaviyoReader:
        """Return what reads for cards under a Klaviyo key."""
        self._know(url, key, account)
        return self._readers[url, key]

    def _know(self, url: str, key: str, account: str | None) -> None:
        if (url, key) in self._klaviyo:
            return
        client = self._klaviyo[url, key] = KlaviyoClient(self._session, base_url=url, key=key)
        reader = self._readers[url, key] = KlaviyoReader(client)
        first_client, first_reader = self._of_account.setdefault((url, account or key), (client, reader))
        share_windows(client, first_client)
        share_windows(reader, first_reader)

    def kustomer(self, url: str, key: str, requests_per_minute: int) -> KustomerClient:
        """Return the client of a Kustomer key with its budget."""
        client = self._kustomer.get((url, key, requests_per_minute))
        if client is None:
            client = KustomerClient(self._session, base_url=url, key=key, requests_per_minute=requests_per_minute)
            self._kustomer[url, key, requests_per_minute] = client
        return client
