"""What admins are told of a line that does not fare well."""

import pytest

from kustomer_klaviyo.health.loop_health import Health, Loop
from kustomer_klaviyo.reconcile.webhook_watch import WATCH
from kustomer_klaviyo.runtime.connection_health import status_of
from kustomer_klaviyo.sandbox import kustomer
from kustomer_klaviyo.store import lookups, loop_failures, reports
from kustomer_klaviyo.web.console.banners import Alerts
from line import Line

HOOK = {
    "name": "ours",
    "url": "http://127.0.0.1:9/webhooks/kustomer/acme",
    "events": ["kustomer.conversation.create"],
    "headers": [],
}
KEY = {"Authorization": f"Bearer {kustomer.DEFAULT_KEY}"}


async def alerts(line: Line, *, is_full: bool = False) -> list[str]:
    return await Alerts(line.home.database, lambda: is_full).all()


async def with_webhook(line: Line) -> str:
    """Connect with a webhook that Kustomer has; returns where it is changed."""
    address = f"{line.kustomer}/v1/outbound-webhooks"
    async with line.session.post(address, json=HOOK | {"enabled": True}, headers=KEY) as response:
        made: str = (await response.json())["data"]["id"]
    await line.connect()
    await line.home.database.execute("UPDATE connections SET webhook_id = %s", (made,))
    await line.begin_anew()
    return f"{address}/{made}"


async def look(line: Line) -> None:
    """Let the service look after its webhook, as it does every few minutes."""
    async with line.home.database.transaction() as db:
        await lookups.ask(db, "acme", [WATCH])
        await db.execute("UPDATE lookups SET due_at = now()")
    await line.ask()


@pytest.mark.parametrize(("change", "word"), [("off", "switched off"), ("deleted", "deleted")])
async def test_a_webhook_that_sends_no_more_is_told_until_it_does_again(line: Line, change: str, word: str) -> None:
    webhook = await with_webhook(line)
    await look(line)
    assert await alerts(line) == []
    if change == "off":
        async with line.session.put(webhook, json=HOOK | {"enabled": False}, headers=KEY) as response:
            assert response.status == 200
    else:
        async with line.session.delete(webhook, headers=KEY) as response:
            assert response.status == 204
    await look(line)
    [alert] = await alerts(line)
    assert word in alert
    [row] = await reports.status(line.home.database)
    assert (status_of(row), row["lookups"]) == ("failing", 0)
    if change == "off":
        async with line.session.put(webhook, json=HOOK | {"enabled": True}, headers=KEY) as response:
            assert response.status == 200
        await look(line)
        assert await alerts(line) == []


async def test_looking_after_the_webhook_is_one_request_each_time(line: Line) -> None:
    await with_webhook(line)
    await look(line)
    await line.ask()
    asked = await line.requests(line.kustomer)
    assert asked["GET /v1/outbound-webhooks/{id}"] == 1
    [row] = await line.sql("SELECT extract(epoch FROM due_at - now()) AS wait FROM lookups WHERE kind = 'webhook'")
    assert 200 < row["wait"] <= 300


async def test_a_key_that_may_not_read_webhooks_leaves_what_was_seen(line: Line) -> None:
    await with_webhook(line)
    async with line.session.post(
        f"{line.kustomer}/sandbox/faults",
        json={"kind": "answer", "status": 403, "path": "/v1/outbound-webhooks", "body": '{"errors":[{"title":"no"}]}'},
    ) as response:
        assert response.status == 201
    await look(line)
    [row] = await reports.status(line.home.database)
    assert (row["webhook_state"], row["lookup_note"], status_of(row)) == (None, None, "delivering")


async def test_a_loop_that_fails_is_never_delivering_and_told_with_number_and_words(line: Line) -> None:
    await line.connect()
    health = Health(line.home.database, "acme")
    for _ in range(3):
        await health.failed(Loop.CARDS, ValueError("bad \x00 thing"))
    [row] = await reports.status(line.home.database)
    assert status_of(row) == "failing"
    assert (row["failing"][0]["failures"], row["failing"][0]["code"]) == (3, "internal_error")
    [alert] = await alerts(line)
    assert "fetch_cards fails since" in alert
    assert "3 times" in alert
    assert "thing (internal_error)" in alert
    await Health(line.home.database, "acme").succeeded(Loop.CARDS)
    assert await alerts(line) == []


async def test_a_loop_of_the_program_that_fails_is_told_at_every_connection(line: Line) -> None:
    await line.connect()
    await Health(line.home.database).failed(Loop.INTAKE, RuntimeError("no"))
    [row] = await reports.status(line.home.database)
    assert status_of(row) == "failing"


async def test_the_wait_of_a_failing_loop_grows_and_is_bounded(line: Line) -> None:
    health = Health(line.home.database, "acme")
    waits = [await health.failed(Loop.CARDS, ValueError()) for _ in range(10)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.5, 60.0)
    [failing] = await loop_failures.failing(line.home.database)
    assert failing["failures"] == 10


async def test_a_full_disk_is_told_on_every_page(line: Line) -> None:
    assert "disk" in (await alerts(line, is_full=True))[0]


async def test_a_connection_that_cannot_be_read_hides_no_other_and_is_told(line: Line) -> None:
    await line.connect()
    await line.home.database.execute(
        """INSERT INTO connections (id, organisation, kustomer_url, klaviyo_url, secrets)
        VALUES ('broken', 'x', 'http://127.0.0.1:9', 'http://127.0.0.1:9', 'not sealed')"""
    )
    await line.home.database.execute("INSERT INTO delivery_lanes (connection_id) VALUES ('broken')")
    await line.begin_anew()
    directory = line.service.directory
    assert [one.connection.id for one in directory.all()] == ["acme"]
    assert (directory.is_broken("broken"), directory.is_broken("acme"), directory.is_broken("nobody")) == (
        True,
        False,
        False,
    )
    assert (await line.service.intake.receive("broken", "00", b"{}")).status == 503
    assert (await line.service.intake.receive("nobody", "00", b"{}")).status == 404
    assert [status_of(row) for row in await reports.status(line.home.database)] == ["delivering", "failing"]
    await line.home.connections.check()


async def test_a_connection_that_cannot_be_read_any_more_goes_on_as_it_was(line: Line) -> None:
    await line.connect()
    await line.home.database.execute("""UPDATE connections SET options = '{"keep_events_days": "never"}'""")
    await line.begin_anew()
    assert [one.connection.id for one in line.service.directory.all()] == ["acme"]
    assert [one["loop"] for one in await loop_failures.failing(line.home.database)] == ["load_connection"]
    await line.home.database.execute("UPDATE connections SET options = '{}'")
    await line.begin_anew()
    assert await loop_failures.failing(line.home.database) == []
