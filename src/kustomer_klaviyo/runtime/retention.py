"""Sets aside what waited too long and forgets what is past its time."""

import asyncio
import random

import structlog

from kustomer_klaviyo.card.card_refresh import AHEAD_MINUTES
from kustomer_klaviyo.connections.registry import Directory, Joined
from kustomer_klaviyo.health.loop_health import HealthBook, Loop
from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.store import cards, inbox, retention
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.users import Accounts

ROUND_SECONDS = 3600.0
KEEP_CARDS_DAYS = 7
"""A card that nobody looked at for so long is forgotten, and fetched anew when somebody does."""

log = structlog.get_logger()


async def expire(database: Database, joined: Joined) -> int:
    """Set aside what waited too long to know whom it is about; returns how many."""
    return await retention.expire_unidentified(
        database,
        joined.connection.id,
        days=joined.options.keep_unidentified_days,
        no_customer=Reason.NO_CUSTOMER,
        never_any=Reason.NEVER_ANY_CUSTOMER,
        never_identified=Reason.NEVER_IDENTIFIED,
    )


async def keep_house(database: Database, directory: Directory, health: HealthBook) -> None:
    """Go round every hour or so; runs until cancelled."""
    while True:
        async with health.of().watching(Loop.ACCOUNTS):
            await Accounts(database).tidy()
        for joined in directory.all():
            async with health.of(joined.connection.id).watching(Loop.RETENTION):
                await _keep_house_of(database, joined)
        await asyncio.sleep(ROUND_SECONDS * (0.9 + 0.2 * random.random()))


async def _keep_house_of(database: Database, joined: Joined) -> None:
    options, connection_id = joined.options, joined.connection.id
    expired = await expire(database, joined)
    forgotten = await retention.purge(database, connection_id, days=options.keep_deliveries_days)
    profiles = await retention.purge_profiles(database, connection_id, days=options.keep_events_days)
    await cards.give_up_ahead(database, connection_id, minutes=AHEAD_MINUTES)
    await cards.purge(database, connection_id, days=KEEP_CARDS_DAYS)
    events = await inbox.purge(database, connection_id, days=options.keep_events_days)
    log.info(
        "house.kept",
        connection=connection_id,
        expired=expired,
        forgotten=forgotten + profiles,
        events_forgotten=events,
    )
