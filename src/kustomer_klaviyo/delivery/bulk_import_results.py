"""What a bulk import carries, and the result of each delivery when it has ended. Pure."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Protocol

import msgspec

from kustomer_klaviyo.klaviyo.profile_request import ProfileRequest
from kustomer_klaviyo.klaviyo.profile_wire import (
    IMPORT_END,
    IMPORT_START,
    MAX_IMPORT_BYTES,
    MAX_IMPORT_PROFILES,
    BulkImportError,
    encode_entry,
)
from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.store.delivery_attempts import AttemptResult, DueDelivery
from kustomer_klaviyo.store.outbox import DeliveryState

UNNAMED_ERROR = "Klaviyo reports failed profiles without naming them"


class BulkImportItem(Protocol):
    """One customer's entry in a bulk import."""

    @property
    def fact_keys(self) -> tuple[str, ...]:
        """The deliveries that it completes."""

    @property
    def request(self) -> ProfileRequest:
        """What is written."""


def chunks(items: Sequence[BulkImportItem]) -> Iterator[tuple[list[BulkImportItem], list[bytes]]]:
    """Split writes into chunks that fit into one bulk import each."""
    chunk: list[BulkImportItem] = []
    entries: list[bytes] = []
    size = len(IMPORT_START) + len(IMPORT_END)
    for item in items:
        entry = encode_entry(item.request)
        if chunk and (len(chunk) == MAX_IMPORT_PROFILES or size + len(entry) + 1 > MAX_IMPORT_BYTES):
            yield chunk, entries
            chunk, entries, size = [], [], len(IMPORT_START) + len(IMPORT_END)
        chunk.append(item)
        entries.append(entry)
        size += len(entry) + 1
    if chunk:
        yield chunk, entries


def identifiers_of(items: Sequence[BulkImportItem]) -> set[str]:
    """Return all identifiers that the writes contain."""
    return {identifier for item in items for identifier in item.request.identifiers}


def results_of(
    deliveries: Sequence[DueDelivery],
    errors: Sequence[BulkImportError],
    *,
    status: int | None,
    failed_count: int,
    is_cancelled: bool,
    now: datetime,
) -> list[AttemptResult]:
    """Return the result of each delivery. Failed ones are retried as single requests, for a response of their own."""
    details = _error_details(deliveries, errors)
    failed_subjects = {delivery.subject for delivery in deliveries if delivery.fact_key in details}
    has_unnamed_errors = len(failed_subjects) < failed_count
    results = []
    for delivery in deliveries:
        if is_cancelled:
            results.append(_retry(delivery, Reason.BULK_IMPORT_CANCELLED, None, status, now))
        elif delivery.fact_key in details or has_unnamed_errors:
            detail = details.get(delivery.fact_key, UNNAMED_ERROR)
            results.append(_retry(delivery, Reason.BULK_IMPORT_FAILED, detail, status, now))
        else:
            results.append(
                AttemptResult(delivery.fact_key, DeliveryState.DELIVERED, Reason.BULK_IMPORTED, response_status=status)
            )
    return results


def _retry(
    delivery: DueDelivery, reason: Reason, detail: str | None, status: int | None, now: datetime
) -> AttemptResult:
    return AttemptResult(
        delivery.fact_key,
        DeliveryState.PENDING,
        reason,
        due_at=now,
        response_status=status,
        response_detail=detail,
        is_own_failure=True,
    )


def _error_details(deliveries: Sequence[DueDelivery], errors: Sequence[BulkImportError]) -> dict[str, str]:
    """Return the error of each failed delivery, found by the contact that an error repeats, else by its index."""
    subjects = list(dict.fromkeys(delivery.subject for delivery in deliveries))
    subjects_by_contact = _subjects_by_contact(deliveries)
    details: dict[str, str] = {}
    for error in errors:
        contacts = [contact.lower() for contact in error.identifiers]
        failed = set().union(*(subjects_by_contact.get(contact, set()) for contact in contacts))
        if not failed and error.entry_index is not None and error.entry_index < len(subjects):
            failed = {subjects[error.entry_index]}
        details |= dict.fromkeys(failed, error.detail)
    return {delivery.fact_key: details[delivery.subject] for delivery in deliveries if delivery.subject in details}


def _subjects_by_contact(deliveries: Sequence[DueDelivery]) -> dict[str, set[str]]:
    subjects: dict[str, set[str]] = {}
    for delivery in deliveries:
        # A request that cannot be parsed any more has no contacts.
        with suppress(Exception):
            request = msgspec.convert(delivery.request, ProfileRequest)
            for contact in filter(None, (request.email, request.phone)):
                subjects.setdefault(contact.lower(), set()).add(delivery.subject)
    return subjects
