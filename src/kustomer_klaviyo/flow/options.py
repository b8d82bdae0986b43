"""What an admin may set for one connection, with what each setting does."""

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from kustomer_klaviyo.klaviyo.express import ExpressOptions, validate_metric, validate_template

KUSTOMER_LIMIT_PER_MINUTE = 1000
"""The smallest current plan's limit for a whole organisation (developer.kustomer.com/docs/concepts/rate-limits)."""


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
    keep_unidentified_days: int = 30
    """How long an event waits for its customer to get an email or phone."""
    kustomer_share: float = 0.2
    """The part of the organisation's API limit that we may use."""
    keep_events_days: int = 30
    """How long understood events can be looked up as received."""
    keep_deliveries_days: int = 400
    """How long what was sent can be looked up; older facts are not told any more."""


def read_options(document: dict[str, Any]) -> ConnectionOptions:
    """Read stored or entered settings. Raises OptionsError naming the first one that is wrong."""
    unknown = set(document) - set(ConnectionOptions.__dataclass_fields__)
    if unknown:
        raise OptionsError(
            f"unknown option {min(unknown)!r}; there are: {', '.join(sorted(ConnectionOptions.__dataclass_fields__))}"
        )
    try:
        options = msgspec.convert(document, ConnectionOptions, strict=False)
        validate_template(options.link_template)
        for metric in (options.created_metric, options.closed_metric, options.satisfaction_metric):
            validate_metric(metric)
    except (msgspec.ValidationError, ValueError) as error:
        raise OptionsError(str(error)) from error
    if not 0 < options.kustomer_share <= 1:
        raise OptionsError("kustomer_share must be more than 0 and at most 1")
    if min(options.keep_unidentified_days, options.keep_events_days) < 1 or options.keep_deliveries_days < 2:
        raise OptionsError("keep_..._days must be at least 1, and keep_deliveries_days at least 2")
    return options
