"""Who gets in: passwords, one-time links, and patience with those who guess."""

import asyncio
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from kustomer_klaviyo.auth.credential_rules import (
    LONGEST_EMAIL,
    BadCredential,
    check_email,
    check_new_password,
    network_of,
)
from kustomer_klaviyo.store.users import Account, Accounts, Role, Visitor, canonical_email

SESSION_HOURS = 12
INVITATION_HOURS = 24
WINDOW_MINUTES = 15
MOST_FOR_BOTH, MOST_FROM_A_PLACE, MOST_FOR_AN_ADDRESS = 5, 30, 100
"""Failed sign-ins within the window: for one email address from one network address; from one network address; and for
one email address from wherever, high enough that nobody can lock somebody else out at little cost."""

_hasher = PasswordHasher()


class NotAdmitted(Exception):
    """Somebody does not get in; the text says why, and no more than they may know."""


class TooMany(NotAdmitted):
    """Too many failed sign-ins."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A session that began."""

    account: Account
    token: str


class Gate:
    """Lets people in."""

    def __init__(self, accounts: Accounts, *, takes_passwords: bool = True) -> None:
        """``takes_passwords`` is false where a provider says who somebody is."""
        self._accounts = accounts
        self.takes_passwords = takes_passwords
        # Made before anybody comes, so that an unknown address takes no longer than a known one from the first on.
        self._nobodys = _hasher.hash("nobody has this password")

    async def sign_in(self, email: str, password: str, *, place: str) -> Entry:
        """Begin a session. Raises NotAdmitted, in the same words and time for a wrong address and a wrong password."""
        self._insist_on_passwords()
        email, place = canonical_email(email), network_of(place)
        if len(email) > LONGEST_EMAIL or not email.isprintable():
            raise NotAdmitted("The email or the password is wrong.")
        by_both, by_place, by_email = f"{email} from {place}", f"place {place}", f"email {email}"
        await self._insist_on_patience(
            {by_both: MOST_FOR_BOTH, by_place: MOST_FROM_A_PLACE, by_email: MOST_FOR_AN_ADDRESS}
        )
        account = await self._accounts.find(email)
        known = account.password if account is not None and account.password else self._nobodys
        is_right = await asyncio.to_thread(_is_password, known, password)
        if account is None or not account.password or not is_right:
            raise NotAdmitted("The email or the password is wrong.")
        await self._accounts.forget_failures(by_both, by_email)
        await self._accounts.forgive(by_place)
        return await self.admit(account)

    async def admit(self, account: Account) -> Entry:
        """Begin a session for somebody who is known to be who they are."""
        return Entry(account, await self._accounts.sign_in(account, hours=SESSION_HOURS))

    async def admit_known(self, identity: str, role: Role) -> Entry:
        """Begin a session for somebody whom a provider knows, in the role that is theirs now. Raises NotAdmitted."""
        account = await self._accounts.find(identity) or await self._accounts.add(identity, role, None)
        if account is None:
            raise NotAdmitted("Try again.")
        if account.role is not role:
            await self._accounts.set_role(account, role)
            account = replace(account, role=role)
        return await self.admit(account)

    async def try_provider(self, place: str) -> None:
        """Count somebody who comes back from the provider as one who failed, until they are let in. Raises TooMany."""
        await self._insist_on_patience({_provider_key(place): MOST_FROM_A_PLACE})

    async def forgive_provider(self, place: str) -> None:
        """Take that back: they were let in."""
        await self._accounts.forgive(_provider_key(place))

    async def first_link(self) -> str | None:
        """Return the token of a one-time link for the first admin; None when none is needed."""
        if not self.takes_passwords or any(
            account.role is Role.ADMIN and account.password for account in await self._accounts.all()
        ):
            return None
        return await self._accounts.invite(Role.ADMIN, hours=INVITATION_HOURS, is_first=True)

    async def accept(self, token: str, email: str, password: str) -> Entry:
        """Make the account that a one-time link promises, and begin a session. Raises NotAdmitted."""
        self._insist_on_passwords()
        with _refusing():
            email = check_email(email)
            check_new_password(password)
        if not await self._accounts.is_invited(token):
            raise NotAdmitted("This link was used already, or is too old.")
        account = await self._accounts.find(email)
        if account is not None and account.password:
            raise NotAdmitted("There is an account of this address already: sign in with it.")
        hashed = await asyncio.to_thread(_hasher.hash, password)
        role = await self._accounts.take_invitation(token)
        account = None if role is None else await self._accounts.add(email, role, hashed)
        if account is None:
            raise NotAdmitted("This link was used already, or is too old.")
        return await self.admit(account)

    async def change_password(self, visitor: Visitor, former: str, new: str) -> None:
        """Replace a password, and end every session but this one. Raises NotAdmitted."""
        self._insist_on_passwords()
        by_account = f"account {visitor.account.id}"
        await self._insist_on_patience({by_account: MOST_FOR_BOTH})
        account = await self._accounts.find(visitor.account.email)
        known = account.password if account is not None else None
        if account is None or known is None or not await asyncio.to_thread(_is_password, known, former):
            raise NotAdmitted("The current password is wrong.")
        await self._accounts.forget_failures(by_account)
        with _refusing():
            check_new_password(new)
        await self._accounts.set_password(account, await asyncio.to_thread(_hasher.hash, new))
        await self._accounts.sign_out_others(visitor)

    def _insist_on_passwords(self) -> None:
        if not self.takes_passwords:
            raise NotAdmitted("Passwords are not used here: sign in with the provider.")

    async def _insist_on_patience(self, limits: Mapping[str, int]) -> None:
        """Count the try; raise TooMany when there were too many."""
        since = await self._accounts.try_once(limits, minutes=WINDOW_MINUTES)
        if since is not None:
            waited = (datetime.now(UTC) - since).total_seconds() / 60
            minutes = max(1, math.ceil(WINDOW_MINUTES - waited))
            raise TooMany(f"Too many failed sign-ins. Try again in {minutes} minute{'s' if minutes > 1 else ''}.")


def _provider_key(place: str) -> str:
    return f"provider {network_of(place)}"


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except BadCredential as error:
        raise NotAdmitted(str(error)) from error


def _is_password(hashed: str, password: str) -> bool:
    try:
        return _hasher.verify(hashed, password)
    except (Argon2Error, InvalidHashError):
        return False
