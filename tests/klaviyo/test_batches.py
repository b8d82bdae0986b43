"""Many events in few requests."""

from datetime import UTC, datetime

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.klaviyo.batches import MOST_BYTES, MOST_EVENTS, compose, halves, only
from kustomer_klaviyo.klaviyo.event_request import EventCall

AT = datetime(2026, 3, 20, tzinfo=UTC)


def call(unique_id: str, size: int = 10) -> EventCall:
    return EventCall("M", unique_id, AT, {"text": "x" * size}, email="a@b.example")


@given(st.lists(st.integers(0, 30), max_size=60))
def test_every_event_is_in_one_batch_in_order_and_no_batch_repeats_a_unique_id(numbers: list[int]) -> None:
    calls = [call(str(number)) for number in numbers]
    batches = compose(calls)
    assert [one for batch in batches for one in batch.calls] == calls
    for batch in batches:
        assert len({one.unique_id for one in batch.calls}) == len(batch.calls)


def test_a_batch_holds_at_most_a_thousand_events() -> None:
    assert [len(batch.calls) for batch in compose([call(str(n)) for n in range(2100)])] == [
        MOST_EVENTS,
        MOST_EVENTS,
        100,
    ]


def test_a_batch_is_never_larger_than_the_vendor_takes() -> None:
    batches = compose([call(str(n), size=90_000) for n in range(120)])
    assert len(batches) == 3
    assert all(len(batch.body()) <= MOST_BYTES for batch in batches)


def test_an_event_that_is_too_large_goes_alone_and_keeps_its_place() -> None:
    batches = compose([call("1"), call("2", size=MOST_BYTES), call("3"), call("4")])
    assert [[one.unique_id for one in batch.calls] for batch in batches] == [["1"], ["2"], ["3", "4"]]
    first = compose([call("1", size=MOST_BYTES), call("2")])
    assert [[one.unique_id for one in batch.calls] for batch in first] == [["1"], ["2"]]


def test_the_size_is_measured_in_bytes_and_filled_to_the_brim() -> None:
    [lone] = compose([call("100", size=0)])
    room = (MOST_BYTES - len(lone.body())) // 2 // 2
    exact = [EventCall("M", f"10{n}", AT, {"text": "é" * (room - 200)}, email="a@b.example") for n in range(2)]
    more = [EventCall("M", f"10{n}", AT, {"text": "é" * (room + 200)}, email="a@b.example") for n in range(2)]
    assert [len(batch.calls) for batch in compose(exact)] == [2]
    assert [len(batch.calls) for batch in compose(more)] == [1, 1]


def test_the_body_is_the_vendors_shape() -> None:
    [batch] = compose([call("1"), call("2")])
    attributes = msgspec.json.decode(batch.body())["data"]["attributes"]
    entries = attributes["events-bulk-create"]["data"]
    assert [entry["attributes"]["events"]["data"][0]["attributes"]["unique_id"] for entry in entries] == ["1", "2"]


def test_a_refused_batch_is_narrowed_down() -> None:
    [batch] = compose([call(str(n)) for n in range(5)])
    assert [one.unique_id for one in only(batch, [0, 1, 3, 4]).calls] == ["0", "1", "3", "4"]
    assert [[one.unique_id for one in half.calls] for half in halves(batch)] == [["0", "1"], ["2", "3", "4"]]


def test_what_is_left_of_a_batch_is_still_a_whole_request() -> None:
    batch = only(compose([call(str(n)) for n in range(3)])[0], [1, 2])
    entries = msgspec.json.decode(batch.body())["data"]["attributes"]["events-bulk-create"]["data"]
    assert [entry["attributes"]["events"]["data"][0]["attributes"]["unique_id"] for entry in entries] == ["1", "2"]
    assert compose([]) == []
