"""Default headers of every response: of pages, endpoints, files, errors and the HTTP protocol itself."""

from collections.abc import Iterable

RawHeaders = list[tuple[bytes, bytes]]

DENIED_PERMISSIONS = ("camera", "microphone", "geolocation", "payment", "usb", "serial", "display-capture")

NOSNIFF = (b"x-content-type-options", b"nosniff")

DEFAULT_HEADERS: RawHeaders = [
    NOSNIFF,
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", ", ".join(f"{name}=()" for name in DENIED_PERMISSIONS).encode()),
    # A page that opens a response in a window gets no access to that window.
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
NON_PAGE_HEADERS: RawHeaders = [
    (b"content-security-policy", b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
]
"""For responses without a policy of their own: nothing may run in them, and no site may frame them."""

TEXT_TYPES = (b"text/", b"application/json", b"application/problem+json", b"image/svg+xml", b"application/javascript")


def with_default_headers(headers: Iterable[tuple[bytes, bytes]], request_id: str) -> RawHeaders:
    """Add the default headers that are not set, and the request id; set the charset of text."""
    own = [
        (name.lower(), _with_charset(value) if name.lower() == b"content-type" else value) for name, value in headers
    ]
    names = {name for name, _ in own}
    defaults = DEFAULT_HEADERS if b"content-security-policy" in names else [*DEFAULT_HEADERS, *NON_PAGE_HEADERS]
    added = [(name, value) for name, value in defaults if name not in names]
    return [*own, *added, (b"x-request-id", request_id.encode())]


def _with_charset(content_type: bytes) -> bytes:
    media_type, *parameters = [part.strip() for part in content_type.split(b";")]
    kept = [parameter for parameter in parameters if not parameter.lower().startswith(b"charset=")]
    if media_type.startswith(TEXT_TYPES):
        kept.append(b"charset=utf-8")
    return b"; ".join([media_type, *kept])
