"""What becomes of customers who are gone: merged into another, or deleted. No webhook tells of either.

Merges: developer.kustomer.com/api (customer merges). Each decision leaves a line among the deliveries.
"""

from datetime import UTC, datetime

import msgspec
import structlog
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from kustomer_klaviyo.flow.directory import Joined
from kustomer_klaviyo.flow.keeping import restate_waiting
from kustomer_klaviyo.flow.owing import KIND, owe_profiles
from kustomer_klaviyo.flow.profiles import Stated, cleared, erased, read_stated
from kustomer_klaviyo.flow.support import STATE
from kustomer_klaviyo.klaviyo.profiles import ProfileCall
from kustomer_klaviyo.store import deliveries, people
from kustomer_klaviyo.store.deliveries import NewDelivery
from kustomer_klaviyo.store.deliveries import State as DeliveryState
from kustomer_klaviyo.store.people import Profiled

LEFT = "the customer was deleted in Kustomer: the profile stays as it is (option on_deletion=nothing)"
CLEARED = "the customer was deleted in Kustomer: what was written is cleared (option on_deletion=clear)"
ERASED = "the customer was deleted in Kustomer: Klaviyo is to erase the person (option on_deletion=erase)"
MERGED = "the customer became part of {}: the state of their support is told there"

log = structlog.get_logger()


async def merged(connection: AsyncConnection[DictRow], joined: Joined, *, source: str, target: str) -> None:
    """Let everything of the source go to the target from now on. The target must be known."""
    connection_id = joined.connection.id
    await people.merge(connection, connection_id, source=source, target=target)
    await restate_waiting(connection, joined, [source, target])
    await owe_profiles(connection, joined, [target])
    parts = {one.customer_id: one for one in await people.profiled(connection, connection_id, [source, target])}
    gone, survivor = parts.get(source), parts.get(target)
    log.info("customer.merged", connection=connection_id, source=source, target=target)
    if gone is None or survivor is None or read_stated(gone.stated).email in (None, survivor.email):
        return
    # Under an address that nobody is told of any more, open conversations would stay open for ever.
    call = cleared(gone, only=STATE)
    if call is not None:
        await _owe(connection, joined, gone, call, MERGED.format(target))


async def deleted(connection: AsyncConnection[DictRow], joined: Joined, customer_id: str) -> None:
    """Do with a deleted customer's profile what the settings say."""
    found = await people.profiled(connection, joined.connection.id, [customer_id])
    if not found or found[0].stated == {}:
        return
    person, wish = found[0], joined.options.on_deletion
    log.info("customer.deleted", connection=joined.connection.id, customer=customer_id, action=wish)
    if wish == "clear" and (call := cleared(person)) is not None:
        await _owe(connection, joined, person, call, CLEARED)
    elif wish == "erase" and (call := erased(person)) is not None:
        await _owe(connection, joined, person, call, ERASED)
    else:
        await _owe(connection, joined, person, None, LEFT)


async def _owe(
    connection: AsyncConnection[DictRow], joined: Joined, person: Profiled, call: ProfileCall | None, why: str
) -> None:
    number = person.statements + 1
    line = NewDelivery(
        key=f"profile:{person.customer_id}:{number}",
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
    await deliveries.add(connection, joined.connection.id, [line])
    await people.state(connection, joined.connection.id, [(person.customer_id, msgspec.to_builtins(stated), number)])
