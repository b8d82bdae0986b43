"""The webhook endpoint: what it accepts, what it rejects, and what it stores."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from kustomer_klaviyo.kustomer.signature import sign
from kustomer_klaviyo.web.response_headers import with_default_headers
from support.kustomer_documents import conversation, customer, email, event
from support.timeouts import wait_until
from support.webhook_server import WebhookServer, run_webhook_server

OTHER = "67dd47dfbc632c1804db1bf2"


@pytest.fixture
async def server(database_url: str, data_directory: Path) -> AsyncIterator[WebhookServer]:
    async with run_webhook_server(database_url, data_directory) as running:
        yield running


async def test_a_signed_event_is_durable_before_it_is_acknowledged(server: WebhookServer) -> None:
    status, _, _ = await server.post_webhook(event(conversation()))
    [row] = await server.inbox_rows()
    assert status == 200
    assert (row["state"], row["conversation_id"]) == ("pending", conversation()["id"])
    assert msgspec.json.decode(row["body"]) == event(conversation())


@pytest.mark.parametrize("concurrent", [True, False])
async def test_different_events_with_one_id_are_stored_each_and_duplicates_are_not(
    server: WebhookServer, *, concurrent: bool
) -> None:
    bodies = [
        event(conversation(conversation_id=conversation_id), id=OTHER) for conversation_id in (OTHER, OTHER[::-1])
    ]
    if concurrent:
        await asyncio.gather(*map(server.post_webhook, bodies))
    else:
        for body in bodies:
            assert (await server.post_webhook(body))[0] == 200
    for body in bodies:
        await server.post_webhook(body)
    assert sorted(row["conversation_id"] for row in await server.inbox_rows()) == sorted([OTHER, OTHER[::-1]])


async def test_every_token_of_the_connection_is_accepted(server: WebhookServer) -> None:
    assert (await server.post_webhook(event(conversation()), token="former-token"))[0] == 200


@pytest.mark.parametrize("signature", ["", "00", "x" * 5000, "ÿþ"])
async def test_a_wrong_signature_is_401_and_stores_nothing(server: WebhookServer, signature: str) -> None:
    assert (await server.post_webhook(event(conversation()), signature=signature))[0] == 401
    assert await server.inbox_rows() == []


async def test_a_signature_of_another_body_is_401(server: WebhookServer) -> None:
    raw = msgspec.json.encode(event(conversation()))
    assert (await server.post_webhook(raw + b" ", signature=sign("current-token", raw)))[0] == 401


async def test_an_unknown_connection_is_404_with_the_text_of_a_wrong_signature(server: WebhookServer) -> None:
    unknown = await server.post_webhook(event(conversation()), connection="nobody")
    wrong = await server.post_webhook(event(conversation()), signature="00")
    assert (unknown[0], wrong[0]) == (404, 401)
    assert unknown[1] == wrong[1]


async def test_only_post_is_allowed(server: WebhookServer) -> None:
    async with server.session.get(f"{server.url}/webhooks/kustomer/acme") as response:
        assert response.status == 405


async def test_the_same_event_twice_is_one_row(server: WebhookServer) -> None:
    statuses = await asyncio.gather(*(server.post_webhook(event(conversation())) for _ in range(20)))
    assert {status for status, _, _ in statuses} == {200}
    assert len(await server.inbox_rows()) == 1


async def test_an_unchanged_update_is_not_stored(server: WebhookServer) -> None:
    await server.post_webhook(event(conversation(), "create"))
    for rev in range(2, 12):
        status, text, _ = await server.post_webhook(
            event(conversation(rev=rev, tags=["x"]), id=f"67dd47dfbc632c1804db1e{rev}")
        )
        assert (status, text) == (200, "unchanged")
    assert len(await server.inbox_rows()) == 1


async def test_a_later_update_replaces_a_lost_event(server: WebhookServer) -> None:
    await server.post_webhook(event(conversation(), "create"))
    closing = {"createdAt": "2026-03-20T19:00:00.000Z"}
    _, text, _ = await server.post_webhook(event(conversation(rev=9, status="open", lastDone=closing), id=OTHER))
    assert text == "received"
    assert len(await server.inbox_rows()) == 2


async def test_a_customer_with_the_same_contacts_is_unchanged_and_with_a_new_email_is_stored(
    server: WebhookServer,
) -> None:
    answers = []
    for rev, address in ((1, "a@x.example"), (2, "a@x.example"), (3, "b@x.example"), (2, "c@x.example")):
        body = event(customer(rev=rev, emails=[email(address)]), id=f"67dd47dfbc632c1804db1e{rev}{address[0]}")
        answers.append((await server.post_webhook(body))[1])
    assert answers == ["received", "unchanged", "received", "unchanged"]


async def test_events_before_since_are_stored_once(server: WebhookServer) -> None:
    before = "2025-12-31T23:59:59.999Z"
    done: dict[str, Any] = {"lastDone": {"createdAt": before}, "modificationHistory": {"statusAt": before}}
    times = ("2026-02-01T10:00:00Z", "2026-02-01T11:00:00Z")
    old = [event(conversation(status="done", createdAt=before, updatedAt=at, **done)) for at in times]
    assert [(await server.post_webhook(body))[1] for body in old] == ["received", "unchanged"]


async def test_an_old_open_conversation_is_stored_once(server: WebhookServer) -> None:
    body = event(conversation(createdAt="2025-12-31T23:59:59.999Z"))
    assert [(await server.post_webhook(body))[1] for _ in range(2)] == ["received", "unchanged"]


async def test_a_reopened_conversation_is_stored_and_later_unchanged_updates_are_not(server: WebhookServer) -> None:
    done = "2026-03-20T19:00:00.000Z"
    closed: dict[str, Any] = {"lastDone": {"createdAt": done}, "modificationHistory": {"statusAt": done}}
    reopened: dict[str, Any] = closed | {"modificationHistory": {"statusAt": "2026-03-20T20:00:00.000Z"}}
    bodies = [
        event(conversation(rev=2, status="done", **closed)),
        event(conversation(rev=3, status="done", **closed)),
        event(conversation(rev=4, status="open", **reopened)),
        event(conversation(rev=5, status="open", **reopened)),
    ]
    answers = [
        (await server.post_webhook(body | {"id": f"67dd47dfbc632c1804db1e{n:02}"}))[1] for n, body in enumerate(bodies)
    ]
    assert answers == ["received", "unchanged", "received", "unchanged"]


async def test_a_thousand_changes_of_unmapped_attributes_are_unchanged(server: WebhookServer) -> None:
    async def post(rev: int) -> str:
        seen = f"2026-03-20T19:{rev % 60:02}:00.000Z"
        body = customer(
            rev=rev, emails=[email("a@x.example")], lastActivityAt=seen, updatedAt=seen, custom={"xNum": rev}
        )
        return (await server.post_webhook(event(body, id=f"67dd47dfbc632c1804{rev:06}")))[1]

    assert await post(1) == "received"
    assert {await post(rev) for rev in range(2, 1002)} == {"unchanged"}
    assert len(await server.inbox_rows()) == 1


async def test_unknown_events_are_accepted_and_ignored(server: WebhookServer) -> None:
    for body in ({"name": "kustomer.team.update"}, {}, {"name": 7, "data": []}, event({"type": "tag", "id": OTHER})):
        assert (await server.post_webhook(body))[0] == 200
    assert await server.inbox_rows() == []


async def test_counters_are_saved(server: WebhookServer) -> None:
    await server.post_webhook(event(conversation()))
    await server.post_webhook(event(conversation()))
    await server.post_webhook(b"{}", signature="00")
    counted = {"received": 2, "unchanged": 1, "bad_signature": 1}

    async def is_saved() -> bool:
        rows = await server.app.db.fetch("SELECT name, count FROM counters")
        return {row["name"]: row["count"] for row in rows} == counted

    await wait_until(is_saved, f"the counts are {counted}")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(garbage=st.binary(max_size=300) | JSON.map(msgspec.json.encode))
@settings(max_examples=200)
async def test_signed_garbage_is_never_rejected(server: WebhookServer, garbage: bytes) -> None:
    assert (await server.post_webhook(garbage))[0] == 200


@given(st.data())
@settings(max_examples=200)
async def test_no_shape_of_any_field_causes_a_500(server: WebhookServer, data: st.DataObject) -> None:
    document = event(conversation())
    attributes = document["data"]["attributes"]
    place = data.draw(st.sampled_from([document, document["data"], attributes, document["data"]["relationships"]]))
    name = data.draw(st.sampled_from(sorted(place)))
    place[name] = data.draw(JSON)
    status, _, _ = await server.post_webhook(document)
    assert status == 200


async def test_only_metrics_need_credentials(server: WebhookServer) -> None:
    for path, headers, expected in (
        ("/health", {}, 200),
        ("/ready", {}, 200),
        ("/metrics", {}, 401),
        ("/metrics", {"Authorization": "Bearer wrong"}, 401),
        ("/metrics", {"Authorization": "Bearer metrics"}, 200),
        ("/nowhere", {}, 404),
        ("/schema", {}, 404),
    ):
        async with server.session.get(f"{server.url}{path}", headers=headers) as response:
            assert (path, response.status) == (path, expected)


@pytest.mark.parametrize("method", ["PUT", "OPTIONS"])
@pytest.mark.parametrize("path", ["/webhooks/kustomer/acme", "/webhooks/kustomer/", "/webhooks/kustomer"])
async def test_other_methods_are_405_at_every_spelling_of_the_address(
    server: WebhookServer, method: str, path: str
) -> None:
    async with server.session.request(method, server.url + path) as response:
        assert (response.status, await response.text()) == (405, "send webhooks with POST")


@pytest.mark.parametrize("path", ["/webhooks/kustomer/", "/webhooks/kustomer", "/webhooks/kustomer/kustomer"])
async def test_an_address_without_a_connection_is_404(server: WebhookServer, path: str) -> None:
    async with server.session.post(server.url + path, data=b"{}") as response:
        assert response.status == 404


async def test_every_response_has_the_default_headers_once_and_a_request_id_of_its_own(server: WebhookServer) -> None:
    request_ids = set()
    for signature, status in ((None, 200), ("00", 401)):
        answered, _, headers = await server.post_webhook(event(conversation()), signature=signature)
        sent = sorted((name.lower().encode(), value.encode()) for name, value in headers.items())
        [request_id] = [value for name, value in sent if name == b"x-request-id"]
        expected = with_default_headers([(b"content-type", b"text/plain")], request_id.decode())
        assert answered == status
        assert [field for field in sent if field[0] not in (b"content-length", b"date")] == sorted(expected)
        request_ids.add(request_id)
    assert len(request_ids) == 2
    assert all(len(request_id) == 16 for request_id in request_ids)


async def test_an_error_of_the_endpoint_is_500_and_reported_with_its_route(
    server: WebhookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> None:
        raise ZeroDivisionError("raised by a test")

    monkeypatch.setattr(server.service.intake, "receive", fail)
    with capture_logs() as logged:
        status, text, headers = await server.post_webhook(event(conversation()))
    [line] = [entry for entry in logged if entry["event"] == "request.failed"]
    assert (status, headers["Content-Type"]) == (500, "application/problem+json; charset=utf-8")
    assert msgspec.json.decode(text)["request_id"] == line["request_id"]
    assert {name.lower(): value for name, value in headers.items()}["x-request-id"] == line["request_id"]
    assert line["route"] == "/webhooks/kustomer"


async def test_an_unavailable_database_is_503_also_where_intake_does_not_expect_it(
    server: WebhookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> None:
        raise TimeoutError

    monkeypatch.setattr(server.service.intake, "receive", fail)
    status, _, headers = await server.post_webhook(event(conversation()))
    assert (status, headers["Retry-After"]) == (503, "5")
