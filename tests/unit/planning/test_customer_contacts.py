"""Choosing a customer's contacts: supported by Klaviyo, not shared, in any spelling."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.connections.options import ConnectionOptions
from kustomer_klaviyo.connections.rules import ConnectionRules
from kustomer_klaviyo.klaviyo.event_request import EventSettings
from kustomer_klaviyo.kustomer.interpret import interpret, interpret_customer
from kustomer_klaviyo.kustomer.wire import Attributes, Resource, decode_webhook
from kustomer_klaviyo.planning.identity import identify
from kustomer_klaviyo.sandbox.klaviyo.validation.contact_rules import is_email, is_phone
from kustomer_klaviyo.store.customers import Customer
from support.kustomer_documents import customer, email, event, phone

NOW = datetime(2026, 3, 20, tzinfo=UTC)
GOOD = "ada@lantern.example"


def identify_customer(country: str | None = None, **attributes: Any) -> Customer:
    """Interpret a customer document, and choose its contacts."""
    document = msgspec.json.encode(event(customer(**attributes)))
    observed = interpret(decode_webhook(document), received_at=NOW).customer
    assert observed is not None
    return identify(
        observed, ConnectionRules(ConnectionOptions(default_country=country), EventSettings(org="acme"), NOW)
    )


@pytest.mark.parametrize(
    "address",
    [
        "bad..one@lantern.example", "x,y@lantern.example", "td.@lantern.example", ".a@lantern.example",
        '"quoted name"@lantern.example', "two words@lantern.example", "a@b@lantern.example", "a@-lantern.example",
        "a@lantern-.example", "a@lantern.e", "a@[192.0.2.1]", "a@192.0.2.1", "a@lantern..example", "a@.example",
        "a@lantern.example.", "a(b)@lantern.example", "a<b>@lantern.example", "a;b@lantern.example",
        "a\\b@lantern.example",
        "a@lan tern.example", f"a@{'x' * 64}.example", "a@localhost", "a@lantern.123", "@lantern.example", "a@",
    ],
)  # fmt: skip
def test_an_unsupported_address_is_skipped_for_the_next_one(address: str) -> None:
    chosen = identify_customer(emails=[email(address, verified=True), email(GOOD)])
    assert chosen.email == GOOD
    assert chosen.notes == (f"email {address} left out: Klaviyo does not accept it",)
    assert identify_customer(emails=[email(address)]).email is None
    assert not is_email(address)


@pytest.mark.parametrize(
    "address", ["ädä@lantern.example", "a#b@lantern.example", "a@lan_tern.example", f"{'a' * 70}@lantern.example"]
)
def test_a_doubtful_address_is_used_only_without_a_supported_one(address: str) -> None:
    assert identify_customer(emails=[email(address, verified=True), email(GOOD)]).email == GOOD
    assert identify_customer(emails=[email(address)]).email == address
    assert is_email(address)
    assert not is_email(address, strict=True)


@pytest.mark.parametrize(
    "address", ["o'neill@lantern.example", "a+b@lantern.example", "A_b-c.d@mail.lantern.co.uk", "1@x.example"]
)
def test_a_supported_address_is_sent_unchanged(address: str) -> None:
    assert identify_customer(emails=[email(address), email(GOOD)]).email == address


def test_a_non_ascii_domain_is_sent_as_punycode() -> None:
    assert identify_customer(emails=[email("ada@bücher.example"), email(GOOD)]).email == "ada@xn--bcher-kva.example"


INVISIBLE_CHARACTERS = [
    "\u200b",
    "\u200c",
    "\u200d",
    "\ufeff",
    "\u00ad",
    "\u2060",
    "\u202a",
    "\u202e",
    "\u2066",
    "\u2069",
    "\u00a0",
]


@pytest.mark.parametrize("char", INVISIBLE_CHARACTERS, ids=[f"U+{ord(char):04X}" for char in INVISIBLE_CHARACTERS])
def test_invisible_characters_are_removed_from_contacts(char: str) -> None:
    address = f"{char}ada{char}@lantern.example{char}"
    number = f"{char}+44 7911{char} 123456{char}"
    chosen = identify_customer(emails=[email(address)], phones=[phone(number)])
    assert (chosen.email, chosen.phone) == (GOOD, "+447911123456")
    assert chosen.contacts["emails"] == [{"value": GOOD, "verified": False}]


@pytest.mark.parametrize(
    "spelling",
    [f"mailto:{GOOD}", f"MailTo: {GOOD}", f"  {GOOD} ", "\uff41\uff44\uff41\uff20lantern.example", f"\t{GOOD}\n"],
)
def test_scheme_and_space_are_removed_from_an_address(spelling: str) -> None:
    assert identify_customer(emails=[email(spelling)]).email == GOOD


@pytest.mark.parametrize(
    "shared",
    ["ADA@Lantern.Example", f"mailto:{GOOD}", f"{GOOD}\u200b", "\uff41\uff44\uff41@lantern.example", f" {GOOD}"],
)
def test_a_shared_address_is_excluded_in_any_spelling(shared: str) -> None:
    assert identify_customer(emails=[email(GOOD)], sharedEmails=[email(shared)]).email is None


@pytest.mark.parametrize(
    "shared",
    [
        "+44 7911 123456",
        "tel:+447911123456",
        "whatsapp:+447911123456",
        "0044 (7911) 123-456",
        "+\u096a\u096a\u096d\u096f\u0967\u0967\u0967\u0968\u0969\u096a\u096b\u096c",
    ],
)
def test_a_shared_number_is_excluded_in_any_spelling(shared: str) -> None:
    chosen = identify_customer(
        phones=[phone("+447911123456")], whatsapps=[phone("whatsapp:+447911123456")], sharedPhones=[phone(shared)]
    )
    assert chosen.phone is None


@pytest.mark.parametrize(
    "spelling", ["NoReply@shop.example", "mailto:noreply@shop.example", "no\u200breply@shop.example"]
)
def test_a_placeholder_address_is_excluded_in_any_spelling(spelling: str) -> None:
    assert identify_customer(emails=[email(spelling)]).email is None


@pytest.mark.parametrize(
    "spelling",
    [
        "tel:+1 (555) 555-5555",
        "\uff15\uff15\uff15-\uff15\uff15\uff15-\uff15\uff15\uff15\uff15",
        "+1\u00a0555\u2011555\u20115555",
    ],
)
def test_a_placeholder_number_is_excluded_in_any_spelling(spelling: str) -> None:
    assert identify_customer("US", phones=[phone(spelling)]).phone is None


def test_a_whatsapp_number_is_used_after_other_numbers() -> None:
    assert identify_customer(whatsapps=[phone("whatsapp:+447911123456")]).phone == "+447911123456"
    both = identify_customer(phones=[phone("+442079460000")], whatsapps=[phone("whatsapp:+447911123456")])
    assert both.phone == "+442079460000"


def test_a_masked_whatsapp_number_is_unknown() -> None:
    masked = [{"type": "mobile", "phone": "********"}]
    assert identify_customer(whatsapps=masked).masked == ("phone",)
    assert identify_customer(whatsapps=masked, phones=[phone("+442079460000")]).masked == ()


@pytest.mark.parametrize(
    ("text", "country"),
    [("701271", "IN"), ("+441234", None), ("2345678", "US"), ("+12345678", None), ("+9", "IN")],
)
def test_a_local_number_is_left_out(text: str, country: str | None) -> None:
    chosen = identify_customer(country, phones=[phone(text)])
    assert chosen.phone is None
    assert chosen.notes == (f"phone {text} left out: not a possible number",)


def test_a_valid_number_is_preferred_to_a_possible_one() -> None:
    assert identify_customer(phones=[phone("+19995550123"), phone("+12025550123")]).phone == "+12025550123"
    assert identify_customer(phones=[phone("+19995550123")]).phone == "+19995550123"


TEXT_PARTS = st.text(st.characters(codec=None), max_size=12) | st.sampled_from(
    [
        "ada",
        "@",
        ".",
        "..",
        "lantern.example",
        "+44",
        "7911123456",
        "tel:",
        "mailto:",
        *INVISIBLE_CHARACTERS,
        " ",
        "ü",
        "_",
        "-",
        "(",
    ]
)
TEXTS = st.lists(TEXT_PARTS, max_size=7).map("".join) | st.from_regex(r"[\w.+-]{1,12}@[\w.-]{1,12}\.[a-z]{1,4}")
NUMBERS = TEXTS | st.from_regex(r"\+?[0-9 ()-]{1,18}", fullmatch=True)
ANYTHING = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just({"isMasked": True})
ENTRIES = st.lists(
    st.fixed_dictionaries({}, optional={"email": TEXTS | ANYTHING, "phone": NUMBERS | ANYTHING, "verified": ANYTHING})
    | ANYTHING,
    max_size=4,
)
LISTS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("emails", "shared_emails", "phones", "shared_phones", "whatsapps"), ENTRIES | ANYTHING),
)


@given(LISTS, st.sampled_from([None, "US", "GB", "IN", "DE", "IT", "BR"]))
def test_any_chosen_contact_is_accepted_by_klaviyo(lists: dict[str, Any], country: str | None) -> None:
    resource = Resource("customer", "k1", Attributes(**lists))
    observed = interpret_customer(resource, "k1", observed_at=NOW).customer
    assert observed is not None
    rules = ConnectionRules(ConnectionOptions(default_country=country), EventSettings(org="acme"), NOW)
    customer = identify(observed, rules)
    assert customer.email is None or is_email(customer.email)
    assert customer.phone is None or is_phone(customer.phone)
    strict = [contact.value for contact in observed.emails if is_email(contact.value, strict=True)]
    own = [address for address in strict if f"{address} left out" not in "\n".join(customer.notes)]
    assert not own or (customer.email is not None and is_email(customer.email, strict=True))
