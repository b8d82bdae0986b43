"""The health of a connection: its status, and the alerts that admins see."""

import pytest

from kustomer_klaviyo.health.loop_health import Loop, LoopHealth
from kustomer_klaviyo.reconcile.webhook_watch import WEBHOOK_LOOKUP
from kustomer_klaviyo.runtime.connection_health import health_status
from kustomer_klaviyo.sandbox import kustomer
from kustomer_klaviyo.store import lookups, loop_failures, reports
from kustomer_klaviyo.web.console.banners import Alerts
from support.pipeline import Pipeline

WEBHOOK = {
    "name": "kustomer-klaviyo",
    "url": "http://127.0.0.1:9/webhooks/kustomer/acme",
    "events": ["kustomer.conversation.create"],
    "headers": [],
}
KEY = {"Authorization": f"Bearer {kustomer.DEFAULT_KEY}"}


async def alerts(pipeline: Pipeline, *, is_full: bool = False) -> list[str]:
    return await Alerts(pipeline.app.db, lambda: is_full).all()


async def with_webhook(pipeline: Pipeline) -> str:
    """Connect with a webhook that exists in Kustomer; returns its URL in the API."""
    url = f"{pipeline.kustomer}/v1/outbound-webhooks"
    async with pipeline.session.post(url, json=WEBHOOK | {"enabled": True}, headers=KEY) as response:
        webhook_id: str = (await response.json())["data"]["id"]
    await pipeline.connect()
    await pipeline.app.db.execute("UPDATE connections SET webhook_id = %s", (webhook_id,))
    await pipeline.restart_worker()
    return f"{url}/{webhook_id}"


async def check_webhook(pipeline: Pipeline) -> None:
    """Run the webhook check, as the service does every few minutes."""
    async with pipeline.app.db.transaction() as tx:
        await lookups.enqueue(tx, "acme", [WEBHOOK_LOOKUP])
        await tx.execute("UPDATE lookups SET due_at = now()")
    await pipeline.run_lookups()


@pytest.mark.parametrize(("change", "expected"), [("off", "switched off"), ("deleted", "deleted")])
async def test_a_webhook_that_is_off_or_missing_is_an_alert_until_it_is_on_again(
    pipeline: Pipeline, change: str, expected: str
) -> None:
    webhook = await with_webhook(pipeline)
    await check_webhook(pipeline)
    assert await alerts(pipeline) == []
    if change == "off":
        async with pipeline.session.put(webhook, json=WEBHOOK | {"enabled": False}, headers=KEY) as response:
            assert response.status == 200
    else:
        async with pipeline.session.delete(webhook, headers=KEY) as response:
            assert response.status == 204
    await check_webhook(pipeline)
    [alert] = await alerts(pipeline)
    assert expected in alert
    [row] = await reports.status(pipeline.app.db)
    assert (health_status(row), row["lookups"]) == ("failing", 0)
    if change == "off":
        async with pipeline.session.put(webhook, json=WEBHOOK | {"enabled": True}, headers=KEY) as response:
            assert response.status == 200
        await check_webhook(pipeline)
        assert await alerts(pipeline) == []


async def test_a_webhook_check_is_one_request(pipeline: Pipeline) -> None:
    await with_webhook(pipeline)
    await check_webhook(pipeline)
    await pipeline.run_lookups()
    counts = await pipeline.request_counts(pipeline.kustomer)
    assert counts["GET /v1/outbound-webhooks/{id}"] == 1
    [row] = await pipeline.sql("SELECT extract(epoch FROM due_at - now()) AS wait FROM lookups WHERE kind = 'webhook'")
    assert 200 < row["wait"] <= 300


async def test_a_key_that_may_not_read_webhooks_leaves_the_state_as_it_is(pipeline: Pipeline) -> None:
    await with_webhook(pipeline)
    async with pipeline.session.post(
        f"{pipeline.kustomer}/sandbox/faults",
        json={
            "kind": "response",
            "status": 403,
            "path": "/v1/outbound-webhooks",
            "body": '{"errors":[{"title":"no"}]}',
        },
    ) as response:
        assert response.status == 201
    await check_webhook(pipeline)
    [row] = await reports.status(pipeline.app.db)
    assert (row["webhook_state"], row["lookup_note"], health_status(row)) == (None, None, "delivering")


async def test_a_failing_loop_is_an_alert_with_its_count_and_error(pipeline: Pipeline) -> None:
    await pipeline.connect()
    health = LoopHealth(pipeline.app.db, "acme")
    for _ in range(3):
        await health.record_failure(Loop.CARDS, ValueError("bad \x00 thing"))
    [row] = await reports.status(pipeline.app.db)
    assert health_status(row) == "failing"
    assert (row["failing"][0]["consecutive_failures"], row["failing"][0]["error_code"]) == (3, "internal_error")
    [alert] = await alerts(pipeline)
    assert "fetch_cards has failed" in alert
    assert "3 times" in alert
    assert "thing (internal_error)" in alert
    await LoopHealth(pipeline.app.db, "acme").record_success(Loop.CARDS)
    assert await alerts(pipeline) == []


async def test_a_failing_loop_of_the_program_affects_every_connection(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await LoopHealth(pipeline.app.db).record_failure(Loop.INTAKE, RuntimeError("no"))
    [row] = await reports.status(pipeline.app.db)
    assert health_status(row) == "failing"


async def test_the_wait_of_a_failing_loop_grows_and_is_bounded(pipeline: Pipeline) -> None:
    health = LoopHealth(pipeline.app.db, "acme")
    waits = [await health.record_failure(Loop.CARDS, ValueError()) for _ in range(10)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.5, 60.0)
    [failing] = await loop_failures.current(pipeline.app.db)
    assert failing["consecutive_failures"] == 10


async def test_a_full_disk_is_an_alert(pipeline: Pipeline) -> None:
    assert "disk" in (await alerts(pipeline, is_full=True))[0]


async def test_a_connection_that_fails_to_load_is_reported_and_hides_no_other(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.app.db.execute(
        """INSERT INTO connections (id, organisation, kustomer_url, klaviyo_url, encrypted_secrets)
        VALUES ('broken', 'x', 'http://127.0.0.1:9', 'http://127.0.0.1:9', 'not encrypted')"""
    )
    await pipeline.app.db.execute("INSERT INTO connection_status (connection_id) VALUES ('broken')")
    await pipeline.restart_worker()
    registry = pipeline.service.registry
    assert [context.connection.id for context in registry.all()] == ["acme"]
    assert [registry.failed_to_load(name) for name in ("broken", "acme", "nobody")] == [True, False, False]
    assert (await pipeline.service.intake.receive("broken", "00", b"{}")).status == 503
    assert (await pipeline.service.intake.receive("nobody", "00", b"{}")).status == 404
    assert [health_status(row) for row in await reports.status(pipeline.app.db)] == ["delivering", "failing"]
    await pipeline.app.connections.check_readable()


async def test_a_connection_that_fails_to_reload_keeps_its_previous_state(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.app.db.execute("""UPDATE connections SET options = '{"event_retention_days": "never"}'""")
    await pipeline.restart_worker()
    assert [context.connection.id for context in pipeline.service.registry.all()] == ["acme"]
    assert [row["loop"] for row in await loop_failures.current(pipeline.app.db)] == ["load_connection"]
    await pipeline.app.db.execute("UPDATE connections SET options = '{}'")
    await pipeline.restart_worker()
    assert await loop_failures.current(pipeline.app.db) == []
