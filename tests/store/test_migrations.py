"""Tables that an older version filled, brought to the shape of this one."""

import uuid
from collections.abc import Iterator
from importlib.resources import files

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from yoyo import get_backend, read_migrations

from kustomer_klaviyo import reasons
from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.store.migrate import migrate, yoyo_url

ADD = """
INSERT INTO deliveries (connection_id, key, kind, subject, conversation_id, occurred_at, rev, state, reason, fact)
VALUES ('acme', %(key)s, 'opened', '', %(key)s, now(), 1, %(state)s, %(reason)s, '{}')
"""
FIRST_VERSION = "0006"


@pytest.fixture
def older_url(postgres_url: str) -> Iterator[str]:
    """A database in the shape of the first version."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = postgres_url.replace("/kustomer_klaviyo?", f"/{name}?")
        backend = get_backend(yoyo_url(url))
        folder = str(files("kustomer_klaviyo.store") / "migrations")
        backend.apply_migrations(read_migrations(folder).filter(lambda one: one.id[:4] <= FIRST_VERSION))
        backend.connection.close()
        yield url
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


CODES = (
    Reason.LOOKING_UP,
    Reason.NO_IDENTIFIER,
    Reason.PHONE_TAKEN,
    Reason.CUSTOMER_GONE,
    Reason.SPAM,
    Reason.IMPORTED,
)
"""Reasons that had the same sentences then."""


def test_reasons_kept_as_sentences_become_the_codes_that_are_compared(older_url: str) -> None:
    with psycopg.connect(older_url, autocommit=True, row_factory=dict_row) as connection:
        for one in CODES:
            connection.execute(ADD, {"key": one, "state": "failed", "reason": reasons.SENTENCES[one]})
        connection.execute(ADD, {"key": "other", "state": "failed", "reason": "Klaviyo refused it"})
        connection.execute(ADD, {"key": "c1", "state": "failed", "reason": "the conversation names no customer"})
        migrate(older_url)
        rows = connection.execute("SELECT key, state, reason FROM deliveries").fetchall()
        asked = connection.execute("SELECT kind, id FROM lookups").fetchall()
    found = {row["key"]: (row["state"], row["reason"]) for row in rows}
    assert found.pop("other") == ("failed", "Klaviyo refused it")
    assert found.pop("c1") == ("unidentified", Reason.NO_CUSTOMER)
    assert found == {one: ("failed", one) for one in CODES}
    assert asked == [{"kind": "conversation", "id": "c1"}]
