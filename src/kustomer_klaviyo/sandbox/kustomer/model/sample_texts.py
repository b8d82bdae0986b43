"""Sample texts of customers and agents. Pure."""

import random

SUBJECTS = (
    "Where is my order?", "Wrong size", "Return label", "Discount code does not work", "Change of address",
    "Item arrived damaged", "Refund status", "How do I wash this?", "Cancel my order", "Gift card balance",
)  # fmt: skip
CALL_SUBJECTS = ("Call about a delivery", "Call about a refund", "Missed call")
CUSTOMER_MESSAGES = (
    "Hello, could you help me with this?", "I have tried that already.", "Thank you, that is what I needed.",
    "Is there an update?", "I would rather have my money back.",
)  # fmt: skip
AGENT_MESSAGES = (
    "Thank you for writing. I am looking into it.", "Could you tell me the order number?",
    "It is on its way to you.", "I have sent you a new label.", "Is there anything else I can do?",
)  # fmt: skip


def message_text(index: int, *, by_customer: bool) -> str:
    """Return a text for the message at this position of a conversation."""
    texts = CUSTOMER_MESSAGES if by_customer else AGENT_MESSAGES
    return texts[index // 2 % len(texts)]


def subject(channel: str, rng: random.Random) -> str | None:
    """Return a random subject; chats and text messages often have none."""
    if channel == "voice":
        return rng.choice(CALL_SUBJECTS)
    if channel in {"chat", "sms", "whatsapp"} and rng.random() < 0.3:
        return None
    return rng.choice(SUBJECTS)
