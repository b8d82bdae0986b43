"""Serves static files by an explicit list, each with a fixed content type. docs/decisions/0008 says why by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

DIRECTORY = Path(__file__).parent / "static"
CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
CACHE_CONTROL = "public, max-age=300"


def asset_route(
    path: str, names: tuple[str, ...], *, headers: Mapping[str, str] | None = None, opt: dict[str, Any] | None = None
) -> HTTPRouteHandler:
    """Return the route ``path/NAME`` for the named files."""

    @get(f"{path}/{{name:str}}", sync_to_thread=False, opt=opt)
    def asset(name: FromPath[str]) -> Response[bytes]:
        if name not in names:
            return Response(b"no such file", status_code=404, media_type="text/plain")
        content_type = CONTENT_TYPES[Path(name).suffix]
        all_headers = {"Cache-Control": CACHE_CONTROL, **(headers or {})}
        return Response((DIRECTORY / name).read_bytes(), media_type=content_type, headers=all_headers)

    return asset
