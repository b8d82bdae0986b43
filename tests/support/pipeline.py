"""The pipeline of one connection in this process: real parts, a real database, both vendors simulated."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec

from kustomer_klaviyo.backoff import RetrySettings
from kustomer_klaviyo.connections.context import ConnectionContext
from kustomer_klaviyo.planning import merges_deletions
from kustomer_klaviyo.planning.customer_updates import save_customers
from kustomer_klaviyo.runtime.connection_worker import ConnectionWorker, Step
from kustomer_klaviyo.sandbox import klaviyo, kustomer
from kustomer_klaviyo.sandbox.http_server import run_server
from kustomer_klaviyo.service import AppContext, Service, open_app
from kustomer_klaviyo.settings import Settings
from kustomer_klaviyo.store import customers, inbox
from kustomer_klaviyo.store.connections import Connection, Secrets
from kustomer_klaviyo.store.inbox import NewEvent
from support.kustomer_documents import event

CONNECTION_ID = "acme"
FAST_RETRIES = RetrySettings(
    initial_seconds=0.02, max_seconds=0.1, auth_initial_seconds=0.05, auth_max_seconds=0.1, max_attempts=3
)
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
MAX_STEPS = 60


class Pipeline:
    """Receives, plans and delivers for one connection, one step at a time."""

    context: ConnectionContext
    worker: ConnectionWorker

    def __init__(self, app: AppContext, session: aiohttp.ClientSession, klaviyo_url: str, kustomer_url: str) -> None:
        self.app = app
        self.session = session
        self.klaviyo = klaviyo_url
        self.kustomer = kustomer_url
        self.keys: tuple[str, ...] = (klaviyo.DEFAULT_KEY,)
        self.service = Service(app, session)

    async def connect(self, **options: Any) -> None:
        """Create the connection, or change its options."""
        former = await self.app.connections.get(CONNECTION_ID)
        connection = Connection(
            version=0 if former is None else former.version,
            id=CONNECTION_ID,
            organisation="sandbox",
            kustomer_url=self.kustomer,
            klaviyo_url=self.klaviyo,
            secrets=Secrets(kustomer.DEFAULT_KEY, self.keys, ("token",)),
            since=SINCE,
            options=options,
        )
        await self.app.connections.save(connection)
        await self.restart_worker()

    async def restart_worker(self) -> None:
        """Replace the worker, as after a restart."""
        await self.service.registry.load()
        context = self.service.registry.get(CONNECTION_ID)
        assert context is not None
        self.context = context
        self.worker = self.service.create_worker(context)

    async def receive_webhooks(self, *resources: dict[str, Any]) -> None:
        """Store webhooks in the inbox and process them."""
        now = datetime.now(UTC)
        events = [
            NewEvent(
                CONNECTION_ID,
                uuid.uuid4().hex,
                f"kustomer.{resource['type']}.update",
                None,
                None,
                msgspec.json.encode(event(resource, createdAt=now.isoformat())),
                now,
            )
            for resource in resources
        ]
        async with self.app.db.transaction() as tx:
            await inbox.insert(tx, events)
        while await self.worker.process_inbox() == 0:
            pass

    async def run_lookups(self) -> None:
        """Run the due lookups and process the inbox."""
        await self._run_until_idle(self.worker.run_lookups, "SELECT FROM lookups WHERE due_at <= now()", MAX_STEPS)
        while await self.worker.process_inbox() == 0:
            pass

    async def write_profiles(self, steps: int = MAX_STEPS) -> None:
        """Write profiles until none is pending, at most ``steps`` times."""
        due = "SELECT FROM deliveries WHERE state = 'pending' AND kind = 'profile'"
        await self._run_until_idle(self.worker.write_profiles, due, steps)

    async def deliver_events(self, steps: int = MAX_STEPS) -> None:
        """Deliver events until none is pending, at most ``steps`` times."""
        due = "SELECT FROM deliveries WHERE state = 'pending' AND kind <> 'profile'"
        await self._run_until_idle(self.worker.deliver_events, due, steps)

    async def _run_until_idle(self, step: Step, due: str, steps: int) -> None:
        for _ in range(steps):
            wait = await step()
            await asyncio.gather(*self.worker.in_flight)
            if not await self.sql(due):
                return
            await asyncio.sleep(min(wait or 0.0, 0.2))

    async def mark_removed(self, customer_id: str) -> None:
        """Record that Kustomer no longer has a customer."""
        async with self.app.db.transaction() as tx:
            await save_customers(tx, self.context, [customers.removed_customer(customer_id)])

    async def delete_customer(self, customer_id: str) -> None:
        """Record that a customer was deleted."""
        await self.mark_removed(customer_id)
        async with self.app.db.transaction() as tx:
            await merges_deletions.apply_deletion(tx, self.context, customer_id)

    async def merge_customers(self, source: str, target: str) -> None:
        """Record that a customer was merged into another."""
        await self.mark_removed(source)
        async with self.app.db.transaction() as tx:
            await merges_deletions.apply_merge(tx, self.context, source=source, target=target)

    async def sql(self, query: str, params: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Run a query on the database."""
        return await self.app.db.fetch(query, tuple(params))

    async def deliveries(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Return the deliveries in order."""
        rows = await self.sql("SELECT * FROM deliveries ORDER BY seq")
        return [row for row in rows if kind in (None, row["kind"])]

    async def delivery_states(self, kind: str = "profile") -> list[str]:
        """Return the states of the deliveries of a kind in order."""
        return [row["state"] for row in await self.deliveries(kind)]

    async def klaviyo_profiles(self) -> dict[str, dict[str, Any]]:
        """Return Klaviyo's profiles by email, or by phone number."""
        async with self.session.get(f"{self.klaviyo}/sandbox/profiles") as response:
            return {profile["email"] or profile["phone_number"]: profile for profile in await response.json()}

    async def klaviyo_events(self) -> list[dict[str, Any]]:
        """Return the events that Klaviyo holds."""
        async with self.session.get(f"{self.klaviyo}/sandbox/events") as response:
            events: list[dict[str, Any]] = await response.json()
            return events

    async def request_counts(self, vendor: str) -> dict[str, int]:
        """Return how many requests a vendor received for each path."""
        async with self.session.get(f"{vendor}/sandbox/state") as response:
            counts: dict[str, int] = (await response.json())["requests"]
            return counts

    async def add_fault(self, **fault: Any) -> None:
        """Add a fault to Klaviyo."""
        async with self.session.post(f"{self.klaviyo}/sandbox/faults", json=fault) as response:
            assert response.status == 201, await response.text()

    async def refuse_attributes(self, *attributes: str, **options: Any) -> None:
        """Let Klaviyo refuse these attributes, and no others."""
        refused = [{"attribute": attribute} | options for attribute in attributes]
        async with self.session.put(f"{self.klaviyo}/sandbox/refused-attributes", json=refused) as response:
            assert response.status == 204, await response.text()

    async def clear_faults(self) -> None:
        """Remove all faults from Klaviyo."""
        async with self.session.delete(f"{self.klaviyo}/sandbox/faults") as response:
            assert response.status == 204

    async def fault_hits(self, vendor: str | None = None) -> int:
        """Return how many requests hit a fault of a vendor (default: Klaviyo)."""
        async with self.session.get(f"{vendor or self.klaviyo}/sandbox/faults") as response:
            return sum(active["hits"] for active in await response.json())

    async def add_refusal(self, path: str, *, pointer: str = "/data/attributes", **fault: Any) -> None:
        """Let Klaviyo refuse requests, with a pointer to a part of the body."""
        error = {"code": "invalid", "detail": "Not like this.", "source": {"pointer": pointer}}
        await self.add_fault(kind="response", status=400, path=path, json={"errors": [error]}, **fault)

    async def set_keys(self, keys: dict[str, list[str]]) -> None:
        """Replace Klaviyo's keys, with the scopes of each."""
        async with self.session.put(f"{self.klaviyo}/sandbox/keys", json=keys) as response:
            assert response.status == 204, await response.text()

    async def create_profile(self, **attributes: Any) -> str:
        """Create a profile in Klaviyo as another program would. Returns its id."""
        body = {"data": {"type": "profile", "attributes": attributes}}
        profile_id: str = (await self.klaviyo_api("POST", "/api/profiles", body))["data"]["id"]
        return profile_id

    async def delete_profile(self, email: str) -> None:
        """Delete a profile in Klaviyo as another program would."""
        profile = {"data": {"type": "profile", "attributes": {"email": email}}}
        body = {"data": {"type": "data-privacy-deletion-job", "attributes": {"profile": profile}}}
        await self.klaviyo_api("POST", "/api/data-privacy-deletion-jobs", body)
        while email in await self.klaviyo_profiles():
            await asyncio.sleep(0.01)

    async def klaviyo_api(self, method: str, path: str, body: Any = None) -> Any:
        """Call Klaviyo's API as another program would."""
        headers = {"Authorization": f"Klaviyo-API-Key {klaviyo.DEFAULT_KEY}", "revision": "2026-07-15"}
        async with self.session.request(method, self.klaviyo + path, json=body, headers=headers) as response:
            assert response.status < 300, await response.text()
            return await response.json() if await response.read() else None


@asynccontextmanager
async def run_pipeline(settings: Settings, **options: Any) -> AsyncIterator[Pipeline]:
    """Run a pipeline between both simulated vendors. ``options`` are the simulated Klaviyo's."""
    options = {"rate_limits": False, "job_seconds": 0.02} | options
    async with (
        open_app(settings, owner=True) as app,
        aiohttp.ClientSession() as session,
        run_server(klaviyo.create_app(klaviyo.KlaviyoOptions(**options))) as klaviyo_url,
        run_server(kustomer.create_app(kustomer.KustomerOptions())) as kustomer_url,
    ):
        yield Pipeline(app, session, klaviyo_url, kustomer_url)
