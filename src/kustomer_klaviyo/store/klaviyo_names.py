"""What Klaviyo's ids stand for, remembered: metrics, campaigns, flows. A reading that brought nothing is one too."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from kustomer_klaviyo.store.database import Database

READ = """
-- What is remembered of some ids of one kind, as long as it was read lately.
SELECT id, target, name FROM klaviyo_names
WHERE connection_id = %s AND kind = %s AND (%s::text[] IS NULL OR id = ANY(%s::text[]))
  AND read_at > now() - %s::interval
"""

SAVE = """
-- Remember what ids stand for.
INSERT INTO klaviyo_names (connection_id, kind, id, target, name)
SELECT %s, %s, * FROM unnest(%s::text[], %s::text[], %s::text[])
ON CONFLICT (connection_id, kind, id) DO UPDATE SET target = excluded.target, name = excluded.name, read_at = now()
"""

FORGET_OTHERS = "DELETE FROM klaviyo_names WHERE connection_id = %s AND kind = %s AND NOT id = ANY(%s::text[])"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an id, or a name, stands for."""

    target: str | None
    """The id of the thing meant; None when Klaviyo knows of none."""
    name: str | None = None


async def read(
    database: Database, connection_id: str, kind: str, ids: list[str] | None, *, age: timedelta
) -> dict[str, Meaning]:
    """Return what is remembered of some ids, or of all, if it is no older than that."""
    rows = await database.fetch(READ, (connection_id, kind, ids, ids, age))
    return {row["id"]: Meaning(row["target"], row["name"]) for row in rows}


async def save(database: Database, connection_id: str, kind: str, found: Mapping[str, Meaning]) -> None:
    """Remember what ids stand for."""
    await database.execute(SAVE, _saved(connection_id, kind, found))


async def replace(database: Database, connection_id: str, kind: str, found: Mapping[str, Meaning]) -> None:
    """Remember what all ids of one kind stand for, and forget any other."""
    async with database.transaction() as connection:
        await connection.execute(SAVE, _saved(connection_id, kind, found))
        await connection.execute(FORGET_OTHERS, (connection_id, kind, [*found]))


def _saved(connection_id: str, kind: str, found: Mapping[str, Meaning]) -> tuple[object, ...]:
    columns = ([*found], [one.target for one in found.values()], [one.name for one in found.values()])
    return (connection_id, kind, *columns)
