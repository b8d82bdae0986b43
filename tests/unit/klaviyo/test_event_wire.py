"""Request bodies, checked against the models of Klaviyo's official client."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from openapi_client.models.event_create_query_v2 import EventCreateQueryV2
from openapi_client.models.events_bulk_create_job import EventsBulkCreateJob

from kustomer_klaviyo.klaviyo.event_request import EventRequest
from kustomer_klaviyo.klaviyo.event_wire import encode_bulk_entry, encode_event, join_bulk_entries

PROPERTIES: dict[str, str | int | float] = {"conversationId": "c1", "rating": 4.5, "score": 1}
BY_EMAIL = EventRequest(
    "M", "u1", datetime(2026, 3, 20, 18, tzinfo=UTC), PROPERTIES, email="a@b.example", backfill=True
)
BY_PHONE = EventRequest("M", "u2", datetime(2026, 3, 20, 19, tzinfo=UTC), PROPERTIES, phone="+447911123456")


def parsed_by_model(model: Any, body: dict[str, Any]) -> Any:
    """Return the body after a round trip through the model, which drops unknown fields."""
    return msgspec.json.decode(msgspec.json.encode(model.from_dict(body).to_dict()))


def differences(sent: Any, parsed: Any) -> list[str]:
    """Return the differences; times are compared as instants."""
    if isinstance(sent, dict):
        return [
            f"{name}.{difference}"
            for name in sent
            for difference in differences(sent[name], parsed.get(name, "missing"))
        ]
    if isinstance(sent, list):
        pairs = zip(sent, parsed, strict=True)
        return [f"{index}.{difference}" for index, pair in enumerate(pairs) for difference in differences(*pair)]
    if sent == parsed:
        return []
    try:
        same = datetime.fromisoformat(sent) == datetime.fromisoformat(parsed)
    except (TypeError, ValueError):
        same = False
    return [] if same else [f"{sent!r} became {parsed!r}"]


@pytest.mark.parametrize("event", [BY_EMAIL, BY_PHONE], ids=["email", "phone"])
def test_klaviyos_model_accepts_every_part_of_an_event(event: EventRequest) -> None:
    body = msgspec.json.decode(encode_event(event))
    assert differences(body, parsed_by_model(EventCreateQueryV2, body)) == []


def test_klaviyos_model_accepts_every_part_of_a_batch() -> None:
    body = msgspec.json.decode(join_bulk_entries([encode_bulk_entry(BY_EMAIL), encode_bulk_entry(BY_PHONE)]))
    assert differences(body, parsed_by_model(EventsBulkCreateJob, body)) == []


def test_the_comparison_detects_an_unknown_field() -> None:
    body = msgspec.json.decode(encode_event(BY_EMAIL))
    body["data"]["attributes"]["uniqueId"] = "u1"
    assert differences(body, parsed_by_model(EventCreateQueryV2, body)) == [
        "data.attributes.uniqueId.'u1' became 'missing'"
    ]
