"""One item never stops or poisons a line: whatever is wrong with it, it alone is set aside."""

from typing import Any

from cast import ADA, ADAS
from documents import conversation, customer, email
from line import Line

EVENTS = "/api/events"
NUL_IN_DETAIL = r'{"errors":[{"detail":"The \u0000 value is no good","source":{"pointer":"/data"}}]}'


async def begin(line: Line, **options: Any) -> None:
    """Connect, with a customer who is known and a conversation of theirs, which is to be told."""
    await line.connect(**options)
    await line.receive(customer(customer_id=ADA, emails=[email(ADAS)]), conversation(customer=ADA))
    await line.write()


async def test_a_refusal_with_a_nul_in_its_words_ends_as_failed_after_one_request(line: Line) -> None:
    await begin(line)
    await line.misbehave(kind="answer", status=400, path=EVENTS, body=NUL_IN_DETAIL)
    await line.deliver(turns=10)
    assert await line.states("opened") == ["failed"]
    assert await line.met() == 1
    assert "The \ufffd value is no good" in (await line.told("opened"))[0]["reason"]
