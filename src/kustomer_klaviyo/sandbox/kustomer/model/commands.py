"""Runs an app's command as Kustomer does: on its own side, with the secrets filled in there, and cached.

Rules: developer.kustomer.com/kustomer-apps-platform/docs/commands and .../cache-fallback
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec

from kustomer_klaviyo.sandbox.kustomer.envelope import Refusal
from kustomer_klaviyo.sandbox.kustomer.model.apps import Apps
from kustomer_klaviyo.sandbox.kustomer.model.documents import Document

FALLBACK_SECONDS = 24 * 3600.0
"""So long a former good answer stands in for a failure."""

TIMEOUT = aiohttp.ClientTimeout(total=10)
SLOT = re.compile(r"\{\{\{?\s*(\w+)\s*\}?\}\}")


@dataclass
class Commands:
    """Runs commands and remembers their answers, for the whole organisation."""

    apps: Apps
    clock: Callable[[], float] = time.time
    _answers: dict[bytes, tuple[float, Document]] = field(default_factory=dict)

    async def run(self, session: aiohttp.ClientSession, name: str, asked: Mapping[str, Any]) -> Document:
        """Run a command. Raises Refusal (404, 400, 502)."""
        command = self.apps.command(name)
        args = asked.get("args") or {}
        strangers = set(args) - set(command.get("permittedArgs", []))
        if strangers:
            raise Refusal(400, "badparam", f"{min(strangers)!r} is not a permitted arg of this command")
        key = msgspec.json.encode([name, args, asked.get("body")], order="deterministic")
        kept = self._answers.get(key)
        if kept is not None and "cacheSeconds" in command and self.clock() - kept[0] < command["cacheSeconds"]:
            return kept[1]
        answer = await self._call(session, command, asked)
        if answer["responseStatusCode"] < 400:
            self._answers[key] = (self.clock(), answer)
            return answer
        if kept is not None and self.clock() - kept[0] < FALLBACK_SECONDS:
            return kept[1] | {"cacheFallback": True}
        return answer

    async def _call(self, session: aiohttp.ClientSession, command: Document, asked: Mapping[str, Any]) -> Document:
        args = asked.get("args") or {}
        known = args | {
            alias: self.apps.values.get(setting["key"], "") for alias, setting in command.get("appSettings", {}).items()
        }
        url = _filled(command["url"], args)
        headers = {name: _filled(str(value), known) for name, value in (asked.get("headers") or {}).items()}
        method = command["httpMethod"].upper()
        body = None if method == "GET" else asked.get("body") or {}
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

    def forget(self) -> None:
        """Remember no answer."""
        self._answers.clear()


def _filled(text: str, known: Mapping[str, Any]) -> str:
    return SLOT.sub(lambda slot: str(known.get(slot.group(1), "")), text)
