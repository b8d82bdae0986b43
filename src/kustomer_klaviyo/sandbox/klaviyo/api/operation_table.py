"""Every operation of the simulated API: method, path, access, handler."""

from kustomer_klaviyo.sandbox.klaviyo.api import routes_audiences as audiences
from kustomer_klaviyo.sandbox.klaviyo.api import routes_campaigns as campaigns
from kustomer_klaviyo.sandbox.klaviyo.api import routes_events as events
from kustomer_klaviyo.sandbox.klaviyo.api import routes_flows as flows
from kustomer_klaviyo.sandbox.klaviyo.api import routes_imports as imports
from kustomer_klaviyo.sandbox.klaviyo.api import routes_members as members
from kustomer_klaviyo.sandbox.klaviyo.api import routes_merges_deletions as merges_deletions
from kustomer_klaviyo.sandbox.klaviyo.api import routes_metrics as metrics
from kustomer_klaviyo.sandbox.klaviyo.api import routes_profiles as profiles
from kustomer_klaviyo.sandbox.klaviyo.api.access_control import operation

OPERATIONS = (
    ("GET", "/api/accounts", operation("get_accounts", "XS", "accounts:read"), profiles.list_accounts),
    ("POST", "/api/events", operation("create_event", "XL", "events:write"), events.create_event),
    (
        "POST",
        "/api/event-bulk-create-jobs",
        operation("bulk_create_events", "M", "events:write"),
        events.create_events,
    ),
    ("GET", "/api/events", operation("get_events", "XL", "events:read"), events.list_events),
    ("GET", "/api/events/{id}", operation("get_event", "M", "events:read"), events.get_event),
    (
        "GET",
        "/api/events/{id}/profile",
        operation("get_profile_for_event", "XL", "events:read", "profiles:read"),
        events.get_event_profile,
    ),
    (
        "GET",
        "/api/events/{id}/metric",
        operation("get_metric_for_event", "XL", "events:read", "metrics:read"),
        events.get_event_metric,
    ),
    ("GET", "/api/metrics", operation("get_metrics", "M", "metrics:read"), metrics.list_metrics),
    ("GET", "/api/metrics/{id}", operation("get_metric", "M", "metrics:read"), metrics.get_metric),
    ("GET", "/api/profiles", operation("get_profiles", "L", "profiles:read"), profiles.list_profiles),
    ("GET", "/api/profiles/{id}", operation("get_profile", "L", "profiles:read"), profiles.get_profile),
    ("POST", "/api/profiles", operation("create_profile", "L", "profiles:write"), profiles.create_profile),
    ("PATCH", "/api/profiles/{id}", operation("update_profile", "L", "profiles:write"), profiles.update_profile),
    (
        "POST",
        "/api/profile-import",
        operation("create_or_update_profile", "L", "profiles:write"),
        profiles.import_profile,
    ),
    (
        "POST",
        "/api/profile-bulk-import-jobs",
        operation("bulk_import_profiles", "M", "lists:write", "profiles:write"),
        imports.post_import,
    ),
    (
        "GET",
        "/api/profile-bulk-import-jobs",
        operation("get_bulk_import_profiles_jobs", "M", "lists:read", "profiles:read"),
        imports.list_imports,
    ),
    (
        "GET",
        "/api/profile-bulk-import-jobs/{id}",
        operation("get_bulk_import_profiles_job", "M", "lists:read", "profiles:read"),
        imports.get_import,
    ),
    (
        "GET",
        "/api/profile-bulk-import-jobs/{id}/import-errors",
        operation("get_errors_for_bulk_import_profiles_job", "M", "profiles:read"),
        imports.list_import_errors,
    ),
    (
        "GET",
        "/api/profile-bulk-import-jobs/{id}/profiles",
        operation("get_profiles_for_bulk_import_profiles_job", "M", "profiles:read"),
        imports.list_imported_profiles,
    ),
    ("POST", "/api/profile-merge", operation("merge_profiles", "M", "profiles:write"), merges_deletions.merge_profiles),
    (
        "POST",
        "/api/data-privacy-deletion-jobs",
        operation("request_profile_deletion", "S", "data-privacy:write"),
        merges_deletions.request_deletion,
    ),
    ("GET", "/api/lists", operation("get_lists", "L", "lists:read"), audiences.list_lists),
    ("GET", "/api/lists/{id}", operation("get_list", "L", "lists:read"), audiences.get_list),
    ("GET", "/api/segments", operation("get_segments", "L", "segments:read"), audiences.list_segments),
    ("GET", "/api/segments/{id}", operation("get_segment", "L", "segments:read"), audiences.get_segment),
    (
        "GET",
        "/api/lists/{id}/profiles",
        operation("get_profiles_for_list", "L", "lists:read", "profiles:read"),
        members.profiles_of_list,
    ),
    (
        "GET",
        "/api/lists/{id}/relationships/profiles",
        operation("get_profile_ids_for_list", "L", "lists:read", "profiles:read"),
        members.profile_ids_of_list,
    ),
    (
        "GET",
        "/api/segments/{id}/profiles",
        operation("get_profiles_for_segment", "L", "profiles:read", "segments:read"),
        members.profiles_of_segment,
    ),
    (
        "GET",
        "/api/segments/{id}/relationships/profiles",
        operation("get_profile_ids_for_segment", "L", "profiles:read", "segments:read"),
        members.profile_ids_of_segment,
    ),
    (
        "GET",
        "/api/profiles/{id}/lists",
        operation("get_lists_for_profile", "S", "lists:read", "profiles:read"),
        audiences.lists_of_profile,
    ),
    (
        "GET",
        "/api/profiles/{id}/segments",
        operation("get_segments_for_profile", "S", "profiles:read", "segments:read"),
        audiences.segments_of_profile,
    ),
    (
        "GET",
        "/api/profiles/{id}/relationships/lists",
        operation("get_list_ids_for_profile", "S", "lists:read", "profiles:read"),
        audiences.list_ids_of_profile,
    ),
    (
        "GET",
        "/api/profiles/{id}/relationships/segments",
        operation("get_segment_ids_for_profile", "S", "profiles:read", "segments:read"),
        audiences.segment_ids_of_profile,
    ),
    ("GET", "/api/campaigns", operation("get_campaigns", "M", "campaigns:read"), campaigns.list_campaigns),
    ("GET", "/api/campaigns/{id}", operation("get_campaign", "M", "campaigns:read"), campaigns.get_campaign),
    (
        "GET",
        "/api/campaigns/{id}/campaign-audiences",
        operation("get_campaign_audiences_for_campaign", "M", "campaigns:read"),
        campaigns.audiences_of_campaign,
    ),
    (
        "GET",
        "/api/campaigns/{id}/campaign-messages",
        operation("get_messages_for_campaign", "M", "campaigns:read"),
        campaigns.messages_of_campaign,
    ),
    (
        "GET",
        "/api/campaign-audiences/{id}",
        operation("get_campaign_audience", "M", "campaigns:read"),
        campaigns.get_audience,
    ),
    (
        "GET",
        "/api/campaign-audiences/{id}/campaign",
        operation("get_campaign_for_campaign_audience", "M", "campaigns:read"),
        campaigns.campaign_of_audience,
    ),
    (
        "GET",
        "/api/campaign-messages",
        operation("get_campaign_messages", "M", "campaigns:read"),
        campaigns.list_messages,
    ),
    (
        "GET",
        "/api/campaign-messages/{id}",
        operation("get_campaign_message", "M", "campaigns:read"),
        campaigns.get_message,
    ),
    (
        "GET",
        "/api/campaign-messages/{id}/campaign",
        operation("get_campaign_for_campaign_message", "M", "campaigns:read"),
        campaigns.campaign_of_message,
    ),
    (
        "GET",
        "/api/campaign-messages/{id}/campaign-variations",
        operation("get_variations_for_campaign_message", "M", "campaigns:read"),
        campaigns.variations_of_message,
    ),
    (
        "GET",
        "/api/campaign-variations/{id}",
        operation("get_campaign_variation", "M", "campaigns:read"),
        campaigns.get_variation,
    ),
    ("GET", "/api/flows", operation("get_flows", "S", "flows:read"), flows.list_flows),
    ("GET", "/api/flows/{id}", operation("get_flow", "S", "flows:read"), flows.get_flow),
)
