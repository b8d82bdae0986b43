"""What is to be played: how much, how fast, in which mix, and what people write about."""

import random
from typing import Annotated

import msgspec

Part = Annotated[float, msgspec.Meta(ge=0, le=1)]

CHANNELS = ("email", "email", "email", "chat", "chat", "sms", "whatsapp", "voice")
SUBJECTS = (
    "Where is my order?", "Wrong size", "Return label", "Discount code does not work", "Change of address",
    "Item arrived damaged", "Refund status", "How do I wash this?", "Cancel my order", "Gift card balance",
)  # fmt: skip
CALL_SUBJECTS = ("Call about a delivery", "Call about a refund", "Missed call")
RATINGS = (1, 2, 3, 4, 5, 5)
CUSTOMERS_SAY = (
    "Hello, could you help me with this?", "I have tried that already.", "Thank you, that is what I needed.",
    "Is there any news?", "I would rather have my money back.",
)  # fmt: skip
AGENTS_SAY = (
    "Thank you for writing. I am looking into it.", "Could you tell me the order number?",
    "It is on its way to you.", "I have sent you a new label.", "Is there anything else I can do?",
)  # fmt: skip


class Script(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How much is to be played, how fast, and how the traffic is mixed (parts from 0 to 1)."""

    customers: Annotated[int, msgspec.Meta(ge=1)] = 20
    conversations: Annotated[int, msgspec.Meta(ge=0)] = 50
    rate: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Actions per second; 0 is as fast as possible."""
    seed: int = 1
    at_once: Annotated[int, msgspec.Meta(ge=1)] = 8
    """How many conversations run beside one another."""
    without_email: Part = 0.1
    """Customers who are known by phone only."""
    without_contact: Part = 0.05
    """Customers who give an email address only after all their conversations."""
    second_email: Part = 0.1
    """Customers whose second address is the verified one."""
    shared: Part = 0.05
    """Customers who share a household's address besides what is their own."""
    reopened: Part = 0.2
    created_done: Part = 0.05
    rated: Part = 0.5
    unanswered: Part = 0.1
    """Closed conversations whose survey nobody answers."""
    commented: Part = 0.4
    surveyed_twice: Part = 0.1
    spam: Part = 0.03
    imported: Part = 0.0
    left_open: Part = 0.1
    brands: list[str] = []
    """The brands that conversations are about, each as likely; without any, all are about the organisation's own."""


def words(nth: int, *, by_customer: bool) -> str:
    """Return what somebody writes as the nth message, where nobody said what."""
    said = CUSTOMERS_SAY if by_customer else AGENTS_SAY
    return said[nth // 2 % len(said)]


def subject(channel: str, chance: random.Random) -> str | None:
    """Return what a conversation is about; chats and texts often have no subject."""
    if channel == "voice":
        return chance.choice(CALL_SUBJECTS)
    if channel in {"chat", "sms", "whatsapp"} and chance.random() < 0.3:
        return None
    return chance.choice(SUBJECTS)
