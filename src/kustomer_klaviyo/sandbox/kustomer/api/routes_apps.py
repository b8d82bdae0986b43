"""The simulated API's operations on apps: registering, installing, settings, commands."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from aiohttp import web

from kustomer_klaviyo.sandbox.kustomer.api.operation import APPS, COMMANDS, Operation
from kustomer_klaviyo.sandbox.kustomer.envelope import answer, bad, json_object, page
from kustomer_klaviyo.sandbox.kustomer.model.apps import PLACEHOLDER
from kustomer_klaviyo.sandbox.kustomer.model.documents import Document

SESSION = web.AppKey("session", aiohttp.ClientSession)


async def list_available(request: web.Request) -> web.Response:
    """``GET /v1/apps/available``: every registered version."""
    versions = [one for listed in request.app[APPS].registered.values() for one in listed]
    return page(request, [_resource(one) for one in versions])


async def register(request: web.Request) -> web.Response:
    """``POST /v1/apps/available``."""
    return answer({"data": _resource(request.app[APPS].register(await json_object(request)))}, status=201)


async def list_installed(request: web.Request) -> web.Response:
    """``GET /v1/apps``."""
    return page(request, [_resource(one) for one in request.app[APPS].installed.values()])


async def install(request: web.Request) -> web.Response:
    """``POST /v1/apps/install``: installs, or upgrades."""
    body = await json_object(request)
    name, version = body.get("app"), body.get("version")
    if not isinstance(name, str) or not isinstance(version, str):
        raise bad("app", "app and version are required")
    return answer({"data": _resource(request.app[APPS].install(name, version))}, status=201)


async def get_setting(request: web.Request) -> web.Response:
    """``GET /v1/settings/{app}/{category}/{name}``: of a secret, a placeholder."""
    return answer({"data": _setting(request)})


async def put_setting(request: web.Request) -> web.Response:
    """``PUT /v1/settings/{app}/{category}/{name}``."""
    body = await json_object(request)
    if "value" not in body:
        raise bad("value", "value is required")
    path = _path(request)
    request.app[APPS].setting(*path)
    request.app[APPS].values[".".join(path)] = body["value"]
    return answer({"data": _setting(request)})


async def run(request: web.Request) -> web.Response:
    """``POST /v1/commands/{name}/run``."""
    asked, name = await json_object(request), request.match_info["name"]
    return answer({"data": await run_command(request.app, name, asked)})


async def run_command(app: web.Application, name: str, asked: Document) -> Document:
    """Run a command, for the API or an agent's browser."""
    attributes = await app[COMMANDS].run(app[SESSION], name, asked)
    return {"type": "command_run", "id": name, "attributes": attributes}


def _resource(definition: Document) -> Document:
    return {"type": "app", "id": f"{definition['app']}-{definition['version']}", "attributes": definition}


def _path(request: web.Request) -> tuple[str, str, str]:
    return request.match_info["app"], request.match_info["category"], request.match_info["name"]


def _setting(request: web.Request) -> Document:
    path = _path(request)
    definition = request.app[APPS].setting(*path)
    value: Any = request.app[APPS].values.get(".".join(path))
    if definition["type"] == "secret":
        value = PLACEHOLDER if value else ""
    attributes = {"type": definition["type"], "value": value, "defaultValue": definition["defaultValue"]}
    return {"type": "setting", "id": ".".join(path), "attributes": attributes}


async def with_session(app: web.Application) -> AsyncIterator[None]:
    """Keep a client for the commands while the application serves."""
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
    Operation("POST", "/v1/commands/{name}/run", "commands.run", run),
)
