"""API operations on apps: registration, installation, settings, commands."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from aiohttp import web

from kustomer_klaviyo.sandbox.kustomer.api.operation import Operation
from kustomer_klaviyo.sandbox.kustomer.api.organisation_state import APPS, COMMANDS
from kustomer_klaviyo.sandbox.kustomer.model.apps import PLACEHOLDER
from kustomer_klaviyo.sandbox.kustomer.model.documents import Document
from kustomer_klaviyo.sandbox.kustomer.responses import bad_parameter, json_object, json_response, page_response

SESSION = web.AppKey("session", aiohttp.ClientSession)


async def list_available(request: web.Request) -> web.Response:
    """``GET /v1/apps/available``: every registered version."""
    registered = request.app[APPS].registered.values()
    return page_response(request, [_resource(version) for versions in registered for version in versions])


async def register(request: web.Request) -> web.Response:
    """``POST /v1/apps/available``."""
    return json_response({"data": _resource(request.app[APPS].register(await json_object(request)))}, status=201)


async def list_installed(request: web.Request) -> web.Response:
    """``GET /v1/apps``."""
    return page_response(request, [_resource(definition) for definition in request.app[APPS].installed.values()])


async def install(request: web.Request) -> web.Response:
    """``POST /v1/apps/install``: installs or upgrades."""
    body = await json_object(request)
    name, version = body.get("app"), body.get("version")
    if not isinstance(name, str) or not isinstance(version, str):
        raise bad_parameter("app", "app and version are required")
    return json_response({"data": _resource(request.app[APPS].install(name, version))}, status=201)


async def get_setting(request: web.Request) -> web.Response:
    """``GET /v1/settings/{app}/{category}/{name}``; a secret is returned as a placeholder."""
    return json_response({"data": _setting_resource(request)})


async def put_setting(request: web.Request) -> web.Response:
    """``PUT /v1/settings/{app}/{category}/{name}``."""
    body = await json_object(request)
    if "value" not in body:
        raise bad_parameter("value", "value is required")
    path = _setting_path(request)
    request.app[APPS].setting(*path)
    request.app[APPS].values[".".join(path)] = body["value"]
    return json_response({"data": _setting_resource(request)})


async def post_command(request: web.Request) -> web.Response:
    """``POST /v1/commands/{name}/run``."""
    body, name = await json_object(request), request.match_info["name"]
    return json_response({"data": await run_command(request.app, name, body)})


async def run_command(app: web.Application, name: str, body: Document) -> Document:
    """Run a command for the API or for an agent's browser."""
    attributes = await app[COMMANDS].run(app[SESSION], name, body)
    return {"type": "command_run", "id": name, "attributes": attributes}


def _resource(definition: Document) -> Document:
    return {"type": "app", "id": f"{definition['app']}-{definition['version']}", "attributes": definition}


def _setting_path(request: web.Request) -> tuple[str, str, str]:
    return request.match_info["app"], request.match_info["category"], request.match_info["name"]


def _setting_resource(request: web.Request) -> Document:
    path = _setting_path(request)
    definition = request.app[APPS].setting(*path)
    value: Any = request.app[APPS].values.get(".".join(path))
    if definition["type"] == "secret":
        value = PLACEHOLDER if value else ""
    attributes = {"type": definition["type"], "value": value, "defaultValue": definition["defaultValue"]}
    return {"type": "setting", "id": ".".join(path), "attributes": attributes}


async def run_session(app: web.Application) -> AsyncIterator[None]:
    """Keep the HTTP session of the commands open while the application runs."""
    async with aiohttp.ClientSession() as session:
        app[SESSION] = session
        yield


OPERATIONS = (
    Operation("GET", "/v1/apps/available", "apps.read", list_available),
    Operation("POST", "/v1/apps/available", "apps", register),
    Operation("GET", "/v1/apps", "apps.read", list_installed),
    Operation("POST", "/v1/apps/install", "apps", install),
    Operation("GET", "/v1/settings/{app}/{category}/{name}", "setting.read", get_setting),
    Operation("PUT", "/v1/settings/{app}/{category}/{name}", "setting.update", put_setting),
    Operation("POST", "/v1/commands/{name}/run", "commands.run", post_command),
)
