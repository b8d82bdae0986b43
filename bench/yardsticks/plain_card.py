"""The design that the card is compared with: each opened card is read from Klaviyo, and nothing is stored."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
from litestar.types import Receive, Scope, Send

from kustomer_klaviyo.klaviyo.event_wire import MEDIA_TYPE, REVISION
from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY
from kustomer_klaviyo.service import AppContext

HEADERS = {"Authorization": f"Klaviyo-API-Key {DEFAULT_KEY}", "revision": REVISION, "Accept": MEDIA_TYPE}


class PlainCard:
    """Builds a card from four requests: the profile, then its lists, segments and events concurrently.

    Lists and segments are separate requests, limited to 60 a minute; included in the profile they are limited to 15.
    """

    def __init__(self, context: AppContext, session: aiohttp.ClientSession, klaviyo: str) -> None:
        self._context = context
        self._session = session
        self._klaviyo = klaviyo

    async def respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with the card of the customer in the path, unless the client disconnects first."""
        await receive()
        opening = asyncio.create_task(self._open(scope["path"].rstrip("/").rsplit("/", 1)[-1]))
        disconnected = asyncio.create_task(_wait_for_disconnect(receive))
        await asyncio.wait((opening, disconnected), return_when=asyncio.FIRST_COMPLETED)
        disconnected.cancel()
        if not opening.done():
            opening.cancel()
            return
        body = msgspec.json.encode({"card": opening.result()})
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _open(self, customer: str) -> dict[str, Any]:
        fetched_at = datetime.now(UTC)
        query = "SELECT email FROM customers WHERE customer_id = %s"
        [customer_row] = await self._context.db.fetch(query, (customer,))
        wanted = quote(f'equals(email,"{customer_row["email"]}")', safe="")
        more = "additional-fields[profile]=subscriptions,predictive_analytics"
        [profile] = await self._read(f"/api/profiles?filter={wanted}&{more}")
        own = quote(f'equals(profile_id,"{profile["id"]}")', safe="")
        lists, segments, events = await asyncio.gather(
            self._read(f"/api/profiles/{profile['id']}/lists?fields[list]=name"),
            self._read(f"/api/profiles/{profile['id']}/segments?fields[segment]=name"),
            self._read(f"/api/events?filter={own}&include=metric&sort=-datetime"),
        )
        return {
            "status": "ok",
            "profile": profile,
            "lists": lists,
            "segments": segments,
            "campaigns": events,
            "fetched_at": fetched_at,
        }

    async def _read(self, path: str) -> list[dict[str, Any]]:
        """Read a list of resources. After a 429, wait as long as Klaviyo says and try again."""
        while True:
            async with self._session.get(self._klaviyo + path, headers=HEADERS) as response:
                if response.status == 429:
                    wait = float(response.headers["Retry-After"])
                else:
                    response.raise_for_status()
                    resources: list[dict[str, Any]] = (await response.json())["data"]
                    return resources
            await asyncio.sleep(wait)


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
