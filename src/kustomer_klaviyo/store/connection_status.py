"""The delivery status of each connection: delivering, held for a while, or paused until an admin acts."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from kustomer_klaviyo.store.database import Database, Transaction

GET = "SELECT * FROM connection_status WHERE connection_id = %s"

HOLD = """
-- Nothing of this connection is sent before the given time, unless the connection was changed meanwhile: it may have
-- another API key now.
UPDATE connection_status SET paused = %(paused)s, held_until = %(held_until)s, hold_reason = %(hold_reason)s,
    hold_detail = %(hold_detail)s, consecutive_failures = %(consecutive_failures)s
WHERE connection_id = %(connection_id)s
  AND %(version)s = (SELECT version FROM connections WHERE id = %(connection_id)s)
"""

RECORD_ACCEPTANCE = """
-- Klaviyo accepted a request: any hold is over.
UPDATE connection_status SET paused = false, held_until = NULL, hold_reason = NULL, hold_detail = NULL,
    consecutive_failures = 0, last_accepted_at = %(at)s,
    event_accepted_at = CASE WHEN %(is_profile)s THEN event_accepted_at ELSE %(at)s END,
    profile_accepted_at = CASE WHEN %(is_profile)s THEN %(at)s ELSE profile_accepted_at END
WHERE connection_id = %(connection_id)s
"""

SET_NOTE = "UPDATE connection_status SET note = %s WHERE connection_id = %s AND note IS DISTINCT FROM %s"

SET_WEBHOOK_STATE = """
-- Whether Kustomer still sends webhooks, and since when.
UPDATE connection_status SET webhook_state_since = now(), webhook_state = %s
WHERE connection_id = %s AND webhook_state IS DISTINCT FROM %s
"""

CONNECTIONS_WITH_WORK = """
-- Connections with something to do now and no job that does it. A hold stops only deliveries and bulk imports.
-- Recurring lookups need no job. Each part goes from one connection with such rows to the next one, so that idle
-- connections cost nothing.
WITH RECURSIVE with_inbox (id) AS (
    (SELECT connection_id FROM inbox WHERE state = 'pending' ORDER BY connection_id, seq LIMIT 1)
    UNION ALL
    SELECT (SELECT connection_id FROM inbox WHERE state = 'pending' AND connection_id > with_inbox.id
            ORDER BY connection_id, seq LIMIT 1)
    FROM with_inbox WHERE id IS NOT NULL
), with_deliveries (id) AS (
    (SELECT connection_id FROM deliveries WHERE state = 'pending' ORDER BY connection_id, due_at LIMIT 1)
    UNION ALL
    SELECT (SELECT connection_id FROM deliveries WHERE state = 'pending' AND connection_id > with_deliveries.id
            ORDER BY connection_id, due_at LIMIT 1)
    FROM with_deliveries WHERE id IS NOT NULL
), with_cards (id) AS (
    (SELECT connection_id FROM cards WHERE refresh_reason IS NOT NULL ORDER BY connection_id, due_at LIMIT 1)
    UNION ALL
    SELECT (SELECT connection_id FROM cards WHERE refresh_reason IS NOT NULL AND connection_id > with_cards.id
            ORDER BY connection_id, due_at LIMIT 1)
    FROM with_cards WHERE id IS NOT NULL
), with_lookups (id) AS (
    (SELECT connection_id FROM lookups WHERE failed_at IS NULL AND kind NOT IN ('sweep', 'webhook')
     ORDER BY connection_id, due_at LIMIT 1)
    UNION ALL
    SELECT (SELECT connection_id FROM lookups WHERE failed_at IS NULL AND kind NOT IN ('sweep', 'webhook')
              AND connection_id > with_lookups.id ORDER BY connection_id, due_at LIMIT 1)
    FROM with_lookups WHERE id IS NOT NULL
), with_work (id) AS (
    SELECT id FROM with_inbox
    UNION SELECT id FROM with_cards WHERE EXISTS (
        SELECT FROM cards WHERE connection_id = with_cards.id AND refresh_reason IS NOT NULL AND due_at <= now())
    UNION SELECT id FROM with_lookups WHERE EXISTS (
        SELECT FROM lookups WHERE connection_id = with_lookups.id AND failed_at IS NULL
          AND kind NOT IN ('sweep', 'webhook') AND due_at <= now())
    UNION SELECT s.connection_id
    FROM with_deliveries JOIN connection_status AS s ON s.connection_id = with_deliveries.id
    WHERE coalesce(s.held_until, '-infinity') <= now() AND EXISTS (
        SELECT FROM deliveries AS d
        WHERE d.connection_id = s.connection_id AND d.state = 'pending' AND d.due_at <= now()
          AND d.bulk_import_id IS NULL)
    UNION SELECT s.connection_id FROM bulk_imports AS b JOIN connection_status AS s USING (connection_id)
    WHERE b.next_poll_at <= now() AND coalesce(s.held_until, '-infinity') <= now()
)
SELECT id AS connection_id FROM with_work
WHERE EXISTS (SELECT FROM connection_status WHERE connection_id = with_work.id)
  AND NOT EXISTS (SELECT FROM procrastinate_jobs WHERE lock = 'work:' || with_work.id AND status = 'doing')
  AND NOT EXISTS (SELECT FROM procrastinate_jobs WHERE queueing_lock = 'work:' || with_work.id AND status = 'todo')
"""

HAS_JOB = """
-- Whether a job of a connection waits, or is done by the process that gets the same notification.
SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE lock = %(lock)s AND status = 'doing')
    OR EXISTS (SELECT FROM procrastinate_jobs WHERE queueing_lock = %(lock)s AND status = 'todo') AS has_job
"""

SAVE_INTERVAL = timedelta(seconds=1)
"""An acceptance is saved at most this often."""

Times = tuple[datetime | None, datetime | None]
"""A time for events, and one for profile writes."""


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """The delivery status of one connection."""

    paused: bool
    """Klaviyo rejects the API key: an admin must act."""
    held_until: datetime | None
    hold_reason: str | None
    """The code of the reason."""
    consecutive_failures: int
    last_accepted_at: datetime | None
    hold_detail: str | None = None
    """The details of the reason in Klaviyo's words."""
    hold_set_at: datetime | None = None
    """When the hold was set. The outcome of a request that began earlier does not change the hold."""
    accepted_at: Times = (None, None)
    """When Klaviyo last accepted an event, and a profile write."""
    saved_at: Times = (None, None)
    """When such an acceptance was last saved."""

    def is_worth_saving(self, now: datetime, *, is_profile: bool) -> bool:
        """Return whether to save an acceptance: it ends a hold, or the last one of its kind was saved a while ago."""
        saved_at = self.saved_at[is_profile]
        is_recent = saved_at is not None and now - saved_at < SAVE_INTERVAL
        return self.consecutive_failures > 0 or not is_recent

    def after_acceptance(self, now: datetime, *, is_profile: bool, is_saved: bool) -> "ConnectionStatus":
        """Return the status after Klaviyo accepted an event or a profile write."""
        return ConnectionStatus(
            paused=False,
            held_until=None,
            hold_reason=None,
            consecutive_failures=0,
            last_accepted_at=now,
            accepted_at=_with_time(self.accepted_at, now, is_profile=is_profile),
            saved_at=_with_time(self.saved_at, now, is_profile=is_profile) if is_saved else self.saved_at,
        )

    def after_hold(
        self, *, until: datetime, reason: str, detail: str | None, paused: bool, now: datetime
    ) -> "ConnectionStatus":
        """Return the status with a new hold."""
        return replace(
            self,
            paused=paused,
            held_until=until,
            hold_reason=reason,
            hold_detail=detail,
            consecutive_failures=self.consecutive_failures + 1,
            hold_set_at=now,
        )


def _with_time(times: Times, now: datetime, *, is_profile: bool) -> Times:
    return (times[0], now) if is_profile else (now, times[1])


async def get(db: Database, connection_id: str) -> ConnectionStatus:
    """Return the status of a connection."""
    rows: list[dict[str, Any]] = await db.fetch(GET, (connection_id,))
    if not rows:
        return ConnectionStatus(
            paused=False, held_until=None, hold_reason=None, consecutive_failures=0, last_accepted_at=None
        )
    row = rows[0]
    return ConnectionStatus(
        row["paused"],
        row["held_until"],
        row["hold_reason"],
        row["consecutive_failures"],
        row["last_accepted_at"],
        hold_detail=row["hold_detail"],
        accepted_at=(row["event_accepted_at"], row["profile_accepted_at"]),
    )


async def save_hold(tx: Transaction, connection_id: str, status: ConnectionStatus, *, version: int) -> None:
    """Save a hold, if the connection still has this version."""
    params = {
        "connection_id": connection_id,
        "version": version,
        "held_until": status.held_until,
        "hold_reason": status.hold_reason,
        "hold_detail": status.hold_detail,
        "paused": status.paused,
        "consecutive_failures": status.consecutive_failures,
    }
    await tx.execute(HOLD, params)


async def set_note(db: Database, connection_id: str, text: str | None) -> None:
    """Save a problem that an admin should see although delivery continues; None when there is none."""
    await db.execute(SET_NOTE, (text, connection_id, text))


async def record_acceptance(tx: Transaction, connection_id: str, *, at: datetime, is_profile: bool) -> None:
    """Save that Klaviyo accepted an event or a profile write."""
    await tx.execute(RECORD_ACCEPTANCE, {"connection_id": connection_id, "at": at, "is_profile": is_profile})


async def connections_with_work(db: Database) -> list[str]:
    """Return the connections that have something to do now, and no job for it."""
    return [row["connection_id"] for row in await db.fetch(CONNECTIONS_WITH_WORK)]


async def set_webhook_state(tx: Transaction, connection_id: str, state: str) -> None:
    """Save the state of the connection's webhook in Kustomer."""
    await tx.execute(SET_WEBHOOK_STATE, (state, connection_id, state))


async def has_job(db: Database, connection_id: str) -> bool:
    """Return whether a job of a connection waits or is done."""
    rows = await db.fetch(HAS_JOB, {"lock": f"work:{connection_id}"})
    return bool(rows[0]["has_job"])
