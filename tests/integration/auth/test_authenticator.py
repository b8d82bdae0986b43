"""Sign-in: throttling of guesses, sessions, invitations, and users of an OpenID Connect provider."""

import asyncio
from collections.abc import Awaitable

import pytest
from argon2 import PasswordHasher

from kustomer_klaviyo.auth.authenticator import (
    MAX_PER_EMAIL_AND_NETWORK,
    MAX_PER_NETWORK,
    SESSION_HOURS,
    WINDOW_MINUTES,
    Authenticator,
    NewSession,
)
from kustomer_klaviyo.auth.sign_in_errors import MIN_PASSWORD_LENGTH, SignInError, SignInErrorCode, TooManyAttempts
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.users import Role, User, Users

ADA, BO = "ada@acme.example", "bo@acme.example"
PASSWORD = "correct horse battery"
PASSWORD_HASH = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
"""A hash with a lower cost than the authenticator's, so that many guesses take little time."""

PASSWORD_CODES = {
    SignInErrorCode.PASSWORD_BLANK,
    SignInErrorCode.PASSWORD_CONTROL_CHARACTERS,
    SignInErrorCode.PASSWORD_TOO_SHORT,
}

CLIENT, OTHER_CLIENT = "192.0.2.1", "198.51.100.7"


@pytest.fixture
async def db(shared_database: Database) -> Database:
    """A database without users, invitations and failures."""
    for query in ("DELETE FROM users", "DELETE FROM invitations", "DELETE FROM sign_in_failures"):
        await shared_database.execute(query)
    return shared_database


@pytest.fixture
def users(db: Database) -> Users:
    return Users(db)


@pytest.fixture
async def authenticator(users: Users) -> Authenticator:
    """An authenticator with one user, the admin Ada."""
    await users.add(ADA, Role.ADMIN, PASSWORD_HASH)
    return Authenticator(users)


async def try_sign_in(
    authenticator: Authenticator, email: str = ADA, password: str = PASSWORD, *, client: str = CLIENT
) -> str:
    """Try to sign in; return ``ok``, ``wrong`` or ``throttled``."""
    try:
        await authenticator.sign_in(email, password, client=client)
    except TooManyAttempts:
        return "throttled"
    except SignInError:
        return "wrong"
    return "ok"


async def guess(authenticator: Authenticator, times: int, email: str = ADA, *, client: str = CLIENT) -> None:
    for _ in range(times):
        assert await try_sign_in(authenticator, email, "a guess", client=client) == "wrong"


async def rejected(attempt: Awaitable[object]) -> SignInError:
    """Return the error of an attempt."""
    with pytest.raises(SignInError) as raised:
        await attempt
    return raised.value


async def is_signed_in(users: Users, session: NewSession) -> bool:
    return await users.current_user(session.token) is not None


async def age_failures(db: Database, minutes: int) -> None:
    query = "UPDATE sign_in_failures SET failed_at = failed_at - make_interval(mins => %s)"
    await db.execute(query, (minutes,))


async def age_sessions_and_invitations(db: Database, hours: int) -> None:
    await db.execute("UPDATE sessions SET expires_at = expires_at - make_interval(hours => %s)", (hours,))
    await db.execute("UPDATE invitations SET expires_at = expires_at - make_interval(hours => %s)", (hours,))


async def test_a_user_signs_in_with_any_spelling_of_the_email(authenticator: Authenticator) -> None:
    session = await authenticator.sign_in(" Ada@ACME.example ", PASSWORD, client=CLIENT)
    assert (session.user.email, session.user.role) == (ADA, Role.ADMIN)


async def test_an_unknown_email_gets_the_same_error_as_a_wrong_password(authenticator: Authenticator) -> None:
    wrong_password = await rejected(authenticator.sign_in(ADA, "a guess", client=CLIENT))
    unknown_email = await rejected(authenticator.sign_in("nobody@acme.example", PASSWORD, client=CLIENT))
    assert wrong_password.code is unknown_email.code is SignInErrorCode.WRONG_CREDENTIALS
    assert wrong_password.message == unknown_email.message


async def test_too_many_guesses_throttle_even_the_correct_password(authenticator: Authenticator) -> None:
    await guess(authenticator, MAX_PER_EMAIL_AND_NETWORK)
    assert await try_sign_in(authenticator, ADA.upper()) == "throttled"


async def test_guesses_throttle_only_their_user_from_their_network(authenticator: Authenticator, users: Users) -> None:
    await users.add(BO, Role.VIEWER, PASSWORD_HASH)
    await guess(authenticator, MAX_PER_EMAIL_AND_NETWORK)
    assert await try_sign_in(authenticator, BO) == "ok"
    assert await try_sign_in(authenticator, client=OTHER_CLIENT) == "ok"


async def test_guesses_of_an_unknown_email_are_throttled_too(authenticator: Authenticator) -> None:
    await guess(authenticator, MAX_PER_EMAIL_AND_NETWORK, "nobody@acme.example")
    assert await try_sign_in(authenticator, "nobody@acme.example") == "throttled"


async def test_guesses_of_many_emails_throttle_the_network_and_a_sign_in_does_not_clear_them(
    authenticator: Authenticator, users: Users
) -> None:
    for number in range(MAX_PER_NETWORK - 1):
        await users.add(f"{number}@acme.example", Role.VIEWER, PASSWORD_HASH)
        await guess(authenticator, 1, f"{number}@acme.example")
    assert await try_sign_in(authenticator) == "ok"
    await guess(authenticator, 1, "guess@acme.example")
    assert await try_sign_in(authenticator) == "throttled"
    assert await try_sign_in(authenticator, client=OTHER_CLIENT) == "ok"


async def test_parallel_guesses_do_not_exceed_the_limit(authenticator: Authenticator) -> None:
    limit = MAX_PER_EMAIL_AND_NETWORK
    results = await asyncio.gather(*(try_sign_in(authenticator, password="a guess") for _ in range(4 * limit)))
    assert (results.count("wrong"), results.count("throttled")) == (limit, 3 * limit)


async def test_an_ipv6_network_is_throttled_as_one_client(authenticator: Authenticator) -> None:
    for number in range(MAX_PER_EMAIL_AND_NETWORK):
        await guess(authenticator, 1, client=f"2001:db8:0:1::{number}")
    assert await try_sign_in(authenticator, client="2001:db8:0:1:ffff::1") == "throttled"
    assert await try_sign_in(authenticator, client="2001:db8:0:2::1") == "ok"


@pytest.mark.parametrize("email", ["", "a\x00b", "a" * 1000, "ada@acme.example\n?"])
async def test_an_invalid_email_is_wrong_credentials(authenticator: Authenticator, email: str) -> None:
    assert await try_sign_in(authenticator, email) == "wrong"


async def test_the_throttling_error_says_how_long_to_wait(authenticator: Authenticator, db: Database) -> None:
    await guess(authenticator, MAX_PER_EMAIL_AND_NETWORK)
    await age_failures(db, WINDOW_MINUTES - 2)
    throttled = await rejected(authenticator.sign_in(ADA, PASSWORD, client=CLIENT))
    assert "Try again in 2 minutes." in throttled.message
    await age_failures(db, 2)
    assert await try_sign_in(authenticator) == "ok"


async def test_attempts_while_throttled_do_not_extend_the_wait(authenticator: Authenticator, db: Database) -> None:
    await guess(authenticator, MAX_PER_EMAIL_AND_NETWORK)
    await age_failures(db, WINDOW_MINUTES - 1)
    assert await try_sign_in(authenticator) == "throttled"
    await age_failures(db, 1)
    assert await try_sign_in(authenticator) == "ok"


async def test_a_sign_in_clears_the_users_failures(authenticator: Authenticator) -> None:
    for _ in range(2):
        await guess(authenticator, MAX_PER_EMAIL_AND_NETWORK - 1)
        assert await try_sign_in(authenticator) == "ok"


async def test_a_session_expires(authenticator: Authenticator, users: Users, db: Database) -> None:
    session = await authenticator.sign_in(ADA, PASSWORD, client=CLIENT)
    await age_sessions_and_invitations(db, SESSION_HOURS - 1)
    assert await is_signed_in(users, session)
    await age_sessions_and_invitations(db, 1)
    assert not await is_signed_in(users, session)


async def test_sign_out_ends_one_session_and_everywhere_ends_all(authenticator: Authenticator, users: Users) -> None:
    first, second, third = [await authenticator.sign_in(ADA, PASSWORD, client=CLIENT) for _ in range(3)]
    current_user = await users.current_user(first.token)
    assert current_user is not None
    await users.sign_out(current_user)
    assert [await is_signed_in(users, session) for session in (first, second, third)] == [False, True, True]
    current_user = await users.current_user(second.token)
    assert current_user is not None
    await users.sign_out(current_user, everywhere=True)
    assert [await is_signed_in(users, session) for session in (second, third)] == [False, False]


async def test_a_password_change_ends_all_other_sessions(authenticator: Authenticator, users: Users) -> None:
    here, there = [await authenticator.sign_in(ADA, PASSWORD, client=CLIENT) for _ in range(2)]
    current_user = await users.current_user(here.token)
    assert current_user is not None
    await authenticator.change_password(current_user, PASSWORD, "another horse battery")
    assert [await is_signed_in(users, session) for session in (here, there)] == [True, False]
    assert (await try_sign_in(authenticator), await try_sign_in(authenticator, password="another horse battery")) == (
        "wrong",
        "ok",
    )


@pytest.mark.parametrize(
    ("current_password", "new_password"), [("a guess", "another horse battery"), (PASSWORD, "short")]
)
async def test_a_password_change_needs_the_current_password_and_a_valid_new_one(
    authenticator: Authenticator, users: Users, current_password: str, new_password: str
) -> None:
    session = await authenticator.sign_in(ADA, PASSWORD, client=CLIENT)
    current_user = await users.current_user(session.token)
    assert current_user is not None
    with pytest.raises(SignInError):
        await authenticator.change_password(current_user, current_password, new_password)
    assert await try_sign_in(authenticator) == "ok"


async def test_guesses_of_the_current_password_are_throttled(authenticator: Authenticator, users: Users) -> None:
    session = await authenticator.sign_in(ADA, PASSWORD, client=CLIENT)
    current_user = await users.current_user(session.token)
    assert current_user is not None
    for _ in range(MAX_PER_EMAIL_AND_NETWORK):
        error = await rejected(authenticator.change_password(current_user, "a guess", "another horse battery"))
        assert error.code is SignInErrorCode.WRONG_CURRENT_PASSWORD
    with pytest.raises(TooManyAttempts):
        await authenticator.change_password(current_user, PASSWORD, "another horse battery")
    assert await try_sign_in(authenticator) == "ok"


async def test_passwords_and_session_tokens_are_not_stored(authenticator: Authenticator, db: Database) -> None:
    session = await authenticator.sign_in(ADA, PASSWORD, client=CLIENT)
    stored = [await db.fetch("SELECT * FROM users"), await db.fetch("SELECT * FROM sessions")]
    assert ADA in str(stored)
    assert PASSWORD not in str(stored)
    assert session.token not in str(stored)


async def test_the_first_invitation_is_created_until_there_is_an_admin(users: Users) -> None:
    authenticator = Authenticator(users)
    replaced, link = await authenticator.create_first_invitation(), await authenticator.create_first_invitation()
    assert replaced is not None
    assert link is not None
    error = await rejected(authenticator.accept_invitation(replaced, ADA, PASSWORD))
    assert error.code is SignInErrorCode.INVITATION_EXPIRED
    assert (await authenticator.accept_invitation(link, ADA, PASSWORD)).user.role is Role.ADMIN
    assert await authenticator.create_first_invitation() is None


async def test_an_invitation_creates_one_user_even_if_used_in_parallel(
    authenticator: Authenticator, users: Users
) -> None:
    link = await users.invite(Role.VIEWER, hours=1)
    emails = [f"eve{number}@acme.example" for number in range(4)]
    results = await asyncio.gather(
        *(authenticator.accept_invitation(link, email, PASSWORD) for email in emails), return_exceptions=True
    )
    assert sum(isinstance(result, NewSession) for result in results) == 1
    assert all(isinstance(result, NewSession | SignInError) for result in results)
    assert len(await users.all()) == 2


@pytest.mark.parametrize(
    ("email", "password"),
    [("bo", PASSWORD), (ADA, PASSWORD), (BO, "x" * (MIN_PASSWORD_LENGTH - 1)), (BO, "x" * 501)],
)
async def test_an_invalid_form_does_not_use_up_an_invitation(
    authenticator: Authenticator, users: Users, email: str, password: str
) -> None:
    link = await users.invite(Role.VIEWER, hours=1)
    with pytest.raises(SignInError):
        await authenticator.accept_invitation(link, email, password)
    assert (await authenticator.accept_invitation(link, BO, PASSWORD)).user.role is Role.VIEWER


@pytest.mark.parametrize("email", ["@", "a@", "@b", "a b@acme.example", "a@b@c", "a\u200b@b", "a@b..c"])
async def test_an_invitation_rejects_an_invalid_email(authenticator: Authenticator, users: Users, email: str) -> None:
    link = await users.invite(Role.VIEWER, hours=1)
    error = await rejected(authenticator.accept_invitation(link, email, PASSWORD))
    assert error.code is SignInErrorCode.INVALID_EMAIL


@pytest.mark.parametrize("password", [" " * 20, "\x00" * 20, "\u200b" * 20, "short       ", "with a \x00 within it"])
async def test_an_invalid_password_is_rejected(authenticator: Authenticator, users: Users, password: str) -> None:
    link = await users.invite(Role.VIEWER, hours=1)
    assert (await rejected(authenticator.accept_invitation(link, BO, password))).code in PASSWORD_CODES
    current_user = await users.current_user((await authenticator.sign_in(ADA, PASSWORD, client=CLIENT)).token)
    assert current_user
    assert (await rejected(authenticator.change_password(current_user, PASSWORD, password))).code in PASSWORD_CODES


@pytest.mark.parametrize("email", ["\u0130da@acme.example", "\u0131da@acme.example"])
async def test_letters_similar_to_i_do_not_open_another_users_account(
    authenticator: Authenticator, users: Users, email: str
) -> None:
    await users.add("ida@acme.example", Role.ADMIN, PASSWORD_HASH)
    session = await authenticator.start_oidc_session(email, Role.VIEWER)
    assert session.user.email == email
    ida = await users.find("IDA@acme.example")
    assert ida
    assert (ida.role, ida.id == session.user.id) == (Role.ADMIN, False)


async def test_all_spellings_of_an_email_are_one_user_and_one_throttled_source(
    authenticator: Authenticator, users: Users
) -> None:
    spellings = [ADA, "\uff21DA@acme.example", "ada@ACME.example", " ada@acme.\uff45xample"]
    for spelling in spellings:
        assert (await authenticator.sign_in(spelling, PASSWORD, client=CLIENT)).user.email == ADA
        assert await users.add(spelling, Role.VIEWER, PASSWORD_HASH) is None
    for spelling in (*spellings, ADA):
        await guess(authenticator, 1, spelling)
    assert await try_sign_in(authenticator) == "throttled"
    assert await users.remove(spellings[1])


async def test_all_spellings_of_an_ipv4_address_are_one_client(authenticator: Authenticator) -> None:
    for address in ("192.0.2.1", "::ffff:192.0.2.1", "::ffff:c000:201", "64:ff9b::192.0.2.1", "2002:c000:201::1"):
        await guess(authenticator, 1, client=address)
    assert await try_sign_in(authenticator, client="::ffff:192.0.2.1%eth0") == "throttled"
    assert await try_sign_in(authenticator, client="::ffff:192.0.2.2") == "ok"


async def test_callbacks_from_the_provider_are_throttled(authenticator: Authenticator) -> None:
    for _ in range(MAX_PER_NETWORK):
        await authenticator.count_oidc_attempt(CLIENT)
    with pytest.raises(TooManyAttempts):
        await authenticator.count_oidc_attempt(CLIENT)
    await authenticator.count_oidc_attempt(OTHER_CLIENT)
    await authenticator.undo_oidc_attempt(CLIENT)
    await authenticator.count_oidc_attempt(CLIENT)


async def test_an_invitation_expires(authenticator: Authenticator, users: Users, db: Database) -> None:
    link = await users.invite(Role.VIEWER, hours=1)
    await age_sessions_and_invitations(db, 1)
    error = await rejected(authenticator.accept_invitation(link, BO, PASSWORD))
    assert error.code is SignInErrorCode.INVITATION_EXPIRED


async def test_passwords_are_disabled_when_a_provider_is_configured(authenticator: Authenticator, users: Users) -> None:
    assert await try_sign_in(authenticator) == "ok"
    without_passwords = Authenticator(users, passwords_enabled=False)
    assert await try_sign_in(without_passwords) == "wrong"
    invitation = await users.invite(Role.ADMIN, hours=1)
    error = await rejected(without_passwords.accept_invitation(invitation, BO, PASSWORD))
    assert error.code is SignInErrorCode.PASSWORDS_DISABLED


async def test_an_oidc_user_gets_the_current_role(users: Users) -> None:
    authenticator = Authenticator(users, passwords_enabled=False)
    for role in (Role.ADMIN, Role.VIEWER):
        session = await authenticator.start_oidc_session(BO, role)
        current_user = await users.current_user(session.token)
        assert current_user is not None
        assert (session.user.role, current_user.user.role) == (role, role)
    assert len(await users.all()) == 1


async def test_a_user_without_a_password_cannot_sign_in_with_one(authenticator: Authenticator, users: Users) -> None:
    user = await users.add(BO, Role.VIEWER, None)
    assert isinstance(user, User)
    guesses = ("", "None", PASSWORD, "nobody has this password")
    assert [await try_sign_in(authenticator, BO, password) for password in guesses] == ["wrong"] * 4
