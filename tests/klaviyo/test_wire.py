"""The bodies we send, judged by the models of Klaviyo's own client, which knows nothing of us."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from openapi_client.models.event_create_query_v2 import EventCreateQueryV2
from openapi_client.models.events_bulk_create_job import EventsBulkCreateJob

from kustomer_klaviyo.klaviyo.event_request import EventCall
from kustomer_klaviyo.klaviyo.event_wire import encode_bulk_entry, encode_event, join_bulk

PROPERTIES: dict[str, str | int | float] = {"conversationId": "c1", "rating": 4.5, "score": 1}
BY_EMAIL = EventCall("M", "u1", datetime(2026, 3, 20, 18, tzinfo=UTC), PROPERTIES, email="a@b.example", backfill=True)
BY_PHONE = EventCall("M", "u2", datetime(2026, 3, 20, 19, tzinfo=UTC), PROPERTIES, phone="+447911123456")


def as_understood(model: Any, body: dict[str, Any]) -> Any:
    """Return the body as the model gives it back; it drops what it does not know."""
    return msgspec.json.decode(msgspec.json.encode(model.from_dict(body).to_dict()))


def differences(sent: Any, understood: Any) -> list[str]:
    """Name what was sent and not understood as sent; times are compared as moments."""
    if isinstance(sent, dict):
        return [f"{name}.{found}" for name in sent for found in differences(sent[name], understood.get(name, "gone"))]
    if isinstance(sent, list):
        pairs = zip(sent, understood, strict=True)
        return [f"{index}.{found}" for index, pair in enumerate(pairs) for found in differences(*pair)]
    if sent == understood:
        return []
    try:
        same = datetime.fromisoformat(sent) == datetime.fromisoformat(understood)
    except (TypeError, ValueError):
        same = False
    return [] if same else [f"{sent!r} became {understood!r}"]


@pytest.mark.parametrize("call", [BY_EMAIL, BY_PHONE], ids=["email", "phone"])
def test_one_event_is_understood_whole(call: EventCall) -> None:
    body = msgspec.json.decode(encode_event(call))
    assert differences(body, as_understood(EventCreateQueryV2, body)) == []


def test_many_events_are_understood_whole() -> None:
    body = msgspec.json.decode(join_bulk([encode_bulk_entry(BY_EMAIL), encode_bulk_entry(BY_PHONE)]))
    assert differences(body, as_understood(EventsBulkCreateJob, body)) == []


def test_the_judge_sees_a_field_that_does_not_exist() -> None:
    body = msgspec.json.decode(encode_event(BY_EMAIL))
    body["data"]["attributes"]["uniqueId"] = "u1"
    assert differences(body, as_understood(EventCreateQueryV2, body)) == ["data.attributes.uniqueId.'u1' became 'gone'"]
