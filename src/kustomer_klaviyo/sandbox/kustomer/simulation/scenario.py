"""A scenario: the amount, speed and mix of simulated traffic."""

from typing import Annotated

import msgspec

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Scenario(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The amount, speed and mix of traffic; shares are from 0 to 1."""

    customers: Annotated[int, msgspec.Meta(ge=1)] = 20
    conversations: Annotated[int, msgspec.Meta(ge=0)] = 50
    rate: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Actions per second; 0 is as fast as possible."""
    seed: int = 1
    concurrency: Annotated[int, msgspec.Meta(ge=1)] = 8
    """Number of conversations in progress at the same time."""
    without_email: Share = 0.1
    """Customers with a phone number only."""
    without_contact: Share = 0.05
    """Customers without any contact until all their conversations are over."""
    second_email: Share = 0.1
    """Customers whose second email address is the verified one."""
    shared_email: Share = 0.05
    """Customers with a shared household address in addition to their own."""
    reopened: Share = 0.2
    created_done: Share = 0.05
    rated: Share = 0.5
    unanswered: Share = 0.1
    """Done conversations whose survey gets no response."""
    commented: Share = 0.4
    surveyed_twice: Share = 0.1
    spam: Share = 0.03
    imported: Share = 0.0
    left_open: Share = 0.1
    brands: list[str] = []
    """The brands of conversations, with equal shares; when empty, all have the organisation's default brand."""
