"""Who gets in: patience with those who guess, sessions that end, one-time links, and accounts of a provider."""

import asyncio

import pytest
from argon2 import PasswordHasher

from kustomer_klaviyo.auth.authenticator import (
    MOST_FOR_BOTH,
    MOST_FROM_A_PLACE,
    SESSION_HOURS,
    WINDOW_MINUTES,
    Entry,
    Gate,
    NotAdmitted,
    TooMany,
)
from kustomer_klaviyo.auth.credential_rules import SHORTEST_PASSWORD
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.users import Account, Accounts, Role

ADA, BO = "ada@acme.example", "bo@acme.example"
PASSWORD = "correct horse battery"
HASHED = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
"""The password as it is kept, at less cost than the gate's own, so that many guesses take little time."""

HOME, AWAY = "192.0.2.1", "198.51.100.7"


@pytest.fixture
async def database(shared_database: Database) -> Database:
    """A database in which nobody has an account, and nobody guessed."""
    for query in ("DELETE FROM accounts", "DELETE FROM invitations", "DELETE FROM sign_in_failures"):
        await shared_database.execute(query)
    return shared_database


@pytest.fixture
def accounts(database: Database) -> Accounts:
    return Accounts(database)


@pytest.fixture
async def gate(accounts: Accounts) -> Gate:
    """A gate with an admin, Ada."""
    await accounts.add(ADA, Role.ADMIN, HASHED)
    return Gate(accounts)


async def enters(gate: Gate, email: str = ADA, password: str = PASSWORD, *, place: str = HOME) -> str:
    """Try to get in; returns ``in``, ``wrong`` or ``wait``."""
    try:
        await gate.sign_in(email, password, place=place)
    except TooMany:
        return "wait"
    except NotAdmitted:
        return "wrong"
    return "in"


async def guess(gate: Gate, times: int, email: str = ADA, *, place: str = HOME) -> None:
    for _ in range(times):
        assert await enters(gate, email, "a guess", place=place) == "wrong"


async def refusal(gate: Gate, email: str, password: str) -> str:
    with pytest.raises(NotAdmitted) as refused:
        await gate.sign_in(email, password, place=HOME)
    return str(refused.value)


async def is_signed_in(accounts: Accounts, entry: Entry) -> bool:
    return await accounts.visitor(entry.token) is not None


async def let_minutes_pass(database: Database, minutes: int) -> None:
    query = "UPDATE sign_in_failures SET at = at - make_interval(mins => %s)"
    await database.execute(query, (minutes,))


async def let_hours_pass(database: Database, hours: int) -> None:
    await database.execute("UPDATE sessions SET expires_at = expires_at - make_interval(hours => %s)", (hours,))
    await database.execute("UPDATE invitations SET expires_at = expires_at - make_interval(hours => %s)", (hours,))


async def test_somebody_with_an_account_gets_in_however_the_address_is_written(gate: Gate) -> None:
    entry = await gate.sign_in(" Ada@ACME.example ", PASSWORD, place=HOME)
    assert (entry.account.email, entry.account.role) == (ADA, Role.ADMIN)


async def test_a_wrong_address_is_refused_in_the_words_of_a_wrong_password(gate: Gate) -> None:
    assert await refusal(gate, ADA, "a guess") == await refusal(gate, "nobody@acme.example", PASSWORD)


async def test_who_guessed_too_often_waits_even_with_the_right_password(gate: Gate) -> None:
    await guess(gate, MOST_FOR_BOTH)
    assert await enters(gate, ADA.upper()) == "wait"


async def test_guessing_at_one_account_keeps_nobody_else_out_and_its_owner_only_from_there(
    gate: Gate, accounts: Accounts
) -> None:
    await accounts.add(BO, Role.VIEWER, HASHED)
    await guess(gate, MOST_FOR_BOTH)
    assert await enters(gate, BO) == "in"
    assert await enters(gate, place=AWAY) == "in"


async def test_addresses_that_nobody_has_are_guessed_at_no_more_patiently(gate: Gate) -> None:
    await guess(gate, MOST_FOR_BOTH, "nobody@acme.example")
    assert await enters(gate, "nobody@acme.example") == "wait"


async def test_a_place_from_which_many_addresses_were_tried_waits_for_all_and_getting_in_between_clears_nothing(
    gate: Gate, accounts: Accounts
) -> None:
    for number in range(MOST_FROM_A_PLACE - 1):
        await accounts.add(f"{number}@acme.example", Role.VIEWER, HASHED)
        await guess(gate, 1, f"{number}@acme.example")
    assert await enters(gate) == "in"
    await guess(gate, 1, "guess@acme.example")
    assert await enters(gate) == "wait"
    assert await enters(gate, place=AWAY) == "in"


async def test_many_guesses_at_once_gain_nothing(gate: Gate) -> None:
    tries = await asyncio.gather(*(enters(gate, password="a guess") for _ in range(4 * MOST_FOR_BOTH)))
    assert (tries.count("wrong"), tries.count("wait")) == (MOST_FOR_BOTH, 3 * MOST_FOR_BOTH)


async def test_all_addresses_of_one_network_of_the_newer_kind_are_one_place(gate: Gate) -> None:
    for number in range(MOST_FOR_BOTH):
        await guess(gate, 1, place=f"2001:db8:0:1::{number}")
    assert await enters(gate, place="2001:db8:0:1:ffff::1") == "wait"
    assert await enters(gate, place="2001:db8:0:2::1") == "in"


@pytest.mark.parametrize("email", ["", "a\x00b", "a" * 1000, "ada@acme.example\n?"])
async def test_what_is_no_address_is_wrong_and_no_exception(gate: Gate, email: str) -> None:
    assert await enters(gate, email) == "wrong"


async def test_the_wait_is_told_and_ends(gate: Gate, database: Database) -> None:
    await guess(gate, MOST_FOR_BOTH)
    await let_minutes_pass(database, WINDOW_MINUTES - 2)
    assert "Try again in 2 minutes." in await refusal(gate, ADA, PASSWORD)
    await let_minutes_pass(database, 2)
    assert await enters(gate) == "in"


async def test_waiting_is_not_made_longer_by_trying_meanwhile(gate: Gate, database: Database) -> None:
    await guess(gate, MOST_FOR_BOTH)
    await let_minutes_pass(database, WINDOW_MINUTES - 1)
    assert await enters(gate) == "wait"
    await let_minutes_pass(database, 1)
    assert await enters(gate) == "in"


async def test_who_got_in_begins_anew(gate: Gate) -> None:
    for _ in range(2):
        await guess(gate, MOST_FOR_BOTH - 1)
        assert await enters(gate) == "in"


async def test_a_session_lasts_its_hours_and_no_longer(gate: Gate, accounts: Accounts, database: Database) -> None:
    entry = await gate.sign_in(ADA, PASSWORD, place=HOME)
    await let_hours_pass(database, SESSION_HOURS - 1)
    assert await is_signed_in(accounts, entry)
    await let_hours_pass(database, 1)
    assert not await is_signed_in(accounts, entry)


async def test_signing_out_ends_one_session_and_everywhere_ends_all(gate: Gate, accounts: Accounts) -> None:
    one, two, three = [await gate.sign_in(ADA, PASSWORD, place=HOME) for _ in range(3)]
    visitor = await accounts.visitor(one.token)
    assert visitor is not None
    await accounts.sign_out(visitor)
    assert [await is_signed_in(accounts, entry) for entry in (one, two, three)] == [False, True, True]
    visitor = await accounts.visitor(two.token)
    assert visitor is not None
    await accounts.sign_out(visitor, everywhere=True)
    assert [await is_signed_in(accounts, entry) for entry in (two, three)] == [False, False]


async def test_a_new_password_ends_every_session_but_the_one_it_was_set_in(gate: Gate, accounts: Accounts) -> None:
    here, there = [await gate.sign_in(ADA, PASSWORD, place=HOME) for _ in range(2)]
    visitor = await accounts.visitor(here.token)
    assert visitor is not None
    await gate.change_password(visitor, PASSWORD, "another horse battery")
    assert [await is_signed_in(accounts, entry) for entry in (here, there)] == [True, False]
    assert (await enters(gate), await enters(gate, password="another horse battery")) == ("wrong", "in")


@pytest.mark.parametrize(("former", "new"), [("a guess", "another horse battery"), (PASSWORD, "short")])
async def test_a_password_is_changed_by_who_knows_it_to_one_that_is_long_enough(
    gate: Gate, accounts: Accounts, former: str, new: str
) -> None:
    entry = await gate.sign_in(ADA, PASSWORD, place=HOME)
    visitor = await accounts.visitor(entry.token)
    assert visitor is not None
    with pytest.raises(NotAdmitted):
        await gate.change_password(visitor, former, new)
    assert await enters(gate) == "in"


async def test_who_took_over_a_session_guesses_no_more_patiently_at_its_password(
    gate: Gate, accounts: Accounts
) -> None:
    entry = await gate.sign_in(ADA, PASSWORD, place=HOME)
    visitor = await accounts.visitor(entry.token)
    assert visitor is not None
    for _ in range(MOST_FOR_BOTH):
        with pytest.raises(NotAdmitted, match="current password is wrong"):
            await gate.change_password(visitor, "a guess", "another horse battery")
    with pytest.raises(TooMany):
        await gate.change_password(visitor, PASSWORD, "another horse battery")
    assert await enters(gate) == "in"


async def test_no_account_is_kept_with_its_password_or_a_session_with_its_token(gate: Gate, database: Database) -> None:
    entry = await gate.sign_in(ADA, PASSWORD, place=HOME)
    kept = [await database.fetch("SELECT * FROM accounts"), await database.fetch("SELECT * FROM sessions")]
    assert ADA in str(kept)
    assert PASSWORD not in str(kept)
    assert entry.token not in str(kept)


async def test_the_first_link_is_made_until_there_is_an_admin(accounts: Accounts) -> None:
    gate = Gate(accounts)
    former, link = await gate.first_link(), await gate.first_link()
    assert former is not None
    assert link is not None
    with pytest.raises(NotAdmitted, match="used already"):
        await gate.accept(former, ADA, PASSWORD)
    assert (await gate.accept(link, ADA, PASSWORD)).account.role is Role.ADMIN
    assert await gate.first_link() is None


async def test_a_link_makes_one_account_however_many_use_it_at_once(gate: Gate, accounts: Accounts) -> None:
    link = await accounts.invite(Role.VIEWER, hours=1)
    emails = [f"eve{number}@acme.example" for number in range(4)]
    made = await asyncio.gather(*(gate.accept(link, email, PASSWORD) for email in emails), return_exceptions=True)
    assert sum(isinstance(one, Entry) for one in made) == 1
    assert all(isinstance(one, Entry | NotAdmitted) for one in made)
    assert len(await accounts.all()) == 2


@pytest.mark.parametrize(
    ("email", "password"),
    [("bo", PASSWORD), (ADA, PASSWORD), (BO, "x" * (SHORTEST_PASSWORD - 1)), (BO, "x" * 501)],
)
async def test_a_link_is_not_used_up_by_a_form_that_is_wrong(
    gate: Gate, accounts: Accounts, email: str, password: str
) -> None:
    link = await accounts.invite(Role.VIEWER, hours=1)
    with pytest.raises(NotAdmitted):
        await gate.accept(link, email, password)
    assert (await gate.accept(link, BO, PASSWORD)).account.role is Role.VIEWER


@pytest.mark.parametrize("email", ["@", "a@", "@b", "a b@acme.example", "a@b@c", "a\u200b@b", "a@b..c"])
async def test_what_is_no_address_makes_no_account(gate: Gate, accounts: Accounts, email: str) -> None:
    link = await accounts.invite(Role.VIEWER, hours=1)
    with pytest.raises(NotAdmitted, match="email address"):
        await gate.accept(link, email, PASSWORD)


@pytest.mark.parametrize("password", [" " * 20, "\x00" * 20, "\u200b" * 20, "short       ", "with a \x00 within it"])
async def test_what_is_no_password_makes_no_account_and_changes_none(
    gate: Gate, accounts: Accounts, password: str
) -> None:
    link = await accounts.invite(Role.VIEWER, hours=1)
    with pytest.raises(NotAdmitted, match="password"):
        await gate.accept(link, BO, password)
    visitor = await accounts.visitor((await gate.sign_in(ADA, PASSWORD, place=HOME)).token)
    assert visitor
    with pytest.raises(NotAdmitted, match="password"):
        await gate.change_password(visitor, PASSWORD, password)


@pytest.mark.parametrize("theirs", ["\u0130da@acme.example", "\u0131da@acme.example"])
async def test_a_letter_that_some_take_for_an_i_opens_nobody_elses_account(
    gate: Gate, accounts: Accounts, theirs: str
) -> None:
    await accounts.add("ida@acme.example", Role.ADMIN, HASHED)
    entry = await gate.admit_known(theirs, Role.VIEWER)
    assert entry.account.email == theirs
    ida = await accounts.find("IDA@acme.example")
    assert ida
    assert (ida.role, ida.id == entry.account.id) == (Role.ADMIN, False)


async def test_one_address_is_one_account_and_one_patience_however_it_is_written(
    gate: Gate, accounts: Accounts
) -> None:
    ways = [ADA, "\uff21DA@acme.example", "ada@ACME.example", " ada@acme.\uff45xample"]
    for way in ways:
        assert (await gate.sign_in(way, PASSWORD, place=HOME)).account.email == ADA
        assert await accounts.add(way, Role.VIEWER, HASHED) is None
    for way in (*ways, ADA):
        await guess(gate, 1, way)
    assert await enters(gate) == "wait"
    assert await accounts.remove(ways[1])


async def test_an_address_of_the_older_kind_is_one_place_however_it_is_written(gate: Gate) -> None:
    for place in ("192.0.2.1", "::ffff:192.0.2.1", "::ffff:c000:201", "64:ff9b::192.0.2.1", "2002:c000:201::1"):
        await guess(gate, 1, place=place)
    assert await enters(gate, place="::ffff:192.0.2.1%eth0") == "wait"
    assert await enters(gate, place="::ffff:192.0.2.2") == "in"


async def test_who_comes_back_from_the_provider_too_often_waits(gate: Gate) -> None:
    for _ in range(MOST_FROM_A_PLACE):
        await gate.try_provider(HOME)
    with pytest.raises(TooMany):
        await gate.try_provider(HOME)
    await gate.try_provider(AWAY)
    await gate.forgive_provider(HOME)
    await gate.try_provider(HOME)


async def test_a_link_grows_old(gate: Gate, accounts: Accounts, database: Database) -> None:
    link = await accounts.invite(Role.VIEWER, hours=1)
    await let_hours_pass(database, 1)
    with pytest.raises(NotAdmitted, match="too old"):
        await gate.accept(link, BO, PASSWORD)


async def test_where_a_provider_signs_people_in_no_password_does(gate: Gate, accounts: Accounts) -> None:
    assert await enters(gate) == "in"
    provided = Gate(accounts, takes_passwords=False)
    assert await enters(provided) == "wrong"
    with pytest.raises(NotAdmitted, match="the provider"):
        await provided.accept(await accounts.invite(Role.ADMIN, hours=1), BO, PASSWORD)


async def test_whom_a_provider_knows_gets_the_role_that_is_theirs_now(accounts: Accounts) -> None:
    gate = Gate(accounts, takes_passwords=False)
    for role in (Role.ADMIN, Role.VIEWER):
        entry = await gate.admit_known(BO, role)
        visitor = await accounts.visitor(entry.token)
        assert visitor is not None
        assert (entry.account.role, visitor.account.role) == (role, role)
    assert len(await accounts.all()) == 1


async def test_an_account_without_a_password_is_entered_by_none(gate: Gate, accounts: Accounts) -> None:
    made = await accounts.add(BO, Role.VIEWER, None)
    assert isinstance(made, Account)
    guesses = ("", "None", PASSWORD, "nobody has this password")
    assert [await enters(gate, BO, password) for password in guesses] == ["wrong"] * 4
