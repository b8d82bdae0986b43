"""Which names our events go by: those that the account has already, since Klaviyo cannot rename a metric. Pure.

Kustomer's own app calls one of them Done in one place and Close in another
(help.kustomer.com/integrate-with-klaviyo-B1kAh0JhP).
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from kustomer_klaviyo.klaviyo.event_request import ExpressOptions

_DEFAULTS = ExpressOptions(org="")
USUAL = {
    "created_metric": (_DEFAULTS.created_metric, "Kustomer Conversation Created"),
    "closed_metric": (_DEFAULTS.closed_metric, "Kustomer Conversation Close", "Kustomer Conversation Closed"),
    "satisfaction_metric": (_DEFAULTS.satisfaction_metric,),
}
"""The names each of our metrics may have in an account, the default first."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A name for one of our metrics."""

    option: str
    """The setting that holds it."""
    name: str
    exists: bool
    """The account has a metric of this name already."""
    choices: tuple[str, ...]
    """Others that could be meant."""


def propose(names: Collection[str], chosen: dict[str, str]) -> list[Proposal]:
    """Propose a name for each metric: the one chosen, else one that is there, else the default."""
    ours = sorted(name for name in names if name.startswith("Kustomer"))
    proposals = []
    for option, usual in USUAL.items():
        there = [name for name in usual if name in names]
        name = chosen.get(option) or (there or usual)[0]
        choices = tuple(dict.fromkeys((name, *there, usual[0], *ours)))
        proposals.append(Proposal(option, name, name in names, choices))
    return proposals


def shared_names(chosen: Mapping[str, str]) -> list[str]:
    """Return the names that more than one of our metrics goes by: in Klaviyo they are one metric, and cannot be parted.

    Names are compared without regard to case and outer spaces, since people would not tell them apart either.
    """
    names = [chosen.get(option, usual[0]).strip() for option, usual in USUAL.items()]
    counts = Counter(name.casefold() for name in names)
    return list({name.casefold(): name for name in names if counts[name.casefold()] > 1}.values())
