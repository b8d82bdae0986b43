"""The metrics that a Klaviyo account has already."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from kustomer_klaviyo.klaviyo.klaviyo_client import KlaviyoClient
from kustomer_klaviyo.klaviyo.metric_names import KNOWN_NAMES, MetricNameProposal, propose_names
from kustomer_klaviyo.klaviyo.profile_view import read_named
from kustomer_klaviyo.klaviyo.reader import KlaviyoReader
from kustomer_klaviyo.outcomes import Accepted


async def propose_metric_names(client: KlaviyoClient, options: Mapping[str, Any]) -> list[MetricNameProposal]:
    """Propose names for the metrics: the chosen ones, else those that exist in the account, if it shows them."""
    names = {name for name, _ in await _name_id_pairs(client)}
    return propose_names(names, {option: str(options[option]) for option in KNOWN_NAMES if option in options})


async def duplicate_metric_names(client: KlaviyoClient) -> list[str]:
    """Return the names that more than one metric of the account has. Each integration has its own metrics."""
    counts = Counter(name for name, _ in await _name_id_pairs(client))
    return sorted(name for name, count in counts.items() if count > 1)


async def _name_id_pairs(client: KlaviyoClient) -> set[tuple[str, str]]:
    outcomes = await KlaviyoReader(client).metrics(integration=None)
    return {
        (metric.name, metric.id)
        for outcome in outcomes
        if isinstance(outcome, Accepted)
        for metric in read_named(outcome.body)
    }
