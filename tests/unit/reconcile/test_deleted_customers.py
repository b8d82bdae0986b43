"""The sweep passes any number of customers that were updated at the same time, and ends."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.kustomer.listings import CustomerPage
from kustomer_klaviyo.reconcile.deleted_customers import PAGE_SIZE, SweepCursor

START = datetime(2026, 3, 20, 12, tzinfo=UTC)


def formatted(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def search(times: list[str], cursor: SweepCursor, *, is_sorted: bool = True) -> CustomerPage:
    """Return the page that Kustomer finds, in the requested order or unsorted."""
    found = [time for time in times if time >= cursor.since]
    page = (sorted(found) if is_sorted else found)[(cursor.page - 1) * PAGE_SIZE : cursor.page * PAGE_SIZE]
    return CustomerPage(tuple(page), len(page), max(page, default=None), page == sorted(page))


def sweep(times: list[str], *, is_sorted: bool = True) -> tuple[set[str], int]:
    """Run the sweep to its end; returns the times that it saw, and the number of pages."""
    cursor: SweepCursor | None = SweepCursor(formatted(START), formatted(START))
    seen, pages = set[str](), 0
    while cursor is not None:
        found = search(times, cursor, is_sorted=is_sorted)
        seen |= set(found.deleted)
        cursor, pages = cursor.after(found), pages + 1
        assert pages < 1000
    return seen, pages


def test_thousands_updated_within_minutes_are_all_seen() -> None:
    times = [formatted(START + timedelta(milliseconds=12 * n)) for n in range(5000)]
    seen, pages = sweep(times)
    assert seen == set(times)
    assert pages <= 52


def test_hundreds_updated_at_the_same_time_are_passed() -> None:
    seen, _ = sweep([formatted(START)] * 350 + [formatted(START + timedelta(seconds=1))])
    assert len(seen) == 2


@given(st.lists(st.integers(0, 400), max_size=450), st.booleans())
def test_everybody_is_seen_in_any_order(offsets: list[int], is_sorted: bool) -> None:  # noqa: FBT001
    times = [formatted(START + timedelta(seconds=n)) for n in offsets]
    seen, _ = sweep(times, is_sorted=is_sorted)
    assert seen == set(times)


def test_a_page_that_is_not_full_is_the_last() -> None:
    cursor = SweepCursor(formatted(START), formatted(START))
    assert cursor.after(CustomerPage((), PAGE_SIZE - 1, formatted(START), are_sorted=True)) is None
    assert replace(cursor, page=7).after(CustomerPage((), 0, None, are_sorted=True)) is None
