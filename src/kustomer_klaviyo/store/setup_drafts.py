"""Connections in the making: what the pages of set-up were told so far, secrets sealed."""

import secrets
from dataclasses import dataclass, field
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.encryption import Sealer

SAVE = """
-- A draft belongs to who began it.
INSERT INTO drafts (id, account_id, document, secrets) VALUES (%(id)s, %(account)s, %(document)s, %(secrets)s)
ON CONFLICT (id) DO UPDATE SET document = excluded.document, secrets = excluded.secrets, updated_at = now()
WHERE drafts.account_id = excluded.account_id
"""


@dataclass(slots=True)
class Draft:
    """What is known so far."""

    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    document: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)


class Drafts:
    """The connections being made."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def save(self, account_id: int, draft: Draft) -> None:
        """Keep a draft."""
        sealed = self._sealer.seal(msgspec.json.encode(draft.secrets))
        params = {"id": draft.id, "account": account_id, "document": Jsonb(draft.document), "secrets": sealed}
        await self._database.execute(SAVE, params)

    async def get(self, account_id: int, draft_id: str) -> Draft | None:
        """Return a draft of an account's own."""
        query = "SELECT document, secrets FROM drafts WHERE id = %s AND account_id = %s"
        rows = await self._database.fetch(query, (draft_id, account_id))
        if not rows:
            return None
        opened = msgspec.json.decode(self._sealer.open(bytes(rows[0]["secrets"])), type=dict[str, str])
        return Draft(draft_id, rows[0]["document"], opened)

    async def forget(self, draft_id: str) -> None:
        """Throw a draft away."""
        await self._database.execute("DELETE FROM drafts WHERE id = %s", (draft_id,))
