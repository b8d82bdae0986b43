"""Choosing a customer's identifiers."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.connections.options import ConnectionOptions
from kustomer_klaviyo.connections.rules import ConnectionRules
from kustomer_klaviyo.facts import Contact, CustomerObserved
from kustomer_klaviyo.klaviyo.event_request import EventSettings
from kustomer_klaviyo.planning.identity import customer_fingerprint, e164, identify, is_email


def rules(country: str | None = None) -> ConnectionRules:
    return ConnectionRules(
        ConnectionOptions(default_country=country), EventSettings(org="acme"), datetime(2026, 1, 1, tzinfo=UTC)
    )


def observed(emails: list[tuple[str, bool]], phones: list[tuple[str, bool]] | None = None) -> CustomerObserved:
    return CustomerObserved(
        "k1",
        1,
        tuple(Contact(value, verified) for value, verified in emails),
        tuple(Contact(value, verified) for value, verified in phones or []),
    )


def test_the_first_verified_email_is_chosen_else_the_first() -> None:
    assert identify(
        observed([("a@x.example", False), ("b@x.example", True), ("c@x.example", True)]), rules()
    ).email == ("b@x.example")
    assert identify(observed([("a@x.example", False), ("b@x.example", False)]), rules()).email == "a@x.example"


def test_an_invalid_email_is_skipped() -> None:
    assert identify(observed([("nonsense", True), ("b@x.example", False)]), rules()).email == "b@x.example"
    assert identify(observed([("nonsense", True)]), rules()).email is None


@pytest.mark.parametrize("text", ["a@b", "a b@x.example", "@x.example", "a@@x.example", f"{'a' * 90}@x.example", ""])
def test_an_unsupported_address_is_not_an_email(text: str) -> None:
    assert not is_email(text)


@pytest.mark.parametrize(
    ("text", "country", "number"),
    [
        ("+44 7911 123456", None, "+447911123456"),
        ("whatsapp:+447911123456", None, "+447911123456"),
        ("07911 123456", "GB", "+447911123456"),
        ("07911 123456", None, None),
        ("+12", None, None),
        ("call me", "US", None),
        ("", "US", None),
    ],
)
def test_a_possible_number_is_formatted_as_e164(text: str, country: str | None, number: str | None) -> None:
    assert e164(text, country) == number


def test_the_fingerprint_changes_with_any_contact() -> None:
    fingerprint = customer_fingerprint(observed([("a@x.example", False)]), rules())
    assert fingerprint == customer_fingerprint(observed([("a@x.example", False)]), rules())
    others = [
        observed([("a@x.example", True)]),
        observed([]),
        observed([], [("a@x.example", False)]),
        observed([("b@x.example", False)]),
    ]
    assert fingerprint not in {customer_fingerprint(other, rules()) for other in others}


def test_the_fingerprint_changes_with_the_options_that_affect_it() -> None:
    base = rules()
    others: list[dict[str, Any]] = [{"placeholders": ("relay@*",)}, {"default_country": "GB"}, {"external_id": True}]
    changed = [replace(base, options=replace(base.options, **other)) for other in others]
    customer = observed([("a@x.example", False)])
    assert customer_fingerprint(customer, base) not in {customer_fingerprint(customer, other) for other in changed}


def test_placeholders_are_excluded() -> None:
    contacts = observed([("noreply@shop.example", True), ("a@x.example", False)], [("555-555-5555", True)])
    customer = identify(contacts, rules("US"))
    assert (customer.email, customer.phone) == ("a@x.example", None)
    assert len(customer.notes) == 2


@given(st.lists(st.tuples(st.text(max_size=30), st.booleans()), max_size=4), st.text(max_size=20))
def test_any_contacts_give_a_usable_identifier_or_none(emails: list[tuple[str, bool]], phone: str) -> None:
    customer = identify(observed(emails, [(phone, False)]), rules("US"))
    assert customer.email is None or is_email(customer.email)
    assert customer.phone is None or customer.phone.startswith("+")
