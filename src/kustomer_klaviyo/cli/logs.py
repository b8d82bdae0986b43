"""The log: JSON lines on standard error, without secrets and without anything that steers a terminal."""

import logging
import sys

import structlog
from structlog.typing import EventDict, WrappedLogger

from kustomer_klaviyo.settings import hidden
from kustomer_klaviyo.terminal import shown, shown_json


class _OneLine(logging.Formatter):
    """Writes a library's message, and its traceback, as one line that is safe to show."""

    def format(self, record: logging.LogRecord) -> str:
        """Format."""
        return shown(hidden(super().format(record)))


def start_logging(level: str) -> None:
    """Write the program's own log as JSON lines to standard error, and libraries' warnings beside it."""
    number = logging.getLevelNamesMapping()[level.upper()]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(message)s"))
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
            _without_secrets,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _without_secrets(_logger: WrappedLogger, _method: str, line: EventDict | str) -> str:
    return shown_json(hidden(str(line)))
