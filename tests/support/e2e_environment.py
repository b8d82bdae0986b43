"""The demo's environment for end-to-end tests: the vendors run in this process, the service in processes of its own."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from kustomer_klaviyo.demo.environment import LocalEnvironment, free_port, program_variables
from kustomer_klaviyo.sandbox import klaviyo, kustomer
from kustomer_klaviyo.sandbox.http_server import run_server
from kustomer_klaviyo.sandbox.kustomer import KustomerOptions
from support.temporary_database import temporary_database, temporary_directory
from support.timeouts import TIMEOUT_SECONDS, wait_until

FAST_RETRIES = {
    "KUSTOMER_KLAVIYO_RETRY_INITIAL_SECONDS": "0.1",
    "KUSTOMER_KLAVIYO_RETRY_MAX_SECONDS": "1",
    "KUSTOMER_KLAVIYO_AUTH_RETRY_INITIAL_SECONDS": "0.2",
    "KUSTOMER_KLAVIYO_AUTH_RETRY_MAX_SECONDS": "1",
}


class E2EEnvironment(LocalEnvironment):
    """Two simulated vendors and the processes of the service, with helpers for tests."""

    async def is_ready(self) -> bool:
        """Return whether the service is ready."""
        return await self.is_up(f"{self.service}/ready")

    async def kustomer_api(self, method: str, path: str, body: Any = None) -> Any:
        """Call the simulated Kustomer's API with an admin's key."""
        headers = {"Authorization": f"Bearer {kustomer.DEFAULT_KEY}"}
        async with self.session.request(method, self.kustomer + path, json=body, headers=headers) as response:
            assert response.status < 300, await response.text()
            return await response.json()

    async def create_customer(self, **attributes: Any) -> str:
        """Create a customer in Kustomer. Returns its ID."""
        customer = await self.send(f"{self.kustomer}/sandbox/customers", attributes)
        return str(customer["id"])

    async def update_customer(self, customer_id: str, **attributes: Any) -> None:
        """Change attributes of a customer in Kustomer."""
        await self.send(f"{self.kustomer}/sandbox/customers/{customer_id}", attributes, method="PUT")

    async def create_conversation(self, customer_id: str, **attributes: Any) -> str:
        """Create a conversation of a customer in Kustomer. Returns its ID."""
        body = {"customer": customer_id, "subject": "Hi", "channel": "email"} | attributes
        return str((await self.send(f"{self.kustomer}/sandbox/conversations", body))["id"])

    async def act(self, conversation_id: str, action: str, **body: Any) -> None:
        """Perform an action in a conversation."""
        await self.send(f"{self.kustomer}/sandbox/conversations/{conversation_id}/{action}", body)

    async def deliveries(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the deliveries that the ``events`` command prints."""
        rows: list[dict[str, Any]] = msgspec.json.decode(await self.run("events", "--json", *arguments))
        return rows

    async def start_simulation(self, **script: Any) -> None:
        """Start the simulated customers and agents."""
        await self.send(f"{self.kustomer}/sandbox/simulation", script)

    async def add_fault(self, vendor: str, **fault: Any) -> None:
        """Add a fault to a vendor."""
        await self.send(f"{vendor}/sandbox/faults", fault)

    async def is_simulation_done(self) -> bool:
        """Return whether the simulation ended and every webhook was acknowledged."""
        simulation = await self.get(f"{self.kustomer}/sandbox/simulation")
        state = await self.get(f"{self.kustomer}/sandbox/state")
        return not simulation["running"] and state["deliveries"].get("pending", 0) == 0

    async def klaviyo_events(self) -> list[dict[str, Any]]:
        """Return the events that Klaviyo holds, in the order of arrival."""
        events: list[dict[str, Any]] = await self.get(f"{self.klaviyo}/sandbox/events")
        return events

    async def klaviyo_profiles(self, klaviyo: str | None = None) -> dict[str, dict[str, Any]]:
        """Return the profiles of a Klaviyo account by email."""
        profiles = await self.get(f"{klaviyo or self.klaviyo}/sandbox/profiles")
        return {profile["email"]: profile for profile in profiles}

    async def wait_for_profile(self, email: str, klaviyo: str | None = None, /, **expected: Any) -> dict[str, Any]:
        """Wait until a profile exists and has the expected attributes and properties. Returns it."""
        profile: dict[str, Any] = {}

        async def matches() -> bool:
            profile.clear()
            profile.update((await self.klaviyo_profiles(klaviyo)).get(email, {}))
            values = profile.get("properties", {}) | profile
            return bool(profile) and all(values.get(name) == value for name, value in expected.items())

        await self.wait_until(matches, f"{email} has {expected}")
        return profile

    async def is_complete(self) -> bool:
        """Return whether Klaviyo holds exactly what happened."""
        return await self.is_simulation_done() and (await self.compare()).is_good

    async def assert_every_event_arrives_once(self) -> None:
        """Wait until Klaviyo holds exactly what happened, and check that it still does a second later."""
        try:
            await self.wait_until(self.is_complete, "Klaviyo holds exactly what happened")
        except AssertionError as timeout:
            raise AssertionError(await self.failure_report()) from timeout
        await asyncio.sleep(1.0)
        assert (await self.compare()).is_good, await self.failure_report()

    async def failure_report(self) -> str:
        """Describe the state of both sides for a failing test."""
        state = await self.get(f"{self.kustomer}/sandbox/state")
        differences = (await self.compare()).differences[:10]
        return f"{differences}\n{state['deliveries']}\n{await self.status()}"

    async def status(self) -> str:
        """Return the JSON that the ``status`` command prints."""
        _, output = await self.execute("status", "--json")
        return output

    async def wait_until(self, condition: Callable[[], Any], description: str) -> None:
        """Wait until a condition holds. Fails the test with the service's status."""
        try:
            await wait_until(condition, description, interval=0.1)
        except AssertionError as timeout:
            raise AssertionError(f"{timeout}\n{await self.status()}") from timeout

    async def wait_for_events(self, count: int) -> None:
        """Wait until Klaviyo holds this many events."""

        async def is_reached() -> bool:
            return len(await self.klaviyo_events()) >= count

        await self.wait_until(is_reached, f"{count} events arrived")


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with SIGKILL."""
    process.kill()
    process.wait()


@asynccontextmanager
async def run_environment(
    data_directory: Path,
    *,
    database_url: str | None = None,
    disorder: float = 0.0,
    retry_scale: float = 0.02,
    masked: bool = False,
    marketing: bool = False,
) -> AsyncIterator[E2EEnvironment]:
    """Run both vendors. The test starts the service. ``disorder`` is the share of webhooks that come late or twice."""
    options = KustomerOptions(
        retry_scale=retry_scale,
        duplicate_probability=disorder,
        reorder_probability=disorder,
        disable_after_failures=10_000,
        masked=masked,
    )
    async with (
        run_server(kustomer.create_app(options)) as kustomer_url,
        run_server(klaviyo.create_app(klaviyo.KlaviyoOptions(marketing=marketing))) as klaviyo_url,
        aiohttp.ClientSession() as session,
    ):
        variables = program_variables(data_directory, database_url) | FAST_RETRIES
        environment = E2EEnvironment(kustomer_url, klaviyo_url, session, variables, free_port(), TIMEOUT_SECONDS)
        try:
            yield environment
        finally:
            await asyncio.to_thread(environment.stop)


@asynccontextmanager
async def run_shared_environment(postgres_url: str) -> AsyncIterator[E2EEnvironment]:
    """Run both vendors and the service on a database of their own."""
    with temporary_directory() as directory, temporary_database(postgres_url) as url:
        async with run_environment(directory, database_url=url) as environment:
            await environment.serve()
            yield environment
