"""The schedule of faults that a seed makes. Pure: the same seed and length give the same schedule."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

FIRST_AT = 2.0
PAUSES = (0.6, 1.8)
"""The shortest and the longest time between two faults, in seconds."""
LENGTHS = (0.5, 3.0)
"""The shortest and the longest time that a fault lasts, in seconds."""


class FaultKind(StrEnum):
    """What is done to the service, the database or a vendor."""

    KILL_SERVE = "kill_serve"
    KILL_WORKER = "kill_worker"
    KILL_POSTMASTER = "kill_postmaster"
    KILL_BACKEND = "kill_backend"
    RESTART_POSTGRES = "restart_postgres"
    EXHAUST_CONNECTIONS = "exhaust_connections"
    """The server accepts no connection, and the service loses those it had."""
    IDLE_TRANSACTION = "idle_transaction"
    """Somebody's transaction stays open and holds locks on pending deliveries."""
    VENDOR = "vendor"
    """The fault API of a simulated vendor."""
    NETWORK = "network"
    """The fault proxy before the database, a vendor, or the service's webhook endpoint."""
    KEY_REJECTED = "key_rejected"
    """Klaviyo refuses the key for a while, so that the connection pauses."""
    KEY_REPLACED = "key_replaced"
    """Klaviyo refuses the key from now on, and an admin enters another."""
    RETENTION = "retention"
    """What is processed grows old, and retention deletes it."""


KILLS = (FaultKind.KILL_SERVE, FaultKind.KILL_WORKER, FaultKind.KILL_POSTMASTER, FaultKind.KILL_BACKEND)
VENDORS = ("klaviyo", "kustomer")
NETWORKS = ("database", "klaviyo", "kustomer", "webhooks")
PATHS = {"klaviyo": "/api", "kustomer": "/v1"}
RESPONSES: tuple[dict[str, Any], ...] = (
    {"kind": "throttle", "retry_after": 1.0},
    {"kind": "throttle"},
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 503},
    {"kind": "status", "status": 502, "after": True},
    {"kind": "drop", "after": True},
    {"kind": "cut"},
    {"kind": "slow", "delay": 0.7},
    {"kind": "page", "status": 200},
    {"kind": "page", "status": 502},
    {"kind": "html_403"},
)
NETWORK_FAULTS: tuple[dict[str, Any], ...] = (
    {"mode": "latency", "seconds": 0.2},
    {"mode": "reset"},
    {"mode": "half_open"},
    {"mode": "slow_close", "seconds": 0.5},
    {"mode": "limited_bytes", "max_bytes": 3000},
)

DECK = (
    *KILLS * 3,
    FaultKind.RESTART_POSTGRES,
    FaultKind.EXHAUST_CONNECTIONS,
    FaultKind.IDLE_TRANSACTION,
    *(FaultKind.VENDOR,) * 5,
    *(FaultKind.NETWORK,) * 4,
    FaultKind.KEY_REJECTED,
    FaultKind.KEY_REPLACED,
    FaultKind.RETENTION,
)
"""The kinds are drawn from this deck until it is empty, then from a new one: a short round has every kind."""


@dataclass(frozen=True, slots=True)
class Step:
    """One fault: when it begins, how long it lasts, and what it does."""

    at: float
    """Seconds after the beginning of the round."""
    kind: FaultKind
    seconds: float
    target: str = ""
    """A vendor, or a network of ``NETWORKS``."""
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        options = "".join(f" {name}={value}" for name, value in self.options.items())
        return f"{self.at:7.2f} s  {self.kind} {self.target}{options} for {self.seconds:.2f} s"


def make_schedule(seed: int, seconds: float) -> tuple[Step, ...]:
    """Return the faults of a round of this length, in the order of their beginning."""
    return tuple(_steps(random.Random(f"chaos {seed}"), seconds))


def _steps(rng: random.Random, seconds: float) -> Iterator[Step]:
    kinds, at = _deal(rng), FIRST_AT
    while at < seconds:
        yield _step(rng, next(kinds), round(at, 2))
        at += rng.uniform(*PAUSES)


def _deal(rng: random.Random) -> Iterator[FaultKind]:
    while True:
        yield from rng.sample(DECK, len(DECK))


def _step(rng: random.Random, kind: FaultKind, at: float) -> Step:
    length = round(rng.uniform(*LENGTHS), 2)
    make = _OPTIONS.get(kind)
    target, options = make(rng) if make is not None else ("", {})
    return Step(at, kind, length, target, options)


def _vendor_fault(rng: random.Random) -> tuple[str, dict[str, Any]]:
    vendor = rng.choice(VENDORS)
    return vendor, dict(rng.choice(RESPONSES)) | {
        "path": PATHS[vendor],
        "probability": round(rng.uniform(0.4, 1.0), 2),
    }


def _network_fault(rng: random.Random) -> tuple[str, dict[str, Any]]:
    return rng.choice(NETWORKS), dict(rng.choice(NETWORK_FAULTS))


def _backend(rng: random.Random) -> tuple[str, dict[str, Any]]:
    return "", {"pick": round(rng.random(), 3)}


_OPTIONS: dict[FaultKind, Callable[[random.Random], tuple[str, dict[str, Any]]]] = {
    FaultKind.VENDOR: _vendor_fault,
    FaultKind.NETWORK: _network_fault,
    FaultKind.KILL_BACKEND: _backend,
}
