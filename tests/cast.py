"""Who plays in the tests of people."""

from typing import Any

ADA, BO, CY = "5f19aa0b1c2d3e4f5a6b7c8a", "5f19aa0b1c2d3e4f5a6b7c8b", "5f19aa0b1c2d3e4f5a6b7c8c"
"""Customers."""

ADAS, BOS, NEW = "ada@lantern.example", "bo@lantern.example", "new@lantern.example"
NUMBER = "+447911123456"
OPEN = "Kustomer Open Conversations"
ONE_OPEN: dict[str, Any] = {
    "conversationCounts": {"open": 1, "snoozed": 0, "done": 0, "all": 1},
    "updatedAt": "2026-03-20T19:00:00.000Z",
}
"""What a customer's document says when one conversation is open."""
