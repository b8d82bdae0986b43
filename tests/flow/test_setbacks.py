"""Profile writes that fail: what is said again, and what else may go on meanwhile."""

import json
from typing import Any

import pytest

from cast import ADA, ADAS, BO, NEW
from documents import conversation, customer, email
from kustomer_klaviyo.delivery.bulk_import_runner import WITHOUT_SECONDS
from kustomer_klaviyo.planning.resend import send_again
from kustomer_klaviyo.settings import Settings
from line import IMPATIENT, Line, laid
from patience import until

TITLED = {"fields": {"title": "custom.titleStr"}}
IMPORTS = "/api/profile-bulk-import-jobs"


def crowd(first_name: str = "Ada") -> list[dict[str, Any]]:
    """So many customers that they go in bulk, Ada among them."""
    ids = [f"5f19aa0b1c2d3e4f5a6b{number:04d}" for number in range(60)]
    others = [customer(customer_id=one, emails=[email(f"p{n}@lantern.example")]) for n, one in enumerate(ids)]
    return [customer(customer_id=ADA, emails=[email(ADAS)], firstName=first_name), *others]


async def is_imported(line: Line) -> bool:
    """Say whether Klaviyo has carried every bulk import out."""
    jobs = (await line.ask_klaviyo("GET", IMPORTS))["data"]
    return all(job["attributes"]["status"] == "complete" for job in jobs)


async def test_what_was_to_be_cleared_by_a_write_that_failed_is_cleared_by_the_next(line: Line) -> None:
    await line.connect(mapping=TITLED)
    await line.receive(customer(customer_id=ADA, rev=1, emails=[email(ADAS)], custom={"titleStr": "Dr"}))
    await line.write()
    await line.refuse("/api/profile-import", times=1)
    await line.receive(customer(customer_id=ADA, rev=2, emails=[email(ADAS)], custom={}))
    await line.write()
    assert (await line.states(), (await line.held())[ADAS]["title"]) == (["delivered", "failed"], "Dr")
    await send_again(line.home.database, line.joined)
    await line.write()
    assert (await line.held())[ADAS]["title"] is None
    assert await line.states() == ["delivered", "skipped", "delivered"]


async def test_after_a_write_that_failed_a_deletion_still_knows_what_was_written(line: Line) -> None:
    await line.connect(on_deletion="clear")
    await line.receive(customer(customer_id=ADA, rev=1, emails=[email(ADAS)], firstName="Ada"))
    await line.write()
    await line.refuse("/api/profile-import", times=1)
    await line.receive(customer(customer_id=ADA, rev=2, emails=[email(ADAS)], firstName="Adah"))
    await line.write()
    await line.delete(ADA)
    await line.write()
    assert (await line.held())[ADAS]["first_name"] is None


async def test_a_former_key_that_is_dead_is_no_matter_where_a_profile_is_missing(line: Line) -> None:
    line.keys = (*line.keys, "pk_former_and_revoked")
    await line.connect()
    await line.receive(customer(customer_id=ADA, rev=1, emails=[email(ADAS)], firstName="Ada"))
    await line.write()
    await line.erase(ADAS)
    await line.receive(customer(customer_id=ADA, rev=2, emails=[email(NEW)], firstName="Ada"))
    await line.write()
    assert await line.sql("SELECT FROM delivery_lanes WHERE paused") == []
    assert (await line.held())[NEW]["first_name"] == "Ada"


async def test_imports_that_are_away_hold_up_nothing_and_single_writes_take_over(line: Line) -> None:
    await line.connect()
    await line.misbehave(kind="status", status=500, path=IMPORTS, method="POST")
    await line.receive(*crowd())
    await line.write()
    assert set(await line.states()) == {"delivered"}
    assert len(await line.held()) == 61
    assert await line.sql("SELECT FROM delivery_lanes WHERE failures > 0") == []
    assert WITHOUT_SECONDS >= 60


async def test_a_key_that_may_begin_imports_but_not_ask_about_them_does_without(line: Line) -> None:
    await line.accept_keys({line.keys[0]: ["profiles:read", "profiles:write", "events:write", "lists:write"]})
    await line.connect()
    await line.receive(*crowd())
    await line.write()
    assert set(await line.states()) == {"delivered"}
    assert len(await line.held()) == 61
    assert await line.sql("SELECT FROM delivery_lanes WHERE paused") == []


async def test_a_key_refused_before_another_was_put_in_no_longer_pauses_anything(line: Line) -> None:
    await line.connect()
    await line.accept_keys({})
    await line.receive(customer(customer_id=ADA, emails=[email(ADAS)]))
    await line.home.connections.save(line.joined.connection)
    await line.write(turns=2)
    assert await line.sql("SELECT FROM delivery_lanes WHERE paused") == []


async def test_an_import_whose_answer_was_lost_is_waited_for_all_the_same(settings: Settings) -> None:
    async with laid(settings, job_seconds=0.5) as line:
        await line.connect()
        await line.misbehave(kind="status", status=503, path=IMPORTS, method="POST", times=1, after=True)
        await line.receive(*crowd())
        await line.run.write_profiles()
        await line.receive(customer(customer_id=ADA, rev=2, emails=[email(ADAS)], firstName="Newest"))
        await line.write()
        assert (await line.held())[ADAS]["first_name"] == "Newest"
        await until(lambda: is_imported(line), "Klaviyo carried the import out")
        assert (await line.held())[ADAS]["first_name"] == "Newest"
        assert (await line.requests(line.klaviyo))["bulk_import_profiles"] == 1


async def test_a_run_that_takes_over_lets_nobody_overtake_an_import_under_way(settings: Settings) -> None:
    async with laid(settings, job_seconds=0.5) as line:
        await line.connect()
        await line.receive(*crowd())
        await line.run.write_profiles()
        await line.begin_anew()
        await line.receive(customer(customer_id=BO, emails=[email(ADAS)], firstName="Newest"))
        await line.write()
        assert (await line.held())[ADAS]["first_name"] == "Newest"
        assert set(await line.states()) == {"delivered"}


async def test_an_import_that_does_not_end_is_given_up_and_its_people_go_one_by_one(settings: Settings) -> None:
    async with laid(settings, job_seconds=3600) as line:
        await line.connect()
        await line.receive(*crowd())
        await line.run.write_profiles()
        await line.home.database.execute("UPDATE imports SET submitted_at = submitted_at - interval '2 hours'")
        await line.home.database.execute("UPDATE imports SET poll_at = now()")
        await line.write()
        assert len(await line.held()) == 61


NO_ANSWER: dict[str, dict[str, Any]] = {
    "503": {"kind": "status", "status": 503},
    "a 404 with a web page": {"kind": "page", "status": 404},
    "half of it": {"kind": "malform", "malform": "truncated"},
    "a rate limit": {"kind": "throttle", "retry_after": 0},
}


@pytest.mark.parametrize("fault", NO_ANSWER)
async def test_an_import_of_which_klaviyo_never_tells_is_given_up_after_an_hour(line: Line, fault: str) -> None:
    await line.connect()
    await line.receive(*crowd())
    await line.run.write_profiles()
    await line.misbehave(path=IMPORTS, method="GET", **NO_ANSWER[fault])
    for age in ("0", "2 hours"):
        await line.home.database.execute(
            "UPDATE imports SET poll_at = now(), submitted_at = now() - %s::interval", (age,)
        )
        await line.run.write_profiles()
        assert len(await line.sql("SELECT FROM imports")) == (age == "0")
    await line.write()
    assert set(await line.states()) == {"delivered"}
    assert await line.met() == 2


async def ended(line: Line, failed: int | None) -> str:
    """Let an import end with so many failures; returns its path."""
    await line.connect()
    await line.receive(*crowd())
    await line.run.write_profiles()
    [one] = await line.sql("UPDATE imports SET poll_at = now() RETURNING id")
    path = f"{IMPORTS}/{one['id']}"
    attributes = {"status": "complete", "failed_count": failed, "total_count": 61}
    answer = {"data": {"type": "profile-bulk-import-job", "id": one["id"], "attributes": attributes}}
    await line.misbehave(kind="answer", path=path, exact=True, status=200, json=answer)
    return path


@pytest.mark.parametrize("links", [["a", "b", "a", "b", "a", "b"], ["a", "a", "a"], ["["]])
async def test_pages_of_an_imports_errors_that_lead_nowhere_end(line: Line, links: list[str]) -> None:
    path = await ended(line, 1)
    for one in links:
        following = f"http://[?page[cursor]={one}" if one == "[" else f"http://127.0.0.1/?page[cursor]={one}"
        page = json.dumps({"data": [], "links": {"next": following}})
        await line.misbehave(kind="answer", path=f"{path}/import-errors", status=200, times=1, body=page)
    await line.run.write_profiles()
    assert await line.sql("SELECT FROM imports") == []
    assert await line.met() <= 4


async def test_an_import_that_does_not_say_how_many_failed_is_asked_for_its_errors(line: Line) -> None:
    path = await ended(line, None)
    fault = {"detail": "No.", "source": {"pointer": "/data/attributes/profiles/data/0"}}
    errors = {"data": [{"type": "import-error", "id": "1", "attributes": fault}], "links": {}}
    await line.misbehave(kind="answer", path=f"{path}/import-errors", status=200, json=errors)
    await line.run.write_profiles()
    assert (await line.states()).count("waiting") == 1


async def test_profile_writes_outlast_an_outage_of_their_endpoint_while_events_get_through(line: Line) -> None:
    await line.connect()
    people = [customer(customer_id=one, emails=[email(f"{one}@lantern.example")]) for one in (ADA, BO)]
    await line.receive(*people)
    await line.write()
    await line.misbehave(kind="status", status=503, path="/api/profile-import")
    await line.receive(customer(customer_id=ADA, rev=2, emails=[email(f"{ADA}@lantern.example")], firstName="Ada"))
    for number in range(8):
        begun = f"67dd47dfbc632c1804db{number:04d}"
        await line.receive(conversation(conversation_id=begun, customer=BO))
        await line.write(turns=6)
        await line.deliver()
    assert set(await line.states("opened")) == {"delivered"}
    assert "failed" not in await line.states()
    assert await line.met() > IMPATIENT.tries
    await line.behave()
    await line.write()
    assert (await line.held())[f"{ADA}@lantern.example"]["first_name"] == "Ada"
