"""Refusals that are not the event's own fault, and rate limits that say nothing sensible: who waits, and who fails."""

import asyncio
import math
import time
from typing import Any

import pytest

from documents import conversation, customer, email
from line import Line

EVENTS, BULK = "/api/events", "/api/event-bulk-create-jobs"
NOBODY = {"errors": [{"code": "invalid", "detail": "No."}]}
HEADER = {"errors": [{"code": "invalid", "detail": "Retired.", "source": {"header": "revision"}}]}
TOO_LARGE = {"errors": [{"code": "payload_too_large", "detail": "Payload too large."}]}
SYSTEMIC: dict[str, dict[str, Any]] = {
    "a 400 with a web page": {"kind": "page", "status": 400},
    "a 413 with a web page": {"kind": "page", "status": 413},
    "a 415 with a web page": {"kind": "page", "status": 415},
    "a 400 that blames a header": {"kind": "answer", "status": 400, "json": HEADER},
    "a 400 that blames nobody": {"kind": "answer", "status": 400, "json": NOBODY},
    "a 413 of Klaviyo's": {"kind": "answer", "status": 413, "json": TOO_LARGE},
    "a 404": {"kind": "answer", "status": 404, "json": NOBODY},
    "a 451": {"kind": "page", "status": 451},
    "a 200 with errors inside": {"kind": "answer", "status": 200, "json": NOBODY},
    "a 204": {"kind": "answer", "status": 204},
    "a 200 with a web page": {"kind": "page", "status": 200},
    "a redirect": {"kind": "answer", "status": 302, "headers": {"Location": "/"}},
}


async def owe(line: Line, number: int) -> None:
    """Owe an event of each of so many customers."""
    await line.connect()
    who = {f"5f19aa0b1c2d3e4f5a6b{one:04d}": f"p{one}@lantern.example" for one in range(number)}
    await line.receive(*(customer(customer_id=one, emails=[email(address)]) for one, address in who.items()))
    await line.write()
    begun = [f"67dd47dfbc632c1804db{one:04d}" for one in range(number)]
    await line.receive(*map(lambda one, whose: conversation(conversation_id=one, customer=whose), begun, who))


async def lane(line: Line) -> dict[str, Any]:
    [found] = await line.sql("SELECT * FROM delivery_lanes")
    return found


IN_BULK = ("a 400 with a web page", "a 413 with a web page", "a 404", "a 200 with errors inside")


@pytest.mark.parametrize(("fault", "number"), [*((one, 3) for one in SYSTEMIC), *((one, 25) for one in IN_BULK)])
async def test_no_delivery_is_failed_for_it_and_all_arrives_afterwards(line: Line, fault: str, number: int) -> None:
    await owe(line, number)
    await line.misbehave(path="/api/event", **SYSTEMIC[fault])
    await line.deliver(turns=12)
    assert set(await line.states("opened")) == {"waiting"}
    found = await lane(line)
    assert found["failures"] > 0
    assert found["reason"]
    await line.home.database.execute("UPDATE delivery_lanes SET wait_until = NULL")
    await line.behave()
    await line.begin_anew()
    await line.deliver()
    assert await line.states("opened") == ["delivered"] * number
    assert len(await line.arrived()) == number


@pytest.mark.parametrize(
    "refusal", ["a 413 of Klaviyo's", "a 400 that blames nobody", "a 200 with errors inside", "a 404"]
)
@pytest.mark.parametrize("number", [4, 25])
async def test_what_it_cannot_take_alone_is_failed_in_the_end_and_stops_no_other(
    line: Line, refusal: str, number: int
) -> None:
    await owe(line, number)
    await line.misbehave(path="/api/event", containing="67dd47dfbc632c1804db0001", **SYSTEMIC[refusal])
    for later in range(8):
        await line.deliver(turns=20)
        begun = f"67dd47dfbc632c1804dc{later:04d}"
        await line.receive(conversation(conversation_id=begun, customer="5f19aa0b1c2d3e4f5a6b0000"))
    assert sorted(await line.states("opened"))[:-1] == ["delivered"] * (number + 6) + ["failed"]
    [reason] = [row["reason"] for row in await line.told("opened") if row["state"] == "failed"]
    assert "while others got through" in reason


async def test_a_bulk_request_too_large_for_somebody_on_the_way_is_halved(line: Line) -> None:
    await owe(line, 25)
    await line.misbehave(kind="page", status=413, path=BULK, times=2)
    await line.deliver()
    assert await line.states("opened") == ["delivered"] * 25


@pytest.mark.parametrize("wish", [0, "0", "-5", "Thu, 01 Jan 1970 00:00:00 GMT", "soon", None])
async def test_a_rate_limit_that_wishes_for_no_wait_is_waited_for_all_the_same(line: Line, wish: Any) -> None:
    await owe(line, 3)
    await line.misbehave(kind="throttle", path=EVENTS, retry_after=wish)
    began = time.monotonic()
    task = asyncio.create_task(line.deliver(turns=30))
    await asyncio.wait([task], timeout=2.0)
    task.cancel()
    met = await line.met()
    # However long that took: the least waits, 0.25 s and doubled each time, leave room for so many rounds of three.
    rounds = 1 + math.log2(1 + (time.monotonic() - began) / 0.25)
    assert 1 <= met <= 3 * rounds
    assert await line.states("opened") == ["waiting"] * 3
