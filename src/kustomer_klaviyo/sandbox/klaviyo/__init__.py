"""A simulated Klaviyo account: a real HTTP server with the vendor's rules, limits and quirks, in memory."""

from collections import Counter

from aiohttp import web

from kustomer_klaviyo.sandbox.faults import Faults
from kustomer_klaviyo.sandbox.klaviyo import routes_events as events
from kustomer_klaviyo.sandbox.klaviyo import routes_imports as imports
from kustomer_klaviyo.sandbox.klaviyo import routes_joining as joining
from kustomer_klaviyo.sandbox.klaviyo import routes_metrics as metrics
from kustomer_klaviyo.sandbox.klaviyo import routes_profiles as profiles
from kustomer_klaviyo.sandbox.klaviyo.access import Access, operation, throttled
from kustomer_klaviyo.sandbox.klaviyo.account import Account
from kustomer_klaviyo.sandbox.klaviyo.control import install_control
from kustomer_klaviyo.sandbox.klaviyo.envelope import new_request_id, refuse
from kustomer_klaviyo.sandbox.klaviyo.exchange import (
    ACCESS,
    ACCOUNT,
    DEFAULT_KEY,
    FAULTS,
    JOBS,
    LARGEST_BODY,
    OPTIONS,
    SCOPES,
    TRAFFIC,
    KlaviyoOptions,
    in_the_vendors_form,
    operated,
)
from kustomer_klaviyo.sandbox.klaviyo.jobs import Jobs
from kustomer_klaviyo.sandbox.klaviyo.pages import install_pages

__all__ = ["DEFAULT_KEY", "FAULTS", "SCOPES", "KlaviyoOptions", "create_app"]

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
        imports.create_import,
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
    ("POST", "/api/profile-merge", operation("merge_profiles", "M", "profiles:write"), joining.merge_profiles),
    (
        "POST",
        "/api/data-privacy-deletion-jobs",
        operation("request_profile_deletion", "S", "data-privacy:write"),
        joining.request_deletion,
    ),
)


def create_app(options: KlaviyoOptions | None = None) -> web.Application:
    """Make the application."""
    options = options or KlaviyoOptions()
    app = web.Application(client_max_size=LARGEST_BODY + 100_000, middlewares=[in_the_vendors_form])
    app[OPTIONS] = options
    app[ACCOUNT] = Account(options.clock)
    app[ACCESS] = Access(options.keys, is_limited=options.rate_limits, scale=options.rate_scale)
    app[TRAFFIC] = Counter()
    app[JOBS] = Jobs(options.job_seconds)
    app.cleanup_ctx.append(app[JOBS].while_serving)
    app[FAULTS] = Faults(lambda seconds: refuse(throttled(seconds), new_request_id()))
    app[FAULTS].install(app)
    install_control(app)
    install_pages(app)
    for method, path, wanted, handler in OPERATIONS:
        for spelling in (path, f"{path}/"):
            app.router.add_route(method, spelling, operated(wanted, handler))
    return app
