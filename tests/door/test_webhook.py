"""The webhook endpoint: what is let in, what is turned away, and what becomes durable."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from documents import conversation, customer, email, event
from doorway import Door, opened
from kustomer_klaviyo.kustomer.signature import sign
from patience import until

OTHER = "67dd47dfbc632c1804db1bf2"


@pytest.fixture
async def door(database_url: str, data_directory: Path) -> AsyncIterator[Door]:
    async with opened(database_url, data_directory) as ready:
        yield ready


async def test_a_signed_event_is_durable_before_it_is_acknowledged(door: Door) -> None:
    status, _, _ = await door.knock(event(conversation()))
    [row] = await door.rows()
    assert status == 200
    assert (row["state"], row["conversation_id"]) == ("waiting", conversation()["id"])
    assert msgspec.json.decode(row["body"]) == event(conversation())


@pytest.mark.parametrize("together", [True, False])
async def test_two_events_of_one_id_are_two_and_one_that_comes_again_is_one(door: Door, *, together: bool) -> None:
    bodies = [event(conversation(conversation_id=one), id=OTHER) for one in (OTHER, OTHER[::-1])]
    if together:
        await asyncio.gather(*map(door.knock, bodies))
    else:
        for body in bodies:
            assert (await door.knock(body))[0] == 200
    for body in bodies:
        await door.knock(body)
    assert sorted(row["conversation_id"] for row in await door.rows()) == sorted([OTHER, OTHER[::-1]])


async def test_each_of_several_tokens_is_accepted(door: Door) -> None:
    assert (await door.knock(event(conversation()), token="former-token"))[0] == 200


@pytest.mark.parametrize("signature", ["", "00", "x" * 5000, "ÿþ"])
async def test_a_wrong_signature_is_401_and_changes_nothing(door: Door, signature: str) -> None:
    assert (await door.knock(event(conversation()), signature=signature))[0] == 401
    assert await door.rows() == []


async def test_a_signature_of_another_body_is_401(door: Door) -> None:
    raw = msgspec.json.encode(event(conversation()))
    assert (await door.knock(raw + b" ", signature=sign("current-token", raw)))[0] == 401


async def test_an_unknown_connection_is_404_in_the_same_words_as_a_wrong_signature(door: Door) -> None:
    unknown = await door.knock(event(conversation()), connection="nobody")
    wrong = await door.knock(event(conversation()), signature="00")
    assert (unknown[0], wrong[0]) == (404, 401)
    assert unknown[1] == wrong[1]


async def test_only_post_is_answered(door: Door) -> None:
    async with door.session.get(f"{door.url}/webhooks/kustomer/acme") as response:
        assert response.status == 405


async def test_the_same_event_twice_is_one_row(door: Door) -> None:
    statuses = await asyncio.gather(*(door.knock(event(conversation())) for _ in range(20)))
    assert {status for status, _, _ in statuses} == {200}
    assert len(await door.rows()) == 1


async def test_an_update_that_tells_nothing_new_takes_no_row(door: Door) -> None:
    await door.knock(event(conversation(), "create"))
    for rev in range(2, 12):
        status, text, _ = await door.knock(event(conversation(rev=rev, tags=["x"]), id=f"67dd47dfbc632c1804db1e{rev}"))
        assert (status, text) == (200, "nothing new")
    assert len(await door.rows()) == 1


async def test_a_lost_event_is_healed_by_a_later_update(door: Door) -> None:
    await door.knock(event(conversation(), "create"))
    closing = {"createdAt": "2026-03-20T19:00:00.000Z"}
    _, text, _ = await door.knock(event(conversation(rev=9, status="open", lastDone=closing), id=OTHER))
    assert text == "received"
    assert len(await door.rows()) == 2


async def test_a_customer_seen_again_with_the_same_contacts_is_noise_and_a_new_email_is_not(door: Door) -> None:
    answers = []
    for rev, address in ((1, "a@x.example"), (2, "a@x.example"), (3, "b@x.example"), (2, "c@x.example")):
        body = event(customer(rev=rev, emails=[email(address)]), id=f"67dd47dfbc632c1804db1e{rev}{address[0]}")
        answers.append((await door.knock(body))[1])
    assert answers == ["received", "nothing new", "received", "nothing new"]


async def test_what_happened_before_the_horizon_takes_one_row_and_never_another(door: Door) -> None:
    before = "2025-12-31T23:59:59.999Z"
    done: dict[str, Any] = {"lastDone": {"createdAt": before}, "modificationHistory": {"statusAt": before}}
    times = ("2026-02-01T10:00:00Z", "2026-02-01T11:00:00Z")
    old = [event(conversation(status="done", createdAt=before, updatedAt=at, **done)) for at in times]
    assert [(await door.knock(body))[1] for body in old] == ["received", "nothing new"]


async def test_an_old_conversation_that_is_still_open_is_counted_once(door: Door) -> None:
    body = event(conversation(createdAt="2025-12-31T23:59:59.999Z"))
    assert [(await door.knock(body))[1] for _ in range(2)] == ["received", "nothing new"]


async def test_a_reopened_conversation_is_news_and_its_later_noise_is_not(door: Door) -> None:
    done = "2026-03-20T19:00:00.000Z"
    closed: dict[str, Any] = {"lastDone": {"createdAt": done}, "modificationHistory": {"statusAt": done}}
    reopened: dict[str, Any] = closed | {"modificationHistory": {"statusAt": "2026-03-20T20:00:00.000Z"}}
    bodies = [
        event(conversation(rev=2, status="done", **closed)),
        event(conversation(rev=3, status="done", **closed)),
        event(conversation(rev=4, status="open", **reopened)),
        event(conversation(rev=5, status="open", **reopened)),
    ]
    answers = [(await door.knock(body | {"id": f"67dd47dfbc632c1804db1e{n:02}"}))[1] for n, body in enumerate(bodies)]
    assert answers == ["received", "nothing new", "received", "nothing new"]


async def test_a_customer_of_whom_nothing_is_mapped_changed_a_thousand_times_is_noise(door: Door) -> None:
    async def knock(rev: int) -> str:
        seen = f"2026-03-20T19:{rev % 60:02}:00.000Z"
        body = customer(
            rev=rev, emails=[email("a@x.example")], lastActivityAt=seen, updatedAt=seen, custom={"xNum": rev}
        )
        return (await door.knock(event(body, id=f"67dd47dfbc632c1804{rev:06}")))[1]

    assert await knock(1) == "received"
    assert {await knock(rev) for rev in range(2, 1002)} == {"nothing new"}
    assert len(await door.rows()) == 1


async def test_unknown_events_are_accepted_and_ignored(door: Door) -> None:
    for body in ({"name": "kustomer.team.update"}, {}, {"name": 7, "data": []}, event({"type": "tag", "id": OTHER})):
        assert (await door.knock(body))[0] == 200
    assert await door.rows() == []


async def test_what_the_door_counts_is_written_down(door: Door) -> None:
    await door.knock(event(conversation()))
    await door.knock(event(conversation()))
    await door.knock(b"{}", signature="00")
    counted = {"received": 2, "nothing new": 1, "bad signature": 1}

    async def is_written_down() -> bool:
        rows = await door.home.database.fetch("SELECT name, count FROM tallies")
        return {row["name"]: row["count"] for row in rows} == counted

    await until(is_written_down, f"the counts are {counted}")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(garbage=st.binary(max_size=300) | JSON.map(msgspec.json.encode))
@settings(max_examples=200)
async def test_garbage_that_is_signed_is_never_refused(door: Door, garbage: bytes) -> None:
    assert (await door.knock(garbage))[0] == 200


@given(st.data())
@settings(max_examples=200)
async def test_an_event_with_any_field_of_any_shape_is_never_a_500(door: Door, data: st.DataObject) -> None:
    document = event(conversation())
    attributes = document["data"]["attributes"]
    place = data.draw(st.sampled_from([document, document["data"], attributes, document["data"]["relationships"]]))
    name = data.draw(st.sampled_from(sorted(place)))
    place[name] = data.draw(JSON)
    status, _, _ = await door.knock(document)
    assert status == 200


async def test_health_and_readiness_need_no_credentials_and_metrics_do(door: Door) -> None:
    for path, headers, expected in (
        ("/health", {}, 200),
        ("/ready", {}, 200),
        ("/metrics", {}, 401),
        ("/metrics", {"Authorization": "Bearer wrong"}, 401),
        ("/metrics", {"Authorization": "Bearer metrics"}, 200),
        ("/nowhere", {}, 404),
        ("/schema", {}, 404),
    ):
        async with door.session.get(f"{door.url}{path}", headers=headers) as response:
            assert (path, response.status) == (path, expected)
