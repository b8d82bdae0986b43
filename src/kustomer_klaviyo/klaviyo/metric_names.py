"""Proposes metric names: the ones that the account already has, since Klaviyo cannot rename a metric. Pure.

Kustomer's own app uses Done in one place and Close in another
(help.kustomer.com/integrate-with-klaviyo-B1kAh0JhP).
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from kustomer_klaviyo.klaviyo.event_request import EventSettings

_DEFAULTS = EventSettings(org="")
KNOWN_NAMES = {
    "created_metric": (_DEFAULTS.created_metric, "Kustomer Conversation Created"),
    "done_metric": (_DEFAULTS.done_metric, "Kustomer Conversation Close", "Kustomer Conversation Closed"),
    "csat_metric": (_DEFAULTS.csat_metric,),
}
"""The names that each metric may have in an account, the default first."""


@dataclass(frozen=True, slots=True)
class MetricNameProposal:
    """A proposed name for a metric."""

    option: str
    """The option for the name."""
    name: str
    exists: bool
    """The account already has a metric with this name."""
    choices: tuple[str, ...]
    """The names to choose from."""


def propose_names(names: Collection[str], configured: dict[str, str]) -> list[MetricNameProposal]:
    """Propose a name for each metric: the configured one, else one in the account, else the default."""
    kustomer_names = sorted(name for name in names if name.startswith("Kustomer"))
    proposals = []
    for option, known in KNOWN_NAMES.items():
        existing = [name for name in known if name in names]
        name = configured.get(option) or (existing or known)[0]
        choices = tuple(dict.fromkeys((name, *existing, known[0], *kustomer_names)))
        proposals.append(MetricNameProposal(option, name, name in names, choices))
    return proposals


def shared_metric_names(configured: Mapping[str, str]) -> list[str]:
    """Return the names that several metrics share: in Klaviyo they become one metric and cannot be separated.

    The comparison ignores case and surrounding spaces.
    """
    names = [configured.get(option, known[0]).strip() for option, known in KNOWN_NAMES.items()]
    counts = Counter(name.casefold() for name in names)
    return list({name.casefold(): name for name in names if counts[name.casefold()] > 1}.values())
