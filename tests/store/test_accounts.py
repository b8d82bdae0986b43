"""The accounts of an older database, brought to one way of writing an address."""

from collections.abc import Iterator

import psycopg
import pytest

from kustomer_klaviyo.store.migrate import migrate
from kustomer_klaviyo.store.users import canonical_email

MIGRATION = "0011.account-addresses"
OLDER = """
DROP INDEX accounts_canonical_email;
ALTER TABLE accounts DROP COLUMN canonical_email;
CREATE UNIQUE INDEX accounts_email ON accounts (lower(email))
"""


@pytest.fixture
def older(database_url: str) -> Iterator[psycopg.Connection]:
    """A database as it was before, with nobody in it."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(OLDER)
        connection.execute("DELETE FROM _yoyo_migration WHERE migration_id = %s", (MIGRATION,))
        yield connection


def test_each_account_keeps_its_address_and_is_found_by_the_one_way_to_write_it(
    older: psycopg.Connection, database_url: str
) -> None:
    emails = ["Ada@ACME.example", "\uff22o@acme.example", "\u0130da@acme.example", "\u00c9va@acme.example"]
    for email in emails:
        older.execute("INSERT INTO accounts (email, role) VALUES (%s, 'admin')", (email,))
    migrate(database_url)
    rows = older.execute("SELECT email, canonical_email FROM accounts ORDER BY id").fetchall()
    assert rows == [(email, canonical_email(email)) for email in emails]


def test_of_two_accounts_that_are_one_the_first_stays(older: psycopg.Connection, database_url: str) -> None:
    for email, role in (("ada@acme.example", "admin"), ("\uff41da@acme.example", "viewer")):
        older.execute("INSERT INTO accounts (email, role) VALUES (%s, %s)", (email, role))
    migrate(database_url)
    assert older.execute("SELECT email, role FROM accounts").fetchall() == [("ada@acme.example", "admin")]
