"""The line in one process, driven step by step: the real parts, a real database, both vendors simulated."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec

from documents import event
from kustomer_klaviyo.backoff import Patience
from kustomer_klaviyo.connections.registry import Joined
from kustomer_klaviyo.planning import merges_deletions
from kustomer_klaviyo.planning.customer_updates import keep_people
from kustomer_klaviyo.runtime.connection_worker import Run, Turn
from kustomer_klaviyo.sandbox import klaviyo, kustomer
from kustomer_klaviyo.sandbox.serving import serving
from kustomer_klaviyo.service import House, Service, house
from kustomer_klaviyo.settings import Settings
from kustomer_klaviyo.store import customers, inbox
from kustomer_klaviyo.store.connections import Connection, Secrets
from kustomer_klaviyo.store.inbox import NewEvent

NAME = "acme"
IMPATIENT = Patience(first_wait=0.02, longest_wait=0.1, first_pause=0.05, longest_pause=0.1, tries=3)
HORIZON = datetime(2026, 1, 1, tzinfo=UTC)
TURNS = 60


class Line:
    """One connection's line: what is received, written and delivered when the test says so."""

    joined: Joined
    run: Run

    def __init__(self, home: House, session: aiohttp.ClientSession, klaviyo_url: str, kustomer_url: str) -> None:
        self.home = home
        self.session = session
        self.klaviyo = klaviyo_url
        self.kustomer = kustomer_url
        self.keys: tuple[str, ...] = (klaviyo.DEFAULT_KEY,)
        self.service = Service(home, session)

    async def connect(self, **options: Any) -> None:
        """Connect, or change the connection."""
        before = await self.home.connections.get(NAME)
        made = Connection(
            revision=0 if before is None else before.revision,
            id=NAME,
            organisation="sandbox",
            kustomer_url=self.kustomer,
            klaviyo_url=self.klaviyo,
            secrets=Secrets(kustomer.DEFAULT_KEY, self.keys, ("token",)),
            horizon=HORIZON,
            options=options,
        )
        await self.home.connections.save(made)
        await self.begin_anew()

    async def begin_anew(self) -> None:
        """Let another run take over, as after a restart."""
        await self.service.directory.read()
        found = self.service.directory.get(NAME)
        assert found is not None
        self.joined = found
        self.run = self.service.start_run(found)

    async def receive(self, *resources: dict[str, Any]) -> None:
        """Take webhooks in and understand them."""
        now = datetime.now(UTC)
        events = [
            NewEvent(
                NAME,
                uuid.uuid4().hex,
                f"kustomer.{resource['type']}.update",
                None,
                None,
                msgspec.json.encode(event(resource, createdAt=now.isoformat())),
                now,
            )
            for resource in resources
        ]
        async with self.home.database.transaction() as connection:
            await inbox.land(connection, events)
        while await self.run.understand() == 0:
            pass

    async def ask(self) -> None:
        """Put the questions to Kustomer that may be asked now, and understand the answers."""
        await self._drive(self.run.ask, "SELECT FROM lookups WHERE due_at <= now()", TURNS)
        while await self.run.understand() == 0:
            pass

    async def write(self, turns: int = TURNS) -> None:
        """Write profiles until none is due."""
        waiting = "SELECT FROM deliveries WHERE state = 'waiting' AND kind = 'profile'"
        await self._drive(self.run.write_profiles, waiting, turns)

    async def deliver(self, turns: int = TURNS) -> None:
        """Deliver events until none is due."""
        waiting = "SELECT FROM deliveries WHERE state = 'waiting' AND kind <> 'profile'"
        await self._drive(self.run.deliver, waiting, turns)

    async def _drive(self, turn: Turn, waiting: str, turns: int) -> None:
        for _ in range(turns):
            wait = await turn()
            await asyncio.gather(*self.run.in_flight)
            if not await self.sql(waiting):
                return
            await asyncio.sleep(min(wait or 0.0, 0.2))

    async def lose(self, customer_id: str) -> None:
        """Find out that Kustomer no longer has a customer."""
        async with self.home.database.transaction() as connection:
            await keep_people(connection, self.joined, [customers.vanished(customer_id)])

    async def delete(self, customer_id: str) -> None:
        """Find out that a customer was deleted."""
        await self.lose(customer_id)
        async with self.home.database.transaction() as connection:
            await merges_deletions.deleted(connection, self.joined, customer_id)

    async def merge(self, source: str, target: str) -> None:
        """Find out that a customer became part of another."""
        await self.lose(source)
        async with self.home.database.transaction() as connection:
            await merges_deletions.merged(connection, self.joined, source=source, target=target)

    async def sql(self, query: str, params: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Look into the database."""
        return await self.home.database.fetch(query, tuple(params))

    async def told(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Return the deliveries, in their order."""
        rows = await self.sql("SELECT * FROM deliveries ORDER BY seq")
        return [row for row in rows if kind in (None, row["kind"])]

    async def states(self, kind: str = "profile") -> list[str]:
        """Return the states of the deliveries of a kind, in their order."""
        return [row["state"] for row in await self.told(kind)]

    async def held(self) -> dict[str, dict[str, Any]]:
        """Return Klaviyo's profiles by their addresses, or numbers."""
        async with self.session.get(f"{self.klaviyo}/sandbox/profiles") as response:
            return {one["email"] or one["phone_number"]: one for one in await response.json()}

    async def arrived(self) -> list[dict[str, Any]]:
        """Return the events that Klaviyo holds."""
        async with self.session.get(f"{self.klaviyo}/sandbox/events") as response:
            found: list[dict[str, Any]] = await response.json()
            return found

    async def requests(self, vendor: str) -> dict[str, int]:
        """Return what a vendor was asked, and how often."""
        async with self.session.get(f"{vendor}/sandbox/state") as response:
            found: dict[str, int] = (await response.json())["requests"]
            return found

    async def misbehave(self, **fault: Any) -> None:
        """Let Klaviyo misbehave."""
        async with self.session.post(f"{self.klaviyo}/sandbox/faults", json=fault) as response:
            assert response.status == 201, await response.text()

    async def dislike(self, *attributes: str, **of: Any) -> None:
        """Let Klaviyo refuse these attributes from now on, and no others."""
        wanted = [{"attribute": one} | of for one in attributes]
        async with self.session.put(f"{self.klaviyo}/sandbox/refused", json=wanted) as response:
            assert response.status == 204, await response.text()

    async def behave(self) -> None:
        """Let Klaviyo behave again."""
        async with self.session.delete(f"{self.klaviyo}/sandbox/faults") as response:
            assert response.status == 204

    async def met(self, vendor: str | None = None) -> int:
        """Return how many requests met a fault of a vendor: Klaviyo, unless another is named."""
        async with self.session.get(f"{vendor or self.klaviyo}/sandbox/faults") as response:
            return sum(armed["met"] for armed in await response.json())

    async def refuse(self, path: str, *, pointer: str = "/data/attributes", **fault: Any) -> None:
        """Let Klaviyo refuse what requests carry, blaming a part of it."""
        error = {"code": "invalid", "detail": "Not like this.", "source": {"pointer": pointer}}
        await self.misbehave(kind="answer", status=400, path=path, json={"errors": [error]}, **fault)

    async def accept_keys(self, keys: dict[str, list[str]]) -> None:
        """Let Klaviyo accept these keys only, with their scopes."""
        async with self.session.put(f"{self.klaviyo}/sandbox/keys", json=keys) as response:
            assert response.status == 204, await response.text()

    async def make(self, **attributes: Any) -> str:
        """Let somebody else make a profile at Klaviyo; returns its id."""
        body = {"data": {"type": "profile", "attributes": attributes}}
        made: str = (await self.ask_klaviyo("POST", "/api/profiles", body))["data"]["id"]
        return made

    async def erase(self, email: str) -> None:
        """Let somebody else delete a profile at Klaviyo."""
        person = {"data": {"type": "profile", "attributes": {"email": email}}}
        body = {"data": {"type": "data-privacy-deletion-job", "attributes": {"profile": person}}}
        await self.ask_klaviyo("POST", "/api/data-privacy-deletion-jobs", body)
        while email in await self.held():
            await asyncio.sleep(0.01)

    async def ask_klaviyo(self, method: str, path: str, body: Any = None) -> Any:
        """Ask Klaviyo as another program would."""
        headers = {"Authorization": f"Klaviyo-API-Key {klaviyo.DEFAULT_KEY}", "revision": "2026-07-15"}
        async with self.session.request(method, self.klaviyo + path, json=body, headers=headers) as response:
            assert response.status < 300, await response.text()
            return await response.json() if await response.read() else None


@asynccontextmanager
async def laid(settings: Settings, **options: Any) -> AsyncIterator[Line]:
    """Lay a line between both simulated vendors; ``options`` are Klaviyo's."""
    options = {"rate_limits": False, "job_seconds": 0.02} | options
    async with (
        house(settings, owner=True) as home,
        aiohttp.ClientSession() as session,
        serving(klaviyo.create_app(klaviyo.KlaviyoOptions(**options))) as klaviyo_url,
        serving(kustomer.create_app(kustomer.KustomerOptions())) as kustomer_url,
    ):
        yield Line(home, session, klaviyo_url, kustomer_url)
