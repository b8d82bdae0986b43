"""The options of a connection, which an admin sets: their meaning, defaults and limits."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import phonenumbers

from kustomer_klaviyo.klaviyo.event_request import EventSettings, validate_conversation_link, validate_metric_name
from kustomer_klaviyo.mapping.profile_mapping import MappingError, ProfileMapping, parse_mapping
from kustomer_klaviyo.terminal import is_harmful

KUSTOMER_LIMIT_PER_MINUTE = 1000
"""The smallest current plan's limit for a whole organisation (developer.kustomer.com/docs/concepts/rate-limits)."""

PLACEHOLDERS = (
    "5555555555", "0000000000", "1111111111", "1234567890", "9999999999",
    "noreply@*", "no-reply@*", "donotreply@*", "*@guest.airbnb.com", "*@guest.booking.com", "*@marketplace.amazon.*",
    "*@members.ebay.com", "*@reply.facebook.com", "*@message.airbnb.com",
)  # fmt: skip
"""Contacts that identify nobody: invented numbers, no-reply addresses, relay addresses of marketplaces."""

DEFAULTS = EventSettings(org="")


class OptionsError(ValueError):
    """An option is invalid. The message names it and the values it accepts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions:
    """The options of one connection."""

    created_metric: str = DEFAULTS.created_metric
    done_metric: str = DEFAULTS.done_metric
    csat_metric: str = DEFAULTS.csat_metric
    conversation_link: str = DEFAULTS.conversation_link
    default_country: str | None = None
    """ISO code of the country of phone numbers without one, such as ``US``. None: such numbers are not used."""
    spam: Literal["skip", "send"] = "skip"
    kustomer_imports: Literal["skip", "backfill"] = "skip"
    """Conversations that were imported into Kustomer: skip them, or send them as backfill, which starts no flows."""
    profiles: Literal["everyone", "conversations", "none"] = "everyone"
    """Whose profiles are written: every customer's, only those with a conversation routed here, or nobody's."""
    update_only: bool = False
    """Send only what belongs to existing Klaviyo profiles, since Klaviyo bills by profile."""
    support_state: bool = True
    """Write open conversations and CSAT ratings to the profile."""
    mapping: dict[str, Any] | None = None
    """Which customer attribute goes to which profile field. None: the default mapping. Set by ``mapping set``."""
    external_id: bool = False
    """Send ``kustomer:ORGANISATION:CUSTOMER`` as external_id. Klaviyo may merge profiles by it."""
    merge_profiles: bool = False
    """Merge two Klaviyo profiles permanently when both belong to one customer."""
    on_deletion: Literal["nothing", "clear", "erase"] = "nothing"
    """For a customer deleted in Kustomer: keep the profile, clear the values that were sent, or erase the profile."""
    placeholders: tuple[str, ...] = PLACEHOLDERS
    """Contacts that identify nobody: digits of a phone number, or an address pattern with ``*``."""
    only_tags: tuple[str, ...] = ()
    """Sync only customers with one of these tag ids."""
    only_attributes: dict[str, str] = field(default_factory=dict)
    """Sync only customers whose attributes have these values, such as ``custom.vipBool`` = ``true``."""
    unidentified_retention_days: int = 30
    """How long an event waits for its customer to have an email or phone."""
    kustomer_rate_share: float = 0.2
    """The share of the organisation's Kustomer API limit that this connection may use."""
    card_max_age_minutes: float = 15
    """The age after which an opened card is refreshed in the background."""
    profile_link: str = "https://www.klaviyo.com/profile/{id}"
    list_link: str = "https://www.klaviyo.com/list/{id}"
    segment_link: str = "https://www.klaviyo.com/list/{id}"
    campaign_link: str = "https://www.klaviyo.com/campaign/{id}"
    flow_link: str = "https://www.klaviyo.com/flow/{id}"
    """URLs that the card links to. Klaviyo documents none of them."""
    kustomer_app_url: str = "https://{org}.kustomerapp.com"
    """The URL of the Kustomer app: the only site that may frame the card."""
    cards_sdk_url: str = "https://cdn.kustomerapp.com/card-js/latest/kustomer-card.min.js"
    """The URL of Kustomer's script for cards."""
    card_sandbox: bool = True
    """Run the hosted card in its own origin. Set it to false if the Kustomer app requires the service's origin."""
    sweep_interval_minutes: float = 60
    """The interval of the sweep for deleted and merged customers, which no webhook reports. 0: never."""
    event_retention_days: int = 30
    """How long processed events and written profiles are kept."""
    delivery_retention_days: int = 400
    """How long deliveries are kept. Facts that are older than this are not sent."""


MAX_DAYS = 36_500
MIN_RETENTION_DAYS = {"unidentified_retention_days": 1, "event_retention_days": 1, "delivery_retention_days": 2}
MAX_MINUTES = 527_040
"""A year."""

TYPE_NAMES: Mapping[Any, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
"""The names of types in error messages."""

LINK_OPTIONS = ("profile_link", "list_link", "segment_link", "campaign_link", "flow_link")
URL_PATTERN = re.compile(r"https?://[\w.:/\-@~%?=&]+\Z", re.ASCII)
SITE_PATTERN = re.compile(r"https?://[\w.:\-]+\Z", re.ASCII)
LIST_OPTIONS = ("placeholders", "only_tags")


def read_options(document: dict[str, Any]) -> ConnectionOptions:
    """Parse options. Raises OptionsError naming the first invalid one."""
    return parse_options(document)[0]


def parse_options(document: dict[str, Any]) -> tuple[ConnectionOptions, ProfileMapping]:
    """Parse options and the mapping in them. Raises OptionsError naming the first invalid one."""
    _check_known(document)
    for name, value in document.items():
        if not _is_readable(value):
            raise OptionsError(f"{name} contains an invisible character, or half of one; type it again")
    try:
        options = msgspec.convert(_parse_texts(document), ConnectionOptions, strict=False)
        validate_conversation_link(options.conversation_link)
        for metric in (options.created_metric, options.done_metric, options.csat_metric):
            validate_metric_name(metric)
        for name in LINK_OPTIONS:
            validate_link(name, getattr(options, name))
        validate_url("kustomer_app_url", options.kustomer_app_url.replace("{org}", "org"), SITE_PATTERN)
        validate_url("cards_sdk_url", options.cards_sdk_url, URL_PATTERN)
        mapping = parse_mapping(options.mapping)
    except MappingError as error:
        raise OptionsError(f"mapping, {' > '.join(error.path)}: {error}") from error
    except msgspec.ValidationError as error:
        raise OptionsError(_type_error(document, str(error))) from error
    except ValueError as error:
        raise OptionsError(str(error)) from error
    _check_numbers(options)
    _check_names(options)
    return options, mapping


def _check_known(document: dict[str, Any]) -> None:
    known = sorted(option.name for option in fields(ConnectionOptions))
    for name in sorted(set(document) - set(known)):
        matches = difflib.get_close_matches(name, known, n=1)
        suggestion = f"did you mean {matches[0]!r}? " if matches else ""
        raise OptionsError(f"unknown option {name!r}; {suggestion}there are: {', '.join(known)}")


def _is_readable(value: Any) -> bool:
    """Return whether all texts of a value, however nested, consist of visible characters."""
    if isinstance(value, str):
        return not any(map(is_harmful, value))
    if isinstance(value, dict):
        return all(_is_readable(item) for pair in value.items() for item in pair)
    return not isinstance(value, list | tuple) or all(map(_is_readable, value))


def _type_error(document: dict[str, Any], message: str) -> str:
    """Return the message for an option of the wrong type: its name and the values it accepts."""
    match = re.search(r"\$\.(\w+)", message)
    name = match.group(1) if match else ""
    hint = get_type_hints(ConnectionOptions).get(name)
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    expected = f"one of {', '.join(choices)}" if choices else TYPE_NAMES.get(hint)
    return f"{name} must be {expected}, not {document.get(name)!r}" if expected else message


def _parse_texts(document: dict[str, Any]) -> dict[str, Any]:
    """Parse the text form of the command line: countries in any case, comma-separated lists, NAME=VALUE pairs."""
    parsed = dict(document)
    if isinstance(parsed.get("default_country"), str):
        parsed["default_country"] = parsed["default_country"].strip().upper() or None
    for name in LIST_OPTIONS:
        if isinstance(parsed.get(name), str):
            parsed[name] = [item.strip() for item in parsed[name].split(",") if item.strip()]
    attributes = parsed.get("only_attributes")
    if isinstance(attributes, str):
        pairs = [pair.partition("=") for pair in attributes.split(",") if pair.strip()]
        if not all(separator for _, separator, _ in pairs):
            raise OptionsError("only_attributes must be NAME=VALUE, or several separated by commas")
        parsed["only_attributes"] = {name.strip(): value.strip() for name, _, value in pairs}
    return parsed


def _check_names(options: ConnectionOptions) -> None:
    country = options.default_country
    if country is not None and country not in phonenumbers.SUPPORTED_REGIONS:
        raise OptionsError(f"default_country must be a country's ISO code, such as US or GB, not {country!r}")
    for source in options.only_attributes:
        try:
            parse_mapping({"properties": {"x": source}})
        except MappingError as error:
            raise OptionsError(f"only_attributes: {error}") from error


def _check_numbers(options: ConnectionOptions) -> None:
    if not 0 < options.kustomer_rate_share <= 1:
        raise OptionsError("kustomer_rate_share must be more than 0 and at most 1")
    for name, minimum in MIN_RETENTION_DAYS.items():
        if not minimum <= getattr(options, name) <= MAX_DAYS:
            raise OptionsError(f"{name} must be from {minimum} to {MAX_DAYS}")
    if not 0 <= options.sweep_interval_minutes <= MAX_MINUTES:
        raise OptionsError(f"sweep_interval_minutes must be 0 (never), or up to {MAX_MINUTES}")
    if not 1 <= options.card_max_age_minutes <= 1440:
        raise OptionsError("card_max_age_minutes must be from 1 to 1440")


def validate_url(name: str, url: str, pattern: re.Pattern[str]) -> None:
    """Raise ValueError unless the text is a URL that is safe in a Content-Security-Policy or a script tag."""
    if pattern.match(url) is None:
        raise ValueError(f"{name} must be a URL that begins with https://")


def validate_link(name: str, template: str) -> None:
    """Raise ValueError unless the template makes a URL from an id."""
    if not re.match(r"https?://[^\s<>\"{}]+\{id\}[^\s<>\"{}]*\Z", template):
        raise ValueError(f"{name} must be a URL with {{id}} in it, such as https://www.klaviyo.com/list/{{id}}")
