"""By what a person is known to Klaviyo."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.connections.options import ConnectionOptions
from kustomer_klaviyo.connections.rules import Rules
from kustomer_klaviyo.facts import Contact, PersonSeen
from kustomer_klaviyo.klaviyo.event_request import ExpressOptions
from kustomer_klaviyo.planning.identity import e164, fingerprint, identify, is_email


def rules(country: str | None = None) -> Rules:
    return Rules(
        ConnectionOptions(default_country=country), ExpressOptions(org="acme"), datetime(2026, 1, 1, tzinfo=UTC)
    )


def seen(emails: list[tuple[str, bool]], phones: list[tuple[str, bool]] | None = None) -> PersonSeen:
    return PersonSeen(
        "k1",
        1,
        tuple(Contact(value, verified) for value, verified in emails),
        tuple(Contact(value, verified) for value, verified in phones or []),
    )


def test_the_first_verified_email_decides_else_the_first() -> None:
    assert identify(seen([("a@x.example", False), ("b@x.example", True), ("c@x.example", True)]), rules()).email == (
        "b@x.example"
    )
    assert identify(seen([("a@x.example", False), ("b@x.example", False)]), rules()).email == "a@x.example"


def test_what_is_no_email_is_passed_over() -> None:
    assert identify(seen([("nonsense", True), ("b@x.example", False)]), rules()).email == "b@x.example"
    assert identify(seen([("nonsense", True)]), rules()).email is None


@pytest.mark.parametrize("text", ["a@b", "a b@x.example", "@x.example", "a@@x.example", f"{'a' * 90}@x.example", ""])
def test_an_address_klaviyo_would_refuse_is_no_email(text: str) -> None:
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
def test_a_phone_is_sent_in_e164_when_it_is_possible(text: str, country: str | None, number: str | None) -> None:
    assert e164(text, country) == number


def test_the_fingerprint_changes_with_any_contact() -> None:
    one = fingerprint(seen([("a@x.example", False)]), rules())
    assert one == fingerprint(seen([("a@x.example", False)]), rules())
    others = [
        seen([("a@x.example", True)]),
        seen([]),
        seen([], [("a@x.example", False)]),
        seen([("b@x.example", False)]),
    ]
    assert one not in {fingerprint(other, rules()) for other in others}


def test_the_fingerprint_changes_with_what_decides_how_a_customer_is_read() -> None:
    one = rules()
    others: list[dict[str, Any]] = [{"placeholders": ("relay@*",)}, {"default_country": "GB"}, {"external_id": True}]
    changed = [replace(one, options=replace(one.options, **other)) for other in others]
    person = seen([("a@x.example", False)])
    assert fingerprint(person, one) not in {fingerprint(person, other) for other in changed}


def test_placeholders_name_nobody() -> None:
    found = seen([("noreply@shop.example", True), ("a@x.example", False)], [("555-555-5555", True)])
    person = identify(found, rules("US"))
    assert (person.email, person.phone) == ("a@x.example", None)
    assert len(person.notes) == 2


@given(st.lists(st.tuples(st.text(max_size=30), st.booleans()), max_size=4), st.text(max_size=20))
def test_any_contacts_give_a_usable_choice_or_none(emails: list[tuple[str, bool]], phone: str) -> None:
    person = identify(seen(emails, [(phone, False)]), rules("US"))
    assert person.email is None or is_email(person.email)
    assert person.phone is None or person.phone.startswith("+")
