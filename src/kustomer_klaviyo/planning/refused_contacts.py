"""Switches to a customer's next contact when Klaviyo refuses one."""

from kustomer_klaviyo.connections.context import ConnectionContext
from kustomer_klaviyo.planning.customer_updates import replan_deliveries
from kustomer_klaviyo.planning.profile_planner import enqueue_profile_updates
from kustomer_klaviyo.reasons import DeliveryNote, sentence
from kustomer_klaviyo.store import refused_values
from kustomer_klaviyo.store.database import Transaction


async def switch_to_next_contact(tx: Transaction, context: ConnectionContext, customer_id: str, contact: str) -> bool:
    """Stop using an address or number; returns whether the customer has another one.

    The customer's events and profile are planned again with the other contact. Each call leaves one contact less, so
    trying one after another ends.
    """
    connection_id = context.connection.id
    remaining = await refused_values.refuse_contact(tx, connection_id, customer_id, contact)
    if remaining is None or (remaining.email or remaining.phone) in (None, contact):
        return False
    customer_id = remaining.customer_id
    await replan_deliveries(tx, context, [customer_id])
    await refused_values.add_note(tx, connection_id, customer_id, sentence(DeliveryNote.VALUE_REJECTED, contact))
    await enqueue_profile_updates(tx, context, [customer_id])
    return True
