"""What the application holds for its handlers: the account, its services and counters."""

from collections import Counter

from aiohttp import web

from kustomer_klaviyo.sandbox.faults import Faults
from kustomer_klaviyo.sandbox.klaviyo.account_options import KlaviyoOptions
from kustomer_klaviyo.sandbox.klaviyo.api.access_control import AccessControl
from kustomer_klaviyo.sandbox.klaviyo.model.account import Account
from kustomer_klaviyo.sandbox.klaviyo.model.jobs import Jobs

ACCOUNT = web.AppKey("account", Account)
ACCESS = web.AppKey("access", AccessControl)
OPTIONS = web.AppKey("options", KlaviyoOptions)
FAULTS = web.AppKey("faults", Faults)
JOBS = web.AppKey("jobs", Jobs)
REQUEST_COUNTS = web.AppKey("request_counts", Counter[str])
"""The number of requests by operation."""
RESPONSE_COUNTS = web.AppKey("response_counts", Counter[str])
"""The number of responses by status."""
