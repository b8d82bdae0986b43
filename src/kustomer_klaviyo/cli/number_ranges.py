"""Ranges of numbers on the command line."""

from typing import Any

from cyclopts import Parameter


def between(minimum: float, maximum: float) -> Parameter:
    """Return a parameter whose value must be within the range. NaN never is."""

    def check(_type: Any, value: float | None) -> None:
        if value is not None and not minimum <= value <= maximum:
            raise ValueError(f"it must be from {minimum:g} to {maximum:.0f}")

    return Parameter(validator=check)


PORT = between(0, 65535)
COUNT = between(0, 1_000_000)
LIMIT = between(1, 100_000)
PROBABILITY = between(0, 1)
CLOCK_OFFSET = between(-86_400, 86_400)
SCALE = between(0, 1_000_000)
