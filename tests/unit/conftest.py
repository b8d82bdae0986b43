"""Unit tests use no database, no network and no other process: each attempt fails the test."""

import socket
import subprocess
from typing import Any, NoReturn

import pytest


@pytest.fixture(autouse=True)
def no_io(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make connections and processes fail."""
    monkeypatch.setattr(socket.socket, "connect", _fail)
    monkeypatch.setattr(socket.socket, "bind", _fail)
    monkeypatch.setattr(subprocess, "Popen", _fail)


@pytest.fixture
def postgres_url() -> NoReturn:
    """Fail: a test that needs PostgreSQL belongs in tests/integration."""
    pytest.fail("A unit test asked for PostgreSQL. Move it to tests/integration.")


def _fail(*_: Any, **__: Any) -> NoReturn:
    pytest.fail("A unit test opened a connection or started a process. Move it to tests/integration.")
