"""The design that the card is compared with: each open asks Klaviyo for everything, and nothing is kept."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
from litestar.types import Receive, Scope, Send

from kustomer_klaviyo.klaviyo.event_wire import MEDIA_TYPE, REVISION
from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY
from kustomer_klaviyo.service import House

HEADERS = {"Authorization": f"Klaviyo-API-Key {DEFAULT_KEY}", "revision": REVISION, "Accept": MEDIA_TYPE}


class Plain:
    """Makes a card out of four requests: the profile, then its lists, segments and events side by side.

    Lists and segments are asked for by themselves, 60 a minute; included in the profile it would be 15.
    """

    def __init__(self, home: House, session: aiohttp.ClientSession, klaviyo: str) -> None:
        self._home = home
        self._session = session
        self._klaviyo = klaviyo

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the card of the customer that the path ends with, unless whoever asked is gone by then."""
        await receive()
        opening = asyncio.create_task(self._open(scope["path"].rstrip("/").rsplit("/", 1)[-1]))
        gone = asyncio.create_task(_gone(receive))
        await asyncio.wait((opening, gone), return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not opening.done():
            opening.cancel()
            return
        body = msgspec.json.encode({"card": opening.result()})
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _open(self, customer: str) -> dict[str, Any]:
        fetched_at = datetime.now(UTC)
        query = "SELECT email FROM people WHERE customer_id = %s"
        [person] = await self._home.database.fetch(query, (customer,))
        wanted = quote(f'equals(email,"{person["email"]}")', safe="")
        more = "additional-fields[profile]=subscriptions,predictive_analytics"
        [profile] = await self._read(f"/api/profiles?filter={wanted}&{more}")
        own = quote(f'equals(profile_id,"{profile["id"]}")', safe="")
        lists, segments, events = await asyncio.gather(
            self._read(f"/api/profiles/{profile['id']}/lists?fields[list]=name"),
            self._read(f"/api/profiles/{profile['id']}/segments?fields[segment]=name"),
            self._read(f"/api/events?filter={own}&include=metric&sort=-datetime"),
        )
        return {
            "face": "known",
            "person": profile,
            "lists": lists,
            "segments": segments,
            "campaigns": events,
            "fetched_at": fetched_at,
        }

    async def _read(self, path: str) -> list[dict[str, Any]]:
        """Read, and come again as often as Klaviyo is too busy, when it says so."""
        while True:
            async with self._session.get(self._klaviyo + path, headers=HEADERS) as response:
                if response.status == 429:
                    wait = float(response.headers["Retry-After"])
                else:
                    response.raise_for_status()
                    found: list[dict[str, Any]] = (await response.json())["data"]
                    return found
            await asyncio.sleep(wait)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
