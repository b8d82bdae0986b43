"""Batches of events within the limits of the bulk endpoint."""

from datetime import UTC, datetime

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.klaviyo.batches import MAX_BYTES, MAX_EVENTS, batch_events, select, split
from kustomer_klaviyo.klaviyo.event_request import EventRequest

AT = datetime(2026, 3, 20, tzinfo=UTC)


def request(unique_id: str, size: int = 10) -> EventRequest:
    return EventRequest("M", unique_id, AT, {"text": "x" * size}, email="a@b.example")


@given(st.lists(st.integers(0, 30), max_size=60))
def test_every_event_is_in_one_batch_in_order_and_no_batch_repeats_a_unique_id(numbers: list[int]) -> None:
    requests = [request(str(number)) for number in numbers]
    batches = batch_events(requests)
    assert [event for batch in batches for event in batch.requests] == requests
    for batch in batches:
        assert len({event.unique_id for event in batch.requests}) == len(batch.requests)


def test_a_batch_holds_at_most_a_thousand_events() -> None:
    assert [len(batch.requests) for batch in batch_events([request(str(n)) for n in range(2100)])] == [
        MAX_EVENTS,
        MAX_EVENTS,
        100,
    ]


def test_a_batch_never_exceeds_the_size_limit() -> None:
    batches = batch_events([request(str(n), size=90_000) for n in range(120)])
    assert len(batches) == 3
    assert all(len(batch.body()) <= MAX_BYTES for batch in batches)


def test_an_oversized_event_gets_its_own_batch_in_order() -> None:
    batches = batch_events([request("1"), request("2", size=MAX_BYTES), request("3"), request("4")])
    assert [[event.unique_id for event in batch.requests] for batch in batches] == [["1"], ["2"], ["3", "4"]]
    first = batch_events([request("1", size=MAX_BYTES), request("2")])
    assert [[event.unique_id for event in batch.requests] for batch in first] == [["1"], ["2"]]


def test_the_size_is_counted_in_bytes_and_fully_used() -> None:
    [single] = batch_events([request("100", size=0)])
    text_length = (MAX_BYTES - len(single.body())) // 2 // 2
    exact = [
        EventRequest("M", f"10{n}", AT, {"text": "é" * (text_length - 200)}, email="a@b.example") for n in range(2)
    ]
    too_large = [
        EventRequest("M", f"10{n}", AT, {"text": "é" * (text_length + 200)}, email="a@b.example") for n in range(2)
    ]
    assert [len(batch.requests) for batch in batch_events(exact)] == [2]
    assert [len(batch.requests) for batch in batch_events(too_large)] == [1, 1]


def test_the_body_has_the_documented_form() -> None:
    [batch] = batch_events([request("1"), request("2")])
    attributes = msgspec.json.decode(batch.body())["data"]["attributes"]
    entries = attributes["events-bulk-create"]["data"]
    assert [entry["attributes"]["events"]["data"][0]["attributes"]["unique_id"] for entry in entries] == ["1", "2"]


def test_a_rejected_batch_is_reduced_or_split() -> None:
    [batch] = batch_events([request(str(n)) for n in range(5)])
    assert [event.unique_id for event in select(batch, [0, 1, 3, 4]).requests] == ["0", "1", "3", "4"]
    assert [[event.unique_id for event in half.requests] for half in split(batch)] == [["0", "1"], ["2", "3", "4"]]


def test_a_reduced_batch_is_a_complete_request() -> None:
    batch = select(batch_events([request(str(n)) for n in range(3)])[0], [1, 2])
    entries = msgspec.json.decode(batch.body())["data"]["attributes"]["events-bulk-create"]["data"]
    assert [entry["attributes"]["events"]["data"][0]["attributes"]["unique_id"] for entry in entries] == ["1", "2"]
    assert batch_events([]) == []
