"""Free space on the disk of the embedded PostgreSQL."""

import shutil
from pathlib import Path

MIN_FREE_BYTES = 32 * 1024 * 1024
"""With less free space, PostgreSQL may fail to allocate the next segment of its write-ahead log and stop."""


def is_full(directory: Path) -> bool:
    """Return whether too little space is free; False when the directory cannot be read."""
    try:
        return shutil.disk_usage(directory).free < MIN_FREE_BYTES
    except OSError:
        return False
