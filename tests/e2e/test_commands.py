"""The commands, with the service running."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.e2e_environment import E2EEnvironment, run_environment


@pytest.fixture
async def environment(data_directory: Path, database_url: str) -> AsyncIterator[E2EEnvironment]:
    async with run_environment(data_directory, database_url=database_url) as environment:
        await environment.serve()
        yield environment


async def create_conversation(environment: E2EEnvironment, **customer: Any) -> tuple[str, str]:
    """Create a customer with a conversation. Returns both IDs."""
    customer_id = await environment.create_customer(**customer)
    return customer_id, await environment.create_conversation(customer_id)


async def test_a_refused_event_fails_with_klaviyos_message_and_retry_sends_it_again(
    environment: E2EEnvironment,
) -> None:
    await environment.connect()
    error = {"id": "req-1", "code": "invalid", "detail": "Not a time.", "source": {"pointer": "/data/attributes/time"}}
    refused = {
        "kind": "response",
        "status": 400,
        "json": {"errors": [error]},
        "containing": "refused@lanternpost.example",
    }
    await environment.add_fault(environment.klaviyo, path="/api/event", **refused)
    customer, conversation = await create_conversation(environment, email="refused@lanternpost.example")
    for number in range(60):
        await create_conversation(environment, email=f"p{number}@lanternpost.example")

    async def has_failed() -> bool:
        failed = await environment.deliveries("--state", "failed")
        return len(await environment.klaviyo_events()) == 60 and {row["kind"] for row in failed} == {"created"}

    await environment.wait_until(has_failed, "one event failed, the others arrived")
    assert {row["customer_id"] for row in await environment.deliveries("--state", "failed")} == {customer}
    [failed] = await environment.deliveries("--conversation", conversation)
    assert failed["response_status"] == 400
    assert "Not a time" in failed["reason"]
    assert failed["response_request_id"] == "req-1"
    assert failed["request"]["email"] == "refused@lanternpost.example"
    await environment.run("status", expect=1)

    await environment.update_customer(customer, email="corrected@lanternpost.example")

    async def is_delivered() -> bool:
        await environment.run("retry", "--connection", "sandbox")
        return any(event["email"] == "corrected@lanternpost.example" for event in await environment.klaviyo_events())

    await environment.wait_until(is_delivered, "the corrected event arrived")
    await environment.run("status", expect=0)


async def test_with_another_encryption_key_the_service_starts_only_after_connecting_again(
    environment: E2EEnvironment, data_directory: Path
) -> None:
    await environment.connect()
    environment.stop()
    (data_directory / "secret.key").unlink()
    process = environment.start("serve", "--port", str(environment.port))
    assert await asyncio.to_thread(process.wait, 60) == 3
    await environment.connect()
    await environment.serve()
    customer, _ = await create_conversation(environment, email="kept@lanternpost.example")
    assert customer
    await environment.assert_every_event_arrives_once()


async def test_an_event_without_a_contact_waits_until_the_customer_has_one(environment: E2EEnvironment) -> None:
    await environment.connect()
    customer, conversation = await create_conversation(environment, name="Nobody Yet")

    async def is_unidentified() -> bool:
        rows = await environment.deliveries("--conversation", conversation)
        return [row["state"] for row in rows] == ["unidentified"] and "no identifier" in rows[0]["reason"]

    await environment.wait_until(is_unidentified, "the event waits for a contact")
    await environment.update_customer(customer, email="late@lanternpost.example")

    async def is_delivered() -> bool:
        return [event["email"] for event in await environment.klaviyo_events()] == ["late@lanternpost.example"]

    await environment.wait_until(is_delivered, "the event arrived")
    profile_write, event = await environment.deliveries("--email", "LATE@lanternpost.example", "--received")
    assert (profile_write["kind"], profile_write["state"]) == ("profile", "delivered")
    assert event["state"] == "delivered"
    assert event["received"]["data"]["id"] == conversation


async def test_customers_from_before_the_connection_are_looked_up(environment: E2EEnvironment) -> None:
    customer = await environment.create_customer(email="old@lanternpost.example")
    await environment.connect()
    await environment.create_conversation(customer)

    async def is_delivered() -> bool:
        return [event["email"] for event in await environment.klaviyo_events()] == ["old@lanternpost.example"]

    await environment.wait_until(is_delivered, "the event arrived")


async def test_connecting_twice_creates_one_webhook(environment: E2EEnvironment) -> None:
    await environment.connect()
    await environment.connect()
    state = await environment.get(f"{environment.kustomer}/sandbox/state")
    assert len(state["webhooks"]) == 1


async def test_a_new_public_url_moves_the_webhook(
    environment: E2EEnvironment,
) -> None:
    await environment.connect()
    await environment.run("connect", "sandbox", "--public-url", "https://hooks.acme.example")
    webhooks = (await environment.get(f"{environment.kustomer}/sandbox/state"))["webhooks"]
    assert [webhook["url"] for webhook in webhooks] == ["https://hooks.acme.example/webhooks/kustomer/sandbox"]


async def test_connecting_again_keeps_the_card_installed(environment: E2EEnvironment) -> None:
    await environment.connect()
    await environment.install_card()
    await environment.run("connect", "sandbox", "--option", "card_max_age_minutes=5")
    result = msgspec.json.decode(await environment.run("app", "install", "--public-url", environment.service, "--json"))
    assert not any(result[step] for step in ("registered", "installed", "secret_set")), result


@pytest.mark.parametrize("variable", ["KLAVIYO_PRIVATE_KEY", "KUSTOMER_API_KEY"])
async def test_a_wrong_key_is_refused_and_changes_nothing(environment: E2EEnvironment, variable: str) -> None:
    environment.variables[variable] = "wrong"
    urls = (
        "--public-url",
        environment.service,
        "--kustomer-url",
        environment.kustomer,
        "--klaviyo-url",
        environment.klaviyo,
    )
    await environment.run("connect", "sandbox", *urls, expect=4)
    assert msgspec.json.decode(await environment.run("status", "--json")) == []
    assert (await environment.get(f"{environment.kustomer}/sandbox/state"))["webhooks"] == []


async def test_usage_errors_end_with_exit_code_2(environment: E2EEnvironment) -> None:
    await environment.run("connect", expect=2)
    await environment.run("connect", "sandbox", "--public-url", "http://x", "--option", "spam=perhaps", expect=2)
    await environment.run("retry", "--connection", "nobody", expect=2)


async def test_secrets_are_not_printed_and_the_key_file_is_private(
    environment: E2EEnvironment, data_directory: Path
) -> None:
    await environment.connect()
    output = await environment.run("status", "--json")
    assert environment.variables["KLAVIYO_PRIVATE_KEY"] not in output
    assert (data_directory / "secret.key").stat().st_mode & 0o077 == 0


async def test_the_demo_delivers_exactly_what_happened(environment: E2EEnvironment) -> None:
    output = await environment.run(
        "demo", "--once", "--json", "--conversations", "40", "--customers", "10", "--rate", "100"
    )
    comparison = msgspec.json.decode(output)
    assert comparison["ok"]
    assert comparison["events"]["done"]["expected"] > 20
