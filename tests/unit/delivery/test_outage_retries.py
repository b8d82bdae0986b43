"""How soon delivery resumes after an outage of Klaviyo."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from kustomer_klaviyo.backoff import RetrySettings
from kustomer_klaviyo.delivery.retry_policy import DeliveryHistory, RetryAt, decide, decide_hold
from kustomer_klaviyo.outcomes import Unreachable

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
OUTAGES = [1, 5, 45, 300, 3600, 86_400]
"""Lengths in seconds; ``pytest --log-cli-level=info`` prints the table."""

log = logging.getLogger(__name__)


@dataclass
class Clock:
    """A simulated outage of a vendor, and a connection that probes it; times in seconds since its start."""

    now: float = 0.0
    failures: int = 0
    requests: int = 0

    def run_until_recovery(self, outage: float, jitter: float) -> float:
        """Return when the first request succeeded."""
        retry = RetrySettings()
        while True:
            self.requests += 1
            if self.now >= outage:
                return self.now
            at = BEGIN + timedelta(seconds=self.now)
            held = decide_hold(Unreachable("503"), self.failures, now=at, rng=lambda: jitter, retry=retry)
            assert held is not None
            self.failures += 1
            self.now = (held.until - BEGIN).total_seconds()


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("outage", OUTAGES)
def test_delivery_resumes_within_seconds_after_an_outage_of_any_length(outage: int, jitter: float) -> None:
    clock = Clock()
    recovery = clock.run_until_recovery(outage, jitter) - outage
    log.info("outage %6d s -> recovery %4.1f s after its end, %d requests", outage, recovery, clock.requests)
    assert 0 <= recovery <= 5.0
    assert clock.requests <= 10 + outage / 2.5


def test_attempts_during_an_outage_do_not_increase_the_backoff_of_a_delivery() -> None:
    accepted, tried = BEGIN - timedelta(seconds=1), BEGIN
    for minute in range(600):
        now = BEGIN + timedelta(minutes=minute)
        history = DeliveryHistory(0, tried, accepted, accepted)
        decision = decide(Unreachable("503"), history, now=now, rng=lambda: 1.0, retry=RetrySettings())
        assert isinstance(decision, RetryAt)
        assert decision.at is not None
        assert (decision.is_own_failure, decision.at - now) == (False, timedelta(seconds=1))
        tried = now


def test_a_long_retry_after_during_an_outage_is_capped() -> None:
    held = decide_hold(Unreachable("503", retry_after=3600.0), 9, now=BEGIN, rng=lambda: 1.0, retry=RetrySettings())
    assert held is not None
    assert held.until - BEGIN <= timedelta(seconds=RetrySettings().max_outage_retry_after)
