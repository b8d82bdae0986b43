"""Who may see the pages, who is signed in, and who failed to."""

import hashlib
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from kustomer_klaviyo.store.database import Database

ADD = """
-- A new account. One of the same address is left as it is, unless it is of a provider's time and gets a password now.
INSERT INTO accounts (email, canonical_email, role, password) VALUES (%s, %s, %s, %s)
ON CONFLICT (canonical_email) DO UPDATE
    SET role = excluded.role, password = excluded.password
    WHERE accounts.password IS NULL AND excluded.password IS NOT NULL
RETURNING id
"""

SESSION = """
-- The account behind a session, as long as that lasts.
SELECT accounts.id, accounts.email, accounts.role, sessions.csrf
FROM sessions JOIN accounts ON accounts.id = sessions.account_id
WHERE sessions.digest = %s AND sessions.expires_at > now()
"""

INVITE = """
-- A one-time link; a first one replaces the first ones before it.
WITH former AS (DELETE FROM invitations WHERE is_first AND %(first)s)
INSERT INTO invitations (digest, role, is_first, expires_at)
VALUES (%(digest)s, %(role)s, %(first)s, now() + make_interval(hours => %(hours)s))
"""

TAKE = "DELETE FROM invitations WHERE digest = %s AND expires_at > now() RETURNING role"

FAILURES = """
-- How often somebody failed to sign in lately, and when first.
SELECT count(*) AS n, min(at) AS since FROM sign_in_failures WHERE who = %s AND at > now() - make_interval(mins => %s)
"""

ONE_TRY_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('try to sign in'), hashtext(%s))"
FAILED = "INSERT INTO sign_in_failures (who) SELECT * FROM unnest(%s::text[])"

FORGIVE = """
-- The last failure of somebody was none.
DELETE FROM sign_in_failures
WHERE ctid = (SELECT ctid FROM sign_in_failures WHERE who = %s ORDER BY at DESC LIMIT 1)
"""

TIDY = """
-- What no longer counts.
WITH old AS (DELETE FROM sessions WHERE expires_at < now()), used AS (DELETE FROM invitations WHERE expires_at < now()),
     left_lying AS (DELETE FROM drafts WHERE updated_at < now() - interval '1 day')
DELETE FROM sign_in_failures WHERE at < now() - interval '1 day'
"""


class Role(StrEnum):
    """What an account may do."""

    ADMIN = "admin"
    """Everything."""
    VIEWER = "viewer"
    """Look."""


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may sign in."""

    id: int
    email: str
    role: Role
    password: str | None = None
    """The hash; None for one who signs in elsewhere."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who is signed in."""

    account: Account
    csrf: str
    """What each change they ask for must carry."""
    digest: str
    """Of their session's token."""


def canonical_email(email: str) -> str:
    """Return the one way to write an address by which accounts, tries and rules are compared.

    Only A to Z have two cases here: what else is one letter in two cases depends on who is asked (U+0130 is an i to
    some), and two addresses that somebody takes for one must never open one account.
    """
    normal = unicodedata.normalize("NFKC", email).strip()
    return "".join(letter.lower() if letter.isascii() else letter for letter in normal)


def digest(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


class Accounts:
    """The accounts of one installation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Account]:
        """Return every account, by address."""
        rows = await self._database.fetch("SELECT id, email, role, password FROM accounts ORDER BY canonical_email")
        return [_account(row) for row in rows]

    async def find(self, email: str) -> Account | None:
        """Return the account of an address."""
        query = "SELECT id, email, role, password FROM accounts WHERE canonical_email = %s"
        rows = await self._database.fetch(query, (canonical_email(email),))
        return _account(rows[0]) if rows else None

    async def add(self, email: str, role: Role, password: str | None) -> Account | None:
        """Make an account; None when there is one of that address."""
        rows = await self._database.fetch(ADD, (email, canonical_email(email), role, password))
        return Account(rows[0]["id"], email, role) if rows else None

    async def remove(self, email: str) -> bool:
        """Remove an account with its sessions; False when there is none."""
        query = "DELETE FROM accounts WHERE canonical_email = %s"
        return await self._database.execute(query, (canonical_email(email),)) > 0

    async def set_password(self, account: Account, password: str) -> None:
        """Replace the hash of an account's password."""
        await self._database.execute("UPDATE accounts SET password = %s WHERE id = %s", (password, account.id))

    async def set_role(self, account: Account, role: Role) -> None:
        """Give an account another role."""
        await self._database.execute("UPDATE accounts SET role = %s WHERE id = %s", (role, account.id))

    async def invite(self, role: Role, *, hours: int, is_first: bool = False) -> str:
        """Make a one-time link's token."""
        token = secrets.token_urlsafe(24)
        params = {"digest": digest(token), "role": role, "hours": hours, "first": is_first}
        await self._database.execute(INVITE, params)
        return token

    async def is_invited(self, token: str) -> bool:
        """Say whether a one-time link can still be used."""
        query = "SELECT FROM invitations WHERE digest = %s AND expires_at > now()"
        return bool(await self._database.fetch(query, (digest(token),)))

    async def take_invitation(self, token: str) -> Role | None:
        """Use a one-time link up; returns the role it gives, None when it is used or too old."""
        rows = await self._database.fetch(TAKE, (digest(token),))
        return Role(rows[0]["role"]) if rows else None

    async def sign_in(self, account: Account, *, hours: int) -> str:
        """Begin a session; returns its token."""
        token = secrets.token_urlsafe(32)
        await self._database.execute(
            "INSERT INTO sessions (digest, account_id, csrf, expires_at)"
            " VALUES (%s, %s, %s, now() + make_interval(hours => %s))",
            (digest(token), account.id, secrets.token_urlsafe(24), hours),
        )
        return token

    async def visitor(self, token: str) -> Visitor | None:
        """Return who is behind a session's token."""
        rows = await self._database.fetch(SESSION, (digest(token),))
        return Visitor(_account(rows[0]), rows[0]["csrf"], digest(token)) if rows else None

    async def sign_out(self, visitor: Visitor, *, everywhere: bool = False) -> None:
        """End a session, or all of the account's."""
        if everywhere:
            await self._database.execute("DELETE FROM sessions WHERE account_id = %s", (visitor.account.id,))
        else:
            await self._database.execute("DELETE FROM sessions WHERE digest = %s", (visitor.digest,))

    async def sign_out_others(self, visitor: Visitor) -> None:
        """End all of the account's sessions but this one."""
        await self._database.execute(
            "DELETE FROM sessions WHERE account_id = %s AND digest <> %s", (visitor.account.id, visitor.digest)
        )

    async def try_once(self, limits: Mapping[str, int], *, minutes: int) -> datetime | None:
        """Count a try as failed before it is made; unless somebody failed that often, then say since when they did.

        One after the other for each of them, so that many tries at once gain nothing.
        """
        async with self._database.transaction() as connection:
            for who in sorted(limits):
                await connection.execute(ONE_TRY_AT_A_TIME, (who,))
            for who, most in limits.items():
                row = await (await connection.execute(FAILURES, (who, minutes))).fetchone()
                if row is not None and row["n"] >= most:
                    since: datetime = row["since"]
                    return since
            await connection.execute(FAILED, (list(limits),))
            return None

    async def forget_failures(self, *who: str) -> None:
        """Forget somebody's failures, since they signed in."""
        await self._database.execute("DELETE FROM sign_in_failures WHERE who = ANY(%s::text[])", (list(who),))

    async def forgive(self, who: str) -> None:
        """Take back the last failure, which was none; the others still count."""
        await self._database.execute(FORGIVE, (who,))

    async def tidy(self) -> None:
        """Forget what no longer counts."""
        await self._database.execute(TIDY)


def _account(row: dict[str, Any]) -> Account:
    return Account(row["id"], row["email"], Role(row["role"]), row.get("password"))
