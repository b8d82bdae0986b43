"""A simulated Klaviyo account: a real HTTP server with the vendor's rules, limits and quirks, in memory."""

from collections import Counter
from functools import partial

from aiohttp import web

from kustomer_klaviyo.sandbox.faults import Faults
from kustomer_klaviyo.sandbox.klaviyo.api.access import Access, throttled
from kustomer_klaviyo.sandbox.klaviyo.api.operation import (
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
from kustomer_klaviyo.sandbox.klaviyo.api.operation_table import OPERATIONS
from kustomer_klaviyo.sandbox.klaviyo.api.revisions import OLDEST as OLDEST_REVISION
from kustomer_klaviyo.sandbox.klaviyo.envelope import new_request_id, refuse
from kustomer_klaviyo.sandbox.klaviyo.model.account import Account
from kustomer_klaviyo.sandbox.klaviyo.model.jobs import Jobs
from kustomer_klaviyo.sandbox.klaviyo.model.seed_history import furnish
from kustomer_klaviyo.sandbox.klaviyo.ui.control import install_control
from kustomer_klaviyo.sandbox.klaviyo.ui.pages import install_pages

__all__ = ["DEFAULT_KEY", "FAULTS", "OLDEST_REVISION", "SCOPES", "KlaviyoOptions", "create_app"]


def create_app(options: KlaviyoOptions | None = None) -> web.Application:
    """Make the application."""
    options = options or KlaviyoOptions()
    app = web.Application(client_max_size=LARGEST_BODY + 100_000, middlewares=[in_the_vendors_form])
    app[OPTIONS] = options
    app[ACCOUNT] = Account(options.clock, options.text_metrics, strict_emails=options.strict_emails)
    if options.marketing:
        app[ACCOUNT].people.welcome = partial(furnish, app[ACCOUNT])
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
