"""Whether the disk of the embedded PostgreSQL has room left."""

import shutil
from pathlib import Path

LEAST_FREE = 32 * 1024 * 1024
"""Bytes; with less PostgreSQL may not get the next piece of its write-ahead log, which ends it."""


def is_full(directory: Path) -> bool:
    """Say whether there is too little room to write to; not of a directory that cannot be looked at."""
    try:
        return shutil.disk_usage(directory).free < LEAST_FREE
    except OSError:
        return False
