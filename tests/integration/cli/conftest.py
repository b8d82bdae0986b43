"""Runs commands in this process."""

import logging
import sys
from collections.abc import Iterator
from os import environ
from pathlib import Path

import pytest
import structlog

from kustomer_klaviyo.cli import main
from support.cli_runner import CommandResult, RunCommand


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory that does not exist."""
    for name in ("DATABASE_URL", "KUSTOMER_API_KEY", "KLAVIYO_PRIVATE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KUSTOMER_KLAVIYO_DATA_DIRECTORY", str(tmp_path / "nowhere"))
    return tmp_path / "nowhere"


@pytest.fixture
def run(nowhere: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[RunCommand]:
    """A function that runs a command to its end."""
    handlers = logging.getLogger().handlers[:]

    def run_(*arguments: str) -> CommandResult:
        monkeypatch.setenv(
            "KUSTOMER_KLAVIYO_DATA_DIRECTORY", environ.get("KUSTOMER_KLAVIYO_DATA_DIRECTORY", str(nowhere))
        )
        monkeypatch.setattr(sys, "argv", ["kustomer-klaviyo", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        stdout, stderr = capfd.readouterr()
        return CommandResult(int(ended.value.code or 0), stdout, stderr)

    yield run_
    logging.getLogger().handlers[:] = handlers
    structlog.reset_defaults()
