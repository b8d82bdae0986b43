"""All due profile writes of one customer, combined into one request. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from kustomer_klaviyo.klaviyo.profile_request import ProfileRequest, combine_requests
from kustomer_klaviyo.store.delivery_attempts import DueDelivery


@dataclass(frozen=True, slots=True)
class PendingProfileWrite:
    """Everything that is due to be written to one customer's profile."""

    deliveries: tuple[DueDelivery, ...]
    request: ProfileRequest

    @property
    def subject(self) -> str:
        """The customer."""
        return self.deliveries[0].subject

    @property
    def profile_id(self) -> str | None:
        """The Klaviyo profile id, if known."""
        return self.deliveries[0].klaviyo_profile_id

    @property
    def fact_keys(self) -> tuple[str, ...]:
        """The deliveries that the write completes."""
        return tuple(delivery.fact_key for delivery in self.deliveries)

    @property
    def retry_order(self) -> tuple[bool, float]:
        """Sorts writes that were never tried first, then those whose last attempt is the oldest."""
        return self.deliveries[0].retry_order

    @property
    def has_not_failed(self) -> bool:
        """Whether it may be sent in a batch. A write that failed is sent alone, to get a response of its own."""
        return all(delivery.own_failures == 0 for delivery in self.deliveries)

    @property
    def unchanged_values(self) -> dict[str, Any]:
        """What Klaviyo still has if the write fails: former contacts, and fields that were to be cleared."""
        contacts = {"email": self.request.former_email, "phone": self.request.former_phone}
        uncleared = [name for name, value in self.request.fields.items() if value is None]
        known_contacts = {name: value for name, value in contacts.items() if value is not None}
        return known_contacts | {"fields": dict.fromkeys(uncleared)}


def group_by_customer(due: Sequence[DueDelivery]) -> list[list[DueDelivery]]:
    """Group the due writes by customer, in the order of each customer's first write."""
    groups: dict[str, list[DueDelivery]] = {}
    for delivery in due:
        groups.setdefault(delivery.subject, []).append(delivery)
    return list(groups.values())


def parse_write(due: Sequence[DueDelivery]) -> PendingProfileWrite:
    """Combine all due writes of one customer. Writes after an erasure wait for it."""
    requests: list[ProfileRequest] = []
    for delivery in due:
        if not (requests and requests[-1].erase):
            requests.append(msgspec.convert(delivery.request, ProfileRequest))
    return PendingProfileWrite(tuple(due[: len(requests)]), combine_requests(requests))
