"""What the numbers on a command line may be."""

from typing import Any

from cyclopts import Parameter


def between(least: float, most: float) -> Parameter:
    """Return what an option with such a number needs; not a number is none."""

    def check(_type: Any, value: float | None) -> None:
        if value is not None and not least <= value <= most:
            raise ValueError(f"it must be from {least:g} to {most:.0f}")

    return Parameter(validator=check)


PORT = between(0, 65535)
COUNT = between(0, 1_000_000)
LIMIT = between(1, 100_000)
PART = between(0, 1)
DAY = between(-86_400, 86_400)
SCALE = between(0, 1_000_000)
