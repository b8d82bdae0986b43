"""How long to wait after failures, and how often to try. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

Chance = Callable[[], float]
"""Gives a number from 0 to 1, each time another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait, in seconds, and how often to try."""

    first_wait: float = 1.0
    longest_wait: float = 900.0
    """Between two tries of one delivery that fails while others get through."""
    longest_probe_wait: float = 5.0
    """From one probe to the next while Klaviyo cannot be reached: delivery goes on so soon after an outage."""
    longest_outage_wish: float = 15.0
    """A wish beyond this of a vendor that is down is not waited for: one small request is no burden."""
    longest_throttle_wait: float = 60.0
    """Klaviyo's longest window; rate limits that go on and on are not waited out any longer, unless asked."""
    first_pause: float = 30.0
    longest_pause: float = 600.0
    longest_retry_after: float = 3600.0
    """A vendor's wish beyond this is taken for a mistake."""
    tries: int = 12
    """Failures of one delivery, while others get through, before it is set aside."""
    failures_until_pause: int = 3
    """Refusals in a row of the way we ask, until someone must act."""


def jittered(first: float, longest: float, failures: int, chance: Chance) -> float:
    """Return a wait that doubles with each failure up to the longest, then spread over its second half."""
    wait = min(longest, first * 2.0 ** min(failures, 30))
    return wait * (0.5 + 0.5 * chance())
