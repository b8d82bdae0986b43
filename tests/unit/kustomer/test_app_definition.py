"""The definition of the Kustomer app."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.kustomer.app_definition import (
    CATEGORY,
    INITIAL_VERSION,
    SECRET,
    CardForm,
    app_definition,
    app_names,
    digest,
    latest_version,
    next_version,
)
from kustomer_klaviyo.sandbox.kustomer.model import app_schema
from kustomer_klaviyo.sandbox.kustomer.responses import KustomerRefusal
from kustomer_klaviyo.setup.connect_request import NAME_PATTERN

ORG = "5f19aa0b1c2d3e4f5a6b7c8a"
URL = "https://hooks.acme.example"
FORMS: tuple[CardForm, ...] = ("hosted", "native")
CONNECTIONS = st.from_regex(NAME_PATTERN, fullmatch=True)
VERSIONS = st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))


def format_version(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


@pytest.mark.parametrize("form", FORMS)
def test_the_definition_matches_the_closed_schema(form: CardForm) -> None:
    app_schema.validate_definition(app_definition("acme", ORG, public_url=URL, form=form))


@pytest.mark.parametrize("form", FORMS)
def test_the_closed_schema_rejects_another_key(form: CardForm) -> None:
    with pytest.raises(KustomerRefusal):
        app_schema.validate_definition(app_definition("acme", ORG, public_url=URL, form=form) | {"author": "acme"})


@given(CONNECTIONS, st.sampled_from(FORMS))
def test_the_names_are_valid_for_any_connection(connection: str, form: CardForm) -> None:
    definition = app_definition(connection, ORG, public_url=URL, form=form)
    app_schema.validate_definition(definition)
    assert re.fullmatch(r"[a-z0-9_]+", definition["app"])
    [command], [view] = definition["commands"], definition["kviews"]
    for part in (command["name"], view["name"]):
        assert re.fullmatch(rf"{definition['app']}\.app\.[a-z_]+", part)


@given(CONNECTIONS, CONNECTIONS)
def test_two_connections_have_two_apps(one: str, other: str) -> None:
    assert (app_names(one, ORG).app == app_names(other, ORG).app) == (one == other)


def test_names_contain_the_organisation_id() -> None:
    assert app_names("acme-uk", ORG).app == f"kustomer_klaviyo_acme_uk_{ORG}"


def test_the_command_fetches_one_customer_of_its_connection() -> None:
    [command] = app_definition("acme-uk", ORG, public_url=f"{URL}/")["commands"]
    assert command["url"] == f"{URL}/card/acme-uk/customers/{{{{{{customer}}}}}}"
    assert (command["httpMethod"], command["permittedArgs"]) == ("post", ["customer"])


def test_the_secret_is_a_setting_of_the_command_and_not_in_the_definition() -> None:
    definition = app_definition("acme", ORG, public_url=URL)
    setting = definition["settings"][CATEGORY][SECRET]
    assert (setting["type"], setting["defaultValue"]) == ("secret", "")
    [command] = definition["commands"]
    assert command["appSettings"] == {SECRET: {"key": f"{definition['app']}.{CATEGORY}.{SECRET}"}}


def test_the_card_is_a_smartbar_card_that_runs_the_command() -> None:
    for form in FORMS:
        definition = app_definition("acme", ORG, public_url=URL, form=form)
        [view] = definition["kviews"]
        assert (view["resource"], view["context"]) == ("customer", "smartbar-card")
        assert definition["commands"][0]["name"] in view["template"]


def test_a_hosted_card_frames_the_page_and_a_native_one_does_not() -> None:
    templates = {
        form: app_definition("acme", ORG, public_url=URL, form=form)["kviews"][0]["template"] for form in FORMS
    }
    assert f'src="{URL}/card/acme?command=' in templates["hosted"]
    assert URL not in templates["native"]
    assert "__COMMAND__" not in templates["native"]


def test_every_text_belongs_to_an_existing_setting() -> None:
    definition = app_definition("acme", ORG, public_url=URL)
    app = definition["app"]
    assert all(name.startswith(f"{app}.settings.") for name in definition["i18n"]["en_us"])
    assert f"{app}.settings.path.{CATEGORY}.{SECRET}.displayName" in definition["i18n"]["en_us"]


def test_the_digest_ignores_only_the_version() -> None:
    definition = app_definition("acme", ORG, public_url=URL, version="1.0.0")
    assert digest(definition) == digest(app_definition("acme", ORG, public_url=URL, version="7.0.0"))
    others = [
        app_definition("acme", ORG, public_url="https://elsewhere.example"),
        app_definition("acme", ORG, public_url=URL, form="native"),
        app_definition("other", ORG, public_url=URL),
        definition | {"title": "Klaviyo"},
    ]
    assert digest(definition) not in {digest(other) for other in others}
    assert digest(definition) == digest(dict(reversed(definition.items())))


@pytest.mark.parametrize(
    ("version", "expected"),
    [("1.0.0", "1.1.0"), ("1.9.4", "1.10.0"), ("2.0.7", "2.1.0"), ("first", INITIAL_VERSION), ("", INITIAL_VERSION)],
)
def test_the_next_version_is_the_next_minor(version: str, expected: str) -> None:
    assert next_version(version) == expected


@given(VERSIONS)
def test_the_next_version_is_higher_and_of_the_same_major(version: tuple[int, int, int]) -> None:
    following = tuple(map(int, next_version(format_version(version)).split(".")))
    assert following > version
    assert following[0] == version[0]


def test_the_latest_version_is_the_highest_number() -> None:
    assert latest_version(["1.9.0", "1.10.0", "1.2.0", "odd", "9"]) == "1.10.0"
    assert latest_version(["odd"]) is None
    assert latest_version([]) is None


@given(st.lists(VERSIONS, min_size=1))
def test_the_latest_version_is_the_maximum(versions: list[tuple[int, int, int]]) -> None:
    assert latest_version(list(map(format_version, versions))) == format_version(max(versions))
