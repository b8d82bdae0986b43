"""What an admin may set for one connection, with what each setting does."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import phonenumbers

from kustomer_klaviyo.klaviyo.event_request import ExpressOptions, validate_metric, validate_template
from kustomer_klaviyo.mapping.profile_mapping import MappingError, read_mapping
from kustomer_klaviyo.terminal import is_harmful

KUSTOMER_LIMIT_PER_MINUTE = 1000
"""The smallest current plan's limit for a whole organisation (developer.kustomer.com/docs/concepts/rate-limits)."""

PLACEHOLDERS = (
    "5555555555", "0000000000", "1111111111", "1234567890", "9999999999",
    "noreply@*", "no-reply@*", "donotreply@*", "*@guest.airbnb.com", "*@guest.booking.com", "*@marketplace.amazon.*",
    "*@members.ebay.com", "*@reply.facebook.com", "*@message.airbnb.com",
)  # fmt: skip
"""Contacts that many people share because nobody has them: made-up numbers, addresses of marketplaces' relays."""

DEFAULTS = ExpressOptions(org="")


class OptionsError(ValueError):
    """A setting of a connection is wrong; the text names it and says what it may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions:
    """The settings of one connection; each has a default that suits most."""

    created_metric: str = DEFAULTS.created_metric
    closed_metric: str = DEFAULTS.closed_metric
    satisfaction_metric: str = DEFAULTS.satisfaction_metric
    link_template: str = DEFAULTS.link_template
    default_country: str | None = None
    """ISO code for phone numbers written without a country, such as ``US``; without it such numbers are left out."""
    spam: Literal["skip", "send"] = "skip"
    imported: Literal["skip", "backfill"] = "skip"
    """Conversations imported into Kustomer: set aside, or sent at their own time without starting flows."""
    profiles: Literal["everyone", "conversations", "none"] = "everyone"
    """Whose profile is written: every customer's, only those with a conversation routed here, or nobody's."""
    update_only: bool = False
    """Write and tell only of people whom Klaviyo knows already: profiles are what Klaviyo bills."""
    support_state: bool = True
    """Keep open conversations and the last ratings on the profile."""
    mapping: dict[str, Any] | None = None
    """What of a customer goes where; None is the default mapping. Set with ``kustomer-klaviyo mapping set``."""
    external_id: bool = False
    """Send ``kustomer:ORGANISATION:CUSTOMER`` as Klaviyo's external_id, by which Klaviyo may merge profiles."""
    merge_profiles: bool = False
    """Merge two Klaviyo profiles for good when one customer turns out to be both."""
    on_deletion: Literal["nothing", "clear", "erase"] = "nothing"
    """When a customer is deleted in Kustomer: leave the profile, clear what we wrote, or have Klaviyo erase it."""
    placeholders: tuple[str, ...] = PLACEHOLDERS
    """Contacts that name nobody: digits of a phone number, or an address in which ``*`` stands for anything."""
    only_tags: tuple[str, ...] = ()
    """Only customers with one of these tag ids are told of at all."""
    only_attributes: dict[str, str] = field(default_factory=dict)
    """Only customers whose attributes have these values, such as ``custom.vipBool`` = ``true``."""
    keep_unidentified_days: int = 30
    """How long an event waits for its customer to get an email or phone."""
    kustomer_share: float = 0.2
    """The part of the organisation's API limit that we may use."""
    card_minutes: float = 15
    """How old a card may be before it is fetched anew behind the one shown."""
    profile_link: str = "https://www.klaviyo.com/profile/{id}"
    list_link: str = "https://www.klaviyo.com/list/{id}"
    segment_link: str = "https://www.klaviyo.com/list/{id}"
    campaign_link: str = "https://www.klaviyo.com/campaign/{id}"
    flow_link: str = "https://www.klaviyo.com/flow/{id}"
    """Where the card links to: Klaviyo documents none of these addresses."""
    agents_at: str = "https://{org}.kustomerapp.com"
    """Where agents work: the only site that may frame the card."""
    cards_sdk: str = "https://cdn.kustomerapp.com/card-js/latest/kustomer-card.min.js"
    card_sandbox: bool = True
    """The hosted card runs in an origin of its own; a desktop that insists on ours needs this off."""
    """Kustomer's script for cards."""
    sweep_minutes: float = 60
    """How often Kustomer is asked for deleted and merged customers, of which no webhook tells; 0 is never."""
    keep_events_days: int = 30
    """How long understood events and written profiles can be looked up as received."""
    keep_deliveries_days: int = 400
    """How long what was sent can be looked up; older facts are not told any more."""


MOST_DAYS = 36_500
MOST_MINUTES = 527_040
"""A year; what lasts longer is never."""

FORMS: Mapping[Any, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
"""What a setting of a type may be, in words."""

LINKS = ("profile_link", "list_link", "segment_link", "campaign_link", "flow_link")
ADDRESS = re.compile(r"https?://[\w.:/\-@~%?=&]+\Z", re.ASCII)
ADDRESS_OF_SITE = re.compile(r"https?://[\w.:\-]+\Z", re.ASCII)
LISTS = ("placeholders", "only_tags")


def read_options(document: dict[str, Any]) -> ConnectionOptions:
    """Read stored or entered settings. Raises OptionsError naming the first one that is wrong."""
    _check_known(document)
    for name, value in document.items():
        if not _is_readable(value):
            raise OptionsError(f"{name} holds an invisible character, or half of one; type it anew")
    try:
        options = msgspec.convert(_listed(document), ConnectionOptions, strict=False)
        validate_template(options.link_template)
        for metric in (options.created_metric, options.closed_metric, options.satisfaction_metric):
            validate_metric(metric)
        for name in LINKS:
            validate_link(name, getattr(options, name))
        validate_address("agents_at", options.agents_at.replace("{org}", "org"), ADDRESS_OF_SITE)
        validate_address("cards_sdk", options.cards_sdk, ADDRESS)
        read_mapping(options.mapping)
    except MappingError as error:
        raise OptionsError(f"mapping, {' > '.join(error.path)}: {error}") from error
    except msgspec.ValidationError as error:
        raise OptionsError(_say(document, str(error))) from error
    except ValueError as error:
        raise OptionsError(str(error)) from error
    _check_numbers(options)
    _check_names(options)
    return options


def _check_known(document: dict[str, Any]) -> None:
    known = sorted(one.name for one in fields(ConnectionOptions))
    for name in sorted(set(document) - set(known)):
        near = difflib.get_close_matches(name, known, n=1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        raise OptionsError(f"unknown option {name!r}; {meant}there are: {', '.join(known)}")


def _is_readable(value: Any) -> bool:
    """Say whether a setting's texts hold only characters that can be seen, whatever they are nested in."""
    if isinstance(value, str):
        return not any(map(is_harmful, value))
    if isinstance(value, dict):
        return all(_is_readable(one) for pair in value.items() for one in pair)
    return not isinstance(value, list | tuple) or all(map(_is_readable, value))


def _say(document: dict[str, Any], said: str) -> str:
    """Say which setting is of the wrong type, and what it may be."""
    found = re.search(r"\$\.(\w+)", said)
    name = found.group(1) if found else ""
    hint = get_type_hints(ConnectionOptions).get(name)
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    words = f"one of {', '.join(choices)}" if choices else FORMS.get(hint)
    return f"{name} must be {words}, not {document.get(name)!r}" if words else said


def _listed(document: dict[str, Any]) -> dict[str, Any]:
    """Read what the command line has as text: a country in either case; values or pairs NAME=VALUE parted by commas."""
    listed = dict(document)
    if isinstance(listed.get("default_country"), str):
        listed["default_country"] = listed["default_country"].strip().upper() or None
    for name in LISTS:
        if isinstance(listed.get(name), str):
            listed[name] = [part.strip() for part in listed[name].split(",") if part.strip()]
    pairs = listed.get("only_attributes")
    if isinstance(pairs, str):
        parted = [pair.partition("=") for pair in pairs.split(",") if pair.strip()]
        if not all(separator for _, separator, _ in parted):
            raise OptionsError("only_attributes wants NAME=VALUE, several parted by commas")
        listed["only_attributes"] = {name.strip(): value.strip() for name, _, value in parted}
    return listed


def _check_names(options: ConnectionOptions) -> None:
    country = options.default_country
    if country is not None and country not in phonenumbers.SUPPORTED_REGIONS:
        raise OptionsError(f"default_country must be a country's ISO code, such as US or GB, not {country!r}")
    for source in options.only_attributes:
        try:
            read_mapping({"properties": {"x": source}})
        except MappingError as error:
            raise OptionsError(f"only_attributes: {error}") from error


def _check_numbers(options: ConnectionOptions) -> None:
    if not 0 < options.kustomer_share <= 1:
        raise OptionsError("kustomer_share must be more than 0 and at most 1")
    for name, least in (("keep_unidentified_days", 1), ("keep_events_days", 1), ("keep_deliveries_days", 2)):
        if not least <= getattr(options, name) <= MOST_DAYS:
            raise OptionsError(f"{name} must be from {least} to {MOST_DAYS}")
    if not 0 <= options.sweep_minutes <= MOST_MINUTES:
        raise OptionsError(f"sweep_minutes must be 0 (never), or up to {MOST_MINUTES}")
    if not 1 <= options.card_minutes <= 1440:
        raise OptionsError("card_minutes must be from 1 to 1440")


def validate_address(name: str, address: str, form: re.Pattern[str]) -> None:
    """Raise ValueError unless the text is an address that can stand in a page's head."""
    if form.match(address) is None:
        raise ValueError(f"{name} must be an address that begins with https://")


def validate_link(name: str, template: str) -> None:
    """Raise ValueError unless the template makes an address for a browser out of an id."""
    if not re.match(r"https?://[^\s<>\"{}]+\{id\}[^\s<>\"{}]*\Z", template):
        raise ValueError(f"{name} must be an address with {{id}} in it, such as https://www.klaviyo.com/list/{{id}}")
