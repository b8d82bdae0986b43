"""The figures of the bench: one line of the table each, with its yardstick, and the file with all of them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

RESULTS = Path("bench-results.json")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table."""

    name: str
    value: float
    unit: str
    yardstick: float | None = None
    ratio: float | None = None
    target: str = "-"
    met: bool = True


def at_least(name: str, value: float, unit: str, yardstick: float, target: float) -> Figure:
    """Return a figure that must reach a multiple of its yardstick."""
    ratio = value / yardstick if yardstick else 0.0
    return Figure(name=name, value=value, unit=unit, yardstick=yardstick, ratio=ratio, target=f">= {target}x",
                  met=ratio >= target)  # fmt: skip


def at_most(name: str, value: float, unit: str, yardstick: float, target: float) -> Figure:
    """Return a figure that must not exceed a multiple of its yardstick."""
    ratio = value / yardstick if yardstick else 0.0
    return Figure(name=name, value=value, unit=unit, yardstick=yardstick, ratio=ratio, target=f"<= {target}x",
                  met=ratio <= target)  # fmt: skip


def print_table(part: str, figures: Sequence[Figure]) -> None:
    """Print the figures of a part."""
    table = Table("what", "value", "yardstick", "ratio", "target", "met", title=part)
    for figure in figures:
        numbers = [_formatted(number) for number in (figure.yardstick, figure.ratio)]
        met = "yes" if figure.met else "NO"
        table.add_row(figure.name, f"{figure.value:,.2f} {figure.unit}", *numbers, figure.target, met)
    Console(width=140).print(table)


def write_results(figures: dict[str, list[Figure]]) -> None:
    """Write the figures, by part. Parts of earlier runs stay until they are measured again."""
    results = msgspec.json.decode(RESULTS.read_bytes()) if RESULTS.exists() else {}
    results = results if isinstance(results, dict) else {}
    results |= {part: [asdict(figure) for figure in measured] for part, measured in figures.items()}
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(results)))


def _formatted(number: float | None) -> str:
    if number is None:
        return "-"
    return f"{number:.2g}" if 0 < number < 0.01 else f"{number:,.2f}"
