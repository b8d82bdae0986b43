"""Runs an app's commands as Kustomer does: on the server, with secrets inserted there, and cached.

Rules: developer.kustomer.com/kustomer-apps-platform/docs/commands and .../cache-fallback
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec

from kustomer_klaviyo.sandbox.kustomer.model.apps import Apps
from kustomer_klaviyo.sandbox.kustomer.model.documents import Document
from kustomer_klaviyo.sandbox.kustomer.responses import KustomerRefusal

FALLBACK_SECONDS = 24 * 3600.0
"""How long an earlier successful response is returned in place of a failure."""

TIMEOUT = aiohttp.ClientTimeout(total=10)
PLACEHOLDER = re.compile(r"\{\{\{?\s*(\w+)\s*\}?\}\}")


@dataclass
class Commands:
    """Runs commands and caches their responses, for the whole organisation."""

    apps: Apps
    clock: Callable[[], float] = time.time
    _responses: dict[bytes, tuple[float, Document]] = field(default_factory=dict)

    async def run(self, session: aiohttp.ClientSession, name: str, request: Mapping[str, Any]) -> Document:
        """Run a command. Raises KustomerRefusal (404, 400, 502)."""
        command = self.apps.command(name)
        args = request.get("args") or {}
        unknown = set(args) - set(command.get("permittedArgs", []))
        if unknown:
            raise KustomerRefusal(400, "badparam", f"{min(unknown)!r} is not a permitted arg of this command")
        key = msgspec.json.encode([name, args, request.get("body")], order="deterministic")
        cached = self._responses.get(key)
        if cached is not None and "cacheSeconds" in command and self.clock() - cached[0] < command["cacheSeconds"]:
            return cached[1]
        response = await self._call(session, command, request)
        if response["responseStatusCode"] < 400:
            self._responses[key] = (self.clock(), response)
            return response
        if cached is not None and self.clock() - cached[0] < FALLBACK_SECONDS:
            return cached[1] | {"cacheFallback": True}
        return response

    async def _call(self, session: aiohttp.ClientSession, command: Document, request: Mapping[str, Any]) -> Document:
        args = request.get("args") or {}
        values = args | {
            alias: self.apps.values.get(setting["key"], "") for alias, setting in command.get("appSettings", {}).items()
        }
        url = _render(command["url"], args)
        headers = {name: _render(str(value), values) for name, value in (request.get("headers") or {}).items()}
        method = command["httpMethod"].upper()
        body = None if method == "GET" else request.get("body") or {}
        try:
            async with session.request(
                method, url, json=body, headers=headers, timeout=TIMEOUT, allow_redirects=False
            ) as response:
                raw = await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return {"responseStatusCode": 502, "responseBody": {"error": type(error).__name__}}
        try:
            content = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            content = raw.decode("utf-8", "replace")
        return {"responseStatusCode": status, "responseBody": content}

    def reset(self) -> None:
        """Clear the cache."""
        self._responses.clear()


def _render(template: str, values: Mapping[str, Any]) -> str:
    return PLACEHOLDER.sub(lambda match: str(values.get(match.group(1), "")), template)
