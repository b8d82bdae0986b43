"""Directories and databases that exist for the time of a test."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from kustomer_klaviyo.demo.environment import new_directory
from kustomer_klaviyo.store.migrate import migrate


def create_directory() -> Path:
    """Create a directory that the account of PostgreSQL can enter."""
    return new_directory("kustomer-klaviyo-test-")


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """Create a directory that the account of PostgreSQL can enter, and remove it at the end."""
    path = create_directory()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@contextmanager
def temporary_database(postgres_url: str) -> Iterator[str]:
    """Create an empty database with the current schema, and drop it at the end."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = postgres_url.replace("/kustomer_klaviyo?", f"/{name}?")
        migrate(url)
        yield url
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
