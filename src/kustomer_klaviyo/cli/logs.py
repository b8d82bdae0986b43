"""Logging: JSON lines on standard error, without secrets and without terminal control characters."""

import logging
import sys

import structlog
from structlog.typing import EventDict, WrappedLogger

from kustomer_klaviyo.settings import redact
from kustomer_klaviyo.terminal import escape, escape_json


class _OneLine(logging.Formatter):
    """Formats a library's message, with its traceback, as one safe line."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        return escape(redact(super().format(record)))


def start_logging(level: str) -> None:
    """Write the service's log as JSON lines to standard error, together with warnings of libraries."""
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
    return escape_json(redact(str(line)))
