"""Users of the web console, their sessions, invitations and failed sign-ins."""

import hashlib
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from kustomer_klaviyo.store.database import Database

INSERT = """
-- Inserts a user. An existing user stays unchanged, unless SSO created it without a password and it now gets one.
INSERT INTO users (email, canonical_email, role, password_hash) VALUES (%s, %s, %s, %s)
ON CONFLICT (canonical_email) DO UPDATE
    SET role = excluded.role, password_hash = excluded.password_hash
    WHERE users.password_hash IS NULL AND excluded.password_hash IS NOT NULL
RETURNING id
"""

SELECT_CURRENT_USER = """
-- Selects the user of a session that has not expired.
SELECT users.id, users.email, users.role, sessions.csrf_token
FROM sessions JOIN users ON users.id = sessions.user_id
WHERE sessions.token_digest = %s AND sessions.expires_at > now()
"""

INVITE = """
-- Inserts an invitation. A new invitation of the first admin replaces the earlier ones.
WITH replaced AS (DELETE FROM invitations WHERE is_first AND %(is_first)s)
INSERT INTO invitations (token_digest, role, is_first, expires_at)
VALUES (%(token_digest)s, %(role)s, %(is_first)s, now() + make_interval(hours => %(hours)s))
"""

REDEEM = "DELETE FROM invitations WHERE token_digest = %s AND expires_at > now() RETURNING role"

CREATE_SESSION = """
-- Inserts a session.
INSERT INTO sessions (token_digest, user_id, csrf_token, expires_at)
VALUES (%s, %s, %s, now() + make_interval(hours => %s))
"""

COUNT_FAILURES = """
-- Counts the recent failures of a source, and selects the first of them.
SELECT count(*) AS count, min(failed_at) AS since FROM sign_in_failures
WHERE source = %s AND failed_at > now() - make_interval(mins => %s)
"""

LOCK_SOURCE = "SELECT pg_advisory_xact_lock(hashtext('try to sign in'), hashtext(%s))"
INSERT_FAILURES = "INSERT INTO sign_in_failures (source) SELECT * FROM unnest(%s::text[])"

UNDO_FAILURE = """
-- Deletes the latest failure of a source.
DELETE FROM sign_in_failures
WHERE ctid = (SELECT ctid FROM sign_in_failures WHERE source = %s ORDER BY failed_at DESC LIMIT 1)
"""

DELETE_EXPIRED = """
-- Deletes expired sessions and invitations, and drafts and failures older than a day.
WITH expired_sessions AS (DELETE FROM sessions WHERE expires_at < now()),
     expired_invitations AS (DELETE FROM invitations WHERE expires_at < now()),
     old_drafts AS (DELETE FROM setup_drafts WHERE updated_at < now() - interval '1 day')
DELETE FROM sign_in_failures WHERE failed_at < now() - interval '1 day'
"""


class Role(StrEnum):
    """What a user may do."""

    ADMIN = "admin"
    """Read and change everything."""
    VIEWER = "viewer"
    """Read only."""


@dataclass(frozen=True, slots=True)
class User:
    """A user of the web console."""

    id: int
    email: str
    role: Role
    password_hash: str | None = None
    """None for a user who signs in with an OpenID Connect provider."""


@dataclass(frozen=True, slots=True)
class CurrentUser:
    """A signed-in user, with the session."""

    user: User
    csrf_token: str
    """Every request that changes something must contain it."""
    token_digest: str
    """The digest of the session's token."""


def canonical_email(email: str) -> str:
    """Return the form of an email address in which users, failed sign-ins and rules are compared.

    Only A to Z are lowercased. Case mappings of other letters differ between implementations (U+0130 lowercases to i in
    some), and two different addresses must never open the same account.
    """
    normal = unicodedata.normalize("NFKC", email).strip()
    return "".join(letter.lower() if letter.isascii() else letter for letter in normal)


def digest_token(token: str) -> str:
    """Return the digest under which a token is stored."""
    return hashlib.sha256(token.encode()).hexdigest()


class Users:
    """The stored users."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def all(self) -> list[User]:
        """Return all users, sorted by email address."""
        query = "SELECT id, email, role, password_hash FROM users ORDER BY canonical_email"
        return [_build_user(row) for row in await self._db.fetch(query)]

    async def find(self, email: str) -> User | None:
        """Return the user with an email address, or None."""
        query = "SELECT id, email, role, password_hash FROM users WHERE canonical_email = %s"
        rows = await self._db.fetch(query, (canonical_email(email),))
        return _build_user(rows[0]) if rows else None

    async def add(self, email: str, role: Role, password_hash: str | None) -> User | None:
        """Create a user; return None if a user with this email address exists."""
        rows = await self._db.fetch(INSERT, (email, canonical_email(email), role, password_hash))
        return User(rows[0]["id"], email, role) if rows else None

    async def remove(self, email: str) -> bool:
        """Delete a user with all sessions; return False if there is no such user."""
        query = "DELETE FROM users WHERE canonical_email = %s"
        return await self._db.execute(query, (canonical_email(email),)) > 0

    async def set_password(self, user: User, password_hash: str) -> None:
        """Replace a user's password hash."""
        await self._db.execute("UPDATE users SET password_hash = %s WHERE id = %s", (password_hash, user.id))

    async def set_role(self, user: User, role: Role) -> None:
        """Change a user's role."""
        await self._db.execute("UPDATE users SET role = %s WHERE id = %s", (role, user.id))

    async def invite(self, role: Role, *, hours: int, is_first: bool = False) -> str:
        """Create an invitation and return its token."""
        token = secrets.token_urlsafe(24)
        params = {"token_digest": digest_token(token), "role": role, "hours": hours, "is_first": is_first}
        await self._db.execute(INVITE, params)
        return token

    async def is_invitation_valid(self, token: str) -> bool:
        """Return whether an invitation exists and has not expired."""
        query = "SELECT FROM invitations WHERE token_digest = %s AND expires_at > now()"
        return bool(await self._db.fetch(query, (digest_token(token),)))

    async def redeem_invitation(self, token: str) -> Role | None:
        """Delete an invitation and return its role; return None if it was used or has expired."""
        rows = await self._db.fetch(REDEEM, (digest_token(token),))
        return Role(rows[0]["role"]) if rows else None

    async def create_session(self, user: User, *, hours: int) -> str:
        """Create a session and return its token."""
        token = secrets.token_urlsafe(32)
        await self._db.execute(CREATE_SESSION, (digest_token(token), user.id, secrets.token_urlsafe(24), hours))
        return token

    async def current_user(self, token: str) -> CurrentUser | None:
        """Return the user of a session's token; None if the session has ended."""
        token_digest = digest_token(token)
        rows = await self._db.fetch(SELECT_CURRENT_USER, (token_digest,))
        return CurrentUser(_build_user(rows[0]), rows[0]["csrf_token"], token_digest) if rows else None

    async def sign_out(self, current_user: CurrentUser, *, everywhere: bool = False) -> None:
        """Delete a session, or all sessions of its user."""
        if everywhere:
            await self._db.execute("DELETE FROM sessions WHERE user_id = %s", (current_user.user.id,))
        else:
            await self._db.execute("DELETE FROM sessions WHERE token_digest = %s", (current_user.token_digest,))

    async def sign_out_others(self, current_user: CurrentUser) -> None:
        """Delete all sessions of a user but this one."""
        query = "DELETE FROM sessions WHERE user_id = %s AND token_digest <> %s"
        await self._db.execute(query, (current_user.user.id, current_user.token_digest))

    async def count_attempt(self, limits: Mapping[str, int], *, minutes: int) -> datetime | None:
        """Count a sign-in attempt as failed before it is made, for each of its sources.

        If a source has reached its limit, nothing is counted and the time of its first recent failure is returned.
        Attempts of one source run one after the other, so that parallel attempts cannot exceed the limit.
        """
        async with self._db.transaction() as tx:
            for source in sorted(limits):
                await tx.execute(LOCK_SOURCE, (source,))
            for source, limit in limits.items():
                row = await (await tx.execute(COUNT_FAILURES, (source, minutes))).fetchone()
                if row is not None and row["count"] >= limit:
                    since: datetime = row["since"]
                    return since
            await tx.execute(INSERT_FAILURES, (list(limits),))
            return None

    async def clear_failures(self, *sources: str) -> None:
        """Delete all failures of some sources, after a successful sign-in."""
        await self._db.execute("DELETE FROM sign_in_failures WHERE source = ANY(%s::text[])", (list(sources),))

    async def undo_failure(self, source: str) -> None:
        """Delete the latest failure of a source, because the sign-in succeeded. Earlier failures still count."""
        await self._db.execute(UNDO_FAILURE, (source,))

    async def delete_expired(self) -> None:
        """Delete expired sessions, invitations, drafts and failures."""
        await self._db.execute(DELETE_EXPIRED)


def _build_user(row: dict[str, Any]) -> User:
    return User(row["id"], row["email"], Role(row["role"]), row.get("password_hash"))
