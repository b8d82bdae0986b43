"""Unfinished connections: the input of the set-up wizard so far, with encrypted secrets."""

import secrets
from dataclasses import dataclass, field
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.encryption import Encryptor

SAVE = """
-- Inserts or updates a draft. Only the user who created it can update it.
INSERT INTO setup_drafts (id, user_id, document, encrypted_secrets)
VALUES (%(id)s, %(user_id)s, %(document)s, %(encrypted_secrets)s)
ON CONFLICT (id) DO UPDATE SET document = excluded.document, encrypted_secrets = excluded.encrypted_secrets,
    updated_at = now()
WHERE setup_drafts.user_id = excluded.user_id
"""


@dataclass(slots=True)
class SetupDraft:
    """The input of one set-up so far."""

    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    document: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)


class SetupDrafts:
    """The stored drafts."""

    def __init__(self, db: Database, encryptor: Encryptor) -> None:
        self._db = db
        self._encryptor = encryptor

    async def save(self, user_id: int, draft: SetupDraft) -> None:
        """Insert or update a draft."""
        params = {
            "id": draft.id,
            "user_id": user_id,
            "document": Jsonb(draft.document),
            "encrypted_secrets": self._encryptor.encrypt(msgspec.json.encode(draft.secrets)),
        }
        await self._db.execute(SAVE, params)

    async def get(self, user_id: int, draft_id: str) -> SetupDraft | None:
        """Return a draft of a user, or None if it does not exist."""
        query = "SELECT document, encrypted_secrets FROM setup_drafts WHERE id = %s AND user_id = %s"
        rows = await self._db.fetch(query, (draft_id, user_id))
        if not rows:
            return None
        decrypted = self._encryptor.decrypt(bytes(rows[0]["encrypted_secrets"]))
        return SetupDraft(draft_id, rows[0]["document"], msgspec.json.decode(decrypted, type=dict[str, str]))

    async def delete(self, draft_id: str) -> None:
        """Delete a draft."""
        await self._db.execute("DELETE FROM setup_drafts WHERE id = %s", (draft_id,))
