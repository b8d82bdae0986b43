"""Which of a customer's contacts Klaviyo is told: what it takes, what is theirs alone, however it is spelt."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from documents import customer, email, event, phone
from kustomer_klaviyo.connections.options import ConnectionOptions
from kustomer_klaviyo.connections.rules import Rules
from kustomer_klaviyo.klaviyo.event_request import ExpressOptions
from kustomer_klaviyo.kustomer.interpret import interpret, state_customer
from kustomer_klaviyo.kustomer.wire import Attributes, Resource, decode_webhook
from kustomer_klaviyo.planning.identity import identify
from kustomer_klaviyo.sandbox.klaviyo.validation.contact_rules import is_email, is_phone
from kustomer_klaviyo.store.customers import Person

NOW = datetime(2026, 3, 20, tzinfo=UTC)
GOOD = "ada@lantern.example"


def chosen(country: str | None = None, **attributes: Any) -> Person:
    """Read a customer's document, and choose."""
    document = msgspec.json.encode(event(customer(**attributes)))
    person = interpret(decode_webhook(document), received_at=NOW).person
    assert person is not None
    return identify(person, Rules(ConnectionOptions(default_country=country), ExpressOptions(org="acme"), NOW))


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
def test_an_address_that_klaviyo_refuses_is_passed_over_for_the_next(address: str) -> None:
    person = chosen(emails=[email(address, verified=True), email(GOOD)])
    assert person.email == GOOD
    assert person.notes == (f"email {address} left out: not an address Klaviyo takes",)
    assert chosen(emails=[email(address)]).email is None
    assert not is_email(address)


@pytest.mark.parametrize(
    "address", ["ädä@lantern.example", "a#b@lantern.example", "a@lan_tern.example", f"{'a' * 70}@lantern.example"]
)
def test_an_address_that_klaviyo_may_refuse_is_told_where_there_is_no_surer_one(address: str) -> None:
    assert chosen(emails=[email(address, verified=True), email(GOOD)]).email == GOOD
    assert chosen(emails=[email(address)]).email == address
    assert is_email(address)
    assert not is_email(address, strict=True)


@pytest.mark.parametrize(
    "address", ["o'neill@lantern.example", "a+b@lantern.example", "A_b-c.d@mail.lantern.co.uk", "1@x.example"]
)
def test_an_address_like_any_other_is_told_as_it_stands(address: str) -> None:
    assert chosen(emails=[email(address), email(GOOD)]).email == address


def test_a_domain_beyond_ascii_is_told_as_the_network_knows_it() -> None:
    assert chosen(emails=[email("ada@bücher.example"), email(GOOD)]).email == "ada@xn--bcher-kva.example"


UNSEEN = ["\u200b", "\u200c", "\u200d", "\ufeff", "\u00ad", "\u2060", "\u202a", "\u202e", "\u2066", "\u2069", "\u00a0"]


@pytest.mark.parametrize("unseen", UNSEEN, ids=[f"U+{ord(one):04X}" for one in UNSEEN])
def test_what_nobody_sees_is_no_part_of_a_contact(unseen: str) -> None:
    spelt = f"{unseen}ada{unseen}@lantern.example{unseen}"
    number = f"{unseen}+44 7911{unseen} 123456{unseen}"
    person = chosen(emails=[email(spelt)], phones=[phone(number)])
    assert (person.email, person.phone) == (GOOD, "+447911123456")
    assert person.contacts["emails"] == [{"value": GOOD, "verified": False}]


@pytest.mark.parametrize(
    "spelt",
    [f"mailto:{GOOD}", f"MailTo: {GOOD}", f"  {GOOD} ", "\uff41\uff44\uff41\uff20lantern.example", f"\t{GOOD}\n"],
)
def test_an_address_is_told_without_what_surrounds_it(spelt: str) -> None:
    assert chosen(emails=[email(spelt)]).email == GOOD


@pytest.mark.parametrize(
    "shared",
    ["ADA@Lantern.Example", f"mailto:{GOOD}", f"{GOOD}\u200b", "\uff41\uff44\uff41@lantern.example", f" {GOOD}"],
)
def test_a_shared_address_is_nobodys_however_it_is_spelt(shared: str) -> None:
    assert chosen(emails=[email(GOOD)], sharedEmails=[email(shared)]).email is None


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
def test_a_shared_number_is_nobodys_however_it_is_spelt(shared: str) -> None:
    person = chosen(
        phones=[phone("+447911123456")], whatsapps=[phone("whatsapp:+447911123456")], sharedPhones=[phone(shared)]
    )
    assert person.phone is None


@pytest.mark.parametrize("spelt", ["NoReply@shop.example", "mailto:noreply@shop.example", "no\u200breply@shop.example"])
def test_a_placeholder_names_nobody_however_it_is_spelt(spelt: str) -> None:
    assert chosen(emails=[email(spelt)]).email is None


@pytest.mark.parametrize(
    "spelt",
    [
        "tel:+1 (555) 555-5555",
        "\uff15\uff15\uff15-\uff15\uff15\uff15-\uff15\uff15\uff15\uff15",
        "+1\u00a0555\u2011555\u20115555",
    ],
)
def test_a_placeholder_for_a_number_names_nobody_however_it_is_spelt(spelt: str) -> None:
    assert chosen("US", phones=[phone(spelt)]).phone is None


def test_a_number_of_whatsapp_is_a_number() -> None:
    assert chosen(whatsapps=[phone("whatsapp:+447911123456")]).phone == "+447911123456"
    both = chosen(phones=[phone("+442079460000")], whatsapps=[phone("whatsapp:+447911123456")])
    assert both.phone == "+442079460000"


def test_a_number_of_whatsapp_that_may_not_be_read_is_not_known() -> None:
    masked = [{"type": "mobile", "phone": "********"}]
    assert chosen(whatsapps=masked).masked == ("phone",)
    assert chosen(whatsapps=masked, phones=[phone("+442079460000")]).masked == ()


@pytest.mark.parametrize(
    ("text", "country"),
    [("701271", "IN"), ("+441234", None), ("2345678", "US"), ("+12345678", None), ("+9", "IN")],
)
def test_a_number_that_is_possible_within_one_town_only_is_not_told(text: str, country: str | None) -> None:
    person = chosen(country, phones=[phone(text)])
    assert person.phone is None
    assert person.notes == (f"phone {text} left out: not a possible number",)


def test_a_number_in_use_goes_before_one_that_is_merely_long_enough() -> None:
    assert chosen(phones=[phone("+19995550123"), phone("+12025550123")]).phone == "+12025550123"
    assert chosen(phones=[phone("+19995550123")]).phone == "+19995550123"


PIECES = st.text(st.characters(codec=None), max_size=12) | st.sampled_from(
    ["ada", "@", ".", "..", "lantern.example", "+44", "7911123456", "tel:", "mailto:", *UNSEEN, " ", "ü", "_", "-", "("]
)
TEXTS = st.lists(PIECES, max_size=7).map("".join) | st.from_regex(r"[\w.+-]{1,12}@[\w.-]{1,12}\.[a-z]{1,4}")
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
def test_whatever_kustomer_holds_klaviyo_takes_what_is_chosen(lists: dict[str, Any], country: str | None) -> None:
    resource = Resource("customer", "k1", Attributes(**lists))
    person = state_customer(resource, "k1", seen_at=NOW).person
    assert person is not None
    rules = Rules(ConnectionOptions(default_country=country), ExpressOptions(org="acme"), NOW)
    found = identify(person, rules)
    assert found.email is None or is_email(found.email)
    assert found.phone is None or is_phone(found.phone)
    strict = [one.value for one in person.emails if is_email(one.value, strict=True)]
    own = [one for one in strict if f"{one} left out" not in "\n".join(found.notes)]
    assert not own or (found.email is not None and is_email(found.email, strict=True))
