"""The checker finds each kind of broken promise, and nothing in a good history."""

from dataclasses import replace
from typing import Any

import pytest

from chaos.checker import History, check
from kustomer_klaviyo.demo.comparison import Comparison


def delivered(fact_key: str, subject: str = "ada") -> dict[str, Any]:
    return {"subject": subject, "fact_key": fact_key, "state": "delivered", "reason": None}


def arrived(unique_id: str, number: int) -> dict[str, Any]:
    return {"unique_id": unique_id, "number": number}


GOOD = History(
    comparison=Comparison({}, [], 0),
    lost_after_kill=[],
    given_up=0,
    deliveries=[delivered("created:1"), delivered("created:9", "bo"), delivered("done:1:5")],
    inbox={"processed": 3},
    klaviyo_events=[arrived("created:1", 1), arrived("done:1:5", 2), arrived("created:9", 3)],
    recovery_seconds=2.0,
)
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a difference": ({"comparison": Comparison({}, ["created of 1: missing"], 0)}, "created of 1: missing"),
    "a loss": ({"lost_after_kill": ["1"]}, "acknowledged and lost: conversation 1"),
    "a webhook given up": ({"given_up": 2}, "Kustomer gave up 2 webhooks"),
    "a pending event": ({"inbox": {"pending": 1}}, "1 events pending in the inbox"),
    "a failed event": ({"inbox": {"failed": 1}}, "1 events failed in the inbox"),
    "a failed delivery": (
        {"deliveries": [delivered("created:1") | {"state": "failed", "reason": "rejected"}]},
        "created:1 is failed: rejected",
    ),
    "a delivery without a reason": (
        {"deliveries": [delivered("created:1") | {"state": "skipped"}]},
        "created:1 is skipped without a reason",
    ),
    "a doubled event": (
        {"klaviyo_events": [arrived("created:1", 1), arrived("created:1", 2)]},
        "created:1 is 2 times at Klaviyo",
    ),
    "the wrong order": (
        {"klaviyo_events": [arrived("done:1:5", 1), arrived("created:1", 2)]},
        "events of ada out of order: [2, 1]",
    ),
    "a slow recovery": ({"recovery_seconds": 11.0}, "not recovered within the bound"),
    "no recovery": ({"recovery_seconds": None}, "not recovered within the bound"),
    "an error of the program": ({"program_errors": ["KeyError"]}, "an error of the program: KeyError"),
}


def test_a_good_history_breaks_no_promise() -> None:
    assert check(GOOD, bound_seconds=10) == []


@pytest.mark.parametrize("name", BAD)
def test_the_checker_finds(name: str) -> None:
    changes, sentence = BAD[name]
    assert check(replace(GOOD, **changes), bound_seconds=10) == [sentence]
