"""The definition of the Kustomer app: names that Kustomer takes, and a version that changes only with the rest."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.kustomer.app_definition import (
    CATEGORY,
    FIRST_VERSION,
    SECRET,
    Form,
    app_definition,
    app_names,
    digest,
    latest_version,
    next_version,
)
from kustomer_klaviyo.sandbox.kustomer.envelope import Refusal
from kustomer_klaviyo.sandbox.kustomer.model import app_schema
from kustomer_klaviyo.setup.credentials import NAME

ORG = "5f19aa0b1c2d3e4f5a6b7c8a"
URL = "https://hooks.acme.example"
FORMS: tuple[Form, ...] = ("hosted", "native")
CONNECTIONS = st.from_regex(NAME, fullmatch=True)
VERSIONS = st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))


def written(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


@pytest.mark.parametrize("form", FORMS)
def test_the_closed_schema_takes_the_definition(form: Form) -> None:
    app_schema.check(app_definition("acme", ORG, public_url=URL, form=form))


@pytest.mark.parametrize("form", FORMS)
def test_the_closed_schema_takes_no_other_key(form: Form) -> None:
    with pytest.raises(Refusal):
        app_schema.check(app_definition("acme", ORG, public_url=URL, form=form) | {"author": "acme"})


@given(CONNECTIONS, st.sampled_from(FORMS))
def test_whatever_a_connection_is_called_kustomer_takes_the_names(connection: str, form: Form) -> None:
    definition = app_definition(connection, ORG, public_url=URL, form=form)
    app_schema.check(definition)
    assert re.fullmatch(r"[a-z0-9_]+", definition["app"])
    [command], [view] = definition["commands"], definition["kviews"]
    for part in (command["name"], view["name"]):
        assert re.fullmatch(rf"{definition['app']}\.app\.[a-z_]+", part)


@given(CONNECTIONS, CONNECTIONS)
def test_two_connections_have_two_apps(one: str, other: str) -> None:
    assert (app_names(one, ORG).app == app_names(other, ORG).app) == (one == other)


def test_names_carry_the_organisations_id_so_that_kustomer_need_not_add_it() -> None:
    assert app_names("acme-uk", ORG).app == f"kustomer_klaviyo_acme_uk_{ORG}"


def test_the_command_asks_for_one_customer_of_its_connection_and_nothing_else() -> None:
    [command] = app_definition("acme-uk", ORG, public_url=f"{URL}/")["commands"]
    assert command["url"] == f"{URL}/card/acme-uk/customers/{{{{{{customer}}}}}}"
    assert (command["httpMethod"], command["permittedArgs"]) == ("post", ["customer"])


def test_the_secret_is_a_setting_that_the_command_reads_and_the_definition_does_not_hold() -> None:
    definition = app_definition("acme", ORG, public_url=URL)
    setting = definition["settings"][CATEGORY][SECRET]
    assert (setting["type"], setting["defaultValue"]) == ("secret", "")
    [command] = definition["commands"]
    assert command["appSettings"] == {SECRET: {"key": f"{definition['app']}.{CATEGORY}.{SECRET}"}}


def test_the_card_stands_beside_a_customers_timeline_and_runs_the_command() -> None:
    for form in FORMS:
        definition = app_definition("acme", ORG, public_url=URL, form=form)
        [view] = definition["kviews"]
        assert (view["resource"], view["context"]) == ("customer", "smartbar-card")
        assert definition["commands"][0]["name"] in view["template"]


def test_a_hosted_card_frames_our_page_and_a_native_one_needs_none() -> None:
    templates = {
        form: app_definition("acme", ORG, public_url=URL, form=form)["kviews"][0]["template"] for form in FORMS
    }
    assert f'src="{URL}/card/acme?command=' in templates["hosted"]
    assert URL not in templates["native"]
    assert "__COMMAND__" not in templates["native"]


def test_every_text_is_of_a_part_that_there_is() -> None:
    definition = app_definition("acme", ORG, public_url=URL)
    app = definition["app"]
    assert all(name.startswith(f"{app}.settings.") for name in definition["i18n"]["en_us"])
    assert f"{app}.settings.path.{CATEGORY}.{SECRET}.displayName" in definition["i18n"]["en_us"]


def test_the_digest_heeds_all_but_the_version() -> None:
    definition = app_definition("acme", ORG, public_url=URL, version="1.0.0")
    assert digest(definition) == digest(app_definition("acme", ORG, public_url=URL, version="7.0.0"))
    others = [
        app_definition("acme", ORG, public_url="https://elsewhere.example"),
        app_definition("acme", ORG, public_url=URL, form="native"),
        app_definition("other", ORG, public_url=URL),
        definition | {"title": "Klaviyo"},
    ]
    assert digest(definition) not in {digest(one) for one in others}
    assert digest(definition) == digest(dict(reversed(definition.items())))


@pytest.mark.parametrize(
    ("version", "following"),
    [("1.0.0", "1.1.0"), ("1.9.4", "1.10.0"), ("2.0.7", "2.1.0"), ("first", FIRST_VERSION), ("", FIRST_VERSION)],
)
def test_the_version_after_one_is_the_next_minor(version: str, following: str) -> None:
    assert next_version(version) == following


@given(VERSIONS)
def test_the_next_version_is_higher_and_of_the_same_major(version: tuple[int, int, int]) -> None:
    following = tuple(map(int, next_version(written(version)).split(".")))
    assert following > version
    assert following[0] == version[0]


def test_the_latest_version_is_the_highest_number_not_the_last_word() -> None:
    assert latest_version(["1.9.0", "1.10.0", "1.2.0", "odd", "9"]) == "1.10.0"
    assert latest_version(["odd"]) is None
    assert latest_version([]) is None


@given(st.lists(VERSIONS, min_size=1))
def test_the_latest_of_some_versions_is_none_lower_than_another(versions: list[tuple[int, int, int]]) -> None:
    assert latest_version(list(map(written, versions))) == written(max(versions))
