"""Cached names of objects in Klaviyo (metrics, campaigns, flows), by id. A missing object is cached, too."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from kustomer_klaviyo.store.database import Database

READ = """
-- Selects names of one kind that were fetched recently: those of the given ids, or all.
SELECT id, target, name FROM klaviyo_names
WHERE connection_id = %s AND kind = %s AND (%s::text[] IS NULL OR id = ANY(%s::text[]))
  AND fetched_at > now() - %s::interval
"""

SAVE = """
-- Inserts or updates names of one kind.
INSERT INTO klaviyo_names (connection_id, kind, id, target, name)
SELECT %s, %s, * FROM unnest(%s::text[], %s::text[], %s::text[])
ON CONFLICT (connection_id, kind, id) DO UPDATE SET target = excluded.target, name = excluded.name, fetched_at = now()
"""

DELETE_OTHERS = "DELETE FROM klaviyo_names WHERE connection_id = %s AND kind = %s AND NOT id = ANY(%s::text[])"


@dataclass(frozen=True, slots=True)
class CachedName:
    """The object that an id refers to."""

    target: str | None
    """The id of the object; None when Klaviyo does not know the object."""
    name: str | None = None


async def read(
    db: Database, connection_id: str, kind: str, ids: list[str] | None, *, max_age: timedelta
) -> dict[str, CachedName]:
    """Return the cached names of some ids, or of all, that are not older than ``max_age``."""
    rows = await db.fetch(READ, (connection_id, kind, ids, ids, max_age))
    return {row["id"]: CachedName(row["target"], row["name"]) for row in rows}


async def save(db: Database, connection_id: str, kind: str, names: Mapping[str, CachedName]) -> None:
    """Cache names."""
    await db.execute(SAVE, _save_params(connection_id, kind, names))


async def replace(db: Database, connection_id: str, kind: str, names: Mapping[str, CachedName]) -> None:
    """Cache all names of one kind, and delete the other names of this kind."""
    async with db.transaction() as tx:
        await tx.execute(SAVE, _save_params(connection_id, kind, names))
        await tx.execute(DELETE_OTHERS, (connection_id, kind, [*names]))


def _save_params(connection_id: str, kind: str, names: Mapping[str, CachedName]) -> tuple[object, ...]:
    columns = ([*names], [name.target for name in names.values()], [name.name for name in names.values()])
    return (connection_id, kind, *columns)
