"""Authentication: passwords, invitations, and throttling of failed sign-ins."""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from kustomer_klaviyo.auth.credential_rules import MAX_EMAIL_LENGTH, check_email, check_new_password, client_network
from kustomer_klaviyo.auth.sign_in_errors import SignInError, SignInErrorCode, TooManyAttempts
from kustomer_klaviyo.store.users import CurrentUser, Role, User, Users, canonical_email

SESSION_HOURS = 12
INVITATION_HOURS = 24
WINDOW_MINUTES = 15
MAX_PER_EMAIL_AND_NETWORK, MAX_PER_NETWORK, MAX_PER_EMAIL = 5, 30, 100
"""Failed sign-ins allowed within the window. The limit per email address is high, so that locking a user out from many
networks is expensive."""

_hasher = PasswordHasher()


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that was just started."""

    user: User
    token: str


class Authenticator:
    """Signs users in."""

    def __init__(self, users: Users, *, passwords_enabled: bool = True) -> None:
        """``passwords_enabled`` is false when users sign in with an OpenID Connect provider."""
        self._users = users
        self.passwords_enabled = passwords_enabled
        # Verified for unknown email addresses, so that they take as long as known ones.
        self._dummy_hash = _hasher.hash("nobody has this password")

    async def sign_in(self, email: str, password: str, *, client: str) -> NewSession:
        """Verify a password and start a session. ``client`` is the client's IP address. Raises SignInError.

        A wrong email address and a wrong password get the same error, after the same time.
        """
        self._require_passwords()
        email, network = canonical_email(email), client_network(client)
        if len(email) > MAX_EMAIL_LENGTH or not email.isprintable():
            raise SignInError(SignInErrorCode.WRONG_CREDENTIALS)
        by_both, by_network, by_email = f"{email} from {network}", f"network {network}", f"email {email}"
        limits = {by_both: MAX_PER_EMAIL_AND_NETWORK, by_network: MAX_PER_NETWORK, by_email: MAX_PER_EMAIL}
        await self._throttle(limits)
        user = await self._users.find(email)
        password_hash = user.password_hash if user is not None and user.password_hash else self._dummy_hash
        is_correct = await asyncio.to_thread(_verify_password, password_hash, password)
        if user is None or not user.password_hash or not is_correct:
            raise SignInError(SignInErrorCode.WRONG_CREDENTIALS)
        await self._users.clear_failures(by_both, by_email)
        await self._users.undo_failure(by_network)
        return await self.start_session(user)

    async def start_session(self, user: User) -> NewSession:
        """Start a session for an authenticated user."""
        return NewSession(user, await self._users.create_session(user, hours=SESSION_HOURS))

    async def start_oidc_session(self, identity: str, role: Role) -> NewSession:
        """Start a session for an identity of the provider, and save its current role. Raises SignInError."""
        user = await self._users.find(identity) or await self._users.add(identity, role, None)
        if user is None:
            raise SignInError(SignInErrorCode.CONCURRENT_CHANGE)
        if user.role is not role:
            await self._users.set_role(user, role)
            user = replace(user, role=role)
        return await self.start_session(user)

    async def count_oidc_attempt(self, client: str) -> None:
        """Count a callback from the provider as failed, until the sign-in succeeds. Raises TooManyAttempts."""
        await self._throttle({_oidc_source(client): MAX_PER_NETWORK})

    async def undo_oidc_attempt(self, client: str) -> None:
        """Undo the counted failure: the sign-in succeeded."""
        await self._users.undo_failure(_oidc_source(client))

    async def create_first_invitation(self) -> str | None:
        """Create an invitation for the first admin and return its token; None when there is an admin already."""
        if not self.passwords_enabled or any(
            user.role is Role.ADMIN and user.password_hash for user in await self._users.all()
        ):
            return None
        return await self._users.invite(Role.ADMIN, hours=INVITATION_HOURS, is_first=True)

    async def accept_invitation(self, token: str, email: str, password: str) -> NewSession:
        """Create the user of an invitation and start a session. Raises SignInError."""
        self._require_passwords()
        email = check_email(email)
        check_new_password(password)
        if not await self._users.is_invitation_valid(token):
            raise SignInError(SignInErrorCode.INVITATION_EXPIRED)
        user = await self._users.find(email)
        if user is not None and user.password_hash:
            raise SignInError(SignInErrorCode.USER_EXISTS)
        password_hash = await asyncio.to_thread(_hasher.hash, password)
        role = await self._users.redeem_invitation(token)
        user = None if role is None else await self._users.add(email, role, password_hash)
        if user is None:
            raise SignInError(SignInErrorCode.INVITATION_EXPIRED)
        return await self.start_session(user)

    async def change_password(self, current_user: CurrentUser, current_password: str, new_password: str) -> None:
        """Replace a user's password, and end all other sessions of the user. Raises SignInError."""
        self._require_passwords()
        by_user = f"user {current_user.user.id}"
        await self._throttle({by_user: MAX_PER_EMAIL_AND_NETWORK})
        user = await self._users.find(current_user.user.email)
        password_hash = None if user is None else user.password_hash
        if (
            user is None
            or password_hash is None
            or not await asyncio.to_thread(_verify_password, password_hash, current_password)
        ):
            raise SignInError(SignInErrorCode.WRONG_CURRENT_PASSWORD)
        await self._users.clear_failures(by_user)
        check_new_password(new_password)
        await self._users.set_password(user, await asyncio.to_thread(_hasher.hash, new_password))
        await self._users.sign_out_others(current_user)

    def _require_passwords(self) -> None:
        if not self.passwords_enabled:
            raise SignInError(SignInErrorCode.PASSWORDS_DISABLED)

    async def _throttle(self, limits: Mapping[str, int]) -> None:
        """Count the attempt. Raises TooManyAttempts if a source has reached its limit."""
        since = await self._users.count_attempt(limits, minutes=WINDOW_MINUTES)
        if since is not None:
            elapsed_minutes = (datetime.now(UTC) - since).total_seconds() / 60
            raise TooManyAttempts(max(1, math.ceil(WINDOW_MINUTES - elapsed_minutes)))


def _oidc_source(client: str) -> str:
    return f"provider {client_network(client)}"


def _verify_password(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except (Argon2Error, InvalidHashError):
        return False
