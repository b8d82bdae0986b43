"""What Klaviyo's ids stand for, remembered: metrics, campaigns, flows. A reading that brought nothing is one too."""

from collections.abc import Mapping
from dataclasses import dataclass

from kustomer_klaviyo.store.database import Database

READ = """
-- What is remembered of some ids of one kind, as long as it was read lately.
SELECT id, target, name FROM klaviyo_names
WHERE connection_id = %s AND kind = %s AND (%s::text[] IS NULL OR id = ANY(%s::text[]))
  AND read_at > now() - make_interval(hours => %s)
"""

SAVE = """
-- Remember what ids stand for.
INSERT INTO klaviyo_names (connection_id, kind, id, target, name)
SELECT %s, %s, * FROM unnest(%s::text[], %s::text[], %s::text[])
ON CONFLICT (connection_id, kind, id) DO UPDATE SET target = excluded.target, name = excluded.name, read_at = now()
"""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an id, or a name, stands for."""

    target: str | None
    """The id of the thing meant; None when Klaviyo knows of none."""
    name: str | None = None


async def read(
    database: Database, connection_id: str, kind: str, ids: list[str] | None, *, hours: int
) -> dict[str, Meaning]:
    """Return what is remembered of some ids, or of all, for no longer than so many hours."""
    rows = await database.fetch(READ, (connection_id, kind, ids, ids, hours))
    return {row["id"]: Meaning(row["target"], row["name"]) for row in rows}


async def save(database: Database, connection_id: str, kind: str, found: Mapping[str, Meaning]) -> None:
    """Remember what ids stand for."""
    columns = ([*found], [one.target for one in found.values()], [one.name for one in found.values()])
    await database.execute(SAVE, (connection_id, kind, *columns))
