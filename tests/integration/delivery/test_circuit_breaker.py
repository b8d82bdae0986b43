"""Faults that are not caused by the event, and rate limits without a usable wait: what waits, and what fails."""

import asyncio
import math
import time
from typing import Any

import pytest

from kustomer_klaviyo.reasons import Reason
from support.kustomer_documents import conversation, customer, email
from support.pipeline import Pipeline

EVENTS, BULK = "/api/events", "/api/event-bulk-create-jobs"
UNSPECIFIC = {"errors": [{"code": "invalid", "detail": "No."}]}
HEADER = {"errors": [{"code": "invalid", "detail": "Retired.", "source": {"header": "revision"}}]}
TOO_LARGE = {"errors": [{"code": "payload_too_large", "detail": "Payload too large."}]}
SYSTEMIC_FAULTS: dict[str, dict[str, Any]] = {
    "a 400 with a web page": {"kind": "page", "status": 400},
    "a 413 with a web page": {"kind": "page", "status": 413},
    "a 415 with a web page": {"kind": "page", "status": 415},
    "a 400 that rejects a header": {"kind": "response", "status": 400, "json": HEADER},
    "a 400 that rejects nothing specific": {"kind": "response", "status": 400, "json": UNSPECIFIC},
    "a 413 of Klaviyo's": {"kind": "response", "status": 413, "json": TOO_LARGE},
    "a 404": {"kind": "response", "status": 404, "json": UNSPECIFIC},
    "a 451": {"kind": "page", "status": 451},
    "a 200 with errors inside": {"kind": "response", "status": 200, "json": UNSPECIFIC},
    "a 204": {"kind": "response", "status": 204},
    "a 200 with a web page": {"kind": "page", "status": 200},
    "a redirect": {"kind": "response", "status": 302, "headers": {"Location": "/"}},
}


async def plan_events(pipeline: Pipeline, number: int) -> None:
    """Plan one event for each of ``number`` customers."""
    await pipeline.connect()
    addresses = {f"5f19aa0b1c2d3e4f5a6b{index:04d}": f"p{index}@lantern.example" for index in range(number)}
    await pipeline.receive_webhooks(
        *(customer(customer_id=customer_id, emails=[email(address)]) for customer_id, address in addresses.items())
    )
    await pipeline.write_profiles()
    await pipeline.receive_webhooks(
        *(
            conversation(conversation_id=f"67dd47dfbc632c1804db{index:04d}", customer=customer_id)
            for index, customer_id in enumerate(addresses)
        )
    )


async def connection_status(pipeline: Pipeline) -> dict[str, Any]:
    [found] = await pipeline.sql("SELECT * FROM connection_status")
    return found


BULK_FAULTS = ("a 400 with a web page", "a 413 with a web page", "a 404", "a 200 with errors inside")


@pytest.mark.parametrize(
    ("fault", "number"), [*((one, 3) for one in SYSTEMIC_FAULTS), *((one, 25) for one in BULK_FAULTS)]
)
async def test_a_systemic_fault_fails_no_delivery_and_everything_arrives_afterwards(
    pipeline: Pipeline, fault: str, number: int
) -> None:
    await plan_events(pipeline, number)
    await pipeline.add_fault(path="/api/event", **SYSTEMIC_FAULTS[fault])
    await pipeline.deliver_events(steps=12)
    assert set(await pipeline.delivery_states("created")) == {"pending"}
    found = await connection_status(pipeline)
    assert found["consecutive_failures"] > 0
    assert found["hold_reason"]
    await pipeline.app.db.execute("UPDATE connection_status SET held_until = NULL")
    await pipeline.clear_faults()
    await pipeline.restart_worker()
    await pipeline.deliver_events()
    assert await pipeline.delivery_states("created") == ["delivered"] * number
    assert len(await pipeline.klaviyo_events()) == number


@pytest.mark.parametrize(
    "refusal", ["a 413 of Klaviyo's", "a 400 that rejects nothing specific", "a 200 with errors inside", "a 404"]
)
@pytest.mark.parametrize("number", [4, 25])
async def test_a_delivery_that_always_fails_is_given_up_and_blocks_no_other(
    pipeline: Pipeline, refusal: str, number: int
) -> None:
    await plan_events(pipeline, number)
    await pipeline.add_fault(path="/api/event", containing="67dd47dfbc632c1804db0001", **SYSTEMIC_FAULTS[refusal])
    for later in range(8):
        await pipeline.deliver_events(steps=20)
        conversation_id = f"67dd47dfbc632c1804dc{later:04d}"
        document = conversation(conversation_id=conversation_id, customer="5f19aa0b1c2d3e4f5a6b0000")
        await pipeline.receive_webhooks(document)
    assert sorted(await pipeline.delivery_states("created"))[:-1] == ["delivered"] * (number + 6) + ["failed"]
    [reason] = [row["reason"] for row in await pipeline.deliveries("created") if row["state"] == "failed"]
    assert reason == Reason.FAILED_REPEATEDLY


async def test_a_bulk_request_that_a_proxy_finds_too_large_is_split(pipeline: Pipeline) -> None:
    await plan_events(pipeline, 25)
    await pipeline.add_fault(kind="page", status=413, path=BULK, times=2)
    await pipeline.deliver_events()
    assert await pipeline.delivery_states("created") == ["delivered"] * 25


@pytest.mark.parametrize("retry_after", [0, "0", "-5", "Thu, 01 Jan 1970 00:00:00 GMT", "soon", None])
async def test_a_rate_limit_without_a_usable_retry_after_is_still_waited_for(
    pipeline: Pipeline, retry_after: Any
) -> None:
    await plan_events(pipeline, 3)
    await pipeline.add_fault(kind="throttle", path=EVENTS, retry_after=retry_after)
    started_at = time.monotonic()
    task = asyncio.create_task(pipeline.deliver_events(steps=30))
    await asyncio.wait([task], timeout=2.0)
    task.cancel()
    throttled = await pipeline.fault_hits()
    # However long that took: the least waits, 0.25 s and doubled each time, leave room for so many rounds of three.
    rounds = 1 + math.log2(1 + (time.monotonic() - started_at) / 0.25)
    assert 1 <= throttled <= 3 * rounds
    assert await pipeline.delivery_states("created") == ["pending"] * 3
