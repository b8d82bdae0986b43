"""The commands, used as an admin would, on the running service."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stage import Stage, staged


@pytest.fixture
async def stage(data_directory: Path, database_url: str) -> AsyncIterator[Stage]:
    async with staged(data_directory, database_url=database_url) as ready:
        await ready.serve()
        yield ready


async def begin(stage: Stage, **customer: Any) -> tuple[str, str]:
    """Let a new customer begin a conversation; returns both ids."""
    made = await stage.send(f"{stage.kustomer}/sandbox/customers", customer)
    begun = {"customer": made["id"], "subject": "Hi", "channel": "email"}
    conversation = await stage.send(f"{stage.kustomer}/sandbox/conversations", begun)
    return made["id"], conversation["id"]


async def events(stage: Stage, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = msgspec.json.decode(await stage.run("events", "--json", *arguments))
    return found


async def test_a_refused_event_is_set_aside_with_klaviyos_words_the_rest_is_sent_and_retry_sends_it_again(
    stage: Stage,
) -> None:
    await stage.connect()
    blamed = {"id": "req-1", "code": "invalid", "detail": "Not a time.", "source": {"pointer": "/data/attributes/time"}}
    refused = {
        "kind": "answer",
        "status": 400,
        "json": {"errors": [blamed]},
        "containing": "refused@lanternpost.example",
    }
    await stage.misbehave(stage.klaviyo, path="/api/event", **refused)
    customer, conversation = await begin(stage, email="refused@lanternpost.example")
    for number in range(60):
        await begin(stage, email=f"p{number}@lanternpost.example")

    async def is_set_aside() -> bool:
        failed = await events(stage, "--state", "failed")
        return len(await stage.arrived()) == 60 and {one["kind"] for one in failed} == {"opened"}

    await stage.until(is_set_aside, "one event is set aside, the others arrived")
    assert {one["customer_id"] for one in await events(stage, "--state", "failed")} == {customer}
    [failed] = await events(stage, "--conversation", conversation)
    assert failed["answer_status"] == 400
    assert "Not a time." in failed["reason"]
    assert failed["answer_request_id"] == "req-1"
    assert failed["sent"]["email"] == "refused@lanternpost.example"
    await stage.run("status", expect=1)

    await stage.send(
        f"{stage.kustomer}/sandbox/customers/{customer}", {"email": "mended@lanternpost.example"}, method="PUT"
    )

    async def is_sent() -> bool:
        await stage.run("retry", "--connection", "sandbox")
        return any(event["email"] == "mended@lanternpost.example" for event in await stage.arrived())

    await stage.until(is_sent, "the mended event arrived")
    await stage.run("status", expect=0)


async def test_with_another_encryption_key_nothing_starts_until_the_keys_are_entered_anew(
    stage: Stage, data_directory: Path
) -> None:
    await stage.connect()
    stage.end()
    (data_directory / "secret.key").unlink()
    process = stage.start("serve", "--port", str(stage.port))
    assert await asyncio.to_thread(process.wait, 60) == 3
    await stage.connect()
    await stage.serve()
    customer, _ = await begin(stage, email="kept@lanternpost.example")
    assert customer
    await stage.assert_every_event_arrives_once()


async def test_an_event_without_identifier_waits_until_the_customer_gets_one(stage: Stage) -> None:
    await stage.connect()
    customer, conversation = await begin(stage, name="Nobody Yet")

    async def waits() -> bool:
        found = await events(stage, "--conversation", conversation)
        return [one["state"] for one in found] == ["unidentified"] and "no identifier" in found[0]["reason"]

    await stage.until(waits, "the event waits for an identifier")
    await stage.send(
        f"{stage.kustomer}/sandbox/customers/{customer}", {"email": "late@lanternpost.example"}, method="PUT"
    )

    async def is_sent() -> bool:
        return [event["email"] for event in await stage.arrived()] == ["late@lanternpost.example"]

    await stage.until(is_sent, "the event arrived")
    written, found = await events(stage, "--email", "LATE@lanternpost.example", "--received")
    assert (written["kind"], written["state"]) == ("profile", "delivered")
    assert found["state"] == "delivered"
    assert found["received"]["data"]["id"] == conversation


async def test_customers_from_before_the_connection_are_looked_up(stage: Stage) -> None:
    made = await stage.send(f"{stage.kustomer}/sandbox/customers", {"email": "old@lanternpost.example"})
    await stage.connect()
    begun = {"customer": made["id"], "subject": "Hi"}
    await stage.send(f"{stage.kustomer}/sandbox/conversations", begun)

    async def is_sent() -> bool:
        return [event["email"] for event in await stage.arrived()] == ["old@lanternpost.example"]

    await stage.until(is_sent, "the event arrived")


async def test_connecting_twice_finds_the_webhook_again(stage: Stage) -> None:
    await stage.connect()
    await stage.connect()
    state = await stage.get(f"{stage.kustomer}/sandbox/state")
    assert len(state["webhooks"]) == 1


async def test_under_another_address_the_webhook_moves_there_and_stays_the_only_one(stage: Stage) -> None:
    await stage.connect()
    await stage.run("connect", "sandbox", "--public-url", "https://hooks.acme.example")
    webhooks = (await stage.get(f"{stage.kustomer}/sandbox/state"))["webhooks"]
    assert [one["url"] for one in webhooks] == ["https://hooks.acme.example/webhooks/kustomer/sandbox"]


async def test_connecting_again_leaves_the_card_installed(stage: Stage) -> None:
    await stage.connect()
    await stage.run("app", "install", "--public-url", stage.service)
    await stage.run("connect", "sandbox", "--option", "card_minutes=5")
    done = msgspec.json.decode(await stage.run("app", "install", "--public-url", stage.service, "--json"))
    assert not any(done[what] for what in ("registered", "installed", "secret_set")), done


@pytest.mark.parametrize("variable", ["KLAVIYO_PRIVATE_KEY", "KUSTOMER_API_KEY"])
async def test_a_wrong_key_is_refused_and_changes_nothing(stage: Stage, variable: str) -> None:
    stage.environment[variable] = "wrong"
    urls = ("--public-url", stage.service, "--kustomer-url", stage.kustomer, "--klaviyo-url", stage.klaviyo)
    await stage.run("connect", "sandbox", *urls, expect=4)
    assert msgspec.json.decode(await stage.run("status", "--json")) == []
    assert (await stage.get(f"{stage.kustomer}/sandbox/state"))["webhooks"] == []


async def test_wrong_use_is_told_with_exit_code_two(stage: Stage) -> None:
    await stage.run("connect", expect=2)
    await stage.run("connect", "sandbox", "--public-url", "http://x", "--option", "spam=perhaps", expect=2)
    await stage.run("retry", "--connection", "nobody", expect=2)


async def test_secrets_are_neither_in_the_database_nor_printed(stage: Stage, data_directory: Path) -> None:
    await stage.connect()
    printed = await stage.run("status", "--json")
    assert stage.environment["KLAVIYO_PRIVATE_KEY"] not in printed
    assert (data_directory / "secret.key").stat().st_mode & 0o077 == 0


async def test_the_demo_plays_once_and_both_sides_are_equal(stage: Stage) -> None:
    printed = await stage.run("demo", "--once", "--json", "--conversations", "40", "--customers", "10", "--rate", "100")
    compared = msgspec.json.decode(printed)
    assert compared["ok"]
    assert compared["events"]["done"]["expected"] > 20
