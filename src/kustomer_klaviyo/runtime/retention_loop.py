"""Deletes what is older than its retention period, and fails events that waited too long for a contact."""

import asyncio
import random

import structlog

from kustomer_klaviyo.card.card_refresh import PREFETCH_MAX_AGE_MINUTES
from kustomer_klaviyo.connections.context import ConnectionContext
from kustomer_klaviyo.connections.registry import ConnectionRegistry
from kustomer_klaviyo.health.loop_health import HealthRegistry, Loop
from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.store import cards, inbox, retention
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.users import Users

INTERVAL_SECONDS = 3600.0
CARD_RETENTION_DAYS = 7
"""A card that nobody opened for this long is deleted, and fetched again when somebody opens it."""

log = structlog.get_logger()


async def run_retention(db: Database, registry: ConnectionRegistry, health: HealthRegistry) -> None:
    """Apply the retention periods about every hour, until cancelled."""
    while True:
        async with health.of().track(Loop.SESSIONS):
            await Users(db).delete_expired()
        for context in registry.all():
            async with health.of(context.connection.id).track(Loop.RETENTION):
                await _apply_retention(db, context)
        await asyncio.sleep(INTERVAL_SECONDS * (0.9 + 0.2 * random.random()))


async def expire_unidentified(db: Database, context: ConnectionContext) -> int:
    """Fail the events that waited too long for a customer or a contact; returns their number."""
    return await retention.expire_unidentified(
        db,
        context.connection.id,
        days=context.options.unidentified_retention_days,
        no_customer=Reason.NO_CUSTOMER,
        never_any_customer=Reason.NEVER_ANY_CUSTOMER,
        never_identified=Reason.NEVER_IDENTIFIED,
    )


async def _apply_retention(db: Database, context: ConnectionContext) -> None:
    options, connection_id = context.options, context.connection.id
    expired = await expire_unidentified(db, context)
    deliveries = await retention.delete_expired(db, connection_id, days=options.delivery_retention_days)
    profiles = await retention.delete_expired_profiles(db, connection_id, days=options.event_retention_days)
    await cards.expire_prefetches(db, connection_id, minutes=PREFETCH_MAX_AGE_MINUTES)
    await cards.delete_unused(db, connection_id, days=CARD_RETENTION_DAYS)
    events = await inbox.delete_expired(db, connection_id, days=options.event_retention_days)
    log.info(
        "retention.completed",
        connection=connection_id,
        expired=expired,
        deliveries_deleted=deliveries + profiles,
        events_deleted=events,
    )
