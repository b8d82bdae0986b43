"""What would be written of one customer, found by doing it and taking it back: so it is exactly what would be sent."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from kustomer_klaviyo.connections.registry import Joined
from kustomer_klaviyo.facts import PersonSeen
from kustomer_klaviyo.klaviyo.profile_request import ProfileCall, joined, resource
from kustomer_klaviyo.kustomer.interpret import state_customer
from kustomer_klaviyo.kustomer.json_repair import MalformedJSON
from kustomer_klaviyo.kustomer.wire import as_id, decode_resource
from kustomer_klaviyo.mapping.profile_mapping import Line, lines
from kustomer_klaviyo.planning.customer_updates import keep_people
from kustomer_klaviyo.planning.identity import identify
from kustomer_klaviyo.planning.profile_planner import owe_profiles
from kustomer_klaviyo.store import outbox
from kustomer_klaviyo.store.customers import Person
from kustomer_klaviyo.store.database import Database

UP_TO_DATE = "nothing: Klaviyo was told all of it already"
NO_IDENTIFIER = "nothing: the customer has neither a usable email nor a possible phone number"
NOBODY = "nothing: profiles are not written for this customer (option profiles)"
GONE = "nothing: the customer is deleted in Kustomer"


@dataclass(frozen=True, slots=True)
class Preview:
    """What becomes of one customer."""

    person: Person
    lines: tuple[Line, ...]
    """What the mapping makes of each attribute."""
    body: dict[str, Any] | None
    """The profile resource that would be sent next; None when nothing would."""
    why: str | None
    """Why nothing would be sent."""


async def preview(database: Database, joined_: Joined, document: bytes) -> Preview:
    """Say what would be sent of a customer, given their document as Kustomer's API answers it.

    Raises ValueError when it is no customer's document.
    """
    seen = _read(document)
    person = identify(seen, joined_.rules)
    connection_id = joined_.connection.id
    async with database.rehearsal() as connection:
        await keep_people(connection, joined_, [person])
        await owe_profiles(connection, joined_, [person.customer_id])
        rows = await outbox.owed_profiles(connection, connection_id, person.customer_id)
    calls = [msgspec.convert(row["call"], ProfileCall) for row in rows]
    body = resource(joined(calls)) if calls else None
    read = tuple(lines(joined_.rules.mapping, person.customer_id, seen.attributes))
    return Preview(person, read, body, None if calls else _why_not(person, joined_))


def _read(document: bytes) -> PersonSeen:
    try:
        found = decode_resource(document)
    except MalformedJSON as error:
        raise ValueError("Kustomer's answer is no JSON document") from error
    customer_id = as_id(found.id)
    person = None if customer_id is None else state_customer(found, customer_id, seen_at=datetime.now(UTC)).person
    if person is None:
        raise ValueError("Kustomer's answer is no customer")
    return person


def _why_not(person: Person, joined_: Joined) -> str:
    if person.gone:
        return GONE
    if person.left_out is not None:
        return f"nothing: {person.left_out}"
    if person.email is None and person.phone is None:
        return NO_IDENTIFIER
    return UP_TO_DATE if joined_.options.profiles == "everyone" else NOBODY
