"""People who are not told of any more, and the state of support that outlives what it was made of."""

from typing import Any

from cast import ADA, ADAS, ONE_OPEN, OPEN
from documents import conversation, customer, email
from kustomer_klaviyo.store import retention
from line import Line

DONE = {"createdAt": "2026-03-21T18:50:55.976Z"}
RATED = {
    "status": "rated", "rating": 2, "score": 0, "formResponse": "67dd47dfbc632c1804db1aaa",
    "updatedAt": "2026-03-21T19:50:55.976Z",
}  # fmt: skip
OURS, THEIRS = "5f19aa0b1c2d3e4f5a6b7d01", "5f19aa0b1c2d3e4f5a6b7d02"


async def test_who_no_longer_meets_the_filter_is_no_longer_kept_from_campaigns(line: Line) -> None:
    await line.connect(only_attributes={"custom.vipBool": "true"})
    await line.receive(customer(customer_id=ADA, rev=1, emails=[email(ADAS)], custom={"vipBool": True}, **ONE_OPEN))
    await line.write()
    assert (await line.held())[ADAS]["properties"][OPEN] == 1
    await line.receive(customer(customer_id=ADA, rev=2, emails=[email(ADAS)], custom={"vipBool": False}, **ONE_OPEN))
    await line.write()
    assert OPEN not in (await line.held())[ADAS]["properties"]
    assert len(await line.told("profile")) == 2


def branded(rev: int, brand: str, **attributes: Any) -> dict[str, Any]:
    made = conversation(rev=rev, customer=ADA, **attributes)
    made["relationships"]["brand"] = {"data": {"type": "brand", "id": brand}}
    return made


async def test_whose_conversations_moved_to_another_brand_is_no_longer_kept_from_campaigns(line: Line) -> None:
    await line.connect(profiles="conversations")
    rules = [{"brand": OURS, "to": "acme"}, {"brand": THEIRS, "to": "none"}]
    await line.home.connections.save_routes("sandbox", {"rules": rules, "default": "none"})
    await line.begin_anew()
    await line.receive(customer(customer_id=ADA, emails=[email(ADAS)]))
    await line.receive(branded(1, OURS))
    await line.write()
    assert (await line.held())[ADAS]["properties"][OPEN] == 1
    await line.receive(branded(2, THEIRS))
    await line.write()
    assert OPEN not in (await line.held())[ADAS]["properties"]


async def test_what_was_told_long_ago_and_is_forgotten_here_stays_on_the_profile(line: Line) -> None:
    await line.connect()
    await line.receive(customer(customer_id=ADA, rev=1, emails=[email(ADAS)]))
    await line.receive(conversation(customer=ADA, status="done", lastDone=DONE, satisfactionLevel=RATED))
    await line.write()
    await line.deliver()
    before = (await line.held())[ADAS]["properties"]
    assert before["Kustomer Last CSAT Rating"] == 2
    await line.home.database.execute("UPDATE deliveries SET occurred_at = occurred_at - interval '500 days'")
    await line.home.database.execute("UPDATE deliveries SET created_at = created_at - interval '500 days'")
    await retention.purge(line.home.database, "acme", days=400)
    await line.receive(customer(customer_id=ADA, rev=2, emails=[email(ADAS)], firstName="Ada"))
    await line.write()
    profile = (await line.held())[ADAS]
    assert (profile["first_name"], profile["properties"]) == ("Ada", before)


async def test_a_conversation_that_is_no_spam_after_all_counts_at_once(line: Line) -> None:
    await line.connect()
    await line.receive(customer(customer_id=ADA, emails=[email(ADAS)]))
    await line.receive(conversation(rev=1, customer=ADA, spam=True))
    await line.receive(conversation(rev=2, customer=ADA, spam=False))
    await line.write()
    await line.deliver()
    assert "Kustomer Last Conversation Created" in (await line.held())[ADAS]["properties"]
    assert len(await line.arrived()) == 1


async def test_an_event_left_out_a_moment_ago_goes_when_the_customer_meets_the_filter(line: Line) -> None:
    await line.connect(only_tags=["vip"])
    await line.receive(customer(customer_id=ADA, rev=1, emails=[email(ADAS)]), conversation(customer=ADA))
    assert await line.states("opened") == ["skipped"]
    await line.receive(customer(customer_id=ADA, rev=2, emails=[email(ADAS)], tags=["vip"]))
    await line.write()
    await line.deliver()
    assert len(await line.arrived()) == 1


async def test_the_state_of_support_goes_when_it_is_switched_off(line: Line) -> None:
    await line.connect()
    await line.receive(customer(customer_id=ADA, rev=1, emails=[email(ADAS)], **ONE_OPEN))
    await line.write()
    await line.connect(support_state=False)
    await line.receive(customer(customer_id=ADA, rev=2, emails=[email(ADAS)], firstName="Ada", **ONE_OPEN))
    await line.write()
    assert OPEN not in (await line.held())[ADAS]["properties"]
