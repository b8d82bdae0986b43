"""Which query parameters each operation has, and what they may name; any other is refused.

Names: developers.klaviyo.com/en/reference/api_overview, the page of each operation.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from kustomer_klaviyo.sandbox.klaviyo.api.resources import LOCATION, SHOWN
from kustomer_klaviyo.sandbox.klaviyo.api.revisions import OMNI_CAMPAIGNS
from kustomer_klaviyo.sandbox.klaviyo.envelope import Refusal, invalid_parameter
from kustomer_klaviyo.sandbox.klaviyo.model.records import PREDICTIONS, never_subscribed

Names = frozenset[str]
"""Of attributes; ``definition.*`` stands for whatever is below, where it differs from one thing to another."""


def _names(text: str) -> Names:
    return frozenset(text.split())


def _below(name: str, parts: Iterable[str]) -> Names:
    return frozenset({name, *(f"{name}.{part}" for part in parts)})


def _consents() -> Iterator[str]:
    for channel, purposes in never_subscribed().items():
        yield channel
        for purpose, parts in purposes.items():
            yield f"{channel}.{purpose}"
            yield from (f"{channel}.{purpose}.{part}" for part in parts)


ADDRESS = _below("street_address", ("address1", "address2", "city", "country", "region", "zip"))
SENDER = _names("default_sender_email default_sender_name organization_name website_url") | ADDRESS
ACCOUNT = _names("id industry locale preferred_currency public_api_key test_account timezone")
PERSON = _names("id created updated last_event_date properties") | set(SHOWN) | _below("location", LOCATION)
PROFILE = PERSON | _below("subscriptions", _consents()) | _below("predictive_analytics", PREDICTIONS)
EVENT = _names("id datetime event_properties timestamp uuid")
METRIC = _names("id created integration name updated")
LIST = _names("id created name opt_in_process updated")
SEGMENT = _names("id created is_active is_processing is_starred name updated definition definition.condition_groups")
FLOW = _names("id archived created name status trigger_type updated")
FLOW_DEFINITION = _below(
    "definition",
    _names("actions entry_action_id triggers")
    | _below("profile_filter", ("condition_groups",))
    | _below("reentry_criteria", ("duration", "unit")),
)
JOB = _names(
    "id status total_count completed_count failed_count created_at started_at completed_at expires_at"
)  # fmt: skip
JOB_ERROR = _names("id code detail original_payload source source.pointer title")
SEND_OPTIONS = _below("options", _names("is_local send_past_recipients_immediately"))
SEND_STRATEGY = _below("send_strategy", _names("date datetime method throttle_percentage") | SEND_OPTIONS)
TRACKING = _names("add_tracking_params custom_tracking_params is_tracking_clicks is_tracking_opens")
CAMPAIGN = (
    _names("id archived created_at name scheduled_at send_time status updated_at")
    | _below("audiences", ("included", "excluded"))
    | _below("send_options", ("use_smart_sending",))
    | SEND_STRATEGY
    | _below("tracking_options", TRACKING)
)
MESSAGE = _names("id created_at updated_at send_times definition definition.*")
OMNI_CAMPAIGN = _names("id created_at updated_at") | _below(
    "definition", _names("name builder archived color description send_settings")
)
OMNI_AUDIENCE = _names("id created updated") | _below("definition", _names("name included excluded priority"))
OMNI_MESSAGE = _names("id created updated") | _below(
    "definition", _names("name status tracking_options send_options ab_test")
)
OMNI_VARIATION = _names("id created updated") | _below("definition", _names("name details"))
CONVERSATION, TAG, ATTRIBUTION = _names("id channel"), _names("id name"), _names("id")
IMAGE = _names("id format hidden image_url name size updated_at")
TEMPLATE = _names("id amp created editor_type html name text updated")
PUSH_TOKEN = _names("id background created enablement_status metadata platform recorded_date token vendor metadata.*")
FLOW_ACTION = _names("id created updated definition definition.*")

WITH_COUNT, OF_GROUP = _names("profile_count"), _names("joined_group_at")
OF_PERSON = {"profile": _names("subscriptions predictive_analytics")}
PAGES = _names("page[cursor] page[size]")
LISTED = PAGES | {"filter", "sort"}
FILTERED = _names("filter page[cursor]")


@dataclass(frozen=True, slots=True)
class Query:
    """The parameters of one operation."""

    others: Names = frozenset()
    """Of ``filter``, ``sort``, ``page[cursor]`` and ``page[size]``."""
    fields: Mapping[str, Names] = field(default_factory=dict)
    include: Names = frozenset()
    additional: Mapping[str, Names] = field(default_factory=dict)
    is_filter_needed: bool = False

    def parameters(self) -> Iterator[tuple[str, Names | None]]:
        """Return each parameter with the names that it may list, or None where it holds something else."""
        yield from ((name, None) for name in self.others)
        yield from ((f"fields[{kind}]", names) for kind, names in self.fields.items())
        yield from ((f"additional-fields[{kind}]", names) for kind, names in self.additional.items())
        if self.include:
            yield "include", self.include


ONE_PROFILE = Query(fields={"profile": PROFILE}, additional=OF_PERSON)
PROFILES = Query(PAGES, {"profile": PROFILE}, additional=OF_PERSON)
MEMBERS = Query(LISTED, {"profile": PROFILE | OF_GROUP}, additional=OF_PERSON)
ONE_JOB = {"profile-bulk-import-job": JOB}
NEIGHBOURS = {"flow": FLOW, "tag": TAG}
FLOWS = {"flow-action": FLOW_ACTION, "flow": FLOW, "tag": TAG}
EVENTS = {"attribution": ATTRIBUTION, "event": EVENT, "metric": METRIC, "profile": PERSON}
PEOPLE = {"conversation": CONVERSATION, "profile": PROFILE, "push-token": PUSH_TOKEN}
CAMPAIGNS = {"campaign-message": MESSAGE, "campaign": CAMPAIGN, "tag": TAG}
MESSAGES = {"campaign-message": MESSAGE, "campaign": CAMPAIGN, "image": IMAGE, "template": TEMPLATE}
OF_EVENTS, OF_GROUPS = _names("attributions metric profile"), _names("flow-triggers tags")
OF_CAMPAIGNS, OF_MESSAGES = _names("campaign-messages tags"), _names("campaign image template")
OF_FLOWS = _names("flow-actions tags")

QUERIES: Mapping[str, Query] = {
    "get_accounts": Query(fields={"account": ACCOUNT | _below("contact_information", SENDER)}),
    "get_events": Query(LISTED, EVENTS, OF_EVENTS),
    "get_event": Query(fields=EVENTS, include=OF_EVENTS),
    "get_profile_for_event": ONE_PROFILE,
    "get_metric_for_event": Query(fields={"metric": METRIC}),
    "get_metrics": Query(FILTERED, {"flow": FLOW, "metric": METRIC}, _names("flow-triggers")),
    "get_metric": Query(fields={"flow": FLOW, "metric": METRIC}, include=_names("flow-triggers")),
    "get_profiles": Query(LISTED, PEOPLE, _names("conversations push-tokens"), OF_PERSON),
    "get_profile": Query(
        fields=PEOPLE | {"list": LIST, "segment": SEGMENT},
        include=_names("conversations lists push-tokens segments"),
        additional=OF_PERSON,
    ),
    "create_profile": ONE_PROFILE,
    "update_profile": ONE_PROFILE,
    "create_or_update_profile": ONE_PROFILE,
    "bulk_import_profiles": Query(fields=ONE_JOB),
    "get_bulk_import_profiles_jobs": Query(LISTED, ONE_JOB),
    "get_bulk_import_profiles_job": Query(fields=ONE_JOB | {"list": LIST}, include=_names("lists")),
    "get_errors_for_bulk_import_profiles_job": Query(PAGES, {"import-error": JOB_ERROR}),
    "get_profiles_for_bulk_import_profiles_job": PROFILES,
    "merge_profiles": Query(fields={"profile": _names("id")}),
    "get_lists": Query(LISTED, NEIGHBOURS | {"list": LIST}, OF_GROUPS),
    "get_list": Query(
        fields=NEIGHBOURS | {"list": LIST | WITH_COUNT}, include=OF_GROUPS, additional={"list": WITH_COUNT}
    ),
    "get_segments": Query(LISTED, NEIGHBOURS | {"segment": SEGMENT}, OF_GROUPS),
    "get_segment": Query(
        fields=NEIGHBOURS | {"segment": SEGMENT | WITH_COUNT}, include=OF_GROUPS, additional={"segment": WITH_COUNT}
    ),
    "get_profiles_for_list": MEMBERS,
    "get_profile_ids_for_list": Query(LISTED),
    "get_profiles_for_segment": MEMBERS,
    "get_profile_ids_for_segment": Query(LISTED),
    "get_lists_for_profile": Query(fields={"list": LIST}),
    "get_segments_for_profile": Query(fields={"segment": SEGMENT}),
    "get_campaigns": Query(LISTED, CAMPAIGNS, OF_CAMPAIGNS, is_filter_needed=True),
    "get_campaign": Query(fields=CAMPAIGNS, include=OF_CAMPAIGNS),
    "get_messages_for_campaign": Query(fields=MESSAGES, include=OF_MESSAGES),
    "get_campaign_message": Query(fields=MESSAGES, include=OF_MESSAGES),
    "get_campaign_for_campaign_message": Query(fields={"campaign": CAMPAIGN}),
    "get_flows": Query(LISTED, FLOWS, OF_FLOWS),
    "get_flow": Query(
        fields=FLOWS | {"flow": FLOW | FLOW_DEFINITION}, include=OF_FLOWS, additional={"flow": _names("definition")}
    ),
}

_AUDIENCE, _MESSAGE, _VARIATION = "campaign-audience", "campaign-message", "campaign-variation"
OMNI_CAMPAIGNS_AND = {"campaign": OMNI_CAMPAIGN, _AUDIENCE: OMNI_AUDIENCE, _MESSAGE: OMNI_MESSAGE, "tag": TAG}
OF_OMNI_CAMPAIGNS = _names("campaign-audiences campaign-messages tags")
OMNI_QUERIES: Mapping[str, Query] = {
    "get_campaigns": Query(LISTED, OMNI_CAMPAIGNS_AND, OF_OMNI_CAMPAIGNS),
    "get_campaign": Query(fields=OMNI_CAMPAIGNS_AND, include=OF_OMNI_CAMPAIGNS),
    "get_campaign_audiences_for_campaign": Query(fields={_AUDIENCE: OMNI_AUDIENCE}),
    "get_campaign_audience": Query(
        fields={_AUDIENCE: OMNI_AUDIENCE, _MESSAGE: OMNI_MESSAGE, "campaign": OMNI_CAMPAIGN},
        include=_names("campaign campaign-messages"),
    ),
    "get_campaign_for_campaign_audience": Query(fields={"campaign": OMNI_CAMPAIGN}),
    "get_messages_for_campaign": Query(
        _names("page[cursor]"), {_MESSAGE: OMNI_MESSAGE, "campaign": OMNI_CAMPAIGN}, _names("campaign")
    ),
    "get_campaign_messages": Query(LISTED, {_MESSAGE: OMNI_MESSAGE, "campaign": OMNI_CAMPAIGN}, _names("campaign")),
    "get_campaign_message": Query(
        fields={_MESSAGE: OMNI_MESSAGE, _VARIATION: OMNI_VARIATION, "campaign": OMNI_CAMPAIGN},
        include=_names("campaign campaign-variations"),
    ),
    "get_campaign_for_campaign_message": Query(fields={"campaign": OMNI_CAMPAIGN}),
    "get_variations_for_campaign_message": Query(fields={_VARIATION: OMNI_VARIATION}),
    "get_campaign_variation": Query(
        fields={_VARIATION: OMNI_VARIATION, _MESSAGE: OMNI_MESSAGE}, include=_names("campaign-message")
    ),
}
"""Since the revision that made campaigns another resource."""


def check_query(query: Mapping[str, str], operation: str, revision: str) -> None:
    """Raise Refusal (400) when a request has a parameter that its operation lacks, or one that names what is not."""
    known = _query(operation, revision)
    parameters = dict(known.parameters())
    for name, value in query.items():
        if name not in parameters:
            raise invalid_parameter(f"'{name}' is not a valid parameter of this operation.", name)
        listed = parameters[name]
        unknown = [] if listed is None else [one for one in value.split(",") if one and not _is_among(one, listed)]
        if unknown:
            raise _unknown(unknown[0], name)
    if known.is_filter_needed and not query.get("filter"):
        raise invalid_parameter("The parameter 'filter' is required.", "filter")


def _is_among(name: str, names: Names) -> bool:
    return name in names or f"{name.partition('.')[0]}.*" in names


def _query(operation: str, revision: str) -> Query:
    omni = OMNI_QUERIES.get(operation) if revision >= OMNI_CAMPAIGNS else None
    return omni or QUERIES.get(operation, Query())


def _unknown(value: str, parameter: str) -> Refusal:
    kind = parameter.partition("[")[2].removesuffix("]")
    what = f"field for the resource '{kind}'" if kind else parameter
    return invalid_parameter(f"'{value}' is not a valid {what}.", parameter)
