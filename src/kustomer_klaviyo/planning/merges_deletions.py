"""What becomes of customers who are gone: merged into another, or deleted. No webhook tells of either.

Merges: developer.kustomer.com/api (customer merges). Each decision leaves a line among the deliveries.
"""

from datetime import UTC, datetime

import msgspec
import structlog
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from kustomer_klaviyo.connections.registry import Joined
from kustomer_klaviyo.klaviyo.profile_request import ProfileCall
from kustomer_klaviyo.planning.customer_updates import restate
from kustomer_klaviyo.planning.profile_diff import Stated, cleared, erased, read_stated
from kustomer_klaviyo.planning.profile_planner import KIND, owe_profiles
from kustomer_klaviyo.planning.support_state import STATE
from kustomer_klaviyo.store import cards, customers, lookups, outbox
from kustomer_klaviyo.store.customers import Profiled
from kustomer_klaviyo.store.lookups import Kind, Question
from kustomer_klaviyo.store.outbox import NewDelivery
from kustomer_klaviyo.store.outbox import State as DeliveryState

LEFT = "the customer was deleted in Kustomer: the profile stays as it is (option on_deletion=nothing)"
UNTOLD = "the customer was deleted in Kustomer: there is nothing of theirs that we wrote"
SHARED = "the customer was deleted in Kustomer: the profile stays, since customer {} has the same address or number"
CLEARED = "the customer was deleted in Kustomer: what was written is cleared (option on_deletion=clear)"
ERASED = "the customer was deleted in Kustomer: Klaviyo is to erase the person (option on_deletion=erase)"
MERGED = "the customer became part of {}: the state of their support is told there"

log = structlog.get_logger()


async def merged(connection: AsyncConnection[DictRow], joined: Joined, *, source: str, target: str) -> None:
    """Let everything of the source go to the target from now on. The target must be known."""
    connection_id = joined.connection.id
    # Locked before anything of theirs is, as everywhere.
    await customers.profiled(connection, connection_id, [source, target])
    survivor = await customers.merge(connection, connection_id, source=source, target=target)
    if survivor is None:
        return
    log.info("customer.merged", connection=connection_id, source=source, target=survivor)
    await cards.forget(connection, connection_id, [source])
    await restate(connection, joined, [source, survivor])
    # Merging unites what both had, and nothing says that a webhook tells of it.
    await lookups.ask(connection, connection_id, [Question(Kind.CUSTOMER, survivor)])
    gone = await _profiled(connection, joined, source)
    if gone is not None:
        # Under an address that nobody is told of any more, open conversations would stay open for ever.
        call = None if await _sharers(connection, joined, gone) else cleared(gone, only=STATE)
        await _owe(connection, joined, gone, call, MERGED.format(survivor))
    await owe_profiles(connection, joined, [survivor])


async def deleted(connection: AsyncConnection[DictRow], joined: Joined, customer_id: str) -> None:
    """Do with a deleted customer's profile what the settings say."""
    connection_id, wish = joined.connection.id, joined.options.on_deletion
    await cards.forget(connection, connection_id, [customer_id])
    person = await _profiled(connection, joined, customer_id)
    if person is None:
        return
    log.info("customer.deleted", connection=connection_id, customer=customer_id, action=wish)
    sharers = [] if wish == "nothing" else await _sharers(connection, joined, person)
    if sharers:
        await _owe(connection, joined, person, None, SHARED.format(sharers[0]))
        await customers.doubt(connection, connection_id, {one: {} for one in sharers})
        await owe_profiles(connection, joined, sharers)
    elif wish == "nothing":
        await _owe(connection, joined, person, None, LEFT)
    else:
        call, why = (erased(person), ERASED) if wish == "erase" else (cleared(person), CLEARED)
        if wish == "erase":
            # An event sent afterwards would make the person anew.
            await outbox.set_aside(connection, connection_id, customer_id, reason=ERASED)
        await _owe(connection, joined, person, call, UNTOLD if call is None else why)


async def _profiled(connection: AsyncConnection[DictRow], joined: Joined, customer_id: str) -> Profiled | None:
    """Return what is kept of a customer of whom Klaviyo was ever told."""
    found = await customers.profiled(connection, joined.connection.id, [customer_id])
    return found[0] if found and found[0].statements else None


async def _sharers(connection: AsyncConnection[DictRow], joined: Joined, person: Profiled) -> list[str]:
    """Return who else is known to Klaviyo by what this customer was: their profile is one and the same."""
    stated = read_stated(person.stated)
    identifiers = [one for one in (stated.email, stated.phone) if one is not None]
    return await customers.sharers(connection, joined.connection.id, person.customer_id, identifiers)


async def _owe(
    connection: AsyncConnection[DictRow], joined: Joined, person: Profiled, call: ProfileCall | None, why: str
) -> None:
    number = person.statements + 1
    line = NewDelivery(
        # Kept as long as events are, unlike the profile writes that go by.
        key=f"departure:{person.customer_id}:{number}",
        kind=KIND,
        subject=person.customer_id,
        conversation_id="",
        occurred_at=datetime.now(UTC),
        rev=0,
        state=DeliveryState.SKIPPED if call is None else DeliveryState.WAITING,
        fact={"notes": [why]},
        reason=why,
        identifier=None if call is None else call.identifier,
        call=None if call is None else msgspec.to_builtins(call),
    )
    stated = Stated() if call is not None else read_stated(person.stated)
    await outbox.add(connection, joined.connection.id, [line])
    await customers.state(connection, joined.connection.id, [(person.customer_id, msgspec.to_builtins(stated), number)])
