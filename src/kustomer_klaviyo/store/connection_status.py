"""How the delivery of each connection fares: running, waiting a while, or paused until someone acts."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from kustomer_klaviyo.store.database import Database

GET = "SELECT * FROM delivery_lanes WHERE connection_id = %s"

WAIT = """
-- Nothing of this connection is sent before the given time; unless it was saved meanwhile, perhaps with another key.
UPDATE delivery_lanes SET paused = %(paused)s, wait_until = %(until)s, reason = %(reason)s, failures = %(failures)s
WHERE connection_id = %(connection)s
  AND %(revision)s = (SELECT revision FROM connections WHERE id = %(connection)s)
"""

ACCEPTED = """
-- Klaviyo took something: whatever was wrong is over.
UPDATE delivery_lanes SET paused = false, wait_until = NULL, reason = NULL, failures = 0,
    last_accepted_at = %(at)s,
    event_accepted_at = CASE WHEN %(profile)s THEN event_accepted_at ELSE %(at)s END,
    profile_accepted_at = CASE WHEN %(profile)s THEN %(at)s ELSE profile_accepted_at END
WHERE connection_id = %(connection)s
"""

NOTE = "UPDATE delivery_lanes SET note = %s WHERE connection_id = %s AND note IS DISTINCT FROM %s"

NOTE_WEBHOOK = """
-- Whether Kustomer still sends webhooks, and since when that is so.
UPDATE delivery_lanes SET webhook_since = now(), webhook_state = %s
WHERE connection_id = %s AND webhook_state IS DISTINCT FROM %s
"""

DUE = """
-- Connections with work that nothing holds back.
SELECT lane.connection_id FROM delivery_lanes AS lane
WHERE EXISTS (SELECT FROM inbox WHERE inbox.connection_id = lane.connection_id AND inbox.state = 'waiting')
   OR EXISTS (SELECT FROM lookups WHERE lookups.connection_id = lane.connection_id AND lookups.failed_at IS NULL
              AND lookups.due_at <= now())
   OR EXISTS (SELECT FROM insights WHERE insights.connection_id = lane.connection_id AND insights.wish IS NOT NULL
              AND insights.due_at <= now())
   OR (coalesce(lane.wait_until, '-infinity') <= now() AND EXISTS (
        SELECT FROM deliveries AS d
        WHERE d.connection_id = lane.connection_id AND d.state = 'waiting' AND d.due_at <= now()
          AND d.import IS NULL))
   OR (coalesce(lane.wait_until, '-infinity') <= now() AND EXISTS (
        SELECT FROM imports WHERE imports.connection_id = lane.connection_id AND imports.poll_at <= now()))
"""

NOTED_AGAIN_AFTER = timedelta(seconds=1)
"""An acceptance is written down this often at most."""


Moments = tuple[datetime | None, datetime | None]
"""One of events, one of profile writes."""


@dataclass(frozen=True, slots=True)
class Lane:
    """The standing of one connection's delivery."""

    paused: bool
    """Klaviyo does not let us in; someone must act."""
    wait_until: datetime | None
    reason: str | None
    failures: int
    """Failures in a row."""
    last_accepted_at: datetime | None
    held_at: datetime | None = None
    """When the lane was last told to wait; a request that began before says nothing new about it."""
    accepted_at: Moments = (None, None)
    """When Klaviyo last took an event, and when a profile write."""
    noted_at: Moments = (None, None)
    """When such an acceptance was last written down."""

    def is_worth_noting(self, now: datetime, *, is_profile: bool) -> bool:
        """Say whether an acceptance now is news: something was wrong, or the last one of its kind is a while ago."""
        noted_at = self.noted_at[is_profile]
        recent = noted_at is not None and now - noted_at < NOTED_AGAIN_AFTER
        return self.failures > 0 or not recent

    def after_acceptance(self, now: datetime, *, is_profile: bool, is_noted: bool) -> "Lane":
        """Return the lane as it is once Klaviyo took an event or a profile write."""
        return Lane(
            paused=False,
            wait_until=None,
            reason=None,
            failures=0,
            last_accepted_at=now,
            accepted_at=_with(self.accepted_at, now, is_profile=is_profile),
            noted_at=_with(self.noted_at, now, is_profile=is_profile) if is_noted else self.noted_at,
        )

    def after_hold(self, *, until: datetime, reason: str, paused: bool, now: datetime) -> "Lane":
        """Return the lane as it is once it was told to wait."""
        return replace(self, paused=paused, wait_until=until, reason=reason, failures=self.failures + 1, held_at=now)


def _with(moments: Moments, now: datetime, *, is_profile: bool) -> Moments:
    return (moments[0], now) if is_profile else (now, moments[1])


async def get(database: Database, connection_id: str) -> Lane:
    """Return how a connection's delivery fares."""
    rows: list[dict[str, Any]] = await database.fetch(GET, (connection_id,))
    if not rows:
        return Lane(paused=False, wait_until=None, reason=None, failures=0, last_accepted_at=None)
    row = rows[0]
    return Lane(
        row["paused"],
        row["wait_until"],
        row["reason"],
        row["failures"],
        row["last_accepted_at"],
        accepted_at=(row["event_accepted_at"], row["profile_accepted_at"]),
    )


async def hold(db: AsyncConnection[DictRow], connection_id: str, lane: Lane, *, revision: int) -> None:
    """Send nothing of this connection, as it was saved at ``revision``, for as long as its lane says."""
    named = {
        "connection": connection_id,
        "revision": revision,
        "until": lane.wait_until,
        "reason": lane.reason,
        "paused": lane.paused,
        "failures": lane.failures,
    }
    await db.execute(WAIT, named)


async def note(database: Database, connection_id: str, text: str | None) -> None:
    """Note what an admin should know although events are delivered; None when there is nothing any more."""
    await database.execute(NOTE, (text, connection_id, text))


async def accepted(db: AsyncConnection[DictRow], connection_id: str, *, at: datetime, is_profile: bool) -> None:
    """Note that Klaviyo took an event or a profile write."""
    await db.execute(ACCEPTED, {"connection": connection_id, "at": at, "profile": is_profile})


async def with_work(database: Database) -> list[str]:
    """Return the connections that have something to do now."""
    return [row["connection_id"] for row in await database.fetch(DUE)]


async def note_webhook(db: AsyncConnection[DictRow], connection_id: str, state: str) -> None:
    """Note how the connection's webhook stands in Kustomer."""
    await db.execute(NOTE_WEBHOOK, (state, connection_id, state))
