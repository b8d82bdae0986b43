"""Failed profile writes and bulk imports: what is sent again, and what continues meanwhile."""

import json
from typing import Any

import pytest

from kustomer_klaviyo.delivery.bulk_import_runner import DISABLED_SECONDS
from kustomer_klaviyo.planning.resend import resend_failed
from kustomer_klaviyo.settings import Settings
from support.kustomer_documents import conversation, customer, email
from support.pipeline import FAST_RETRIES, Pipeline, run_pipeline
from support.sample_ids import ADA, ADA_EMAIL, BO, NEW_EMAIL
from support.timeouts import wait_until

TITLED = {"fields": {"title": "custom.titleStr"}}
IMPORTS = "/api/profile-bulk-import-jobs"


def many_customers(first_name: str = "Ada") -> list[dict[str, Any]]:
    """Return enough customers for a bulk import, including Ada."""
    ids = [f"5f19aa0b1c2d3e4f5a6b{number:04d}" for number in range(60)]
    others = [customer(customer_id=one, emails=[email(f"p{n}@lantern.example")]) for n, one in enumerate(ids)]
    return [customer(customer_id=ADA, emails=[email(ADA_EMAIL)], firstName=first_name), *others]


async def is_imported(pipeline: Pipeline) -> bool:
    """Whether Klaviyo has completed every bulk import."""
    jobs = (await pipeline.klaviyo_api("GET", IMPORTS))["data"]
    return all(job["attributes"]["status"] == "complete" for job in jobs)


async def test_a_field_that_a_failed_write_should_clear_is_cleared_by_the_next(pipeline: Pipeline) -> None:
    await pipeline.connect(mapping=TITLED)
    await pipeline.receive_webhooks(
        customer(customer_id=ADA, rev=1, emails=[email(ADA_EMAIL)], custom={"titleStr": "Dr"})
    )
    await pipeline.write_profiles()
    await pipeline.add_refusal("/api/profile-import", times=1)
    await pipeline.receive_webhooks(customer(customer_id=ADA, rev=2, emails=[email(ADA_EMAIL)], custom={}))
    await pipeline.write_profiles()
    assert (await pipeline.delivery_states(), (await pipeline.klaviyo_profiles())[ADA_EMAIL]["title"]) == (
        ["delivered", "failed"],
        "Dr",
    )
    await resend_failed(pipeline.app.db, pipeline.context)
    await pipeline.write_profiles()
    assert (await pipeline.klaviyo_profiles())[ADA_EMAIL]["title"] is None
    assert await pipeline.delivery_states() == ["delivered", "skipped", "delivered"]


async def test_a_deletion_after_a_failed_write_clears_the_values_sent_before(pipeline: Pipeline) -> None:
    await pipeline.connect(on_deletion="clear")
    await pipeline.receive_webhooks(customer(customer_id=ADA, rev=1, emails=[email(ADA_EMAIL)], firstName="Ada"))
    await pipeline.write_profiles()
    await pipeline.add_refusal("/api/profile-import", times=1)
    await pipeline.receive_webhooks(customer(customer_id=ADA, rev=2, emails=[email(ADA_EMAIL)], firstName="Adah"))
    await pipeline.write_profiles()
    await pipeline.delete_customer(ADA)
    await pipeline.write_profiles()
    assert (await pipeline.klaviyo_profiles())[ADA_EMAIL]["first_name"] is None


async def test_a_revoked_former_key_does_not_matter_when_a_profile_is_missing(pipeline: Pipeline) -> None:
    pipeline.keys = (*pipeline.keys, "pk_former_and_revoked")
    await pipeline.connect()
    await pipeline.receive_webhooks(customer(customer_id=ADA, rev=1, emails=[email(ADA_EMAIL)], firstName="Ada"))
    await pipeline.write_profiles()
    await pipeline.delete_profile(ADA_EMAIL)
    await pipeline.receive_webhooks(customer(customer_id=ADA, rev=2, emails=[email(NEW_EMAIL)], firstName="Ada"))
    await pipeline.write_profiles()
    assert await pipeline.sql("SELECT FROM connection_status WHERE paused") == []
    assert (await pipeline.klaviyo_profiles())[NEW_EMAIL]["first_name"] == "Ada"


async def test_unavailable_bulk_imports_are_replaced_by_single_writes(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.add_fault(kind="status", status=500, path=IMPORTS, method="POST")
    await pipeline.receive_webhooks(*many_customers())
    await pipeline.write_profiles()
    assert set(await pipeline.delivery_states()) == {"delivered"}
    assert len(await pipeline.klaviyo_profiles()) == 61
    assert await pipeline.sql("SELECT FROM connection_status WHERE consecutive_failures > 0") == []
    assert DISABLED_SECONDS >= 60


async def test_a_key_that_may_start_but_not_poll_bulk_imports_uses_single_writes(pipeline: Pipeline) -> None:
    await pipeline.set_keys({pipeline.keys[0]: ["profiles:read", "profiles:write", "events:write", "lists:write"]})
    await pipeline.connect()
    await pipeline.receive_webhooks(*many_customers())
    await pipeline.write_profiles()
    assert set(await pipeline.delivery_states()) == {"delivered"}
    assert len(await pipeline.klaviyo_profiles()) == 61
    assert await pipeline.sql("SELECT FROM connection_status WHERE paused") == []


async def test_a_rejected_key_that_was_replaced_pauses_nothing(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.set_keys({})
    await pipeline.receive_webhooks(customer(customer_id=ADA, emails=[email(ADA_EMAIL)]))
    await pipeline.app.connections.save(pipeline.context.connection)
    await pipeline.write_profiles(steps=2)
    assert await pipeline.sql("SELECT FROM connection_status WHERE paused") == []


async def test_an_import_whose_response_was_lost_is_found_and_awaited(settings: Settings) -> None:
    async with run_pipeline(settings, job_seconds=0.5) as pipeline:
        await pipeline.connect()
        await pipeline.add_fault(kind="status", status=503, path=IMPORTS, method="POST", times=1, after=True)
        await pipeline.receive_webhooks(*many_customers())
        await pipeline.worker.write_profiles()
        await pipeline.receive_webhooks(customer(customer_id=ADA, rev=2, emails=[email(ADA_EMAIL)], firstName="Newest"))
        await pipeline.write_profiles()
        assert (await pipeline.klaviyo_profiles())[ADA_EMAIL]["first_name"] == "Newest"
        await wait_until(lambda: is_imported(pipeline), "Klaviyo completed the import")
        assert (await pipeline.klaviyo_profiles())[ADA_EMAIL]["first_name"] == "Newest"
        assert (await pipeline.request_counts(pipeline.klaviyo))["bulk_import_profiles"] == 1


async def test_after_a_worker_restart_no_write_overtakes_a_running_import(settings: Settings) -> None:
    async with run_pipeline(settings, job_seconds=0.5) as pipeline:
        await pipeline.connect()
        await pipeline.receive_webhooks(*many_customers())
        await pipeline.worker.write_profiles()
        await pipeline.restart_worker()
        await pipeline.receive_webhooks(customer(customer_id=BO, emails=[email(ADA_EMAIL)], firstName="Newest"))
        await pipeline.write_profiles()
        assert (await pipeline.klaviyo_profiles())[ADA_EMAIL]["first_name"] == "Newest"
        assert set(await pipeline.delivery_states()) == {"delivered"}


async def test_an_import_that_does_not_end_is_replaced_by_single_writes(settings: Settings) -> None:
    async with run_pipeline(settings, job_seconds=3600) as pipeline:
        await pipeline.connect()
        await pipeline.receive_webhooks(*many_customers())
        await pipeline.worker.write_profiles()
        await pipeline.app.db.execute("UPDATE bulk_imports SET submitted_at = submitted_at - interval '2 hours'")
        await pipeline.app.db.execute("UPDATE bulk_imports SET next_poll_at = now()")
        await pipeline.write_profiles()
        assert len(await pipeline.klaviyo_profiles()) == 61


POLL_FAULTS: dict[str, dict[str, Any]] = {
    "503": {"kind": "status", "status": 503},
    "a 404 with a web page": {"kind": "page", "status": 404},
    "half of it": {"kind": "corrupt", "corruption": "truncated"},
    "a rate limit": {"kind": "throttle", "retry_after": 0},
}


@pytest.mark.parametrize("fault", POLL_FAULTS)
async def test_an_import_without_a_status_is_given_up_after_an_hour(pipeline: Pipeline, fault: str) -> None:
    await pipeline.connect()
    await pipeline.receive_webhooks(*many_customers())
    await pipeline.worker.write_profiles()
    await pipeline.add_fault(path=IMPORTS, method="GET", **POLL_FAULTS[fault])
    for age in ("0", "2 hours"):
        await pipeline.app.db.execute(
            "UPDATE bulk_imports SET next_poll_at = now(), submitted_at = now() - %s::interval", (age,)
        )
        await pipeline.worker.write_profiles()
        assert len(await pipeline.sql("SELECT FROM bulk_imports")) == (age == "0")
    await pipeline.write_profiles()
    assert set(await pipeline.delivery_states()) == {"delivered"}
    assert await pipeline.fault_hits() == 2


async def end_import(pipeline: Pipeline, failed: int | None) -> str:
    """End an import with ``failed`` failures; returns its path."""
    await pipeline.connect()
    await pipeline.receive_webhooks(*many_customers())
    await pipeline.worker.write_profiles()
    [one] = await pipeline.sql("UPDATE bulk_imports SET next_poll_at = now() RETURNING bulk_import_id")
    path = f"{IMPORTS}/{one['bulk_import_id']}"
    attributes = {"status": "complete", "failed_count": failed, "total_count": 61}
    answer = {"data": {"type": "profile-bulk-import-job", "id": one["bulk_import_id"], "attributes": attributes}}
    await pipeline.add_fault(kind="response", path=path, exact=True, status=200, json=answer)
    return path


@pytest.mark.parametrize("links", [["a", "b", "a", "b", "a", "b"], ["a", "a", "a"], ["["]])
async def test_a_cycle_of_error_pages_ends(pipeline: Pipeline, links: list[str]) -> None:
    path = await end_import(pipeline, 1)
    for one in links:
        next_url = f"http://[?page[cursor]={one}" if one == "[" else f"http://127.0.0.1/?page[cursor]={one}"
        page = json.dumps({"data": [], "links": {"next": next_url}})
        await pipeline.add_fault(kind="response", path=f"{path}/import-errors", status=200, times=1, body=page)
    await pipeline.worker.write_profiles()
    assert await pipeline.sql("SELECT FROM bulk_imports") == []
    assert await pipeline.fault_hits() <= 4


async def test_the_errors_of_an_import_without_a_failure_count_are_read(pipeline: Pipeline) -> None:
    path = await end_import(pipeline, None)
    fault = {"detail": "No.", "source": {"pointer": "/data/attributes/profiles/data/0"}}
    errors = {"data": [{"type": "import-error", "id": "1", "attributes": fault}], "links": {}}
    await pipeline.add_fault(kind="response", path=f"{path}/import-errors", status=200, json=errors)
    await pipeline.worker.write_profiles()
    assert (await pipeline.delivery_states()).count("pending") == 1


async def test_profile_writes_survive_an_outage_of_their_endpoint_while_events_succeed(pipeline: Pipeline) -> None:
    await pipeline.connect()
    customers = [customer(customer_id=one, emails=[email(f"{one}@lantern.example")]) for one in (ADA, BO)]
    await pipeline.receive_webhooks(*customers)
    await pipeline.write_profiles()
    await pipeline.add_fault(kind="status", status=503, path="/api/profile-import")
    await pipeline.receive_webhooks(
        customer(customer_id=ADA, rev=2, emails=[email(f"{ADA}@lantern.example")], firstName="Ada")
    )
    for number in range(8):
        conversation_id = f"67dd47dfbc632c1804db{number:04d}"
        await pipeline.receive_webhooks(conversation(conversation_id=conversation_id, customer=BO))
        await pipeline.write_profiles(steps=6)
        await pipeline.deliver_events()
    assert set(await pipeline.delivery_states("created")) == {"delivered"}
    assert "failed" not in await pipeline.delivery_states()
    assert await pipeline.fault_hits() > FAST_RETRIES.max_attempts
    await pipeline.clear_faults()
    await pipeline.write_profiles()
    assert (await pipeline.klaviyo_profiles())[f"{ADA}@lantern.example"]["first_name"] == "Ada"
