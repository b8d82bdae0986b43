"""What the application holds for its handlers: the organisation, its services and counters."""

from collections import Counter
from collections.abc import Iterable

from aiohttp import web

from kustomer_klaviyo.sandbox.kustomer.api.masking import masked
from kustomer_klaviyo.sandbox.kustomer.api.minute_limit import MinuteLimit
from kustomer_klaviyo.sandbox.kustomer.model.apps import Apps
from kustomer_klaviyo.sandbox.kustomer.model.commands import Commands
from kustomer_klaviyo.sandbox.kustomer.model.documents import Document
from kustomer_klaviyo.sandbox.kustomer.model.organisation import Organisation
from kustomer_klaviyo.sandbox.kustomer.model.satisfaction_surveys import Surveys
from kustomer_klaviyo.sandbox.kustomer.model.support_team import SupportTeam
from kustomer_klaviyo.sandbox.kustomer.model.webhook_delivery import WebhookDispatcher
from kustomer_klaviyo.sandbox.kustomer.model.webhook_registry import WebhookRegistry
from kustomer_klaviyo.sandbox.kustomer.organisation_options import KustomerOptions

ORGANISATION = web.AppKey("organisation", Organisation)
SUPPORT_TEAM = web.AppKey("support_team", SupportTeam)
SURVEYS = web.AppKey("surveys", Surveys)
REGISTRY = web.AppKey("registry", WebhookRegistry)
DISPATCHER = web.AppKey("dispatcher", WebhookDispatcher)
APPS = web.AppKey("apps", Apps)
COMMANDS = web.AppKey("commands", Commands)
OPTIONS = web.AppKey("options", KustomerOptions)
REQUEST_COUNTS = web.AppKey("request_counts", Counter[str])
"""The number of requests by operation."""
RESPONSE_COUNTS = web.AppKey("response_counts", Counter[str])
"""The number of responses by status."""
LIMIT = web.AppKey("limit", MinuteLimit)


def visible(request: web.Request, resource: Document) -> Document:
    """Return a resource, masked when the organisation masks sensitive attributes."""
    return masked(resource) if request.app[OPTIONS].masked else resource


def not_deleted(resources: Iterable[Document]) -> list[Document]:
    """Return the resources that are not deleted."""
    return [resource for resource in resources if not resource["attributes"].get("deleted")]
