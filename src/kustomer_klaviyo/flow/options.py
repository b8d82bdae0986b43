"""What an admin may set for one connection, with what each setting does."""

import re
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import msgspec
import phonenumbers

from kustomer_klaviyo.flow.mapping import MappingError, read_mapping
from kustomer_klaviyo.klaviyo.express import ExpressOptions, validate_metric, validate_template

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


LINKS = ("profile_link", "list_link", "segment_link", "campaign_link", "flow_link")
ADDRESS = re.compile(r"https?://[\w.:/\-@~%?=&]+\Z", re.ASCII)
ADDRESS_OF_SITE = re.compile(r"https?://[\w.:\-]+\Z", re.ASCII)
LISTS = ("placeholders", "only_tags")


def read_options(document: dict[str, Any]) -> ConnectionOptions:
    """Read stored or entered settings. Raises OptionsError naming the first one that is wrong."""
    known = sorted(one.name for one in fields(ConnectionOptions))
    unknown = set(document) - set(known)
    if unknown:
        raise OptionsError(f"unknown option {min(unknown)!r}; there are: {', '.join(known)}")
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
    except (msgspec.ValidationError, ValueError) as error:
        raise OptionsError(str(error)) from error
    _check_numbers(options)
    _check_names(options)
    return options


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
    if min(options.keep_unidentified_days, options.keep_events_days) < 1 or options.keep_deliveries_days < 2:
        raise OptionsError("keep_..._days must be at least 1, and keep_deliveries_days at least 2")
    if options.sweep_minutes < 0:
        raise OptionsError("sweep_minutes must be 0 (never) or more")
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
