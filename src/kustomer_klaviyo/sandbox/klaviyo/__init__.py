"""A simulated Klaviyo account: an HTTP server with the vendor's rules, limits and quirks, in memory."""

from collections import Counter
from functools import partial

from aiohttp import web

from kustomer_klaviyo.sandbox.faults import Faults
from kustomer_klaviyo.sandbox.klaviyo.account_options import DEFAULT_KEY, SCOPES, KlaviyoOptions
from kustomer_klaviyo.sandbox.klaviyo.api.access_control import AccessControl
from kustomer_klaviyo.sandbox.klaviyo.api.account_state import (
    ACCESS,
    ACCOUNT,
    FAULTS,
    JOBS,
    OPTIONS,
    REQUEST_COUNTS,
    RESPONSE_COUNTS,
)
from kustomer_klaviyo.sandbox.klaviyo.api.operation_table import OPERATIONS
from kustomer_klaviyo.sandbox.klaviyo.api.rate_windows import throttled
from kustomer_klaviyo.sandbox.klaviyo.api.request_pipeline import (
    MAX_BODY_BYTES,
    error_middleware,
    with_access_control,
)
from kustomer_klaviyo.sandbox.klaviyo.api.revisions import OLDEST as OLDEST_REVISION
from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import error_response, new_request_id
from kustomer_klaviyo.sandbox.klaviyo.model.account import Account
from kustomer_klaviyo.sandbox.klaviyo.model.jobs import Jobs
from kustomer_klaviyo.sandbox.klaviyo.model.seed_history import seed_profile
from kustomer_klaviyo.sandbox.klaviyo.ui.account_control import install_control
from kustomer_klaviyo.sandbox.klaviyo.ui.account_pages import install_pages

__all__ = ["DEFAULT_KEY", "FAULTS", "OLDEST_REVISION", "SCOPES", "KlaviyoOptions", "create_app"]


def create_app(options: KlaviyoOptions | None = None) -> web.Application:
    """Make the application."""
    options = options or KlaviyoOptions()
    app = web.Application(client_max_size=MAX_BODY_BYTES + 100_000, middlewares=[error_middleware])
    app[OPTIONS] = options
    app[ACCOUNT] = Account(options.clock, options.text_metrics, strict_emails=options.strict_emails)
    if options.marketing:
        app[ACCOUNT].profiles.on_create = partial(seed_profile, app[ACCOUNT])
    app[ACCESS] = AccessControl(options.keys, is_limited=options.rate_limits, scale=options.rate_scale)
    app[REQUEST_COUNTS], app[RESPONSE_COUNTS] = Counter(), Counter()
    app[JOBS] = Jobs(options.job_seconds)
    app.cleanup_ctx.append(app[JOBS].while_serving)
    app[FAULTS] = Faults(lambda seconds: error_response(throttled(seconds), new_request_id()))
    app[FAULTS].install(app)
    install_control(app)
    install_pages(app)
    for method, path, operation, handler in OPERATIONS:
        for spelling in (path, f"{path}/"):
            app.router.add_route(method, spelling, with_access_control(operation, handler))
    return app
