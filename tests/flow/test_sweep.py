"""Searching for customers who are gone: on and on, past any number changed in one moment, and not for ever."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cast import ADA, ADAS
from documents import customer, email
from kustomer_klaviyo.kustomer.listings import FoundCustomers
from kustomer_klaviyo.reconcile.deleted_customers import PAGE_SIZE, SWEEP, Place, plan_sweep
from kustomer_klaviyo.store import lookups
from line import Line

START = datetime(2026, 3, 20, 12, tzinfo=UTC)


def written(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def search(times: list[str], place: Place, *, is_sorted: bool = True) -> FoundCustomers:
    """What Kustomer finds: updated since then, in the order asked for, or in none."""
    found = [at for at in times if at >= place.since]
    page = (sorted(found) if is_sorted else found)[(place.page - 1) * PAGE_SIZE : place.page * PAGE_SIZE]
    return FoundCustomers(tuple(page), len(page), max(page, default=None), page == sorted(page))


def sweep(times: list[str], *, is_sorted: bool = True) -> tuple[set[str], int]:
    """Search to the end; returns what was met, in how many pages."""
    place: Place | None = Place(written(START), written(START))
    met, pages = set[str](), 0
    while place is not None:
        found = search(times, place, is_sorted=is_sorted)
        met |= set(found.deleted)
        place, pages = place.after(found), pages + 1
        assert pages < 1000
    return met, pages


def test_thousands_changed_within_minutes_are_all_met() -> None:
    times = [written(START + timedelta(milliseconds=12 * n)) for n in range(5000)]
    met, pages = sweep(times)
    assert met == set(times)
    assert pages <= 52


def test_hundreds_changed_in_one_moment_are_passed() -> None:
    met, _ = sweep([written(START)] * 350 + [written(START + timedelta(seconds=1))])
    assert len(met) == 2


@given(st.lists(st.integers(0, 400), max_size=450), st.booleans())
def test_whatever_the_order_everybody_is_met(offsets: list[int], is_sorted: bool) -> None:  # noqa: FBT001
    times = [written(START + timedelta(seconds=n)) for n in offsets]
    met, _ = sweep(times, is_sorted=is_sorted)
    assert met == set(times)


def test_a_page_that_is_not_full_is_the_last() -> None:
    place = Place(written(START), written(START))
    assert place.after(FoundCustomers((), PAGE_SIZE - 1, written(START), are_sorted=True)) is None
    assert replace(place, page=7).after(FoundCustomers((), 0, None, are_sorted=True)) is None


async def begin(line: Line) -> None:
    async with line.home.database.transaction() as connection:
        await lookups.ask(connection, "acme", [SWEEP])


async def test_a_customer_deleted_in_kustomer_is_found_and_the_next_search_is_later(line: Line) -> None:
    await line.connect()
    async with line.session.post(f"{line.kustomer}/sandbox/customers", json={"email": ADAS}) as response:
        made = (await response.json())["id"]
    await line.receive(customer(customer_id=made, emails=[email(ADAS)]))
    await line.write()
    async with line.session.delete(f"{line.kustomer}/sandbox/customers/{made}") as response:
        assert response.status < 300
    await begin(line)
    await line.ask()
    await line.ask()
    assert [row["gone"] for row in await line.sql("SELECT gone FROM people")] == [True]
    assert any(row["key"].startswith("departure:") for row in await line.told())
    [row] = await line.sql("SELECT due_at - now() AS wait FROM lookups WHERE kind = 'sweep'")
    assert row["wait"] > timedelta(minutes=50)


async def test_nothing_found_leaves_the_bookmark_where_it_is(line: Line) -> None:
    await line.connect()
    await line.receive(customer(customer_id=ADA, emails=[email(ADAS)]))
    marks = []
    for _ in range(3):
        await begin(line)
        await line.home.database.execute("UPDATE lookups SET due_at = now() WHERE kind = 'sweep'")
        await line.ask()
        marks += [row["value"] for row in await line.sql("SELECT value FROM bookmarks WHERE name = 'customers swept'")]
    assert len(marks) == 3
    assert len(set(marks)) == 1


async def test_switched_off_it_is_never_searched_again(line: Line) -> None:
    await line.connect()
    await begin(line)
    await line.connect(sweep_minutes=0)
    await line.ask()
    assert await line.sql("SELECT FROM lookups WHERE kind = 'sweep'") == []
    assert "POST /v1/customers/search" not in await line.requests(line.kustomer)


async def test_a_changed_interval_counts_from_the_last_search_and_takes_effect_at_once(line: Line) -> None:
    await line.connect(sweep_minutes=1440)
    await begin(line)
    await line.ask()
    for minutes in (1, 600):
        await line.connect(sweep_minutes=minutes)
        await plan_sweep(line.home.database, line.joined)
        [row] = await line.sql("SELECT due_at - now() AS wait FROM lookups WHERE kind = 'sweep'")
        assert timedelta(minutes=minutes - 1) < row["wait"] <= timedelta(minutes=minutes)
