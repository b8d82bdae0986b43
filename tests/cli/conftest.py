"""The program, run in this process as the shell would run it."""

import logging
import sys
from collections.abc import Iterator
from os import environ
from pathlib import Path

import pytest
import structlog

from commandline import Ended, Run
from kustomer_klaviyo.cli import main


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory that is not there."""
    for name in ("DATABASE_URL", "KUSTOMER_API_KEY", "KLAVIYO_PRIVATE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KUSTOMER_KLAVIYO_DATA", str(tmp_path / "nowhere"))
    return tmp_path / "nowhere"


@pytest.fixture
def run(nowhere: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run a command to its end."""
    handlers = logging.getLogger().handlers[:]

    def run_(*arguments: str) -> Ended:
        monkeypatch.setenv("KUSTOMER_KLAVIYO_DATA", environ.get("KUSTOMER_KLAVIYO_DATA", str(nowhere)))
        monkeypatch.setattr(sys, "argv", ["kustomer-klaviyo", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said, complained = capfd.readouterr()
        return Ended(int(ended.value.code or 0), said, complained)

    yield run_
    logging.getLogger().handlers[:] = handlers
    structlog.reset_defaults()
