"""``make chaos SEED=... MINUTES=...``: rounds of chaos. Without a seed, one seed after another."""

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from pathlib import Path

from chaos.round import run_round

ROUND_MINUTES = 1.0
BOUND_SECONDS = 90.0


def main() -> int:
    """Run the rounds and print what each did and found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="run the one round of this seed")
    parser.add_argument(
        "--minutes", type=float, default=ROUND_MINUTES, help="the length of the round, or of all rounds"
    )
    parser.add_argument("--first", type=int, default=1, help="the first seed when no seed is given")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return _run(arguments.seed, arguments.minutes)
    ends_at, failures = time.monotonic() + 60 * arguments.minutes, 0
    for seed in itertools.count(arguments.first):
        if time.monotonic() >= ends_at:
            break
        failures += _run(seed, ROUND_MINUTES)
    return min(failures, 1)


def _run(seed: int, minutes: float) -> int:
    result = asyncio.run(run_round(seed, 60 * minutes, bound_seconds=BOUND_SECONDS, report=_print))
    _print(str(result))
    if result.not_applied:
        _print(f"  met another fault: {', '.join(result.not_applied)}")
    if result.exits:
        _print(f"  ended by themselves: {', '.join(result.exits)}")
    for violation in result.violations:
        _print(f"  BROKEN: {violation}")
    if result.violations:
        path = Path(tempfile.gettempdir()) / f"chaos-{seed}.log"
        path.write_text(result.log)
        _print(f"  log of the service: {path}")
    return 1 if result.violations else 0


def _print(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
