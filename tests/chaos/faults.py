"""Carries out the steps of a schedule: each begins a fault, waits, and ends it."""

import asyncio
import contextlib
import os
import signal
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import psycopg

from chaos.environment import ChaosEnvironment, Report
from chaos.proxy import Behaviour, Mode
from chaos.schedule import FaultKind, Step
from kustomer_klaviyo.demo.demo_error import DemoError
from kustomer_klaviyo.demo.environment import ORGANISATION
from kustomer_klaviyo.sandbox import klaviyo
from kustomer_klaviyo.store import inbox, retention
from kustomer_klaviyo.store.database import UNAVAILABLE_ERRORS, Database
from support.e2e_environment import kill

NOT_APPLIED = (psycopg.Error, OSError, TimeoutError, aiohttp.ClientError, DemoError, *UNAVAILABLE_ERRORS)
"""Errors of a step that met another fault."""
MAX_CONNECTIONS = 100
CONNECT_TRIES = 30

BACKENDS = """
SELECT pid FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY backend_start
"""
END_BACKENDS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> ALL (%s)
"""
LOCK_PENDING = "SELECT FROM deliveries WHERE state = 'pending' ORDER BY seq LIMIT 20 FOR UPDATE"
GROW_OLD = (
    "UPDATE inbox SET received_at = received_at - interval '60 days' WHERE state = 'processed'",
    """UPDATE deliveries SET created_at = created_at - interval '60 days'
       WHERE kind = 'profile' AND state IN ('delivered', 'skipped')""",
)
MISSING = """
-- Conversations of acknowledged webhooks that are neither in the inbox nor in the outbox.
SELECT id FROM unnest(%s::text[]) AS acknowledged (id)
WHERE NOT EXISTS (SELECT FROM inbox WHERE conversation_id = id)
  AND NOT EXISTS (SELECT FROM deliveries WHERE conversation_id = id)
"""


@dataclass
class Faults:
    """The faults of one round, and what they met."""

    environment: ChaosEnvironment
    report: Report
    applied: Counter[FaultKind] = field(default_factory=Counter)
    not_applied: list[str] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    """Conversations that the database did not hold although a webhook about them was acknowledged."""
    checks: int = 0
    """How often the database was searched for them."""
    _key: str = klaviyo.DEFAULT_KEY
    _keys_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _network_locks: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def apply(self, step: Step) -> None:
        """Begin a fault, wait, and end it."""
        self.report(str(step))
        try:
            await getattr(self, f"_{step.kind}")(step)
        except NOT_APPLIED as error:
            self.not_applied.append(f"{step.kind}: {type(error).__name__}")
        else:
            self.applied[step.kind] += 1

    async def end_all(self) -> None:
        """End every fault."""
        for vendor in (self.environment.kustomer, self.environment.klaviyo):
            await self.environment.send(f"{vendor}/sandbox/faults", method="DELETE")
        for proxy in self.environment.proxies.values():
            proxy.set(Behaviour())

    async def find_lost(self) -> None:
        """Search the database for every conversation of which a webhook was acknowledged."""
        acknowledged = sorted(self.environment.acknowledged)
        rows = await self.environment.postgres.fetch(MISSING, (acknowledged,))
        self.lost |= {row["id"] for row in rows}
        self.checks += 1

    async def _kill_serve(self, _step: Step) -> None:
        await self._kill("serve")

    async def _kill_worker(self, _step: Step) -> None:
        await self._kill("worker")

    async def _kill(self, name: str) -> None:
        async with self.environment.guards[name]:
            await asyncio.to_thread(kill, self.environment.running[name])
            if name == "serve":
                with contextlib.suppress(*NOT_APPLIED):
                    await self.find_lost()

    async def _kill_postmaster(self, _step: Step) -> None:
        async with self.environment.postgres.lock:
            os.kill(self.environment.postgres.pid, signal.SIGKILL)

    async def _kill_backend(self, step: Step) -> None:
        rows = await self.environment.postgres.fetch(BACKENDS)
        if rows:
            os.kill(rows[int(step.options["pick"] * len(rows))]["pid"], signal.SIGKILL)

    async def _restart_postgres(self, step: Step) -> None:
        async with self.environment.postgres.lock:
            await self.environment.postgres.stop()
            await asyncio.sleep(step.seconds)
            await self.environment.postgres.start()

    async def _exhaust_connections(self, step: Step) -> None:
        """Take every connection, also those that the service had."""
        held: list[psycopg.AsyncConnection[dict[str, Any]]] = []
        try:
            await self._take_all(held)
            own = [conn.info.backend_pid for conn in held]
            await held[0].execute(END_BACKENDS, (own,))
            await self._take_all(held)
            await asyncio.sleep(step.seconds)
        finally:
            for conn in held:
                await conn.close()

    async def _take_all(self, held: list[psycopg.AsyncConnection[dict[str, Any]]]) -> None:
        while len(held) < MAX_CONNECTIONS:
            try:
                held.append(await self.environment.postgres.connect())
            except psycopg.OperationalError:
                if not held:
                    raise
                return

    async def _idle_transaction(self, step: Step) -> None:
        async with await self.environment.postgres.connect() as conn:
            await conn.execute("BEGIN")
            await conn.execute(LOCK_PENDING)
            await asyncio.sleep(step.seconds)
            await conn.rollback()

    async def _vendor(self, step: Step) -> None:
        vendor = getattr(self.environment, step.target)
        await self.environment.add_fault(vendor, **step.options, seconds=step.seconds)
        await asyncio.sleep(step.seconds)

    async def _network(self, step: Step) -> None:
        options = dict(step.options)
        behaviour = Behaviour(Mode(options.pop("mode")), **options)
        async with self._network_locks.setdefault(step.target, asyncio.Lock()):
            self.environment.proxies[step.target].set(behaviour)
            await asyncio.sleep(step.seconds)
            self.environment.proxies[step.target].set(Behaviour())

    async def _key_rejected(self, step: Step) -> None:
        async with self._keys_lock:
            await self._accept_key("pk_other")
            await asyncio.sleep(step.seconds)
            await self._accept_key(self._key)

    async def _key_replaced(self, step: Step) -> None:
        async with self._keys_lock:
            self._key = f"pk_{step.at}"
            await self._accept_key(self._key)
            await asyncio.sleep(step.seconds)
            self.environment.variables["KLAVIYO_PRIVATE_KEY"] = self._key
            await self._connect()

    async def _connect(self) -> None:
        """Enter the key. An admin tries again when a vendor does not respond."""
        for _ in range(CONNECT_TRIES):
            try:
                await self.environment.connect()
            except DemoError:
                await asyncio.sleep(0.5)
            else:
                return
        raise DemoError("the new key was not accepted")

    async def _accept_key(self, key: str) -> None:
        url = f"{self.environment.klaviyo}/sandbox/keys"
        await self.environment.send(url, {key: sorted(klaviyo.SCOPES)}, method="PUT")

    async def _retention(self, _step: Step) -> None:
        for statement in GROW_OLD:
            async with await self.environment.postgres.connect() as conn:
                await conn.execute(statement)
        db = Database(self.environment.postgres.url, pool_size=1)
        await db.open()
        try:
            await inbox.delete_expired(db, ORGANISATION, days=30)
            await retention.delete_expired_profiles(db, ORGANISATION, days=30)
            await retention.delete_expired(db, ORGANISATION, days=400)
        finally:
            await db.close()
