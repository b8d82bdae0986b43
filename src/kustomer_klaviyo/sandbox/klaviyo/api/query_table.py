"""The query parameters of each operation, and the names that they may list. All others are refused.

Names: developers.klaviyo.com/en/reference/api_overview, the page of each operation.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from kustomer_klaviyo.sandbox.klaviyo.api.resources import LOCATION_FIELDS, PROFILE_ATTRIBUTES
from kustomer_klaviyo.sandbox.klaviyo.api.revisions import OMNI_CAMPAIGNS
from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import KlaviyoRefusal, invalid_parameter
from kustomer_klaviyo.sandbox.klaviyo.model.records import PREDICTIONS, never_subscribed

Names = frozenset[str]
"""Names of attributes; ``definition.*`` matches any name below, where the content varies."""


def _names(text: str) -> Names:
    return frozenset(text.split())


def _nested(name: str, parts: Iterable[str]) -> Names:
    return frozenset({name, *(f"{name}.{part}" for part in parts)})


def _subscription_names() -> Iterator[str]:
    for channel, purposes in never_subscribed().items():
        yield channel
        for purpose, parts in purposes.items():
            yield f"{channel}.{purpose}"
            yield from (f"{channel}.{purpose}.{part}" for part in parts)


ADDRESS = _nested("street_address", ("address1", "address2", "city", "country", "region", "zip"))
SENDER = _names("default_sender_email default_sender_name organization_name website_url") | ADDRESS
ACCOUNT = _names("id industry locale preferred_currency public_api_key test_account timezone")
PROFILE_BASE = (
    _names("id created updated last_event_date properties")
    | set(PROFILE_ATTRIBUTES)
    | _nested("location", LOCATION_FIELDS)
)
PROFILE = PROFILE_BASE | _nested("subscriptions", _subscription_names()) | _nested("predictive_analytics", PREDICTIONS)
EVENT = _names("id datetime event_properties timestamp uuid")
METRIC = _names("id created integration name updated")
LIST = _names("id created name opt_in_process updated")
SEGMENT = _names("id created is_active is_processing is_starred name updated definition definition.condition_groups")
FLOW = _names("id archived created name status trigger_type updated")
FLOW_DEFINITION = _nested(
    "definition",
    _names("actions entry_action_id triggers")
    | _nested("profile_filter", ("condition_groups",))
    | _nested("reentry_criteria", ("duration", "unit")),
)
JOB = _names(
    "id status total_count completed_count failed_count created_at started_at completed_at expires_at"
)  # fmt: skip
JOB_ERROR = _names("id code detail original_payload source source.pointer title")
SEND_OPTIONS = _nested("options", _names("is_local send_past_recipients_immediately"))
SEND_STRATEGY = _nested("send_strategy", _names("date datetime method throttle_percentage") | SEND_OPTIONS)
TRACKING = _names("add_tracking_params custom_tracking_params is_tracking_clicks is_tracking_opens")
CAMPAIGN = (
    _names("id archived created_at name scheduled_at send_time status updated_at")
    | _nested("audiences", ("included", "excluded"))
    | _nested("send_options", ("use_smart_sending",))
    | SEND_STRATEGY
    | _nested("tracking_options", TRACKING)
)
MESSAGE = _names("id created_at updated_at send_times definition definition.*")
OMNI_CAMPAIGN = _names("id created_at updated_at") | _nested(
    "definition", _names("name builder archived color description send_settings")
)
OMNI_AUDIENCE = _names("id created updated") | _nested("definition", _names("name included excluded priority"))
OMNI_MESSAGE = _names("id created updated") | _nested(
    "definition", _names("name status tracking_options send_options ab_test")
)
OMNI_VARIATION = _names("id created updated") | _nested("definition", _names("name details"))
CONVERSATION, TAG, ATTRIBUTION = _names("id channel"), _names("id name"), _names("id")
IMAGE = _names("id format hidden image_url name size updated_at")
TEMPLATE = _names("id amp created editor_type html name text updated")
PUSH_TOKEN = _names("id background created enablement_status metadata platform recorded_date token vendor metadata.*")
FLOW_ACTION = _names("id created updated definition definition.*")

PROFILE_COUNT, MEMBERSHIP = _names("profile_count"), _names("joined_group_at")
PROFILE_EXTRAS = {"profile": _names("subscriptions predictive_analytics")}
PAGE_PARAMETERS = _names("page[cursor] page[size]")
LIST_PARAMETERS = PAGE_PARAMETERS | {"filter", "sort"}
FILTERED = _names("filter page[cursor]")


@dataclass(frozen=True, slots=True)
class Query:
    """The parameters of one operation."""

    others: Names = frozenset()
    """``filter``, ``sort``, ``page[cursor]``, ``page[size]``, as far as the operation has them."""
    fields: Mapping[str, Names] = field(default_factory=dict)
    include: Names = frozenset()
    additional: Mapping[str, Names] = field(default_factory=dict)
    requires_filter: bool = False

    def parameters(self) -> Iterator[tuple[str, Names | None]]:
        """Return each parameter with the names that it may list, or None when it lists no names."""
        yield from ((name, None) for name in self.others)
        yield from ((f"fields[{kind}]", names) for kind, names in self.fields.items())
        yield from ((f"additional-fields[{kind}]", names) for kind, names in self.additional.items())
        if self.include:
            yield "include", self.include


ONE_PROFILE = Query(fields={"profile": PROFILE}, additional=PROFILE_EXTRAS)
PROFILES = Query(PAGE_PARAMETERS, {"profile": PROFILE}, additional=PROFILE_EXTRAS)
MEMBERS = Query(LIST_PARAMETERS, {"profile": PROFILE | MEMBERSHIP}, additional=PROFILE_EXTRAS)
ONE_JOB = {"profile-bulk-import-job": JOB}
AUDIENCE_RELATED = {"flow": FLOW, "tag": TAG}
FLOWS = {"flow-action": FLOW_ACTION, "flow": FLOW, "tag": TAG}
EVENTS = {"attribution": ATTRIBUTION, "event": EVENT, "metric": METRIC, "profile": PROFILE_BASE}
PROFILE_RELATED = {"conversation": CONVERSATION, "profile": PROFILE, "push-token": PUSH_TOKEN}
CAMPAIGNS = {"campaign-message": MESSAGE, "campaign": CAMPAIGN, "tag": TAG}
MESSAGES = {"campaign-message": MESSAGE, "campaign": CAMPAIGN, "image": IMAGE, "template": TEMPLATE}
EVENT_INCLUDES, AUDIENCE_INCLUDES = _names("attributions metric profile"), _names("flow-triggers tags")
CAMPAIGN_INCLUDES, MESSAGE_INCLUDES = _names("campaign-messages tags"), _names("campaign image template")
FLOW_INCLUDES = _names("flow-actions tags")

QUERIES: Mapping[str, Query] = {
    "get_accounts": Query(fields={"account": ACCOUNT | _nested("contact_information", SENDER)}),
    "get_events": Query(LIST_PARAMETERS, EVENTS, EVENT_INCLUDES),
    "get_event": Query(fields=EVENTS, include=EVENT_INCLUDES),
    "get_profile_for_event": ONE_PROFILE,
    "get_metric_for_event": Query(fields={"metric": METRIC}),
    "get_metrics": Query(FILTERED, {"flow": FLOW, "metric": METRIC}, _names("flow-triggers")),
    "get_metric": Query(fields={"flow": FLOW, "metric": METRIC}, include=_names("flow-triggers")),
    "get_profiles": Query(LIST_PARAMETERS, PROFILE_RELATED, _names("conversations push-tokens"), PROFILE_EXTRAS),
    "get_profile": Query(
        fields=PROFILE_RELATED | {"list": LIST, "segment": SEGMENT},
        include=_names("conversations lists push-tokens segments"),
        additional=PROFILE_EXTRAS,
    ),
    "create_profile": ONE_PROFILE,
    "update_profile": ONE_PROFILE,
    "create_or_update_profile": ONE_PROFILE,
    "bulk_import_profiles": Query(fields=ONE_JOB),
    "get_bulk_import_profiles_jobs": Query(LIST_PARAMETERS, ONE_JOB),
    "get_bulk_import_profiles_job": Query(fields=ONE_JOB | {"list": LIST}, include=_names("lists")),
    "get_errors_for_bulk_import_profiles_job": Query(PAGE_PARAMETERS, {"import-error": JOB_ERROR}),
    "get_profiles_for_bulk_import_profiles_job": PROFILES,
    "merge_profiles": Query(fields={"profile": _names("id")}),
    "get_lists": Query(LIST_PARAMETERS, AUDIENCE_RELATED | {"list": LIST}, AUDIENCE_INCLUDES),
    "get_list": Query(
        fields=AUDIENCE_RELATED | {"list": LIST | PROFILE_COUNT},
        include=AUDIENCE_INCLUDES,
        additional={"list": PROFILE_COUNT},
    ),
    "get_segments": Query(LIST_PARAMETERS, AUDIENCE_RELATED | {"segment": SEGMENT}, AUDIENCE_INCLUDES),
    "get_segment": Query(
        fields=AUDIENCE_RELATED | {"segment": SEGMENT | PROFILE_COUNT},
        include=AUDIENCE_INCLUDES,
        additional={"segment": PROFILE_COUNT},
    ),
    "get_profiles_for_list": MEMBERS,
    "get_profile_ids_for_list": Query(LIST_PARAMETERS),
    "get_profiles_for_segment": MEMBERS,
    "get_profile_ids_for_segment": Query(LIST_PARAMETERS),
    "get_lists_for_profile": Query(fields={"list": LIST}),
    "get_segments_for_profile": Query(fields={"segment": SEGMENT}),
    "get_campaigns": Query(LIST_PARAMETERS, CAMPAIGNS, CAMPAIGN_INCLUDES, requires_filter=True),
    "get_campaign": Query(fields=CAMPAIGNS, include=CAMPAIGN_INCLUDES),
    "get_messages_for_campaign": Query(fields=MESSAGES, include=MESSAGE_INCLUDES),
    "get_campaign_message": Query(fields=MESSAGES, include=MESSAGE_INCLUDES),
    "get_campaign_for_campaign_message": Query(fields={"campaign": CAMPAIGN}),
    "get_flows": Query(LIST_PARAMETERS, FLOWS, FLOW_INCLUDES),
    "get_flow": Query(
        fields=FLOWS | {"flow": FLOW | FLOW_DEFINITION},
        include=FLOW_INCLUDES,
        additional={"flow": _names("definition")},
    ),
}

_AUDIENCE, _MESSAGE, _VARIATION = "campaign-audience", "campaign-message", "campaign-variation"
OMNI_CAMPAIGN_FIELDS = {"campaign": OMNI_CAMPAIGN, _AUDIENCE: OMNI_AUDIENCE, _MESSAGE: OMNI_MESSAGE, "tag": TAG}
OMNI_CAMPAIGN_INCLUDES = _names("campaign-audiences campaign-messages tags")
OMNI_QUERIES: Mapping[str, Query] = {
    "get_campaigns": Query(LIST_PARAMETERS, OMNI_CAMPAIGN_FIELDS, OMNI_CAMPAIGN_INCLUDES),
    "get_campaign": Query(fields=OMNI_CAMPAIGN_FIELDS, include=OMNI_CAMPAIGN_INCLUDES),
    "get_campaign_audiences_for_campaign": Query(fields={_AUDIENCE: OMNI_AUDIENCE}),
    "get_campaign_audience": Query(
        fields={_AUDIENCE: OMNI_AUDIENCE, _MESSAGE: OMNI_MESSAGE, "campaign": OMNI_CAMPAIGN},
        include=_names("campaign campaign-messages"),
    ),
    "get_campaign_for_campaign_audience": Query(fields={"campaign": OMNI_CAMPAIGN}),
    "get_messages_for_campaign": Query(
        _names("page[cursor]"), {_MESSAGE: OMNI_MESSAGE, "campaign": OMNI_CAMPAIGN}, _names("campaign")
    ),
    "get_campaign_messages": Query(
        LIST_PARAMETERS, {_MESSAGE: OMNI_MESSAGE, "campaign": OMNI_CAMPAIGN}, _names("campaign")
    ),
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
"""Since the revision that changed the format of campaigns."""


def check_query(query: Mapping[str, str], operation: str, revision: str) -> None:
    """Raise KlaviyoRefusal (400) for a parameter that the operation does not have, or for an unknown name in one."""
    query_definition = _query(operation, revision)
    parameters = dict(query_definition.parameters())
    for name, value in query.items():
        if name not in parameters:
            raise invalid_parameter(f"'{name}' is not a valid parameter of this operation.", name)
        known_names = parameters[name]
        unknown = [] if known_names is None else _unknown_names(value, known_names)
        if unknown:
            raise _unknown_name(unknown[0], name)
    if query_definition.requires_filter and not query.get("filter"):
        raise invalid_parameter("The parameter 'filter' is required.", "filter")


def _unknown_names(value: str, names: Names) -> list[str]:
    return [name for name in value.split(",") if name and not _is_known(name, names)]


def _is_known(name: str, names: Names) -> bool:
    return name in names or f"{name.partition('.')[0]}.*" in names


def _query(operation: str, revision: str) -> Query:
    omni = OMNI_QUERIES.get(operation) if revision >= OMNI_CAMPAIGNS else None
    return omni or QUERIES.get(operation, Query())


def _unknown_name(value: str, parameter: str) -> KlaviyoRefusal:
    kind = parameter.partition("[")[2].removesuffix("]")
    description = f"field for the resource '{kind}'" if kind else parameter
    return invalid_parameter(f"'{value}' is not a valid {description}.", parameter)
