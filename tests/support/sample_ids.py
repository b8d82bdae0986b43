"""IDs, emails and a phone number of sample customers."""

from typing import Any

ADA, BO, CY = "5f19aa0b1c2d3e4f5a6b7c8a", "5f19aa0b1c2d3e4f5a6b7c8b", "5f19aa0b1c2d3e4f5a6b7c8c"
"""Customer IDs."""

ADA_EMAIL, BO_EMAIL, NEW_EMAIL = "ada@lantern.example", "bo@lantern.example", "new@lantern.example"
PHONE = "+447911123456"
OPEN_PROPERTY = "Kustomer Open Conversations"
ONE_OPEN_CONVERSATION: dict[str, Any] = {
    "conversationCounts": {"open": 1, "snoozed": 0, "done": 0, "all": 1},
    "updatedAt": "2026-03-20T19:00:00.000Z",
}
"""Attributes of a customer with one open conversation."""
